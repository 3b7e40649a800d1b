"""The room's RPCs: Envoy's question about every request, and grants for rooms and operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import grpc
from ecarus.remotecontrol.access.v1 import access_service_pb2, access_service_pb2_grpc
from envoy_ext_authz import external_auth_pb2_grpc

from services.access import translate, usecases
from services.access.approvals import needs_two_operators
from services.access.domain import GrantUnknown
from services.access.usecases import AccountRecord, GrantRecord
from services.runtime.call import current_call
from services.runtime.policy import EDGE, Policy, Rule, policy_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ecarus.remotecontrol.access.v1 import account_pb2, grant_pb2
    from envoy_ext_authz import external_auth_pb2

    from services.access.admission import Admission
    from services.access.approvals import PendingGrants
    from services.access.usecases import Forget

AUTHORIZATION = "envoy.service.auth.v3.Authorization"
SERVICE = "ecarus.remotecontrol.access.v1.AccessService"
SERVICES = (AUTHORIZATION, SERVICE)

Context = grpc.aio.ServicerContext[Any, Any]


class Record(GrantRecord, AccountRecord, Protocol):
    """Where all of it is kept."""


POLICY: Policy = {
    f"/{AUTHORIZATION}/Check": Rule(peers=frozenset({EDGE})),  # Envoy's contract, not ours
    **policy_of(SERVICE),
}


class AuthorizationServicer(external_auth_pb2_grpc.AuthorizationServicer):
    """Envoy's external authorization: asked about every request to the public."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    async def Check(  # noqa: N802  # the RPC's name
        self,
        request: external_auth_pb2.CheckRequest,
        context: Context,  # noqa: ARG002  # grpc's signature
    ) -> external_auth_pb2.CheckResponse:
        """Admit with a capability, or deny with a finished answer."""
        return translate.decision(await self._admission.decide(translate.edge_request(request)))


class AccessServicer(access_service_pb2_grpc.AccessServiceServicer):
    """Grants, accounts and keys, for rooms and operators.

    `now` gives aware times; `trusts` says of a credential whether it is not known to be withdrawn; `key_id_in` gives
    the id of an API key. Without `pending`, in the
    sandbox, one operator is enough for everything.
    """

    def __init__(
        self,
        record: Record,
        forget: Forget,
        now: Callable[[], datetime],
        pending: PendingGrants | None,
        *,
        trusts: Callable[[str], bool],
        key_id_in: Callable[[str], str],
    ) -> None:
        self._pending = pending
        self._record = record
        self._forget = forget
        self._now = now
        self._trusts = trusts
        self._key_id_in = key_id_in

    async def CheckGrants(  # noqa: N802  # the RPC's name
        self,
        request: access_service_pb2.CheckGrantsRequest,
        context: Context,  # noqa: ARG002  # grpc's signature
    ) -> access_service_pb2.CheckGrantsResponse:
        """See the contract."""
        asked = translate.questions(request)
        allowed = await usecases.check_grants(self._record, self._trusts, asked, at=self._now())
        return translate.answers(allowed)

    async def CreateGrant(  # noqa: N802  # the RPC's name
        self,
        request: access_service_pb2.CreateGrantRequest,
        context: Context,  # noqa: ARG002  # grpc's signature
    ) -> grant_pb2.Grant:
        """See the contract."""
        new, by, at = translate.new_grant(request), current_call().peer, self._now()
        if self._pending is not None and needs_two_operators(new):
            new.check()
            return translate.requested_message(await self._pending.request(new, by=by, at=at))
        grant = await usecases.create_grant(self._record, self._forget, new, by=by, at=at)
        return translate.grant_message(grant)

    async def ApproveGrant(  # noqa: N802  # the RPC's name
        self,
        request: access_service_pb2.ApproveGrantRequest,
        context: Context,  # noqa: ARG002  # grpc's signature
    ) -> grant_pb2.Grant:
        """See the contract."""
        if self._pending is None:
            raise GrantUnknown(request.grant_id)
        grant, pending = await self._pending.approve(request.grant_id, by=current_call().peer, at=self._now())
        self._forget()
        return translate.grant_message(grant, pending)

    async def RevokeGrant(  # noqa: N802  # the RPC's name
        self,
        request: access_service_pb2.RevokeGrantRequest,
        context: Context,  # noqa: ARG002  # grpc's signature
    ) -> grant_pb2.Grant:
        """See the contract."""
        by, at = current_call().peer, self._now()
        if self._pending is not None:
            withdrawn = await self._pending.withdraw(request.grant_id, by=by, at=at)
            if withdrawn is not None:
                return translate.pending_message(withdrawn)
        grant = await usecases.revoke_grant(self._record, self._forget, request.grant_id, by=by, at=at)
        return translate.grant_message(grant)

    async def ListGrants(  # noqa: N802  # the RPC's name
        self,
        request: access_service_pb2.ListGrantsRequest,
        context: Context,  # noqa: ARG002  # grpc's signature
    ) -> access_service_pb2.ListGrantsResponse:
        """See the contract."""
        grants = await usecases.list_grants(self._record, request.vin)
        asked = [] if self._pending is None else await self._pending.on_vehicle(request.vin)
        waiting = [each for each in asked if each.is_waiting(self._now())]
        by_id = {each.asked.grant_id: each for each in asked}
        told = [translate.grant_message(each, by_id.get(each.asked.grant_id)) for each in grants]
        return access_service_pb2.ListGrantsResponse(
            grants=[*told, *(translate.pending_message(each) for each in waiting)]
        )

    async def LockAccount(  # noqa: N802  # the RPC's name
        self,
        request: access_service_pb2.LockAccountRequest,
        context: Context,  # noqa: ARG002  # grpc's signature
    ) -> account_pb2.Account:
        """See the contract."""
        account = await usecases.lock_account(
            self._record,
            self._forget,
            request.principal,
            request.reason,
            by=current_call().peer,
            at=self._now(),
        )
        return translate.account_message(account)

    async def UnlockAccount(  # noqa: N802  # the RPC's name
        self,
        request: access_service_pb2.UnlockAccountRequest,
        context: Context,  # noqa: ARG002  # grpc's signature
    ) -> account_pb2.Account:
        """See the contract."""
        account = await usecases.unlock_account(
            self._record, self._forget, request.principal, by=current_call().peer, at=self._now()
        )
        return translate.account_message(account)

    async def ListApiKeys(  # noqa: N802  # the RPC's name
        self,
        request: access_service_pb2.ListApiKeysRequest,
        context: Context,  # noqa: ARG002  # grpc's signature
    ) -> access_service_pb2.ListApiKeysResponse:
        """See the contract."""
        keys = await usecases.list_keys(self._record, request.principal)
        return access_service_pb2.ListApiKeysResponse(keys=map(translate.key_message, keys))

    async def RevokeApiKey(  # noqa: N802  # the RPC's name
        self,
        request: access_service_pb2.RevokeApiKeyRequest,
        context: Context,  # noqa: ARG002  # grpc's signature
    ) -> account_pb2.ApiKey:
        """See the contract."""
        key_id = request.key_id or self._key_id_in(request.key)
        key = await usecases.revoke_key(
            self._record, self._forget, key_id, by=current_call().peer, at=self._now()
        )
        return translate.key_message(key)

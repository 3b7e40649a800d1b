"""The room's RPCs: Envoy's question about every request, and grants for rooms and operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from ecarus.remotecontrol.access.v1 import access_service_pb2, access_service_pb2_grpc
from envoy_ext_authz import external_auth_pb2_grpc

from services.access import translate, usecases
from services.runtime.call import current_call
from services.runtime.policy import EDGE, SPIFFE, Policy, Rule, between_rooms

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ecarus.remotecontrol.access.v1 import grant_pb2
    from envoy_ext_authz import external_auth_pb2

    from services.access.admission import Admission
    from services.access.usecases import Forget, GrantRecord

SERVICES = ("envoy.service.auth.v3.Authorization", "ecarus.remotecontrol.access.v1.AccessService")
OPERATOR = SPIFFE + "team/operator"

Context = grpc.aio.ServicerContext[Any, Any]

_ACCESS = "/ecarus.remotecontrol.access.v1.AccessService/"
POLICY: Policy = {
    "/envoy.service.auth.v3.Authorization/Check": Rule(peers=frozenset({EDGE})),
    _ACCESS + "CheckGrants": between_rooms("signer"),
    _ACCESS + "CreateGrant": Rule(peers=frozenset({OPERATOR}), mutates=True),
    _ACCESS + "RevokeGrant": Rule(peers=frozenset({OPERATOR}), mutates=True),
    _ACCESS + "ListGrants": Rule(peers=frozenset({OPERATOR})),
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
    """Grants, for rooms and operators. `now` gives aware times."""

    def __init__(self, record: GrantRecord, forget: Forget, now: Callable[[], datetime]) -> None:
        self._record = record
        self._forget = forget
        self._now = now

    async def CheckGrants(  # noqa: N802  # the RPC's name
        self,
        request: access_service_pb2.CheckGrantsRequest,
        context: Context,  # noqa: ARG002  # grpc's signature
    ) -> access_service_pb2.CheckGrantsResponse:
        """See the contract."""
        asked = translate.questions(request)
        return translate.answers(await usecases.check_grants(self._record, asked, at=self._now()))

    async def CreateGrant(  # noqa: N802  # the RPC's name
        self,
        request: access_service_pb2.CreateGrantRequest,
        context: Context,  # noqa: ARG002  # grpc's signature
    ) -> grant_pb2.Grant:
        """See the contract."""
        grant = await usecases.create_grant(
            self._record, self._forget, translate.new_grant(request), by=current_call().peer, at=self._now()
        )
        return translate.grant_message(grant)

    async def RevokeGrant(  # noqa: N802  # the RPC's name
        self,
        request: access_service_pb2.RevokeGrantRequest,
        context: Context,  # noqa: ARG002  # grpc's signature
    ) -> grant_pb2.Grant:
        """See the contract."""
        grant = await usecases.revoke_grant(
            self._record, self._forget, request.grant_id, by=current_call().peer, at=self._now()
        )
        return translate.grant_message(grant)

    async def ListGrants(  # noqa: N802  # the RPC's name
        self,
        request: access_service_pb2.ListGrantsRequest,
        context: Context,  # noqa: ARG002  # grpc's signature
    ) -> access_service_pb2.ListGrantsResponse:
        """See the contract."""
        grants = await usecases.list_grants(self._record, request.vin)
        return access_service_pb2.ListGrantsResponse(grants=map(translate.grant_message, grants))

"""AccessService: grants, accounts, keys and what was abnormal, for services and operators."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

import grpc
from ecarus.remotecontrol.access.v1 import access_service_pb2, access_service_pb2_grpc
from typing_extensions import override

from services.access.adapters import (
    account_translate,
    authorization_server,
    case_server,
    consent_server,
    customer_case_server,
    event_server,
    grant_server,
    grant_translate,
    hold_server,
    people_server,
    person_vehicle_server,
    personal_data_server,
    security_server,
    translate,
)
from services.access.adapters.identity import KEY_PREFIX
from services.access.domain.accounts import ApiKeyNotPendingError, key_id_of
from services.access.domain.grants import GrantNotPendingError
from services.access.usecases import grants as usecases
from services.access.usecases.approvals import needs_two_operators
from services.access.usecases.grants import AccountRecord, GrantRecord
from services.platform.call import current_call
from services.platform.policy import Policy, policy_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from ecarus.remotecontrol.access.v1 import abnormal_pb2, account_pb2, grant_pb2, severance_pb2

    from services.access.adapters.session_gate import SessionWatches
    from services.access.domain.accounts import ApiKey
    from services.access.usecases.abnormal import AbnormalAccess
    from services.access.usecases.approvals import PendingApiKeys, PendingGrants
    from services.access.usecases.grants import InvalidateCaches
    from services.access.usecases.severance import SeveredAccess

SERVICE = "ecarus.remotecontrol.access.v1.AccessService"
SERVICES = (
    authorization_server.SERVICE,
    SERVICE,
    grant_server.SERVICE,
    event_server.SERVICE,
    consent_server.SERVICE,
    hold_server.SERVICE,
    personal_data_server.SERVICE,
    person_vehicle_server.SERVICE,
    security_server.SERVICE,
    customer_case_server.SERVICE,
    people_server.SERVICE,
    case_server.SERVICE,
)
DEFAULT_PAGE = 50
MOST_LOCK_REASON = 256
_KEY_BYTES = 32

Context = grpc.aio.ServicerContext[Any, Any]


class Record(GrantRecord, AccountRecord, Protocol):
    """Where all of it is kept."""


POLICY: Policy = {
    **authorization_server.POLICY,
    **policy_of(SERVICE),
    **grant_server.POLICY,
    **event_server.POLICY,
    **consent_server.POLICY,
    **hold_server.POLICY,
    **personal_data_server.POLICY,
    **person_vehicle_server.POLICY,
    **security_server.POLICY,
    **customer_case_server.POLICY,
    **people_server.POLICY,
    **case_server.POLICY,
}


class AccessServicer(access_service_pb2_grpc.AccessServiceServicer):
    """Grants, accounts and keys, for services and operators.

    `now` gives aware times; `trusts` says of a credential whether it is not known to be withdrawn; `hash_key` gives
    the keyed hash of an API key. Without `pending` and `pending_keys`, in the sandbox, one operator is enough for
    everything.
    """

    def __init__(
        self,
        record: Record,
        invalidate: InvalidateCaches,
        now: Callable[[], datetime],
        pending: PendingGrants | None,
        pending_keys: PendingApiKeys | None,
        *,
        trusts: Callable[[str], bool],
        hash_key: Callable[[str], bytes],
        severed: SeveredAccess,
        abnormal: AbnormalAccess,
        watches: SessionWatches,
    ) -> None:
        self._watches = watches
        self._abnormal = abnormal
        self._severed = severed
        self._pending = pending
        self._pending_keys = pending_keys
        self._record = record
        self._invalidate = invalidate
        self._now = now
        self._trusts = trusts
        self._hash_key = hash_key

    @override
    async def CheckGrants(
        self,
        request: access_service_pb2.CheckGrantsRequest,
        context: Context,
    ) -> access_service_pb2.CheckGrantsResponse:
        asked = translate.questions(request)
        allowed = await usecases.check_grants(self._record, self._trusts, asked, at=self._now())
        return translate.answers(allowed)

    @override
    async def AuthorizeWatches(
        self,
        request: access_service_pb2.AuthorizeWatchesRequest,
        context: Context,
    ) -> access_service_pb2.AuthorizeWatchesResponse:
        correlation_id = current_call().correlation_id
        found = await self._watches.authorize(request.session, request.vins, correlation_id)
        return translate.watch_authorizations(request.vins, found)

    @override
    async def CreateGrant(
        self,
        request: access_service_pb2.CreateGrantRequest,
        context: Context,
    ) -> grant_pb2.Grant:
        new, by, at = translate.new_grant(request), current_call().peer, self._now()
        if self._pending is not None and needs_two_operators(new):
            new.check()
            return translate.requested_message(await self._pending.request(new, by=by, at=at))
        grant = await usecases.create_grant(self._record, self._invalidate, new, by=by, at=at)
        return translate.grant_message(grant)

    @override
    async def ApproveGrant(
        self,
        request: access_service_pb2.ApproveGrantRequest,
        context: Context,
    ) -> grant_pb2.Grant:
        if self._pending is None:
            raise GrantNotPendingError(request.grant_id)
        grant, pending = await self._pending.approve(request.grant_id, by=current_call().peer, at=self._now())
        self._invalidate()
        return translate.grant_message(grant, pending)

    @override
    async def RevokeGrant(
        self,
        request: access_service_pb2.RevokeGrantRequest,
        context: Context,
    ) -> grant_pb2.Grant:
        by, at = current_call().peer, self._now()
        if self._pending is not None:
            cancelled = await self._pending.cancel(request.grant_id, by=by, at=at)
            if cancelled is not None:
                return translate.pending_message(cancelled)
        grant = await usecases.revoke_grant(self._record, self._invalidate, request.grant_id, by=by, at=at)
        return translate.grant_message(grant)

    @override
    async def ListGrants(
        self,
        request: access_service_pb2.ListGrantsRequest,
        context: Context,
    ) -> access_service_pb2.ListGrantsResponse:
        grants = await usecases.list_grants(self._record, request.vin)
        asked = [] if self._pending is None else await self._pending.on_vehicle(request.vin)
        waiting = [each for each in asked if each.is_waiting(self._now())]
        by_id = {each.asked.grant_id: each for each in asked}
        told = [translate.grant_message(each, by_id.get(each.asked.grant_id)) for each in grants]
        return access_service_pb2.ListGrantsResponse(
            grants=[*told, *(translate.pending_message(each) for each in waiting)]
        )

    @override
    async def LockAccount(
        self,
        request: access_service_pb2.LockAccountRequest,
        context: Context,
    ) -> account_pb2.Account:
        grant_translate.check_text("reason", request.reason, MOST_LOCK_REASON)
        account = await usecases.lock_account(
            self._record,
            self._invalidate,
            request.principal,
            request.reason,
            by=current_call().peer,
            at=self._now(),
        )
        return account_translate.account_message(account)

    @override
    async def UnlockAccount(
        self,
        request: access_service_pb2.UnlockAccountRequest,
        context: Context,
    ) -> account_pb2.Account:
        account = await self._abnormal.restore_as_operator(
            request.principal, by=current_call().peer, alone=self._pending is None
        )
        return account_translate.account_message(account)

    @override
    async def ListApiKeys(
        self,
        request: access_service_pb2.ListApiKeysRequest,
        context: Context,
    ) -> access_service_pb2.ListApiKeysResponse:
        keys = await usecases.list_keys(self._record, request.principal)
        return access_service_pb2.ListApiKeysResponse(keys=await self._told_keys(request.principal, keys))

    @override
    async def GetAccount(
        self,
        request: access_service_pb2.GetAccountRequest,
        context: Context,
    ) -> account_pb2.AccountOverview:
        overview = await self._record.overview(request.principal, at=self._now())
        keys = await self._told_keys(request.principal, overview.api_keys)
        return account_translate.overview_message(overview, keys)

    @override
    async def ListAccounts(
        self,
        request: access_service_pb2.ListAccountsRequest,
        context: Context,
    ) -> access_service_pb2.ListAccountsResponse:
        page, more = await usecases.list_accounts(
            self._record,
            after=request.page_token,
            limit=request.page_size or DEFAULT_PAGE,
            locked_only=request.locked_only,
            at=self._now(),
        )
        return access_service_pb2.ListAccountsResponse(
            accounts=map(account_translate.summary_message, page),
            next_page_token=page[-1].account.principal if more else "",
        )

    @override
    async def IssueApiKey(
        self,
        request: access_service_pb2.IssueApiKeyRequest,
        context: Context,
    ) -> access_service_pb2.IssueApiKeyResponse:
        key = KEY_PREFIX + secrets.token_hex(_KEY_BYTES)
        new, by, at = (
            account_translate.new_key(request, self._hash_key(key)),
            current_call().peer,
            self._now(),
        )
        if self._pending_keys is not None:
            pending = await self._pending_keys.request(new, by=by, at=at)
            told = account_translate.pending_key_message(pending)
        else:
            told = account_translate.key_message(await self._record.issue_key(new, by=by, at=at))
        return access_service_pb2.IssueApiKeyResponse(key=key, api_key=told)

    @override
    async def ApproveApiKey(
        self,
        request: access_service_pb2.ApproveApiKeyRequest,
        context: Context,
    ) -> account_pb2.ApiKey:
        if self._pending_keys is None:
            raise ApiKeyNotPendingError(request.key_id)
        by, at = current_call().peer, self._now()
        key, pending = await self._pending_keys.approve(request.key_id, by=by, at=at)
        return account_translate.key_message(key, pending)

    @override
    async def ExpireApiKey(
        self,
        request: access_service_pb2.ExpireApiKeyRequest,
        context: Context,
    ) -> account_pb2.ApiKey:
        ends = self._now() + timedelta(seconds=request.valid_seconds)
        key = await usecases.expire_key(
            self._record, self._invalidate, request.key_id, ends, by=current_call().peer, at=self._now()
        )
        return account_translate.key_message(key)

    @override
    async def RevokeApiKey(
        self,
        request: access_service_pb2.RevokeApiKeyRequest,
        context: Context,
    ) -> account_pb2.ApiKey:
        key_id = request.key_id or key_id_of(self._hash_key(request.key))
        by, at = current_call().peer, self._now()
        if self._pending_keys is not None:
            cancelled = await self._pending_keys.cancel(key_id, by=by, at=at)
            if cancelled is not None:
                return account_translate.pending_key_message(cancelled)
        key = await usecases.revoke_key(self._record, self._invalidate, key_id, by=by, at=at)
        return account_translate.key_message(key)

    @override
    async def SeverVehicleAccess(
        self,
        request: access_service_pb2.SeverVehicleAccessRequest,
        context: Context,
    ) -> severance_pb2.VehicleSeverance:
        new = account_translate.operators_severance(request, current_call().peer)
        return account_translate.vehicle_severance(await self._severed.sever_for(new))

    @override
    async def ListSeverances(
        self,
        request: access_service_pb2.ListSeverancesRequest,
        context: Context,
    ) -> access_service_pb2.ListSeverancesResponse:
        found = await self._severed.listed(request.vin)
        return access_service_pb2.ListSeverancesResponse(
            severances=map(account_translate.vehicle_severance, found)
        )

    @override
    async def ReverseSeverance(
        self,
        request: access_service_pb2.ReverseSeveranceRequest,
        context: Context,
    ) -> severance_pb2.VehicleSeverance:
        grant_translate.check_text("reason", request.reason, grant_translate.MOST_EVIDENCE)
        by = current_call().peer
        severance = await self._severed.reverse(request.severance_id, request.reason, by=by)
        return account_translate.vehicle_severance(severance)

    @override
    async def ListAbnormalAccess(
        self,
        request: access_service_pb2.ListAbnormalAccessRequest,
        context: Context,
    ) -> access_service_pb2.ListAbnormalAccessResponse:
        cases = await self._abnormal.cases(open_only=request.open_only)
        return access_service_pb2.ListAbnormalAccessResponse(cases=map(account_translate.case_message, cases))

    @override
    async def AcknowledgeAbnormalAccess(
        self,
        request: access_service_pb2.AcknowledgeAbnormalAccessRequest,
        context: Context,
    ) -> abnormal_pb2.AbnormalCase:
        case = await self._abnormal.acknowledge(request.case_id, by=current_call().peer)
        return account_translate.case_message(case)

    @override
    async def RestrictAccount(
        self,
        request: access_service_pb2.RestrictAccountRequest,
        context: Context,
    ) -> account_pb2.Account:
        grant_translate.check_text("reason", request.reason, grant_translate.MOST_EVIDENCE)
        by = current_call().peer
        account = await self._abnormal.restrict(request.principal, request.reason, by=by)
        return account_translate.account_message(account)

    @override
    async def RestoreAccount(
        self,
        request: access_service_pb2.RestoreAccountRequest,
        context: Context,
    ) -> account_pb2.Account:
        account = await self._abnormal.restore_as_operator(request.principal, by=current_call().peer)
        return account_translate.account_message(account)

    async def _told_keys(self, principal: str, keys: Sequence[ApiKey]) -> list[account_pb2.ApiKey]:
        """Return an account's API keys as they are told, those that wait for approval after the others."""
        asked = [] if self._pending_keys is None else await self._pending_keys.of(principal)
        by_id = {each.asked.key_id: each for each in asked}
        waiting = [each for each in asked if each.is_waiting(self._now())]
        told = [account_translate.key_message(each, by_id.get(each.key_id)) for each in keys]
        return [*told, *map(account_translate.pending_key_message, waiting)]

"""Between the wire's messages of accounts, API keys, abnormal cases and severances, as operators see them, and ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecarus.remotecontrol.access.v1 import abnormal_pb2, access_service_pb2, account_pb2, severance_pb2

from services.access.adapters import grant_translate, translate
from services.access.domain import key_scopes
from services.access.domain.abnormal import Consequence
from services.access.domain.accounts import ApiKey, NewApiKey, PendingApiKey, Source
from services.access.domain.severance import NewSeverance
from services.platform.times import shown_time_or_none

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.access.domain.abnormal import AbnormalCase
    from services.access.domain.accounts import Account
    from services.access.domain.overviews import AccountOverview, AccountSummary
    from services.access.domain.severance import AccessSeverance


def account_message(account: Account) -> account_pb2.Account:
    """Return an account as it is told."""
    return account_pb2.Account(
        principal=account.principal,
        locked_at=shown_time_or_none(account.locked_at),
        reason=account.reason,
        restricted_at=shown_time_or_none(account.restricted_at),
        restriction_reason=account.restriction_reason,
        restore_requested_by=account.restore_requested_by,
    )


def case_message(case: AbnormalCase) -> abnormal_pb2.AbnormalCase:
    """Return something abnormal as operators are told."""
    return abnormal_pb2.AbnormalCase(
        case_id=case.case_id,
        kind=case.finding.kind.value,
        principal=case.finding.principal,
        evidence=case.finding.evidence,
        restricted=case.finding.consequence is Consequence.RESTRICT,
        raised_at=shown_time_or_none(case.raised_at),
        acknowledged_by=case.acknowledged_by,
        acknowledged_at=shown_time_or_none(case.acknowledged_at),
        times=case.times,
    )


def new_key(request: access_service_pb2.IssueApiKeyRequest, key_hash: bytes) -> NewApiKey:
    """Return an API key as asked for. Raises KeyScopeUnknownError."""
    source = Source(request.source)
    key_scopes.check(request.scopes)
    return NewApiKey(
        key_hash,
        request.principal,
        request.name,
        source,
        request.valid_seconds,
        tuple(sorted(request.scopes)) or key_scopes.UNLESS_NAMED,
        tuple(sorted(request.vins)),
    )


def key_message(key: ApiKey, pending: PendingApiKey | None = None) -> account_pb2.ApiKey:
    """Return an API key as it is told, with who issued it and who approved it, where that took two."""
    return account_pb2.ApiKey(
        key_id=key.key_id,
        principal=key.principal,
        created_at=shown_time_or_none(key.created_at),
        expires_at=shown_time_or_none(key.expires_at),
        revoked_at=shown_time_or_none(key.revoked_at),
        name=key.name,
        source=key.source.value if key.source else "",
        requested_by=pending.requested_by if pending else "",
        approved_by=(pending.approved_by or "") if pending else "",
        scopes=key.scopes or key_scopes.UNLESS_NAMED,
        vins=key.vins,
        last_used_at=shown_time_or_none(key.last_used_at),
    )


def pending_key_message(pending: PendingApiKey) -> account_pb2.ApiKey:
    """Return an API key that is only issued, as it is told."""
    asked = pending.asked
    key = ApiKey(
        key_id=asked.key_id,
        principal=asked.principal,
        created_at=pending.requested_at,
        revoked_at=pending.ended_at,
        name=asked.name,
        source=asked.source,
        scopes=asked.scopes,
        vins=asked.vins,
    )
    message = key_message(key, pending)
    message.pending = pending.ended_at is None
    return message


def overview_message(
    overview: AccountOverview, keys: Sequence[account_pb2.ApiKey]
) -> account_pb2.AccountOverview:
    """Return what is kept of an account, as it is told; `keys` are its API keys."""
    return account_pb2.AccountOverview(
        account=account_message(overview.account),
        grants=[translate.grant_message(each) for each in overview.grants],
        api_keys=keys,
        known=overview.known or bool(keys),
    )


def summary_message(summary: AccountSummary) -> account_pb2.AccountSummary:
    """Return an account in a list, as it is told."""
    return account_pb2.AccountSummary(
        account=account_message(summary.account), grants=summary.grants, api_keys=summary.api_keys
    )


def operators_severance(request: access_service_pb2.SeverVehicleAccessRequest, operator: str) -> NewSeverance:
    """Return a severance as an operator asks for it. Raises Refusal INVALID_REQUEST."""
    for field, text in (("evidence", request.evidence), ("onBehalfOf", request.on_behalf_of)):
        grant_translate.check_text(field, text, grant_translate.MOST_EVIDENCE)
    return NewSeverance(
        request.severance_id, request.vin, request.person, request.evidence, operator, request.on_behalf_of
    )


def vehicle_severance(severance: AccessSeverance) -> severance_pb2.VehicleSeverance:
    """Return a severance as operators are told."""
    asked = severance.asked
    return severance_pb2.VehicleSeverance(
        severance_id=asked.severance_id,
        vin=asked.vin,
        person=asked.person,
        requested_by=asked.requested_by,
        on_behalf_of=asked.on_behalf_of,
        evidence=asked.evidence,
        requested_at=shown_time_or_none(severance.requested_at),
        due_at=shown_time_or_none(severance.due_at),
        completed_at=shown_time_or_none(severance.completed_at),
        reversal_requested_by=severance.reversal_requested_by,
        reversal_reason=severance.reversal_reason,
        reversed_by=severance.reversed_by,
        reversed_at=shown_time_or_none(severance.reversed_at),
    )

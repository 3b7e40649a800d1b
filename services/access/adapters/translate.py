"""Between the wire's messages (Envoy's and ours) and what the service works with."""

from __future__ import annotations

import base64
import math
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.access.v1 import (
    access_service_pb2,
    grant_pb2,
)
from envoy_ext_authz import external_auth_pb2

from protocol.subjects import GRANT_REVOKED_SUBJECT
from services.access.adapters import grant_translate, hold_server, personal_data_server
from services.access.adapters.authorizer import Allow, Deny
from services.access.adapters.edge_requests import EdgeRequest
from services.access.adapters.issuer_keys import IssuerUnavailableError
from services.access.domain import key_scopes
from services.access.domain.abnormal import CaseUnknownError
from services.access.domain.accounts import (
    ApiKeyNotPendingError,
    ApiKeyUnknownError,
)
from services.access.domain.approvals import SameOperatorError
from services.access.domain.consents import ConsentTextChangedError
from services.access.domain.customer_cases import CaseConflictError, CustomerCaseUnknownError
from services.access.domain.ended_rights import EndedKind
from services.access.domain.grants import (
    ActionsBeyondRoleError,
    Grant,
    GrantConflictError,
    GrantNotPendingError,
    GrantRole,
    GrantUnknownError,
    NewGrant,
    PendingGrant,
)
from services.access.usecases.grants import GrantQuery
from services.platform import errors
from services.platform.capability import METADATA_KEY
from services.platform.errors import Refusal, Violation
from services.platform.interceptor import CORRELATION_ID
from services.platform.outbox import OutgoingMessage
from services.platform.session import SESSION_KEY
from services.platform.times import exact_time, milliseconds, shown_time_or_none

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from google.protobuf.timestamp_pb2 import Timestamp

    from services.access.domain.ended_rights import EndedRight
    from services.access.domain.permissions import Allowance

OUTBOX_QUEUE = "room_events"
_TEAM = "team"
_ROLES = {
    grant_pb2.GRANT_ROLE_OWNER: GrantRole.OWNER,
    grant_pb2.GRANT_ROLE_SHARED_USER: GrantRole.SHARED_USER,
    grant_pb2.GRANT_ROLE_DIGITAL_KEY: GrantRole.DIGITAL_KEY,
    grant_pb2.GRANT_ROLE_VALET: GrantRole.VALET,
    grant_pb2.GRANT_ROLE_SERVICE: GrantRole.SERVICE,
}
_ENDED = {
    EndedKind.GRANT: grant_pb2.ENDED_RIGHT_GRANT,
    EndedKind.ACCOUNT: grant_pb2.ENDED_RIGHT_ACCOUNT,
    EndedKind.CREDENTIAL: grant_pb2.ENDED_RIGHT_CREDENTIAL,
    EndedKind.CASE: grant_pb2.ENDED_RIGHT_CASE,
}
_ROLE_NUMBERS = {role: number for number, role in _ROLES.items()}


def edge_request(request: external_auth_pb2.CheckRequest) -> EdgeRequest:
    """Return what Envoy asks about. A listener that does not say that it is the teams' is the public's."""
    http = request.attributes.request.http
    return EdgeRequest(
        method=http.method,
        path=http.path,
        headers=http.headers,
        scheme=http.scheme,
        host=http.host,
        body=http.raw_body or http.body.encode(),
        team_listener=request.attributes.context_extensions.get("listener") == _TEAM,
        address=request.attributes.source.address.socket_address.address,
        certificate=request.attributes.source.certificate,
    )


def decision(made: Allow | Deny) -> external_auth_pb2.CheckResponse:
    """Return what Envoy is told."""
    if isinstance(made, Deny):
        return _denial(made)
    response = external_auth_pb2.CheckResponse()
    ok = response.ok_response
    upstream = {CORRELATION_ID: made.correlation_id}
    if made.capability is not None:
        upstream[METADATA_KEY] = made.capability
    if made.session is not None:
        upstream[SESSION_KEY] = made.session
    _add(ok.headers, upstream)
    _add(ok.response_headers_to_add, {CORRELATION_ID: made.correlation_id, **made.headers})
    ok.headers_to_remove.extend(("authorization", "dpop", "idempotency-key"))
    ok.query_parameters_to_remove.extend(made.without_query)
    return response


def _denial(made: Deny) -> external_auth_pb2.CheckResponse:
    refusal = made.refusal
    response = external_auth_pb2.CheckResponse()
    response.status.code = refusal.reason.grpc_code.value[0]
    denied = response.denied_response
    denied.status.code = refusal.reason.http_status
    headers = {CORRELATION_ID: made.correlation_id, **errors.rest_headers(refusal)}
    if made.native:
        status = errors.rpc_status(refusal, correlation_id=made.correlation_id)
        details = base64.b64encode(status.SerializeToString()).decode().rstrip("=")
        headers |= {"grpc-status": str(status.code), "grpc-status-details-bin": details}
        denied.body = refusal.detail
    else:
        headers["content-type"] = "application/problem+json"
        denied.body = errors.problem(refusal, instance=made.instance, correlation_id=made.correlation_id)
    _add(denied.headers, headers)
    return response


def _add(target: Any, headers: Mapping[str, str]) -> None:
    for key, value in headers.items():
        option = target.add()
        option.header.key = key
        option.header.value = value
        option.append.value = False  # ours replaces what a caller may have sent under this name


def new_grant(request: access_service_pb2.CreateGrantRequest) -> NewGrant:
    """Return a grant as asked for."""
    return NewGrant(
        grant_id=request.grant_id,
        principal=request.principal,
        vin=request.vin,
        role=_ROLES[request.role],
        actions=tuple(sorted(request.actions)),
        valid_seconds=request.valid_seconds if request.HasField("valid_seconds") else None,
    )


def questions(request: access_service_pb2.CheckGrantsRequest) -> list[GrantQuery]:
    """Return what a service wants to know."""
    return [
        GrantQuery(asked.subject, asked.vin, asked.action, asked.actor, asked.credential)
        for asked in request.questions
    ]


def watch_authorizations(
    vins: Sequence[str], found: Sequence[str | Refusal]
) -> access_service_pb2.AuthorizeWatchesResponse:
    """Return the capability of each vehicle, or why there is none, as it is told."""
    message = access_service_pb2.AuthorizeWatchesResponse()
    for vin, each in zip(vins, found, strict=True):
        told = message.authorizations.add(vin=vin)
        if isinstance(each, Refusal):
            told.code, told.detail = each.reason.code, each.detail
            told.retry_after_seconds = each.retry_after_seconds or 0
        else:
            told.capability = each
    return message


def answers(allowed: Sequence[Allowance | None]) -> access_service_pb2.CheckGrantsResponse:
    """Return what allows each, as it is told."""
    return access_service_pb2.CheckGrantsResponse(
        allowed=[each is not None for each in allowed],
        roles=[
            _ROLE_NUMBERS[each.role.as_told] if each else grant_pb2.GRANT_ROLE_UNSPECIFIED for each in allowed
        ],
        ends_at_millis=[milliseconds(each.ends_at) if each and each.ends_at else 0 for each in allowed],
        since_millis=[milliseconds(each.since) if each and each.since else 0 for each in allowed],
    )


def requested_message(made: Grant | PendingGrant) -> grant_pb2.Grant:
    """Return what came of a request for a grant, as it is told."""
    return pending_message(made) if isinstance(made, PendingGrant) else grant_message(made)


def pending_message(pending: PendingGrant) -> grant_pb2.Grant:
    """Return a grant that is only asked for, as it is told."""
    asked = Grant(pending.asked, pending.requested_at, None, pending.ended_at)
    message = grant_message(asked, pending)
    message.pending = pending.ended_at is None
    return message


def grant_message(grant: Grant, pending: PendingGrant | None = None) -> grant_pb2.Grant:
    """Return a grant as it is told, with who asked for it and who approved it, where it had to be."""
    asked = grant.asked
    return grant_pb2.Grant(
        requested_by=pending.requested_by if pending else "",
        approved_by=(pending.approved_by or "") if pending else "",
        grant_id=asked.grant_id,
        principal=asked.principal,
        vin=asked.vin,
        role=_ROLE_NUMBERS[asked.role],
        actions=sorted(grant.actions),
        created_at=shown_time_or_none(grant.created_at),
        expires_at=shown_time_or_none(grant.expires_at),
        revoked_at=shown_time_or_none(grant.revoked_at),
    )


def revocation(ended: EndedRight) -> OutgoingMessage:
    """Return the message to every service that this right has ended."""
    told = grant_pb2.GrantRevoked(
        grant_id=ended.grant_id,
        principal=ended.principal,
        vin=ended.vin,
        revoked_at=exact_time(ended.at),
        kind=_ENDED[ended.kind],
        credential=ended.credential,
        case_number=ended.case_number,
        remaining_role=(
            _ROLE_NUMBERS[ended.remaining_role.as_told]
            if ended.remaining_role
            else grant_pb2.GRANT_ROLE_UNSPECIFIED
        ),
    )
    for action, until in sorted(ended.remaining.items()):
        told.remaining.add(action=action, until=_moment(until))
    return OutgoingMessage(
        message_id=str(uuid.uuid4()),
        queue=OUTBOX_QUEUE,
        subject=GRANT_REVOKED_SUBJECT,
        payload=told.SerializeToString(),
        created_at=ended.at,
    )


def _moment(seconds: float) -> Timestamp | None:
    return None if seconds == math.inf else exact_time(datetime.fromtimestamp(seconds, UTC))


def refusal_of(error: Exception) -> Refusal | None:
    """Return how this service's own exceptions are told."""
    if isinstance(error, GrantConflictError | ConsentTextChangedError):
        return _conflict(error)
    if isinstance(error, CaseUnknownError | CaseConflictError | CustomerCaseUnknownError):
        return _case(error)
    if isinstance(error, IssuerUnavailableError):
        return Refusal(
            errors.DEPENDENCY_UNAVAILABLE,
            "Tokens cannot be checked at the moment; try again shortly.",
            retry_after_seconds=2,
        )
    if isinstance(error, GrantUnknownError | ApiKeyUnknownError):
        return Refusal(errors.RESOURCE_NOT_FOUND, _unknown(error))
    if isinstance(error, SameOperatorError | ActionsBeyondRoleError | key_scopes.KeyScopeUnknownError):
        return _beyond(error)
    return (
        hold_server.refusal_of(error)
        or personal_data_server.refusal_of(error)
        or grant_translate.refusal_of(error)
    )


def _conflict(error: GrantConflictError | ConsentTextChangedError) -> Refusal:
    if isinstance(error, ConsentTextChangedError):
        return Refusal(
            errors.REASONS["CONSENT_TEXT_CHANGED"],
            "This is not the text that is asked about now; show the one that GET answers with, and ask again.",
        )
    return Refusal(
        errors.CORRELATION_ID_REUSED,
        "This id (a grant's, or the X-Correlation-ID behind it) was used for something else; use another.",
    )


def _case(error: CaseUnknownError | CaseConflictError | CustomerCaseUnknownError) -> Refusal:
    if isinstance(error, CustomerCaseUnknownError):
        return Refusal(
            errors.REASONS["CASE_NOT_FOUND"],
            "There is no open case of this number that you may see; check the number.",
        )
    if isinstance(error, CaseConflictError):
        return Refusal(
            errors.CORRELATION_ID_REUSED, "A case of this number is about something else; use another number."
        )
    return Refusal(
        errors.REASONS["GRANT_NOT_FOUND"], "There is no case with this id that you may see; list them."
    )


def _beyond(error: SameOperatorError | ActionsBeyondRoleError | key_scopes.KeyScopeUnknownError) -> Refusal:
    if isinstance(error, SameOperatorError):
        return Refusal(
            errors.CALLER_NOT_ALLOWED,
            "Another operator than the one who asked for it must approve it.",
        )
    if isinstance(error, ActionsBeyondRoleError):
        field, why = "actions", "is not an action of this role"
        detail = "The grant names actions that its role does not have."
    else:
        field, why = "scopes", f"is not one of {', '.join(sorted(key_scopes.WORDS))}"
        detail = "The key's scopes are not ones."
    violations = [Violation(f"{field}[{n}]", f"{word} {why}") for n, word in error.surplus]
    return Refusal(errors.INVALID_REQUEST, detail, violations=violations)


def _unknown(error: GrantUnknownError | ApiKeyUnknownError) -> str:
    if isinstance(error, GrantNotPendingError):
        return "No grant with this id waits for approval: list those of its vehicle."
    if isinstance(error, ApiKeyNotPendingError):
        return "No API key with this id waits for approval: list those of its account."
    if isinstance(error, GrantUnknownError):
        return "There is no grant with this id: list those of its vehicle."
    return "There is no such API key: list those of its account."

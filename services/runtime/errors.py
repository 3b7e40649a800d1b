"""One refusal, from where it is decided to what the caller reads.

A room raises `Refusal`; the interceptor turns it into a gRPC status with `ErrorInfo`, `BadRequest`
and `RetryInfo` for native callers, and into an RFC 9457 problem document for REST. Every refusal
answers two questions: may the car have acted, and is it safe to try again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from google.protobuf.message import Message

DOMAIN = "remotecontrol.ecarus"
TYPE_BASE = "https://docs.ecarus.example/problems/"
CONFLICT_RETRY_SECONDS = 5
MAX_DOCUMENT_BYTES = 5_000
MAX_DETAILS_BYTES = 1_800
"""gRPC clients refuse an answer whose metadata exceeds 8 KiB in sum, and text may triple when it is encoded."""

_CONFLICT = 409


@dataclass(frozen=True, slots=True)
class Reason:
    """One entry of the closed list of refusals (`ErrorReason` in the contract) and how it is told."""

    code: str
    http_status: int
    grpc_code: grpc.StatusCode
    title: str
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that is wrong: its path as the caller wrote it (`targetDoors[1]`), and why."""

    field: str
    reason: str


_Code = grpc.StatusCode

INVALID_REQUEST = Reason("INVALID_REQUEST", 400, _Code.INVALID_ARGUMENT, "Invalid request")
MALFORMED_JSON = Reason("MALFORMED_JSON", 400, _Code.INVALID_ARGUMENT, "Malformed JSON")
AUTHENTICATION_REQUIRED = Reason(
    "AUTHENTICATION_REQUIRED", 401, _Code.UNAUTHENTICATED, "Authentication required"
)
TOKEN_INVALID = Reason("TOKEN_INVALID", 401, _Code.UNAUTHENTICATED, "Token not accepted")
TOKEN_EXPIRED = Reason("TOKEN_EXPIRED", 401, _Code.UNAUTHENTICATED, "Token expired")
STEP_UP_REQUIRED = Reason("STEP_UP_REQUIRED", 401, _Code.UNAUTHENTICATED, "Stronger authentication required")
ACTION_NOT_GRANTED = Reason("ACTION_NOT_GRANTED", 403, _Code.PERMISSION_DENIED, "Action not granted")
CONSENT_MISSING = Reason("CONSENT_MISSING", 403, _Code.PERMISSION_DENIED, "Consent missing")
ACCOUNT_LOCKED = Reason("ACCOUNT_LOCKED", 403, _Code.PERMISSION_DENIED, "Account locked")
CALLER_NOT_ALLOWED = Reason("CALLER_NOT_ALLOWED", 403, _Code.PERMISSION_DENIED, "Caller not allowed")
VEHICLE_NOT_FOUND = Reason("VEHICLE_NOT_FOUND", 404, _Code.NOT_FOUND, "Vehicle not found")
PATH_NOT_FOUND = Reason("PATH_NOT_FOUND", 404, _Code.UNIMPLEMENTED, "No such path")
METHOD_NOT_ALLOWED = Reason("METHOD_NOT_ALLOWED", 405, _Code.UNIMPLEMENTED, "Method not allowed")
PAYLOAD_TOO_LARGE = Reason("PAYLOAD_TOO_LARGE", 413, _Code.RESOURCE_EXHAUSTED, "Payload too large")
UNSUPPORTED_MEDIA_TYPE = Reason(
    "UNSUPPORTED_MEDIA_TYPE", 415, _Code.INVALID_ARGUMENT, "Unsupported media type"
)
DEAD_LETTER_NOT_FOUND = Reason("DEAD_LETTER_NOT_FOUND", 404, _Code.NOT_FOUND, "Dead letter not found")
CORRELATION_ID_REUSED = Reason("CORRELATION_ID_REUSED", 422, _Code.ALREADY_EXISTS, "Correlation id reused")
RATE_LIMITED = Reason("RATE_LIMITED", 429, _Code.RESOURCE_EXHAUSTED, "Too many requests", retryable=True)
DEPENDENCY_UNAVAILABLE = Reason(
    "DEPENDENCY_UNAVAILABLE", 503, _Code.UNAVAILABLE, "Temporarily unavailable", retryable=True
)
STORAGE_UNAVAILABLE = Reason(
    "STORAGE_UNAVAILABLE", 503, _Code.UNAVAILABLE, "Storage unavailable", retryable=True
)
NOT_YET_REPORTED = Reason("NOT_YET_REPORTED", 503, _Code.UNAVAILABLE, "Not yet reported", retryable=True)
DEADLINE_EXCEEDED = Reason(
    "DEADLINE_EXCEEDED", 504, _Code.DEADLINE_EXCEEDED, "Deadline exceeded", retryable=True
)
INTERNAL_ERROR = Reason("INTERNAL_ERROR", 500, _Code.INTERNAL, "Internal error")

REASONS = {value.code: value for value in list(globals().values()) if isinstance(value, Reason)}


@dataclass(slots=True, eq=False)
class Refusal(Exception):
    """A request that is not carried out.

    `detail` says what happened and what to do next. `facts` are further members of the problem
    document (`commandId`) and, as text, of `ErrorInfo.metadata`. `headers` are added to a REST answer.
    `may_have_succeeded` is None where no vehicle could have been involved.
    """

    reason: Reason
    detail: str
    violations: Sequence[Violation] = ()
    may_have_succeeded: bool | None = None
    retry_after_seconds: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """A conflict that may be over when it is tried again says when to."""
        if (
            self.reason.retryable
            and self.reason.http_status == _CONFLICT
            and self.retry_after_seconds is None
        ):
            self.retry_after_seconds = CONFLICT_RETRY_SECONDS

    def __str__(self) -> str:
        return f"{self.reason.code}: {self.detail}"


def problem(refusal: Refusal, *, instance: str, correlation_id: str) -> str:
    """The problem document (RFC 9457) as one line of ASCII JSON, at most MAX_DOCUMENT_BYTES long."""
    reason = refusal.reason
    document: dict[str, Any] = {
        "type": TYPE_BASE + reason.code.lower().replace("_", "-"),
        "title": reason.title,
        "status": reason.http_status,
        "detail": refusal.detail,
        "instance": instance,
        "code": reason.code,
        "correlationId": correlation_id,
        "retryable": reason.retryable,
        **refusal.facts,
    }
    if refusal.may_have_succeeded is not None:
        document["mayHaveSucceeded"] = refusal.may_have_succeeded
    if refusal.violations:
        document["errors"] = [{"field": v.field, "reason": v.reason} for v in refusal.violations]
    text = _compact(document)
    while len(text) > MAX_DOCUMENT_BYTES and document.get("errors"):
        document["errors"] = document["errors"][: len(document["errors"]) // 2]
        text = _compact(document)
    return text


def _compact(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=True, separators=(",", ":"))


def rest_headers(refusal: Refusal) -> dict[str, str]:
    """What a REST answer carries besides the document."""
    headers = dict(refusal.headers)
    if refusal.retry_after_seconds is not None:
        headers["retry-after"] = str(refusal.retry_after_seconds)
    return headers


def _bad_request(violations: Sequence[Violation]) -> error_details_pb2.BadRequest:
    """The violations, as many as fit."""
    bad = error_details_pb2.BadRequest()
    for violation in violations:
        bad.field_violations.add(field=violation.field, description=violation.reason)
    while bad.ByteSize() > MAX_DETAILS_BYTES:
        del bad.field_violations[len(bad.field_violations) // 2 :]
    return bad


def rpc_status(refusal: Refusal, *, correlation_id: str) -> status_pb2.Status:
    """The `google.rpc.Status` with its details, for native gRPC callers."""
    metadata = {"correlationId": correlation_id, "retryable": str(refusal.reason.retryable).lower()}
    if refusal.may_have_succeeded is not None:
        metadata["mayHaveSucceeded"] = str(refusal.may_have_succeeded).lower()
    metadata |= {
        key: value if isinstance(value, str) else _compact(value) for key, value in refusal.facts.items()
    }
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=refusal.reason.code, domain=DOMAIN, metadata=metadata)
    ]
    if refusal.violations:
        details.append(_bad_request(refusal.violations))
    if refusal.retry_after_seconds is not None:
        delay = duration_pb2.Duration(seconds=refusal.retry_after_seconds)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=refusal.reason.grpc_code.value[0], message=refusal.detail)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status

"""One refusal, from where it is decided to what the caller reads.

A service raises `Refusal`; the interceptor turns it into a gRPC status with `ErrorInfo`, `BadRequest`
and `RetryInfo` for native callers, and into an RFC 9457 problem document for REST. Every refusal
answers two questions: may what was asked for have happened, and is it safe to try again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
from ecarus.remotecontrol.options.v1 import options_pb2
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from services import product

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
    """One field that is wrong: its path as the caller wrote it (`names[1]`), and why."""

    field: str
    reason: str


REASONS = {
    value.name: Reason(
        value.name,
        told.http_status,
        grpc.StatusCode[code_pb2.Code.Name(told.grpc_code)],
        told.title,
        told.retryable,
    )
    for value in product.PROBLEMS.values
    if (told := value.GetOptions().Extensions[options_pb2.problem]).http_status
}
"""The closed list: each value of the contract's enum, as its `problem` option says."""

INVALID_REQUEST = REASONS["INVALID_REQUEST"]
MALFORMED_JSON = REASONS["MALFORMED_JSON"]
AUTHENTICATION_REQUIRED = REASONS["AUTHENTICATION_REQUIRED"]
TOKEN_INVALID = REASONS["TOKEN_INVALID"]
TOKEN_EXPIRED = REASONS["TOKEN_EXPIRED"]
STEP_UP_REQUIRED = REASONS["STEP_UP_REQUIRED"]
PROOF_INVALID = REASONS["PROOF_INVALID"]
ACTION_NOT_GRANTED = REASONS["ACTION_NOT_GRANTED"]
CONSENT_MISSING = REASONS["CONSENT_MISSING"]
ACCOUNT_LOCKED = REASONS["ACCOUNT_LOCKED"]
APPROVAL_REQUIRED = REASONS["APPROVAL_REQUIRED"]
CALLER_NOT_ALLOWED = REASONS["CALLER_NOT_ALLOWED"]
RESOURCE_NOT_FOUND = REASONS[product.RESOURCE_NOT_FOUND]
PATH_NOT_FOUND = REASONS["PATH_NOT_FOUND"]
METHOD_NOT_ALLOWED = REASONS["METHOD_NOT_ALLOWED"]
PAYLOAD_TOO_LARGE = REASONS["PAYLOAD_TOO_LARGE"]
UNSUPPORTED_MEDIA_TYPE = REASONS["UNSUPPORTED_MEDIA_TYPE"]
DEAD_LETTER_NOT_FOUND = REASONS["DEAD_LETTER_NOT_FOUND"]
CORRELATION_ID_REUSED = REASONS["CORRELATION_ID_REUSED"]
RATE_LIMITED = REASONS["RATE_LIMITED"]
DEPENDENCY_UNAVAILABLE = REASONS["DEPENDENCY_UNAVAILABLE"]
STORAGE_UNAVAILABLE = REASONS["STORAGE_UNAVAILABLE"]
NOT_YET_REPORTED = REASONS["NOT_YET_REPORTED"]
DEADLINE_EXCEEDED = REASONS["DEADLINE_EXCEEDED"]
INTERNAL_ERROR = REASONS["INTERNAL_ERROR"]


@dataclass(slots=True, eq=False)
class Refusal(Exception):  # noqa: N818  # an answer of the service: the word of the field
    """A request that is not carried out.

    `detail` says what happened and what to do next. `facts` are further members of the problem
    document (`commandId`) and, as text, of `ErrorInfo.metadata`. `headers` are added to a REST answer.
    `may_have_succeeded` is None where nothing outside could have been involved.
    """

    reason: Reason
    detail: str
    violations: Sequence[Violation] = ()
    may_have_succeeded: bool | None = None
    retry_after_seconds: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Say when to try again what conflicts with something that may be over then."""
        if (
            self.reason.retryable
            and self.reason.http_status == _CONFLICT
            and self.retry_after_seconds is None
        ):
            self.retry_after_seconds = CONFLICT_RETRY_SECONDS

    def __str__(self) -> str:
        return f"{self.reason.code}: {self.detail}"


def problem(refusal: Refusal, *, instance: str, correlation_id: str) -> str:
    """Return the problem document (RFC 9457) as one line of ASCII JSON, at most MAX_DOCUMENT_BYTES long."""
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
    """Return what a REST answer carries besides the document."""
    headers = dict(refusal.headers)
    if refusal.retry_after_seconds is not None:
        headers["retry-after"] = str(refusal.retry_after_seconds)
    return headers


def _bad_request(violations: Sequence[Violation]) -> error_details_pb2.BadRequest:
    """Return the violations, as many as fit."""
    bad = error_details_pb2.BadRequest()
    for violation in violations:
        bad.field_violations.add(field=violation.field, description=violation.reason)
    while bad.ByteSize() > MAX_DETAILS_BYTES:
        del bad.field_violations[len(bad.field_violations) // 2 :]
    return bad


def rpc_status(refusal: Refusal, *, correlation_id: str) -> status_pb2.Status:
    """Return the `google.rpc.Status` with its details, for native gRPC callers."""
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

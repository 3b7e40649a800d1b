"""Between the contract's messages and what the service speaks of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecarus.remotecontrol.audit.v1 import audit_entry_pb2, audit_intake_service_pb2

from services.audit.domain.entries import (
    MAX_ENTRY_BYTES,
    AuditDecision,
    AuditEntry,
    RejectedEntry,
    RejectedFor,
)
from services.audit.domain.history import HistoryBrokenError, NothingSignedError
from services.platform import errors
from services.platform.errors import Refusal
from services.platform.policy import service as identity_of
from services.platform.times import time_of
from services.platform.validation import violations_of

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN_ID_CHARACTERS = 96
_DECISIONS = {
    audit_entry_pb2.AUDIT_DECISION_ALLOWED: AuditDecision.ALLOWED,
    audit_entry_pb2.AUDIT_DECISION_REFUSED: AuditDecision.REFUSED,
    audit_entry_pb2.AUDIT_DECISION_NONE: AuditDecision.NONE,
}
_REASONS = {
    RejectedFor.MALFORMED: audit_intake_service_pb2.REJECTION_REASON_MALFORMED,
    RejectedFor.TOO_LARGE: audit_intake_service_pb2.REJECTION_REASON_TOO_LARGE,
    RejectedFor.ID_REUSED: audit_intake_service_pb2.REJECTION_REASON_ID_REUSED,
}


def entry_of(message: audit_entry_pb2.AuditEntry, service: str) -> AuditEntry | RejectedEntry:
    """Return the entry that this service brings, or why it is none."""
    shown = message.entry_id[:_SHOWN_ID_CHARACTERS]
    if message.ByteSize() > MAX_ENTRY_BYTES:
        return RejectedEntry(shown, RejectedFor.TOO_LARGE, f"{message.ByteSize()} bytes")
    wrong = violations_of(message, None)
    if wrong:
        text = "; ".join(f"{each.field}: {each.reason}" for each in wrong[:3])
        return RejectedEntry(shown, RejectedFor.MALFORMED, text)
    if not message.entry_id.startswith(f"{service}-"):
        return RejectedEntry(shown, RejectedFor.MALFORMED, f"entryId: must begin with {service}-")
    try:
        at = time_of(message.at)
    except ValueError as error:
        return RejectedEntry(shown, RejectedFor.MALFORMED, f"at: {error}")
    return AuditEntry(
        entry_id=message.entry_id,
        at=at,
        service=service,
        kind=message.kind,
        decision=_DECISIONS[message.decision],
        vin=message.vin,
        subject=message.subject,
        actor=message.actor,
        source=message.source,
        factors=tuple(message.factors),
        rule=message.rule,
        action=message.action,
        correlation_id=message.correlation_id,
        command_id=message.command_id,
        order_sha256=message.order_sha256,
        result_sha256=message.result_sha256,
        result=message.result,
        detail=dict(message.detail),
    )


def service_of(peer: str) -> str:
    """Return the name of the service whose certificate this is. Raises ValueError for anybody else's."""
    name = peer.rpartition("/")[2]
    if peer != identity_of(name):
        raise ValueError("not a service's certificate")
    return name


def response_of(rejected: Iterable[RejectedEntry]) -> audit_intake_service_pb2.RecordEntriesResponse:
    """Return the answer to RecordEntries."""
    return audit_intake_service_pb2.RecordEntriesResponse(
        rejections=[
            audit_intake_service_pb2.Rejection(
                entry_id=each.entry_id, reason=_REASONS[each.reason], detail=each.detail
            )
            for each in rejected
        ]
    )


def refusal_of(error: Exception) -> Refusal | None:
    """Return how this service's own exceptions are told."""
    if isinstance(error, HistoryBrokenError):
        return Refusal(
            errors.DEPENDENCY_UNAVAILABLE,
            f"The ledger takes nothing: {error}.",
            may_have_succeeded=False,
            retry_after_seconds=30,
        )
    if isinstance(error, NothingSignedError):
        return Refusal(errors.NOT_YET_REPORTED, "Nothing was signed yet.", retry_after_seconds=2)
    return None

"""Between the contract's messages about reading the audit and what the service speaks of."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ecarus.remotecontrol.audit.v1 import audit_entry_pb2, audit_reading_service_pb2
from ecarus.remotecontrol.door.v1 import door_audit_pb2
from ecarus.remotecontrol.door.v1.door_command_pb2 import CommandSource

from services.audit.adapters.translate import refusal_of
from services.audit.domain.entries import AuditDecision, AuditEntry
from services.audit.domain.reading import (
    OPERATOR_READ,
    AuditReader,
    CommandUnknownError,
    ReceiptNotReadyError,
)
from services.audit.domain.sentences import sentence_of
from services.platform import errors
from services.platform.errors import REASONS, Refusal, Violation
from services.platform.times import set_time, shown_time

if TYPE_CHECKING:
    from ecarus.remotecontrol.door.v1 import door_audit_service_pb2

    from services.audit.domain.reading import LedgerEntry
    from services.audit.usecases.reading import AuditPage
    from services.platform.call import Call

_PERIODS = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
DEFAULT_PERIOD = "24h"
DEFAULT_LIMIT = 50
RETRY_SECONDS = 2
_SOURCES = frozenset(CommandSource.Value.keys()) - {"UNSPECIFIED"}
_OUTCOMES = {
    AuditDecision.ALLOWED: door_audit_pb2.AuditOutcome.ALLOWED,
    AuditDecision.REFUSED: door_audit_pb2.AuditOutcome.REFUSED,
    AuditDecision.NONE: door_audit_pb2.AuditOutcome.NONE,
}
_DECISIONS = {number: decision for decision, number in _OUTCOMES.items()}
_BROUGHT = {
    AuditDecision.ALLOWED: audit_entry_pb2.AUDIT_DECISION_ALLOWED,
    AuditDecision.REFUSED: audit_entry_pb2.AUDIT_DECISION_REFUSED,
    AuditDecision.NONE: audit_entry_pb2.AUDIT_DECISION_NONE,
}
_TOKEN = re.compile(r"1:(0|[1-9][0-9]{0,17})")


def reader_of(call: Call) -> AuditReader:
    """Return who reads."""
    granted = call.granted()
    return AuditReader(
        granted.subject, granted.actor, granted.role, datetime.fromtimestamp(granted.since, UTC)
    )


def begins(request: door_audit_service_pb2.ListDoorAuditRequest, now: datetime) -> datetime:
    """Return from when on entries are asked for."""
    return now - _PERIODS[request.period if request.HasField("period") else DEFAULT_PERIOD]


def decision_of(request: door_audit_service_pb2.ListDoorAuditRequest) -> AuditDecision | None:
    """Return the one decision that is asked for; None for all."""
    return _DECISIONS[request.decision] if request.HasField("decision") else None


def token_of(before: int) -> str:
    """Return the token of the page that begins before this leaf. It says what was shown, and gives no right."""
    return base64.urlsafe_b64encode(f"1:{before}".encode()).rstrip(b"=").decode()


def place_of(token: str) -> int | None:
    """Return the leaf before which a page begins; None without a token. Raises Refusal INVALID_REQUEST."""
    if not token:
        return None
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        text = ""
    found = _TOKEN.fullmatch(text)
    if found is None or token_of(int(found[1])) != token:
        raise Refusal(
            errors.INVALID_REQUEST,
            "The page token is not one; begin again without it.",
            violations=[Violation("pageToken", "is the nextPageToken of an earlier page")],
        )
    return int(found[1])


def audit_message(vin: str, page: AuditPage, reader: AuditReader) -> door_audit_pb2.DoorAudit:
    """Return a page as this reader is shown it."""
    message = door_audit_pb2.DoorAudit(vin=vin, entries=[_entry(entry, reader) for entry in page.entries])
    if page.next_before is not None:
        message.next_page_token = token_of(page.next_before)
    return message


def _entry(entry: LedgerEntry, reader: AuditReader) -> door_audit_pb2.DoorAuditEntry:
    message = door_audit_pb2.DoorAuditEntry(
        entry_id=entry.leaf_id,
        time=shown_time(entry.at),
        kind=entry.kind,
        decision=_OUTCOMES[entry.decision],
        sentence=sentence_of(entry, reader),
    )
    if reader.may_know(entry.subject, entry):
        message.user_id = entry.subject
    if entry.actor != entry.subject and reader.may_know(entry.actor, entry):
        message.actor_id = entry.actor
    if entry.value("source") in _SOURCES:
        message.source = CommandSource.Value.Value(entry.value("source"))
    names = ("action", "rule", "command_id")
    # What a stranger chose is not the owner's to read.
    for name in (*names, *(() if entry.is_of_a_stranger else ("correlation_id",))):
        if value := entry.value(name):
            setattr(message, name, value)
    return message


def read_by_operator(
    request: audit_reading_service_pb2.ListEntriesRequest, call: Call, entry_id: str, at: datetime
) -> AuditEntry:
    """Return the entry that says that an operator reads this."""
    return AuditEntry(
        entry_id=entry_id,
        at=at,
        service="audit",
        kind=OPERATOR_READ,
        decision=AuditDecision.ALLOWED,
        vin=request.vin,
        subject=request.principal,
        actor=call.peer,
        rule="certificate",
        correlation_id=call.correlation_id,
        detail={"reason": request.reason},
    )


def copied_by_operator(reason: str, call: Call, entry_id: str, at: datetime) -> AuditEntry:
    """Return the entry that says that an operator takes a copy of all there is, in clear."""
    return AuditEntry(
        entry_id=entry_id,
        at=at,
        service="audit",
        kind="AUDIT_COPIED",
        decision=AuditDecision.ALLOWED,
        actor=call.peer,
        rule="certificate",
        correlation_id=call.correlation_id,
        detail={"reason": reason},
    )


def entries_message(page: AuditPage) -> audit_reading_service_pb2.ListEntriesResponse:
    """Return a page as operators are shown it."""
    return audit_reading_service_pb2.ListEntriesResponse(
        entries=map(_read_entry, page.entries),
        next_page_token="" if page.next_before is None else token_of(page.next_before),
    )


def _read_entry(entry: LedgerEntry) -> audit_reading_service_pb2.ReadEntry:
    message = audit_reading_service_pb2.ReadEntry(
        leaf_index=entry.leaf_index,
        leaf_id=entry.leaf_id,
        kind=entry.kind,
        decision=_BROUGHT[entry.decision],
        service=entry.service,
        members={name: value for name, value in entry.members.items() if name != "result"},
        erased=sorted(entry.erased),
        sentence=sentence_of(entry),
    )
    set_time(message.at, entry.at)
    return message


def nothing_proven() -> Refusal:
    """Return what people are told of a ledger whose history is broken."""
    return Refusal(
        errors.DEPENDENCY_UNAVAILABLE,
        "The audit's ledger can neither take nor prove anything now; its operators are told. Ask again later.",
        retry_after_seconds=30,
    )


def any_refusal_of(error: Exception) -> Refusal | None:
    """Return how a refusal of this service is told; None for what is not one."""
    return refusal_of(error) or reading_refusal_of(error)


def reading_refusal_of(error: Exception) -> Refusal | None:
    """Return how a refusal about reading is told; None for what is not one."""
    match error:
        case CommandUnknownError():
            return Refusal(
                REASONS["COMMAND_NOT_FOUND"],
                "The audit holds no such command of yours on this vehicle; of one that was accepted a moment ago it "
                "may hold nothing yet. Check the id, or ask again.",
                retry_after_seconds=RETRY_SECONDS,
            )
        case ReceiptNotReadyError():
            return Refusal(
                REASONS["RECEIPT_NOT_READY"],
                "The command has not ended, or its end is not proven by a signed checkpoint yet; ask again.",
                retry_after_seconds=RETRY_SECONDS,
            )
    return None

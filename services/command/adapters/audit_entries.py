"""What the audit ledger is told of commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.audit.v1 import audit_entry_pb2

from services.platform.audit_entry import MAX_ID_BYTES, MAX_RESULT_BYTES, DecisionOutcome, cut
from services.platform.times import set_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Row

    from services.command.domain.commands import CommandAction, Requester
    from services.command.domain.reports import SignedEvidence
    from services.platform.audit_entry import EntryIds

COMMAND_REFUSED = "COMMAND_REFUSED"
ACCEPTED = frozenset({"COMMAND_ACCEPTED", "CANCEL_REQUESTED"})
"""What somebody asked for and was allowed; all else tells what followed."""
_MAX_TEXT = 1_024


class CommandAuditEntries:
    """Makes the ledger's messages, serialized."""

    def __init__(self, ids: EntryIds) -> None:
        self._ids = ids

    def entry(
        self,
        event: str,
        at: datetime,
        vin: str,
        command_id: str,
        requester: Requester,
        correlation_id: str,
        detail: Mapping[str, object],
        *,
        action: CommandAction,
        evidence: SignedEvidence | None = None,
    ) -> bytes:
        """Return the message of what happened to a command, or to a cancellation of it."""
        is_decision = event in ACCEPTED
        role = requester.role.value if requester.role else ""
        message = audit_entry_pb2.AuditEntry(
            entry_id=self._ids.next(),
            kind=event,
            decision=_ALLOWED if is_decision else _NONE,
            vin=vin,
            subject=cut(requester.subject, MAX_ID_BYTES),
            actor=cut(requester.principal, MAX_ID_BYTES),
            source=requester.source,
            factors=requester.factors if is_decision else (),
            rule=role if is_decision else "",
            action=f"door.{action.value.lower()}",
            correlation_id=correlation_id,
            command_id=command_id,
            detail=_told(detail, requester.case),
        )
        set_time(message.at, at)
        if evidence is not None:
            message.order_sha256 = evidence.order_sha256
            message.result_sha256 = evidence.sha256
            if len(evidence.signed) <= MAX_RESULT_BYTES:
                message.result = evidence.signed
        return message.SerializeToString()


_ALLOWED: Any = int(DecisionOutcome.ALLOWED)
_NONE: Any = int(DecisionOutcome.NONE)


def entry_of_row(row: Row[Any]) -> bytes:
    """Return the message of a row that an older version wrote."""
    message = audit_entry_pb2.AuditEntry(
        entry_id=f"command-row-{row.audit_id}",
        kind=row.event,
        decision=_ALLOWED if row.event in ACCEPTED else _NONE,
        vin=row.vin,
        subject=cut(row.subject, MAX_ID_BYTES),
        actor=cut(row.actor, MAX_ID_BYTES),
        source=row.source,
        correlation_id=row.correlation_id,
        command_id=row.command_id,
        detail=_told(json.loads(row.detail)),
    )
    set_time(message.at, row.at)
    return message.SerializeToString()


def _told(detail: Mapping[str, object], case: str = "") -> dict[str, str]:
    """Return the detail in words: lists with commas between."""
    told = {name: cut(text, _MAX_TEXT) for name, value in detail.items() if (text := _text(value))}
    return told | {"case": case} if case else told


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case [str(door), bool(locked)]:
            return f"{door}={'locked' if locked else 'unlocked'}"
        case list() | tuple():
            return ",".join(map(_text, value))
        case _:
            return str(value)

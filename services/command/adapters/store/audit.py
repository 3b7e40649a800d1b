"""The audit's rows. Each is part of a transaction that its caller owns, and what the ledger is brought."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from services.command.adapters.store.statements import INSERT_AUDIT
from services.command.domain.commands import Cancellation, CommandAction
from services.platform.times import microseconds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from services.command.adapters.audit_entries import CommandAuditEntries
    from services.command.domain.commands import Command
    from services.command.domain.reports import SignedEvidence


class AuditWriter:
    """Writes rows. `entries` makes the ledger's messages; without it there is no ledger to bring them to. `evidence` is
    what the vehicle signed of what is written.
    """

    def __init__(
        self, entries: CommandAuditEntries | None = None, evidence: SignedEvidence | None = None
    ) -> None:
        self._entries = entries
        self._evidence = evidence

    def proven_by(self, evidence: SignedEvidence | None) -> AuditWriter:
        """Return the same for what follows from something that the vehicle signed."""
        return self if evidence is None else AuditWriter(self._entries, evidence)

    def write(
        self,
        connection: Connection,
        about: Command | Cancellation,
        event: str,
        at: datetime,
        detail: Mapping[str, object],
    ) -> None:
        """Write one line of the audit."""
        action = CommandAction.CANCEL if isinstance(about, Cancellation) else about.door_action.action
        entry = None
        if self._entries is not None:
            entry = self._entries.entry(
                event,
                at,
                about.vin,
                about.command_id,
                about.requester,
                about.correlation_id,
                detail,
                action=action,
                evidence=self._evidence,
            )
        INSERT_AUDIT(
            connection,
            {
                "at": microseconds(at),
                "event": event,
                "vin": about.vin,
                "command_id": about.command_id,
                "subject": about.requester.subject,
                "actor": about.requester.principal,
                "source": about.requester.source,
                "correlation_id": about.correlation_id,
                "detail": json.dumps(detail),
                "entry": entry,
            },
        )

"""All that a service needs for its audit entries to reach the ledger, as its settings say."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from services.platform.audit import log_call
from services.platform.audit_entry import EntryIds
from services.platform.audit_relay import AuditRelay, LedgerClient
from services.platform.audit_trail import AuditTrail
from services.platform.audited_database import AuditedDatabase
from services.platform.channel import open_channel
from services.platform.clock import CLOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.platform.audit import Audit
    from services.platform.audit_entry import AuditRecord
    from services.platform.audit_outbox import AuditOutbox, WaitingEntries
    from services.platform.database import Database
    from services.platform.settings import ServiceSettings

LEDGER = "audit"
_log = structlog.get_logger()


class AuditDelivery:
    """A service's entries: made with `ids`, gathered by `note`, `count_lost` and `hook`, written with what is done by
    `database`.

    Without DOORS_AUDIT_TARGET there is no ledger: `ids` is None, and nothing is made, gathered or written. `places` are
    those besides `outbox` in which entries wait; `refused_kind` is the kind of what the service itself refuses.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        service: str,
        database: Database,
        outbox: AuditOutbox,
        *,
        refused_kind: str,
        places: Sequence[WaitingEntries] = (),
    ) -> None:
        self.ids: EntryIds | None = None
        self.database: Database = database
        self.note: Callable[[AuditRecord], None] = _unnoted
        self.count_lost: Callable[[], None] = _uncounted
        self.hook: Audit = log_call
        self._trail: AuditTrail | None = None
        if settings.audit_target is None:
            _log.warning("audit_has_no_ledger", setting="DOORS_AUDIT_TARGET")
            return
        self.ids = EntryIds(service)
        self.database = AuditedDatabase(database, outbox, self.ids)
        self._trail = AuditTrail(
            self.ids,
            lambda entries: database.write(lambda connection: outbox.add(connection, entries)),
            CLOCK.now,
            refused_kind,
        )
        self.note, self.hook, self.count_lost = self._trail.note, self._trail.tell, self._trail.count_lost
        self._channel = open_channel(settings, settings.audit_target, LEDGER)
        self._relay = AuditRelay(
            database, (*places, outbox), LedgerClient(self._channel), CLOCK.now, CLOCK.monotonic
        )

    async def run(self) -> None:
        """Write and bring entries until cancelled."""
        if self._trail is None:
            await asyncio.Event().wait()
            return
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._trail.run())
            loops.create_task(self._relay.run())

    async def close(self) -> None:
        """Write what was gathered; what waits is brought after the next start."""
        if self._trail is not None:
            await self._trail.close()
            await self._channel.close()


def _uncounted() -> None:
    """Nobody counts."""


def _unnoted(_record: AuditRecord) -> None:
    """Nobody keeps it."""

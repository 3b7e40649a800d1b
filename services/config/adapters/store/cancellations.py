"""Settings that are given up because the right to them has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, or_, select

from services.config.adapters.store import rows
from services.config.adapters.store.tables import audit, configs, outbox
from services.config.domain.config import RIGHT_ENDED, push, unsent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from services.config.domain.config import ConfigRightEnded, Push
    from services.platform.database import Database
    from services.platform.outbox import OutgoingMessage


class SettingsCancellationStore:
    """The same record, for settings whose right has ended (usecases.SettingsCancellations).

    `cancelled` makes the message that tells of one; `committed` is called with them after the commit.
    """

    def __init__(
        self,
        database: Database,
        cancelled: Callable[[Push, datetime], OutgoingMessage],
        committed: Callable[[Sequence[OutgoingMessage]], None],
    ) -> None:
        self._database = database
        self._cancelled = cancelled
        self._committed = committed

    async def unapplied(self, ended: ConfigRightEnded) -> list[Push]:
        """Return the wanted settings that their vehicles do not run yet, and that this may concern."""
        return await self._database.read(lambda connection: _unapplied(connection, ended))

    async def cancel(self, pushes: Sequence[Push], at: datetime) -> None:
        """Give them up because the right to them has ended, with what tells the service that keeps vehicles' queues."""

        def work(connection: Connection) -> list[OutgoingMessage]:
            messages: list[OutgoingMessage] = []
            # By VIN, as all who lock several do, so that they wait for each other and do not deadlock.
            for stopped in sorted(pushes, key=lambda each: each.vin):
                before = rows.locked(connection, stopped.vin, at)
                after = unsent(before, stopped.version, RIGHT_ENDED)
                if after != before:
                    rows.save(connection, after)
                    messages.append(self._cancelled(stopped, at))
            outbox.add(connection, messages)
            return messages

        self._committed(await self._database.write(work))


def _unapplied(connection: Connection, ended: ConfigRightEnded) -> list[Push]:
    columns = configs.c
    query = select(configs).where(
        columns.capability.is_not(None),
        or_(columns.applied_version.is_(None), columns.applied_version != columns.desired_version),
    )
    if ended.vin is not None:
        query = query.where(columns.vin == ended.vin)
    if ended.principal is not None:
        # Whoever asked for this version, and may be asked about: the signer goes by the proof.
        asked = select(audit.c.id).where(
            audit.c.vin == columns.vin,
            audit.c.desired_version == columns.desired_version,
            or_(audit.c.subject == ended.principal, audit.c.actor == ended.principal),
        )
        query = query.where(asked.exists())
    found = map(rows.config_of, connection.execute(query).all())
    return [push(config, config.proof, "review") for config in found if config.proof is not None]

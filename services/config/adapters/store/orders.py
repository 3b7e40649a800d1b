"""Orders on their way out: their places in the vehicles' sessions, and what was issued there."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select

from protocol.cloud_side import SlotConflictError
from protocol.domains import Domain
from protocol.session import NotReachableError
from services.config.adapters.store import rows
from services.config.adapters.store.tables import configs
from services.config.domain.config import is_wanted, unsent
from services.config.usecases import SignedSettings, UnsignedSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from protocol.cloud_side import SessionSlot
    from services.platform.database import Database


class OrderStore:
    """The same record, for orders on their way out (usecases.OrderRecord)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve_slots(
        self, versions: Mapping[str, int], valid_millis: int, at: datetime
    ) -> dict[str, SessionSlot]:
        """By VIN, the next place in the session of each vehicle that still wants its version of the settings.

        A vehicle that said no hello yet has none.
        """
        query = select(configs).where(configs.c.vin.in_(list(versions))).order_by(configs.c.vin)

        def work(connection: Connection) -> dict[str, SessionSlot]:
            replay_guard = rows.replay_guard_of(connection, at)
            reserve_slots: dict[str, SessionSlot] = {}
            for config in map(rows.config_of, connection.execute(query).all()):
                if is_wanted(config, versions[config.vin]):
                    with suppress(NotReachableError):
                        reserve_slots[config.vin] = replay_guard.reserve_slot(
                            config.vin, Domain.CONFIG, valid_millis
                        )
            return reserve_slots

        return await self._database.read(work)

    async def conclude(
        self, signed: Sequence[SignedSettings], unsigned: Sequence[UnsignedSettings], at: datetime
    ) -> set[str]:
        """Record in one commit what was signed, and give up what was not. The VINs whose order may leave; the
        place of any other was taken meanwhile.
        """
        results: list[SignedSettings | UnsignedSettings] = [*signed, *unsigned]

        def work(connection: Connection) -> set[str]:
            replay_guard = rows.replay_guard_of(connection, at)
            issued: set[str] = set()
            # By VIN, as all who lock several do, so that they wait for each other and do not deadlock.
            for each in sorted(results, key=lambda result: result.vin):
                before = rows.locked(connection, each.vin, at)
                if isinstance(each, UnsignedSettings):
                    rows.save(connection, unsent(before, each.version, each.reason))
                    continue
                if not is_wanted(before, each.order.version):  # given up while it was signed
                    continue
                with suppress(SlotConflictError):  # it raises before it writes
                    replay_guard.issue(each.vin, each.order, each.slot, each.envelope)
                    issued.add(each.vin)
            return issued

        return await self._database.write(work) if results else set()

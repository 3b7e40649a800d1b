"""Orders and their places in vehicles' sessions (dispatch.Orders)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from protocol.cloud_side import Ledger, Overtaken, next_place
from protocol.session import NotReachable
from services.command.store.tables import sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from protocol.cloud_side import Place
    from protocol.domains import Domain
    from protocol.order import Order
    from services.runtime.database import Database


class SqlOrders:
    """The record of what is issued. `now_millis` is the cloud's clock."""

    def __init__(self, database: Database, now_millis: Callable[[], int]) -> None:
        self._database = database
        self._now_millis = now_millis

    async def places(self, wanted: Sequence[tuple[str, Domain, int]]) -> list[Place | None]:
        """See dispatch.Orders."""
        vins = {vin for vin, _, _ in wanted}
        known = await self._database.read(lambda connection: sessions.find_all(connection, vins))
        now_millis = self._now_millis()
        found: list[Place | None] = []
        for vin, domain, valid_millis in wanted:
            try:
                place, known[vin] = next_place(known.get(vin), domain, valid_millis, now_millis)
            except NotReachable:
                found.append(None)
            else:
                found.append(place)
        return found

    async def issue(self, signed: Sequence[tuple[str, Order, Place, bytes]]) -> list[bytes | None]:
        """See dispatch.Orders."""

        def work(connection: Connection) -> list[bytes | None]:
            ledger = Ledger(sessions.store(connection), self._now_millis)
            hashes: list[bytes | None] = [None] * len(signed)
            # By VIN, so that replicas that lock several vehicles wait for each other and do not deadlock.
            for index, (vin, order, place, envelope) in sorted(
                enumerate(signed), key=lambda item: item[1][0]
            ):
                with suppress(Overtaken):
                    hashes[index] = ledger.issue(vin, order, place, envelope)
            return hashes

        return await self._database.write(work)

    async def challenge(self, vins: Sequence[str]) -> list[bytes]:
        """See dispatch.Orders."""

        def work(connection: Connection) -> list[bytes]:
            ledger = Ledger(sessions.store(connection), self._now_millis)
            return [ledger.challenge(vin) for vin in vins]

        return await self._database.write(work)

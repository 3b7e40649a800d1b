"""Orders and their places in vehicles' sessions (dispatch.IssuedOrders).

A superseded unlock is never issued: its counter would be above that of the lock that took its slot, and it would undo
it. What is issued is written by one statement that looks whether it is superseded; the session's lock orders the two.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, LargeBinary, String, bindparam, exists, insert, select

from protocol.cloud_side import ReplayGuard, SlotConflictError, next_slot
from protocol.session import NotReachableError
from services.command.adapters.store.tables import command, sessions
from services.platform.prepared import PreparedStatement
from services.telematics.sessions import SessionStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from protocol.cloud_side import IssuedOrder, SessionSlot
    from protocol.domains import Domain
    from protocol.order import VehicleCommand
    from services.platform.database import Database


_NEVER = b""
_TYPES = {"request_hash": LargeBinary, "issued_at_millis": BigInteger}
_COLUMNS = ("request_hash", "vin", "domain", "order_id", "command_id", "issued_at_millis")
_ISSUE = PreparedStatement(
    insert(sessions.issued).from_select(
        _COLUMNS,
        select(*(bindparam(f"new_{name}", type_=_TYPES.get(name, String)()) for name in _COLUMNS)).where(
            ~exists().where(
                command.c.command_id == bindparam("new_order_id", type_=String()),
                command.c.superseded_at.is_not(None),
            )
        ),
    )
)
"""A cancellation's id is no command's: it is issued always."""


class _SupersededError(Exception):
    """Nothing was kept: a lock took the place of this command."""


class _Store(SessionStore):
    """protocol's CloudStore that keeps nothing of what is superseded."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(sessions, connection)
        self._issuing = connection

    def remember(self, issued: IssuedOrder) -> None:
        """Keep it for as long as an answer may come (a day). Raises _SupersededError."""
        values = {f"new_{name}": getattr(issued, name) for name in _COLUMNS}
        kept = _ISSUE(self._issuing, values | {"new_domain": issued.domain.value})
        if kept.rowcount == 0:
            raise _SupersededError


class SqlOrders:
    """The record of what is issued. `now_millis` is the cloud's clock."""

    def __init__(self, database: Database, now_millis: Callable[[], int]) -> None:
        self._database = database
        self._now_millis = now_millis

    async def reserve_slots(self, wanted: Sequence[tuple[str, Domain, int]]) -> list[SessionSlot | None]:
        """For each (VIN, domain, milliseconds of validity) the next slot in the vehicle's session; None for a vehicle
        without one. Nothing is kept before `issue`.
        """
        vins = {vin for vin, _, _ in wanted}
        known = await self._database.read(lambda connection: sessions.find_all(connection, vins))
        now_millis = self._now_millis()
        found: list[SessionSlot | None] = []
        for vin, domain, valid_millis in wanted:
            try:
                slot, known[vin] = next_slot(known.get(vin), domain, valid_millis, now_millis)
            except NotReachableError:
                found.append(None)
            else:
                found.append(slot)
        return found

    async def issue(
        self, signed: Sequence[tuple[str, VehicleCommand, SessionSlot, bytes]]
    ) -> list[bytes | None]:
        """Keep that these envelopes are issued at these places, in one commit. For each the request hash; None when
        another process took its slot; empty when it must not leave, because a lock took its slot.
        """

        def work(connection: Connection) -> list[bytes | None]:
            replay_guard = ReplayGuard(_Store(connection), self._now_millis)
            hashes: list[bytes | None] = [None] * len(signed)
            # By VIN, so that replicas that lock several vehicles wait for each other and do not deadlock.
            for index, (vin, order, slot, envelope) in sorted(enumerate(signed), key=lambda item: item[1][0]):
                with suppress(SlotConflictError):
                    try:
                        hashes[index] = replay_guard.issue(vin, order, slot, envelope)
                    except _SupersededError:
                        hashes[index] = _NEVER
            return hashes

        return await self._database.write(work)

    async def challenge(self, vins: Sequence[str]) -> list[bytes]:
        """See dispatch.IssuedOrders."""

        def work(connection: Connection) -> list[bytes]:
            replay_guard = ReplayGuard(sessions.store(connection), self._now_millis)
            return [replay_guard.challenge(vin) for vin in vins]

        return await self._database.write(work)

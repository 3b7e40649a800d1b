"""The tables of this room, and what is done to them. Rows never leave this file."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    LargeBinary,
    MetaData,
    String,
    and_,
    bindparam,
    or_,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Field, SQLModel

from services.runtime.inbox import DeadLetter, DeadLetters
from services.runtime.outbox import Outbox
from services.status.domain import Report, Step, fold

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Table

    from services.runtime.database import Database
    from services.runtime.outbox import OutboxRelay, OutgoingMessage

HEAD = "0002_dead_letters"


class RoomModel(SQLModel):
    """The base of this room's rows."""

    metadata = MetaData()


class VehicleStatus(RoomModel, table=True):
    """The last report of a vehicle. The times are microseconds since 1970, as the reports are compared."""

    __tablename__ = "vehicle_status"

    vin: str = Field(sa_column=Column(String(17), primary_key=True))
    observed_at_us: int = Field(sa_column=Column(BigInteger, nullable=False))
    boot_id: str = Field(sa_column=Column(String(64), nullable=False))
    sequence: int = Field(sa_column=Column(BigInteger, nullable=False))
    doors: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    report: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    received_at_us: int = Field(sa_column=Column(BigInteger, nullable=False))


outbox = Outbox(RoomModel.metadata)
dead_letters = DeadLetters(RoomModel.metadata)

_status: Table = RoomModel.metadata.tables["vehicle_status"]
_columns = _status.c

# Rows are locked in one order, so that replicas that take the same reports wait and do not deadlock.
_KNOWN = (
    select(_columns.vin, _columns.observed_at_us, _columns.boot_id, _columns.sequence, _columns.doors)
    .where(_columns.vin.in_(bindparam("vins", expanding=True)))
    .order_by(_columns.vin)
    .with_for_update()
)
_LAST = select(_columns.vin, _columns.report, _columns.received_at_us).where(
    _columns.vin.in_(bindparam("vins", expanding=True))
)


def _upsert(dialect_insert: Callable[[Table], sqlite.Insert | postgresql.Insert]) -> object:
    statement = dialect_insert(_status)
    new = statement.excluded
    newer = or_(
        new.observed_at_us > _columns.observed_at_us,
        and_(
            new.observed_at_us == _columns.observed_at_us,
            new.boot_id == _columns.boot_id,
            new.sequence > _columns.sequence,
        ),
    )
    names = [column.name for column in _status.columns if not column.primary_key]
    return statement.on_conflict_do_update(
        index_elements=[_columns.vin], set_={name: new[name] for name in names}, where=newer
    )


_UPSERTS = {"sqlite": _upsert(sqlite.insert), "postgresql": _upsert(postgresql.insert)}


def take(
    connection: Connection,
    reports: Sequence[Report],
    received_at_us: int,
    messages_of: Callable[[Sequence[Step], int], list[OutgoingMessage]],
) -> tuple[dict[str, Report], list[OutgoingMessage]]:
    """Keep what is new in `reports` and the messages that tell of it, in one transaction.

    Returns the newest report by VIN of those that were newer than what was known, and the messages.
    """
    vins = sorted({report.vin for report in reports})
    rows = connection.execute(_KNOWN, {"vins": vins}).all()
    latest, steps = fold({row.vin: row for row in rows}, reports)
    if not latest:
        return latest, []
    values = [
        {
            "vin": r.vin,
            "observed_at_us": r.observed_at_us,
            "boot_id": r.boot_id,
            "sequence": r.sequence,
            "doors": r.doors,
            "report": r.payload,
            "received_at_us": received_at_us,
        }
        for _, r in sorted(latest.items())
    ]
    connection.execute(_UPSERTS[connection.dialect.name], values)  # type: ignore[call-overload]  # a table of statements
    messages = messages_of(steps, received_at_us) if steps else []
    outbox.add(connection, messages)
    return latest, messages


def last_reports(connection: Connection, vins: Sequence[str]) -> dict[str, tuple[bytes, int]]:
    """By VIN: the serialized last report and when it came, microseconds since 1970."""
    rows = connection.execute(_LAST, {"vins": vins})
    return {vin: (report, received_at_us) for vin, report, received_at_us in rows}


class StatusStore:
    """This room's record. `relay` learns of messages once they are committed."""

    def __init__(
        self,
        database: Database,
        relay: OutboxRelay,
        messages_of: Callable[[Sequence[Step], int], list[OutgoingMessage]],
    ) -> None:
        self._database = database
        self._relay = relay
        self._messages_of = messages_of
        self._asked: dict[str, asyncio.Future[tuple[bytes, int] | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def take_reports(self, reports: Sequence[Report], received_at_us: int) -> dict[str, Report]:
        """See usecases.ReportStore."""
        latest, messages = await self._database.write(
            lambda connection: take(connection, reports, received_at_us, self._messages_of)
        )
        if messages:
            self._relay.hand_over(messages)
        return latest

    async def last_report(self, vin: str) -> tuple[bytes, int] | None:
        """See usecases.StatusReader.

        A lone look waits for nobody; those that come while a query runs share the next one, because
        most of a query's cost is the same for one row and for many.
        """
        asked = self._asked.get(vin)
        if asked is None:
            asked = self._asked[vin] = asyncio.get_running_loop().create_future()
            if self._reading is None:
                self._reading = asyncio.create_task(self._answer())
        # Shielded: one caller that gives up must not take the answer from the others.
        return await asyncio.shield(asked)

    async def _answer(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, {}
            try:
                found = await self._database.read(partial(last_reports, vins=list(asked)))
            except Exception as error:  # noqa: BLE001  # it belongs to those who asked
                for future in asked.values():
                    future.set_exception(error)
            else:
                for vin, future in asked.items():
                    future.set_result(found.get(vin))
        self._reading = None

    async def send(self, messages: Sequence[OutgoingMessage]) -> None:
        """Commit messages that belong to no other change. Raises StorageUnavailable."""
        await self._database.write(lambda connection: outbox.add(connection, messages))
        self._relay.hand_over(messages)

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Keep messages that can not be understood. Raises StorageUnavailable."""
        await dead_letters.bury(self._database, letters)

"""The tables of this service, and what is done to them. Rows never leave this file."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    LargeBinary,
    MetaData,
    String,
    Text,
    and_,
    bindparam,
    false,
    literal_column,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Field, SQLModel

from services.platform.audit_outbox import AuditOutbox
from services.platform.dead_letters import DeadLetters
from services.platform.isolation import by_halves
from services.platform.legal_holds import LegalHolds
from services.platform.logs import masked_id
from services.platform.outbox import Outbox
from services.platform.prepared import PreparedStatement
from services.status.adapters.expectations import Expectations
from services.status.adapters.vehicle_translate import inherit, kept_lock_moves, without_commanded
from services.status.domain.doors import NEWEST_ORDER, OLDEST_ORDER, Report, Step, fold
from services.status.usecases.door_status import LastReport, StatusIngestResult
from services.telematics.senders import sender_of
from services.telematics.sessions import VehicleSessions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Table
    from sqlalchemy.sql.dml import UpdateBase

    from services.platform.database import Database
    from services.platform.outbox import OutboxRelay, OutgoingMessage
    from services.status.domain.doors import KnownState, LockMoved
    from services.status.domain.judgement import ActuationOutcome, ReportedActuation

HEAD = "0009_wide_audit_outbox"
_log = structlog.get_logger()


class StatusModel(SQLModel):
    """The base of this service's rows."""

    metadata = MetaData()


class VehicleStatus(StatusModel, table=True):
    """The last report of a vehicle: by `epoch`, `epoch_order`, `sequence` and `counter`, as
    domain.VehicleOrdered says. The times, microseconds since 1970, are shown and decide nothing.

    `asleep` is the report's own word; `awaited` says that the next report has to show something; `kept` has the doors
    that the report does not name.
    """

    __tablename__ = "vehicle_status"

    vin: str = Field(sa_column=Column(String(17), primary_key=True))
    observed_at_us: int = Field(sa_column=Column(BigInteger, nullable=False))
    boot_id: str = Field(sa_column=Column(String(64), nullable=False))
    sequence: int = Field(sa_column=Column(BigInteger, nullable=False))
    doors: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    report: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    received_at_us: int = Field(sa_column=Column(BigInteger, nullable=False))
    asleep: bool = Field(sa_column=Column(Boolean, nullable=False))
    awaited: bool = Field(sa_column=Column(Boolean, nullable=False, server_default=false()))
    epoch: bytes | None = Field(sa_column=Column(LargeBinary, nullable=True))
    epoch_order: int = Field(sa_column=Column(BigInteger, nullable=False, server_default="0"))
    counter: int = Field(sa_column=Column(BigInteger, nullable=False, server_default="0"))
    kept: str = Field(sa_column=Column(Text, nullable=False, server_default=""))


outbox = Outbox(StatusModel.metadata)
audit_outbox = AuditOutbox(StatusModel.metadata)
dead_letters = DeadLetters(StatusModel.metadata, sender_of)
sessions = VehicleSessions(StatusModel.metadata, issues_orders=False)
expectations = Expectations(StatusModel.metadata)
holds = LegalHolds(StatusModel.metadata)

_status: Table = StatusModel.metadata.tables["vehicle_status"]
_columns = _status.c

# Rows are locked in one order, so that replicas that take the same reports wait and do not deadlock.
_KNOWN = (
    select(_columns.vin, _columns.observed_at_us, _columns.received_at_us, _columns.sequence, _columns.doors)
    .add_columns(_columns.epoch, _columns.epoch_order, _columns.counter, _columns.kept)
    .add_columns(_columns.asleep, _columns.awaited)
    .where(_columns.vin.in_(bindparam("vins", expanding=True)))
    .order_by(_columns.vin)
    .with_for_update()
)
_LAST = select(_columns.vin, _columns.report, _columns.received_at_us, _columns.kept).where(
    _columns.vin.in_(bindparam("vins", expanding=True))
)
_AWAIT = (
    update(_status)
    .where(_columns.vin.in_(bindparam("vins", expanding=True)))
    .values(awaited=bindparam("new_awaited"))
)
_REPLACE_KEPT = (
    update(_status)
    .where(_columns.vin == bindparam("of_vin"))
    .values(doors=bindparam("new_doors"), kept=bindparam("new_kept"))
)


_KEPT = tuple(column.name for column in _status.columns if column.name != "awaited")
"""What is written of a report."""


def _upsert(dialect_insert: Callable[[Table], sqlite.Insert | postgresql.Insert]) -> UpdateBase:
    statement = dialect_insert(_status).inline()
    new = statement.excluded
    # domain.is_newer once more: whoever did not lock the row does not set it back either.
    none: ColumnElement[int] = literal_column("0")
    newest: ColumnElement[int] = literal_column(str(NEWEST_ORDER))
    oldest: ColumnElement[int] = literal_column(str(OLDEST_ORDER))
    unnumbered = and_(
        new.counter > none, _columns.counter > none, or_(new.sequence == none, _columns.sequence == none)
    )
    newer = or_(
        and_(
            new.epoch == _columns.epoch,
            or_(
                and_(unnumbered, new.counter > _columns.counter),
                and_(
                    not_(unnumbered),
                    or_(
                        new.sequence > _columns.sequence,
                        and_(new.sequence == _columns.sequence, new.counter > _columns.counter),
                    ),
                ),
            ),
        ),
        and_(
            _columns.epoch.is_distinct_from(new.epoch),
            or_(
                _columns.epoch.is_(None),
                and_(
                    new.epoch_order != oldest,
                    or_(
                        new.epoch_order == newest,
                        _columns.epoch_order == newest,
                        new.epoch_order > _columns.epoch_order,
                    ),
                ),
            ),
        ),
    )
    names = [name for name in _KEPT if name != "vin"]
    return statement.on_conflict_do_update(
        index_elements=[_columns.vin], set_={name: new[name] for name in names}, where=newer
    )


_UPSERT = PreparedStatement(
    {"sqlite": _upsert(sqlite.insert), "postgresql": _upsert(postgresql.insert)}, *_KEPT
)


class Messages(Protocol):
    """Makes the messages of what a transaction decides; `now_us` is microseconds since 1970."""

    def messages_of(self, steps: Sequence[Step], now_us: int, /) -> list[OutgoingMessage]:
        """Return the updates that tell of these changes."""

    def missed_message(self, report: Report, now_us: int, /) -> OutgoingMessage:
        """Return what tells those who watch that more changed than they are told."""

    def outcome_messages(self, verdicts: Sequence[ActuationOutcome], now_us: int, /) -> list[OutgoingMessage]:
        """Return what is reported commands."""


def take(
    connection: Connection,
    reports: Sequence[Report],
    moved: Sequence[ReportedActuation],
    now_us: int,
    made: Messages,
) -> tuple[StatusIngestResult, list[OutgoingMessage]]:
    """Keep what is new in `reports`, what `moved` lets expect, and the messages that tell of it: one transaction."""
    vins = sorted({report.vin for report in reports})
    rows = connection.execute(_KNOWN, {"vins": vins}).all()
    latest, steps = fold({row.vin: row for row in rows}, reports, partial(_inherit, connection))
    if moved:
        _drop_commanded(connection, moved, {**{row.vin: row for row in rows}, **latest})
    if latest:
        _UPSERT.for_each(connection, [_values(report) for _, report in sorted(latest.items())])
    messages = made.messages_of(steps, now_us) if steps else []
    awaited = {row.vin for row in rows if row.awaited}
    held = expectations.hold(connection, moved, now_us) if moved else set()
    if awaited or held:
        verdicts = _judge(connection, awaited, held, [*rows, *reports], now_us)
        if verdicts:
            messages += made.outcome_messages(verdicts, now_us)
    outbox.add(connection, messages)
    woken = frozenset(
        row.vin for row in rows if row.asleep and row.vin in latest and not latest[row.vin].asleep
    )
    return StatusIngestResult(latest, woken), messages


def _inherit(connection: Connection, report: Report, before: KnownState) -> None:
    """Complete a report that leaves something out. Few vehicles send such reports: only these cost another query."""
    if isinstance(before, Report):
        inherit(report, before.doors, before.payload, before.received_at_us, before.kept)
        return
    [(_, payload, received_at_us, kept)] = connection.execute(_LAST, {"vins": [report.vin]})
    inherit(report, before.doors, payload, received_at_us, kept)


def _drop_commanded(
    connection: Connection, moved: Sequence[ReportedActuation], known: Mapping[str, Any]
) -> None:
    """Let newer states than a result's, which arrived before it, not keep a lock from before its command."""
    changed: dict[str, dict[str, Any]] = {}
    for each in moved:
        vin = each.status.vin
        newest = known[vin]
        if newest is each.status:
            continue
        before = changed.get(vin, {"new_doors": newest.doors, "new_kept": newest.kept})
        after = without_commanded(each.status, before["new_doors"], before["new_kept"])
        if after is None:
            continue
        doors, kept = after
        if isinstance(newest, Report):
            newest.doors, newest.kept = doors, kept
        else:
            changed[vin] = {"of_vin": vin, "new_doors": doors, "new_kept": kept}
    if changed:
        connection.execute(_REPLACE_KEPT, list(changed.values()))


def _values(report: Report) -> dict[str, object]:
    return {
        "vin": report.vin,
        "observed_at_us": report.observed_at_us,
        "boot_id": report.boot_id,
        "sequence": report.sequence,
        "doors": report.doors,
        "report": report.payload,
        "received_at_us": report.received_at_us,
        "asleep": report.asleep,
        "epoch": report.epoch,
        "epoch_order": report.epoch_order,
        "counter": report.counter,
        "kept": report.kept,
    }


def _judge(
    connection: Connection, awaited: set[str], held: set[str], seen: Sequence[Any], now_us: int
) -> list[ActuationOutcome]:
    """Judge what is expected of the vehicles `awaited` and newly `held`, and remember which still are awaited."""
    candidates: dict[str, list[Any]] = {vin: [] for vin in awaited | held}
    for each in seen:
        if each.vin in candidates:
            candidates[each.vin].append(each)
    verdicts, still = expectations.judge(connection, candidates, now_us, partial(_moved_in, connection))
    for vins, value in ((still - awaited, True), (awaited - still, False)):
        if vins:
            connection.execute(_AWAIT, {"vins": sorted(vins), "new_awaited": value})
    return verdicts


def _moved_in(connection: Connection, seen: KnownState, vin: str) -> Mapping[int, LockMoved]:
    """Read what this report says of its locks; the row of one that came before has only its flags at hand."""
    if isinstance(seen, Report):
        return seen.lock_moves()
    [(_, payload, _, _)] = connection.execute(_LAST, {"vins": [vin]})
    return kept_lock_moves(payload, seen.sequence)


def last_reports(connection: Connection, vins: Sequence[str]) -> dict[str, LastReport]:
    """By VIN, the last report."""
    rows = connection.execute(_LAST, {"vins": vins})
    return {vin: LastReport(report, received_at_us, kept) for vin, report, received_at_us, kept in rows}


class StatusStore:
    """This service's record. `relay` learns of messages once they are committed."""

    def __init__(
        self,
        database: Database,
        relay: OutboxRelay,
        messages: Messages,
    ) -> None:
        self._database = database
        self._relay = relay
        self._messages = messages
        self._asked: dict[str, asyncio.Future[LastReport | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def take_reports(
        self, reports: Sequence[Report], moved: Sequence[ReportedActuation], now_us: int
    ) -> StatusIngestResult:
        """Keep what is newer than what is known, with the updates that tell of it, in one commit.

        What vehicles `moved` for commands is held against what they report next, in the same commit.
        """
        taken, messages = await self._database.write(
            lambda connection: take(connection, reports, moved, now_us, self._messages)
        )
        if messages:
            self._relay.hand_over(messages)
        return taken

    async def resolve(self, unexplained_before_us: int, now_us: int) -> int:
        """Tell of pending confirmations that nothing has explained since, some hundreds at a time; how many. Raises
        StorageUnavailableError.
        """
        unexplained = await self._database.read(
            partial(expectations.unexplained, before_us=unexplained_before_us)
        )
        resolved = 0

        def work(
            connection: Connection, some: Sequence[tuple[str, str]]
        ) -> tuple[int, list[OutgoingMessage]]:
            verdicts = expectations.resolve(connection, some)
            messages = self._messages.outcome_messages(verdicts, now_us) if verdicts else []
            outbox.add(connection, messages)
            return len(verdicts), messages

        async def resolve(some: Sequence[tuple[str, str]]) -> None:
            nonlocal resolved
            count, messages = await self._database.write(partial(work, some=some))
            resolved += count
            self._relay.hand_over(messages)

        async def give_up(doubt: tuple[str, str], error: Exception) -> None:
            nonlocal resolved
            resolved += 1
            await self._give_up(*doubt, error)

        await by_halves(unexplained, resolve, give_up)
        return resolved

    async def _give_up(self, vin: str, command_id: str, error: Exception) -> None:
        _log.error("doubt_given_up", vin=masked_id(vin), command_id=command_id, exc_info=error)
        await self._database.write(partial(expectations.give_up, vin=vin, command_id=command_id))

    async def last_report(self, vin: str) -> LastReport | None:
        """Return the last report; None before the first. A lone look waits for nobody; those that come while a
        query runs share the next one, because most of a query's cost is the same for one row and for many.
        """
        asked = self._asked.get(vin)
        if asked is None:
            asked = self._asked[vin] = asyncio.get_running_loop().create_future()
            if self._reading is None:
                self._reading = asyncio.create_task(self._answer())
        # Shielded: one caller that gives up must not take the answer from the others.
        return await asyncio.shield(asked)

    async def _answer(self) -> None:
        try:
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
        finally:
            self._reading = None  # however it ends: the next look begins another

    async def send(self, messages: Sequence[OutgoingMessage]) -> None:
        """Commit messages that belong to no other change. Raises StorageUnavailableError."""
        await self._database.write(lambda connection: outbox.add(connection, messages))
        self._relay.hand_over(messages)

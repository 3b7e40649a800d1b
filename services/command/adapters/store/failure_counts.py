"""The counts of requests and failures: a vehicle's by the hour, and the fleet's by the day, model and no vehicle.

They follow the audit's rows, which are numbered in the order of their commits: whoever ends a command writes nothing
more for it. What was refused at once has no such row, and is counted with the commit that lists it.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    String,
    Table,
    bindparam,
    func,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from services.command.adapters.store.tables import CommandModel, audit, command, history
from services.command.domain.commands import CommandAction, DoorResult, FailureReason, Status
from services.command.domain.failures import (
    DAY,
    CountKey,
    EndedRequest,
    FleetCounts,
    begin_of,
    counted_as,
)
from services.platform.database import Instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy import ColumnElement

    from services.command.domain.failures import FailureQuery
    from services.platform.database import Database

AT_ONCE = 500
"""So many rows of the audit are looked at in one transaction."""
FLEET_KEPT = timedelta(days=400)
_SETTLED = timedelta(seconds=30)
"""PostgreSQL commits in another order than it numbers: what is younger may have a neighbour that is not seen yet."""
_ENDS = tuple(f"COMMAND_{status.value}" for status in Status if status.final)

failure_count = Table(
    "failure_count",
    CommandModel.metadata,
    Column("vin", String(17), primary_key=True),
    Column("subject", String(128), primary_key=True),
    Column("hour", Instant, primary_key=True),
    Column("action", String(16), primary_key=True),
    Column("reason", String(32), primary_key=True),
    Column("door", String(16), primary_key=True),
    Column("model", String(64), nullable=False),
    Column("requests", Integer, nullable=False),
    Index("failure_count_by_model", "model", "door", "reason", "hour", "vin"),
)
fleet_count = Table(
    "fleet_count",
    CommandModel.metadata,
    Column("model", String(64), primary_key=True),
    Column("day", Instant, primary_key=True),
    Column("reason", String(32), primary_key=True),
    Column("door", String(16), primary_key=True),
    Column("requests", BigInteger, nullable=False),
)
counted_until = Table(
    "counted_until",
    CommandModel.metadata,
    Column("name", String(32), primary_key=True),
    Column("audit_id", BigInteger, nullable=False),
    Column("at", Instant, nullable=False),
)
_MARK = "failures"
_UNREADABLE = FailureReason.INTERRUPTED
"""What a reason counts as that a newer replica knows and this one does not: that it failed is true all the same."""
_ACTIONS, _STATUSES, _REASONS = (frozenset[str](each) for each in (CommandAction, Status, FailureReason))
_HOUR_AT_MOST = 5_000
"""So many requests of the hour in which a right began are looked at: more than the rates allow."""
_NEXT = (
    select(audit.c.audit_id, audit.c.at, audit.c.event, audit.c.command_id)
    .where(audit.c.audit_id > bindparam("after"))
    .order_by(audit.c.audit_id)
    .limit(AT_ONCE)
)
_ENDED = (
    select(history, command.c.door_results)
    .outerjoin(command, command.c.command_id == history.c.entry_id)
    .where(history.c.entry_id.in_(bindparam("ids", expanding=True)), history.c.status.is_not(None))
)


def add(connection: Connection, requests: Iterable[EndedRequest], model_of: Callable[[str], str]) -> None:
    """Count these. Part of a transaction whose caller owns it, and counts each request once."""
    of_vehicles: Counter[tuple[str, str, CountKey]] = Counter()
    of_fleet: Counter[tuple[str, datetime, str, str]] = Counter()
    models: dict[str, str] = {}
    for request in requests:
        model = models.setdefault(request.vin, model_of(request.vin))
        for key in counted_as(request):
            of_vehicles[request.vin, request.subject, key] += 1
            of_fleet[model, begin_of(key.hour, DAY), key.reason or "", key.door] += 1
    # In one order for all: two replicas that count at once wait for each other and do not deadlock.
    vehicle_rows = [
        {
            "vin": vin,
            "subject": subject,
            "hour": key.hour,
            "action": key.action.value,
            "reason": key.reason or "",
            "door": key.door,
            "model": models[vin],
            "requests": count,
        }
        for (vin, subject, key), count in of_vehicles.items()
    ]
    fleet_rows = [
        {"model": model, "day": day, "reason": reason, "door": door, "requests": count}
        for (model, day, reason, door), count in of_fleet.items()
    ]
    _upsert(connection, failure_count, vehicle_rows)
    _upsert(connection, fleet_count, fleet_rows)


def _upsert(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    keys = [column.name for column in table.primary_key]
    added = statement.on_conflict_do_update(
        index_elements=keys, set_={"requests": table.c.requests + statement.excluded.requests}
    )
    connection.execute(added, sorted(rows, key=lambda row: tuple(map(str, (row[key] for key in keys)))))


class SqlFailureCounts:
    """usecases.failures.FailureCounts over a service's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count_more(self, now: datetime, model_of: Callable[[str], str]) -> bool:
        """Count some of what ended and is not counted yet; return whether there may be more. Nothing is written where
        nothing ended.
        """
        if not await self._database.read(lambda connection: _next(connection, _position(connection), now)):
            return False
        return await self._database.write(lambda connection: _count(connection, now, model_of))

    async def of_vehicle(self, query: FailureQuery) -> tuple[list[tuple[CountKey, int]], datetime]:
        """Return a vehicle's counts in the query's time, and until when what ended is counted."""
        return await self._database.read(lambda connection: _of_vehicle(connection, query))

    async def of_model(
        self, model: str, since: datetime, vehicles: int, *, without: str
    ) -> FleetCounts | None:
        """Return the counts of a model since the begin of a day; None where fewer than so many vehicles beside the one
        `without` were commanded.
        """
        return await self._database.read(
            lambda connection: _of_model(connection, model, since, vehicles, without)
        )


def _position(connection: Connection, *, lock: bool = False) -> int:
    query = select(counted_until.c.audit_id, counted_until.c.at).where(counted_until.c.name == _MARK)
    mark = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if mark is None:
        return 0
    return int(mark.audit_id) if _is_numbered_on(connection, mark) else 0


def _is_numbered_on(connection: Connection, mark: Any) -> bool:
    """Return whether the rows that came after the mark have higher numbers. SQLite begins anew at 1 once retention has
    left no row: then the mark's number is another row's, or none has come so far.
    """
    if connection.dialect.name == "postgresql":
        return True
    marked = select(audit.c.at).where(audit.c.audit_id == mark.audit_id)
    at = connection.execute(marked).scalar_one_or_none()
    if at is not None:
        return bool(at == mark.at)
    newest = connection.execute(select(func.max(audit.c.audit_id))).scalar_one() or 0
    return bool(newest >= mark.audit_id)


def _next(connection: Connection, after: int, now: datetime) -> list[Any]:
    """Return rows of the audit that nothing can come before any more."""
    rows = connection.execute(_NEXT, {"after": after}).all()
    if connection.dialect.name == "postgresql":
        young = next((place for place, row in enumerate(rows) if row.at > now - _SETTLED), len(rows))
        return list(rows[:young])
    return list(rows)


def _count(connection: Connection, now: datetime, model_of: Callable[[str], str]) -> bool:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    begin = dialect.insert(counted_until).values(name=_MARK, audit_id=0, at=now).on_conflict_do_nothing()
    connection.execute(begin)
    rows = _next(connection, _position(connection, lock=True), now)
    if not rows:
        return False
    ids = [row.command_id for row in rows if row.event in _ENDS]
    if ids:
        add(connection, _readable(connection.execute(_ENDED, {"ids": ids})), model_of)
    mark = update(counted_until).where(counted_until.c.name == _MARK)
    connection.execute(mark.values(audit_id=rows[-1].audit_id, at=rows[-1].at))
    return len(rows) == AT_ONCE


def _readable(rows: Iterable[Any]) -> Iterator[EndedRequest]:
    """Yield what ended. An action or a status of a newer replica is none that is counted here."""
    for row in rows:
        if row.action in _ACTIONS and row.status in _STATUSES:
            yield EndedRequest(
                row.vin,
                row.user_id,
                CommandAction(row.action),
                Status(row.status),
                row.requested_at,
                reason_of(row.failure_reason),
                tuple(
                    DoorResult(door, success, locked, reason_of(reason))
                    for door, success, locked, reason in json.loads(row.door_results or "[]")
                ),
            )


def reason_of(word: str | None) -> FailureReason | None:
    """Return the reason of this name; None of none. One that a newer replica wrote counts as INTERRUPTED."""
    if not word:
        return None
    return FailureReason(word) if word in _REASONS else _UNREADABLE


def _of_vehicle(connection: Connection, query: FailureQuery) -> tuple[list[tuple[CountKey, int]], datetime]:
    columns = failure_count.c
    matching = [columns.vin == query.vin, columns.hour >= query.counted_since]
    if query.of_subject is not None:
        matching.append(columns.subject == query.of_subject)
    grouped = (columns.hour, columns.action, columns.reason, columns.door)
    counted = select(*grouped, func.sum(columns.requests).label("requests")).where(*matching)
    rows = connection.execute(counted.group_by(*grouped)).all()
    until = counted_to(connection, query.now)
    counted_by = Counter[CountKey]()
    for row in rows:
        if row.action in _ACTIONS:
            key = CountKey(row.hour, CommandAction(row.action), reason_of(row.reason), row.door)
            counted_by[key] += int(row.requests)
    counts = list(counted_by.items())
    if query.begins_within_hour:
        counts += _of_first_hour(connection, query)
    return counts, until


def counted_to(connection: Connection, now: datetime) -> datetime:
    """Return until when all that ended is counted. Where nothing waits to be counted, that is now."""
    until = select(counted_until.c.at).where(counted_until.c.name == _MARK)
    at: datetime | None = connection.execute(until).scalar_one_or_none()
    is_complete = not _next(connection, _position(connection), now)
    settled = now if connection.dialect.name == "sqlite" else now - _SETTLED
    return settled if is_complete or at is None else at


def _of_first_hour(connection: Connection, query: FailureQuery) -> list[tuple[CountKey, int]]:
    """Return the counts of the hour in which the reader's right began, from the history itself."""
    matching = [
        history.c.vin == query.vin,
        history.c.requested_at >= query.not_before,
        history.c.requested_at < query.counted_since,
        history.c.status.is_not(None),
        history.c.action.in_([CommandAction.UNLOCK.value, CommandAction.LOCK.value]),
    ]
    if query.of_subject is not None:
        matching.append(history.c.user_id == query.of_subject)
    listed = (
        select(history, command.c.door_results)
        .outerjoin(command, command.c.command_id == history.c.entry_id)
        .where(*matching)
        .order_by(history.c.requested_at.desc())
        .limit(_HOUR_AT_MOST)
    )
    counted = Counter(key for each in _readable(connection.execute(listed)) for key in counted_as(each))
    return list(counted.items())


def _of_model(
    connection: Connection, model: str, since: datetime, vehicles: int, without: str
) -> FleetCounts | None:
    columns = fleet_count.c
    of_all = [failure_count.c.model == model, failure_count.c.door == "", failure_count.c.hour >= since]
    if not _has_vehicles(connection, vehicles, [*of_all, failure_count.c.vin != without]):
        return None
    counted = (
        select(columns.reason, func.sum(columns.requests).label("requests"))
        .where(columns.model == model, columns.day >= since, columns.door == "")
        .group_by(columns.reason)
    )
    found = {row.reason: int(row.requests) for row in connection.execute(counted)}
    commands = sum(found.values())
    failures = Counter[FailureReason]()
    for word, count in found.items():
        reason = reason_of(word)
        if reason and _has_vehicles(connection, vehicles, _cell(model, word, since, without)):
            failures[reason] += count
    return FleetCounts(commands, commands - found.get("", 0), failures, vehicles)


def _cell(model: str, reason: str, since: datetime, without: str) -> list[ColumnElement[bool]]:
    columns = failure_count.c
    return [
        columns.model == model,
        columns.door == "",
        columns.reason == reason,
        columns.hour >= since,
        columns.vin != without,
    ]


def _has_vehicles(connection: Connection, vehicles: int, matching: Sequence[ColumnElement[bool]]) -> bool:
    """Return whether so many vehicles are behind these counts: no more of them are looked at."""
    some = select(failure_count.c.vin).where(*matching).distinct().limit(vehicles).subquery()
    return connection.execute(select(func.count()).select_from(some)).scalar_one() >= vehicles

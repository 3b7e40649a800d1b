"""The history's entries: how each gets its place in the record, and how pages are read."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    Text,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from services.command.adapters.store.statements import AFTER_ALL, MILLISECOND_US, earlier, in_milliseconds
from services.command.adapters.store.tables import command, history, late_from_text, results_from_text
from services.command.domain.commands import CommandAction, FailureReason, HistoryEntry, Status
from services.command.domain.history import HistoryPage, HistoryPosition
from services.platform.database import Instant
from services.platform.prepared import PreparedStatement
from services.platform.times import microseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Select

    from services.command.domain.commands import StatusCheck
    from services.command.domain.history import HistoryQuery, RefusedRequest

_MICROSECONDS = 1_000_000

_JUST_ENDED = select(history.c.vin).where(literal_column("recorded_at") == literal_column("0")).distinct()
_NEWEST = (
    select(history.c.recorded_at)
    .where(history.c.vin == bindparam("of_vin"), history.c.recorded_at.is_not(None))
    .order_by(history.c.recorded_at.desc())
    .limit(1)
)
_LOCK = select(
    func.pg_advisory_xact_lock(
        func.unnest(bindparam("keys", type_=ARRAY(BigInteger)), type_=BigInteger).column_valued("vehicle")
    )
)
_DATE = PreparedStatement(
    update(history)
    .where(literal_column("recorded_at") == literal_column("0"))
    .values(recorded_at=func.greatest(bindparam("now_us", type_=BigInteger), AFTER_ALL))
)


def _latest_of(wanted: Any) -> Select[Any]:
    """Return the latest date of each vehicle that `wanted` has in its column `value`; None of one without any."""
    latest = (
        select(func.max(literal_column("earlier.recorded_at", BigInteger)))
        .select_from(earlier)
        .where(earlier.c.vin == wanted.c.value, earlier.c.recorded_at.is_not(None))
        .correlate(wanted)
        .scalar_subquery()
    )
    return select(wanted.c.value, latest)


_LATEST_OF = {
    "sqlite": _latest_of(func.json_each(bindparam("vins", type_=Text)).table_valued("value")),
    "postgresql": _latest_of(
        func.unnest(bindparam("vins", type_=ARRAY(Text)), type_=Text).table_valued("value").render_derived()
    ),
}
_ADD = PreparedStatement(
    {
        "sqlite": sqlite.insert(history).inline().on_conflict_do_nothing(),
        "postgresql": postgresql.insert(history).inline().on_conflict_do_nothing(),
    },
    *(column.name for column in history.c),
)


def record_ended(connection: Connection, at: datetime) -> None:
    """Date what this transaction made part of the list: after everything that was recorded of its vehicle before.

    The last thing that a transaction does. SQLite has one writer, so the order of its transactions is that of their
    commits, and an entry was dated when it ended (statements.END_HISTORY). In PostgreSQL whoever ends something of the
    same vehicle waits here for the commit of who came first.
    """
    if connection.dialect.name != "postgresql":
        return
    vins = connection.execute(_JUST_ENDED).scalars().all()
    if vins:
        _lock(connection, vins)
        _DATE(connection, {"now_us": in_milliseconds(at)})


def _lock(connection: Connection, vins: Iterable[str]) -> None:
    # In one order for all, so that two that lock several wait for each other and do not deadlock.
    connection.execute(_LOCK, {"keys": sorted(map(_lock_key, vins))}).all()


def _lock_key(vin: str) -> int:
    digest = hashlib.sha256(f"command history of {vin}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def add(connection: Connection, rows: Sequence[dict[str, object]], at: datetime) -> None:
    """Keep entries that have ended, dated as `record_ended` does; those that are there already stay as they are.

    The last thing that a transaction does.
    """
    if not rows:
        return
    vins = sorted({str(row["vin"]) for row in rows})
    if connection.dialect.name == "postgresql":
        _lock(connection, vins)
    now_us = in_milliseconds(at)
    found = connection.execute(_LATEST_OF[connection.dialect.name], {"vins": _told(connection, vins)})
    recorded = {
        vin: now_us if latest is None else max(now_us, latest + MILLISECOND_US) for vin, latest in found
    }
    # In one order for all: two that keep the same entries at once wait for each other and do not deadlock.
    in_order = sorted(rows, key=lambda row: str(row["entry_id"]))
    _ADD.for_each(connection, [{**row, "recorded_at": recorded[str(row["vin"])]} for row in in_order])


def add_refused(
    connection: Connection, refused: Sequence[RefusedRequest], at: datetime
) -> list[RefusedRequest]:
    """Keep requests that were refused at once, as `add` does; return those that were not there already."""
    rows = {each.entry_id: refused_row(each) for each in refused}
    if connection.dialect.name == "postgresql":  # who keeps the same at this moment has committed then
        _lock(connection, sorted({each.vin for each in refused}))
    known = set(
        connection.execute(select(history.c.entry_id).where(history.c.entry_id.in_(list(rows)))).scalars()
    )
    add(connection, list(rows.values()), at)
    return [each for each in refused if each.entry_id not in known]


def _told(connection: Connection, vins: list[str]) -> list[str] | str:
    return vins if connection.dialect.name == "postgresql" else json.dumps(vins)


def status_check_row(check: StatusCheck) -> dict[str, object]:
    """Return a look at the door status, for `add`."""
    return {
        "entry_id": check.check_id,
        "vin": check.vin,
        "command_id": check.check_id,
        "action": CommandAction.STATUS_CHECK.value,
        "target_doors": "[]",
        "requested_at": microseconds(check.at),
        "user_id": check.requester.subject,
        "actor_id": check.requester.principal,
        "source": check.requester.source,
        "correlation_id": check.correlation_id,
        "status": Status.SUCCESS.value,
        "finished_at": microseconds(check.at),
        "execution_us": round(check.seconds * _MICROSECONDS),
        "failure_reason": None,
    }


def refused_row(refused: RefusedRequest) -> dict[str, object]:
    """Return a request that was refused at once, for `add`."""
    return {
        "entry_id": refused.entry_id,
        "vin": refused.vin,
        "command_id": refused.command_id or refused.entry_id,
        "action": refused.action.value,
        "target_doors": json.dumps(refused.target_doors),
        "requested_at": microseconds(refused.at),
        "user_id": refused.requester.subject,
        "actor_id": refused.requester.principal,
        "source": refused.requester.source,
        "correlation_id": refused.correlation_id,
        "status": Status.FAILED.value,
        "finished_at": microseconds(refused.at),
        "execution_us": 0,
        "failure_reason": refused.reason.value,
    }


def page(connection: Connection, vin: str, query: HistoryQuery) -> HistoryPage:
    """Return a page of finished requests, newest first."""
    as_of = query.moment(connection.execute(_NEWEST, {"of_vin": vin}).scalar_one_or_none())
    matching = _matching(vin, query, as_of)
    total = connection.execute(select(func.count()).select_from(history).where(*matching)).scalar_one()
    if query.after is not None:
        place = tuple_(history.c.requested_at, history.c.entry_id)
        matching.append(place < tuple_(*_values_of(query.after)))
    # A cancellation's entry, and that of a look at the status, has an id that no command has.
    rows = connection.execute(
        select(history, command.c.door_results, command.c.late_result)
        .outerjoin(command, command.c.command_id == history.c.entry_id)
        .where(*matching)
        .order_by(history.c.requested_at.desc(), history.c.entry_id.desc())
        .limit(query.limit + 1)  # one more tells whether there is more
        .offset(query.offset)
    ).all()
    shown = rows[: query.limit]
    last = HistoryPosition(shown[-1].requested_at, shown[-1].entry_id) if shown else None
    return HistoryPage(tuple(map(_entry, shown)), total, len(rows) > query.limit, as_of, last)


def _values_of(position: HistoryPosition) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    return (
        bindparam("after_time", position.requested_at, type_=Instant),
        bindparam("after_id", position.entry_id),
    )


def _matching(vin: str, query: HistoryQuery, as_of: datetime) -> list[ColumnElement[bool]]:
    matching = [
        history.c.vin == vin,
        history.c.requested_at >= query.since(as_of),
        or_(
            history.c.recorded_at <= as_of,
            # Ended by code from before entries were dated when they were recorded.
            and_(history.c.recorded_at.is_(None), history.c.finished_at <= as_of),
        ),
    ]
    if query.action:
        matching.append(history.c.action == query.action.value)
    if query.excluded_action:
        matching.append(history.c.action != query.excluded_action.value)
    if query.status:
        matching.append(history.c.status == query.status.value)
    if query.source:
        matching.append(history.c.source == query.source)
    if query.of_subject:
        matching.append(history.c.user_id == query.of_subject)
    return matching


def _entry(row: Row[Any]) -> HistoryEntry:
    return HistoryEntry(
        command_id=row.command_id,
        action=CommandAction(row.action),
        target_doors=tuple(json.loads(row.target_doors)),
        status=Status(row.status),
        requested_at=row.requested_at,
        execution_seconds=row.execution_us / _MICROSECONDS,
        user_id=row.user_id,
        actor_id=row.actor_id,
        source=row.source,
        failure_reason=FailureReason(row.failure_reason) if row.failure_reason else None,
        correlation_id=row.correlation_id,
        door_results=results_from_text(row.door_results),
        late_result=late_from_text(row.late_result),
    )

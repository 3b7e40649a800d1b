"""The table of what vehicles' next reports must show, and what is done to it. Rows never leave this file.

A row's life: OPEN, until a report says whether the vehicle stands as it had said. Then CONFIRMED, or DOUBTED: a
result that is still on its way may tell of another command, which explains the difference. It makes the row
MOOT; without one the row ends as CONTRADICTED. Whoever holds or judges has locked the vehicle's row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from services.status.domain.doors import LONGEST_WAIT_MICROSECONDS
from services.status.domain.judgement import (
    ActuationOutcome,
    Expectation,
    ExpectationFinding,
    finding_of,
    is_explained,
    place_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import Row

    from services.status.domain.doors import KnownState, LockMoved
    from services.status.domain.judgement import ReportedActuation

PLACES = (
    "began_order",
    "began_sequence",
    "until_order",
    "until_sequence",
    "seen_order",
    "seen_sequence",
)
"""Places among what a vehicle says (epoch order, sequence): the last report before the command began, the last one that
says something of it, and the one that did."""
_JUDGED = ("state", "seen_at_us", "seen_doors", "judged_at_us", "seen_order", "seen_sequence")
_AT_ONCE = 256
_STATES = {
    ExpectationFinding.KEPT: "CONFIRMED",
    ExpectationFinding.BROKEN: "DOUBTED",
    ExpectationFinding.TOO_LATE: "MOOT",
    ExpectationFinding.EXPLAINED: "MOOT",
}


class Expectations:
    """The table. Each function is part of a transaction of the caller's; times are microseconds since 1970."""

    def __init__(self, metadata: MetaData) -> None:
        self.table = Table(
            "expectation",
            metadata,
            Column("vin", String(17), primary_key=True),
            Column("command_id", String(128), primary_key=True),
            Column("state", String(16), nullable=False),
            Column("promised", LargeBinary, nullable=False),
            Column("started_at_us", BigInteger, nullable=False),
            Column("observed_at_us", BigInteger, nullable=False),
            Column("boot_id", String(64), nullable=False),
            Column("sequence", BigInteger, nullable=False),
            Column("until_us", BigInteger, nullable=False),
            Column("seen_at_us", BigInteger, nullable=True),
            Column("seen_doors", LargeBinary, nullable=True),
            Column("judged_at_us", BigInteger, nullable=True),
            Column("created_at_us", BigInteger, nullable=False, index=True),
            Column("epoch", LargeBinary, nullable=True),
            Column("epoch_order", BigInteger, nullable=False, server_default="0"),
            *(Column(name, BigInteger, nullable=True) for name in PLACES),
        )
        columns = self.table.c
        # Written out: for a parameter SQLite does not look at the index, and walks through all there is.
        unexplained = columns.state == literal_column("'DOUBTED'")
        Index(
            "expectation_doubted",
            columns.judged_at_us,
            sqlite_where=unexplained,
            postgresql_where=unexplained,
        )
        # Statements on the way of a result are made once: making one takes longer than running it.
        self._others = select(
            columns.command_id, columns.state, columns.epoch_order, columns.sequence, columns.began_order
        ).add_columns(
            columns.began_sequence,
            columns.until_order,
            columns.until_sequence,
            columns.seen_order,
            columns.seen_sequence,
        )
        self._others = self._others.where(
            columns.vin == bindparam("of_vin"), columns.command_id != bindparam("of_command")
        )
        self._open = (
            select(self.table)
            .where(columns.vin.in_(bindparam("vins", expanding=True)), columns.state == "OPEN")
            .order_by(columns.vin, columns.command_id)
        )
        self._inserts = {
            "sqlite": sqlite.insert(self.table).on_conflict_do_nothing(),
            "postgresql": postgresql.insert(self.table).on_conflict_do_nothing(),
        }
        this_one = (columns.vin == bindparam("of_vin"), columns.command_id == bindparam("of_command"))
        self._judged = update(self.table).where(*this_one).values({name: bindparam(name) for name in _JUDGED})
        self._limited = (
            update(self.table)
            .where(*this_one)
            .values(until_order=bindparam("new_order"), until_sequence=bindparam("new_sequence"))
        )
        self._is_doubted = unexplained
        self._ended = update(self.table).where(*this_one, unexplained).values(state=bindparam("state"))

    def hold(self, connection: Connection, moved: Iterable[ReportedActuation], now_us: int) -> set[str]:
        """Hold vehicles to what they say they did, each command once; the VINs of those that are held to something.

        A command that moved doors is the cause of what is observed after it began: what was expected before it
        must have been seen before it.
        """
        held: set[str] = set()
        # In one order, so that replicas that take the same results wait and do not deadlock.
        for each in sorted(moved, key=lambda one: (one.status.vin, place_of(one.status))):
            of_others = {"of_vin": each.status.vin, "of_command": each.command_id}
            rows = connection.execute(self._others, of_others).all()
            if each.expected_locks is not None and self._insert(connection, each, rows, now_us):
                held.add(each.status.vin)
            self._limit(connection, each, rows)
        return held

    def judge(
        self,
        connection: Connection,
        seen: Mapping[str, Sequence[KnownState]],
        now_us: int,
        moved_in: Callable[[KnownState, str], Mapping[int, LockMoved]] = lambda _seen, _vin: {},
    ) -> tuple[list[ActuationOutcome], set[str]]:
        """Hold what was `seen` of vehicles against what is expected of them. Return what it confirms, and the VINs of
        which something is still expected. `moved_in` reads what a report of a vehicle says of its locks, and is asked
        only where a report shows doors otherwise than was promised.
        """
        confirmed: list[ActuationOutcome] = []
        still: set[str] = set()
        changes: list[dict[str, Any]] = []
        for row in connection.execute(self._open, {"vins": list(seen)}):
            expectation = _expectation(row)
            found = finding_of(expectation, seen[row.vin])
            if found is None:
                still.add(row.vin)
                continue
            finding, report = found
            if finding is ExpectationFinding.BROKEN and is_explained(
                expectation, report, moved_in(report, row.vin)
            ):
                finding = ExpectationFinding.EXPLAINED
            changes.append(
                {
                    "of_vin": row.vin,
                    "of_command": row.command_id,
                    "state": _STATES[finding],
                    "seen_at_us": report.observed_at_us,
                    "seen_doors": report.doors,
                    "judged_at_us": now_us,
                    "seen_order": report.epoch_order,
                    "seen_sequence": report.sequence,
                }
            )
            if finding is ExpectationFinding.KEPT:
                confirmed.append(
                    ActuationOutcome(
                        row.vin,
                        row.command_id,
                        True,
                        report.observed_at_us,
                        report.doors,
                        bytes(row.promised),
                    )
                )
        if changes:
            connection.execute(self._judged, changes)
        return confirmed, still

    def unexplained(self, connection: Connection, before_us: int) -> list[tuple[str, str]]:
        """(VIN, command id) of some pending confirmations that nothing has explained since."""
        columns = self.table.c
        query = (
            select(columns.vin, columns.command_id)
            .where(self._is_doubted, columns.judged_at_us < before_us)
            .order_by(columns.judged_at_us)
            .limit(_AT_ONCE)
        )
        return sorted((row.vin, row.command_id) for row in connection.execute(query))

    def give_up(self, connection: Connection, vin: str, command_id: str) -> None:
        """End a pending confirmation that cannot be published as if something had explained it."""
        connection.execute(self._ended, [{"of_vin": vin, "of_command": command_id, "state": "MOOT"}])

    def resolve(self, connection: Connection, which: Sequence[tuple[str, str]]) -> list[ActuationOutcome]:
        """Return those of these pending confirmations that are still pending confirmations are contradictions."""
        columns = self.table.c
        query = (
            select(self.table)
            .where(self._is_doubted, columns.vin.in_(sorted({vin for vin, _ in which})))
            .order_by(columns.vin, columns.command_id)
            .with_for_update()
        )
        wanted = set(which)
        rows = [row for row in connection.execute(query) if (row.vin, row.command_id) in wanted]
        if rows:
            ended = [
                {"of_vin": row.vin, "of_command": row.command_id, "state": "CONTRADICTED"} for row in rows
            ]
            connection.execute(self._ended, ended)
        return [
            ActuationOutcome(
                row.vin, row.command_id, False, row.seen_at_us, bytes(row.seen_doors), bytes(row.promised)
            )
            for row in rows
        ]

    def _insert(
        self, connection: Connection, moved: ReportedActuation, others: Sequence[Any], now_us: int
    ) -> bool:
        """Return False when this command is known already."""
        status = moved.status
        ended = place_of(status)
        # Of a command that does not say when it began, only that it was after this one.
        later = [_began(row, ended) for row in others if (row.epoch_order, row.sequence) > ended]
        until = min(later, default=(None, None))
        began = (None, None) if moved.began_after is None else (status.epoch_order, moved.began_after)
        row = {
            "vin": status.vin,
            "command_id": moved.command_id,
            "state": "OPEN",
            "promised": moved.expected_locks,
            "observed_at_us": status.observed_at_us,
            "boot_id": status.boot_id,
            "sequence": status.sequence,
            "created_at_us": status.received_at_us or now_us,
            "epoch": status.epoch,
            "epoch_order": status.epoch_order,
            **dict(zip(PLACES, (*began, *until), strict=False)),
            # What a process of an earlier version reads beside this one.
            "started_at_us": status.observed_at_us,
            "until_us": status.observed_at_us + LONGEST_WAIT_MICROSECONDS,
        }
        return connection.execute(self._inserts[connection.dialect.name], row).rowcount == 1

    def _limit(self, connection: Connection, moved: ReportedActuation, others: Sequence[Any]) -> None:
        """Limit what was expected before this command began: it must have been seen before that."""
        status = moved.status
        limited: list[dict[str, Any]] = []
        superseded: list[dict[str, Any]] = []
        for row in others:
            ended = (row.epoch_order, row.sequence)
            if row.state not in {"OPEN", "DOUBTED"} or ended >= place_of(status):
                continue
            began = ended if moved.began_after is None else (status.epoch_order, moved.began_after)
            this_one = {"of_vin": status.vin, "of_command": row.command_id}
            if row.state == "OPEN" and (
                row.until_order is None or began < (row.until_order, row.until_sequence)
            ):
                limited.append({**this_one, "new_order": began[0], "new_sequence": began[1]})
            elif row.state == "DOUBTED" and (
                row.seen_order is None or (row.seen_order, row.seen_sequence) > began
            ):
                superseded.append({**this_one, "state": "MOOT"})
        if limited:
            connection.execute(self._limited, limited)
        if superseded:
            connection.execute(self._ended, superseded)


def _began(row: Row[Any], otherwise: tuple[int, int]) -> tuple[int, int]:
    return otherwise if row.began_order is None else (row.began_order, row.began_sequence)


def _expectation(row: Row[Any]) -> Expectation:
    return Expectation(
        row.vin,
        row.command_id,
        bytes(row.epoch or b""),
        row.epoch_order,
        row.sequence,
        bytes(row.promised),
        row.created_at_us,
        None if row.until_order is None else (row.until_order, row.until_sequence),
    )

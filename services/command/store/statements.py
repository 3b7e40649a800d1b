"""The statements on the way of a command, made once: making one takes longer than running it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import Connection, bindparam, func, insert, select, update

from services.command.domain import Status
from services.command.store.tables import (
    RECORDED_NOW,
    audit,
    cancellation,
    command,
    history,
    outbox,
    wake_up,
)
from services.runtime.database import Instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Dialect, Table, Update


class Insert:
    """An insert of one row with always the same columns, compiled once: half the cost of a statement object.

    Values go to the driver as they are, so moments are given as microseconds (requests._us).
    """

    def __init__(self, target: Table, *columns: str) -> None:
        self._statement = insert(target).inline()
        self._columns = columns
        self._texts: dict[str, tuple[str, list[str]]] = {}

    def __call__(self, connection: Connection, row: Mapping[str, object]) -> None:
        """Insert this row, which names every column."""
        text, order = self._texts.get(connection.dialect.name) or self._compile(connection.dialect)
        connection.exec_driver_sql(text, tuple(row[name] for name in order))

    def _compile(self, dialect: Dialect) -> tuple[str, list[str]]:
        compiled = self._statement.compile(dialect=dialect, column_keys=list(self._columns))
        if compiled.positiontup is None:
            raise TypeError(f"{dialect.name} does not number its parameters")
        return self._texts.setdefault(dialect.name, (str(compiled), compiled.positiontup))


INSERT_COMMAND = Insert(
    command,
    "command_id",
    "vin",
    "action",
    "target_doors",
    "mode",
    "principal",
    "subject",
    "source",
    "correlation_id",
    "idempotency_key",
    "fingerprint",
    "accepted_at",
    "expires_at",
    "estimated_seconds",
    "status",
    "role",
    "asleep",
    "lost",
)
INSERT_HISTORY = Insert(
    history,
    "entry_id",
    "vin",
    "command_id",
    "action",
    "target_doors",
    "requested_at",
    "user_id",
    "actor_id",
    "source",
    "correlation_id",
)
INSERT_AUDIT = Insert(
    audit, "at", "event", "vin", "command_id", "subject", "actor", "source", "correlation_id", "detail"
)


_OF_COMMAND = command.c.command_id == bindparam("of_command")
FIND = select(command).where(_OF_COMMAND)
MARK_RECEIVED = (
    update(command)
    .where(_OF_COMMAND, command.c.received_at.is_(None), command.c.finished_at.is_(None))
    .values(status=Status.IN_PROGRESS.value, received_at=bindparam("at"))
)
END_HISTORY = (
    update(history)
    .where(history.c.entry_id == bindparam("of_entry"))
    .values(
        status=bindparam("new_status"),
        finished_at=bindparam("at"),
        execution_us=bindparam("new_duration"),
        failure_reason=bindparam("new_reason"),
        recorded_at=RECORDED_NOW,
    )
)
OPEN_CANCELLATIONS = select(cancellation.c.cancel_id, cancellation.c.requested_at).where(
    cancellation.c.command_id == bindparam("of_command"), cancellation.c.finished_at.is_(None)
)
# Locked, so that of two replicas that would wake for it at once the second sees what the first has done.
ALIVE = select(command).where(_OF_COMMAND, command.c.finished_at.is_(None)).with_for_update()
EARLIER_WAKE_UPS = select(wake_up.c.at, wake_up.c.subject, wake_up.c.by_owner).where(
    wake_up.c.vin == bindparam("of_vin"), wake_up.c.at > bindparam("after")
)
INSERT_WAKE_UP = insert(wake_up)
WAKING = (
    update(command)
    .where(_OF_COMMAND, command.c.finished_at.is_(None))
    .values(waking_at=func.coalesce(command.c.waking_at, bindparam("at", type_=Instant)))
    .returning(*command.c)
)


@cache
def end_statement(*, unless_taken_over: bool, by_vehicle: bool) -> Update:
    """Gives a command its end. Parameters: of_command, at, and new_status, _message, _reason, _guidance, _may_have and
    _results.
    """
    at = bindparam("at", type_=Instant)
    # When it was sent, by its outbox row: one that is withdrawn is marked as well, but not before that.
    left_before = (
        select(outbox.table.c.sent_at)
        .where(
            outbox.table.c.message_id == command.c.command_id,
            outbox.table.c.sent_at < at,
            outbox.table.c.sent_at < command.c.expires_at,
            outbox.table.c.sent_at < func.coalesce(command.c.superseded_at, at),
        )
        .scalar_subquery()
    )
    statement = (
        update(command)
        .where(_OF_COMMAND, command.c.finished_at.is_(None))
        .values(
            status=bindparam("new_status"),
            finished_at=at,
            message=bindparam("new_message"),
            failure_reason=bindparam("new_reason"),
            guidance=bindparam("new_guidance"),
            may_have_succeeded=bindparam("new_may_have"),
            door_results=bindparam("new_results"),
            sent_at=left_before,
        )
    )
    if unless_taken_over:
        statement = statement.where(command.c.taken_over_at.is_(None))
    if by_vehicle:
        statement = statement.values(received_at=func.coalesce(command.c.received_at, at))
    return statement

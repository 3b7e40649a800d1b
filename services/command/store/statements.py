"""The statements on the way of a command, made once: making one takes longer than running it.

Those that are Prepared take and give moments as microseconds.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, bindparam, func, insert, literal_column, select, update

from services.command.store.tables import (
    audit,
    cancellation,
    command,
    history,
    outbox,
    wake_up,
)
from services.platform.database import Instant, microseconds
from services.platform.prepared import PreparedStatement

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement, Update

INSERT_COMMAND = PreparedStatement(
    insert(command).inline(),
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
INSERT_HISTORY = PreparedStatement(
    insert(history).inline(),
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
INSERT_AUDIT = PreparedStatement(
    insert(audit).inline(),
    "at",
    "event",
    "vin",
    "command_id",
    "subject",
    "actor",
    "source",
    "correlation_id",
    "detail",
)


_OF_COMMAND = command.c.command_id == bindparam("of_command")
FIND = select(command).where(_OF_COMMAND)
MARK_RECEIVED = PreparedStatement(
    update(command)
    .where(_OF_COMMAND, command.c.received_at.is_(None), command.c.finished_at.is_(None))
    .values(status=bindparam("new_status"), received_at=bindparam("at"))
)
earlier = history.alias("earlier")
_LATEST = (
    select(func.max(literal_column("earlier.recorded_at", BigInteger)))
    .select_from(earlier)
    .where(earlier.c.vin == history.c.vin, earlier.c.recorded_at.is_not(None))
    .correlate(history)
    .scalar_subquery()
)
MILLISECOND_US = 1_000
AFTER_ALL = func.coalesce(_LATEST, literal_column("0")) + literal_column(str(MILLISECOND_US))
"""A millisecond after everything that was recorded of the vehicle, and so of this entry."""


def _end_history(recorded_at: ColumnElement[Any]) -> Update:
    return (
        update(history)
        .where(history.c.entry_id == bindparam("of_entry"))
        .values(
            status=bindparam("new_status"),
            finished_at=bindparam("at"),
            execution_us=bindparam("new_duration"),
            failure_reason=bindparam("new_reason"),
            recorded_at=recorded_at,
        )
    )


END_HISTORY = PreparedStatement(
    {
        "sqlite": _end_history(func.max(bindparam("now_us", type_=BigInteger), AFTER_ALL)),
        "postgresql": _end_history(literal_column("0")),  # RECORDED_NOW
    }
)
"""Gives an entry its end. Parameters: of_entry, at, now_us (see in_milliseconds), and new_status, _duration, _reason.

In PostgreSQL it is dated by history_entries.record_ended, which has to wait for others first. SQLite would find what is
to be dated by walking through all that ever was.
"""


def in_milliseconds(at: datetime) -> int:
    """Return microseconds of a whole millisecond, as pages of the history are cut."""
    now_us = microseconds(at)
    return now_us - now_us % MILLISECOND_US


OPEN_CANCELLATIONS = PreparedStatement(
    select(cancellation.c.cancel_id, cancellation.c.requested_at).where(
        cancellation.c.command_id == bindparam("of_command"), cancellation.c.finished_at.is_(None)
    )
)
# Locked, so that of two replicas that would wake for it at once the second sees what the first has done.
ALIVE = PreparedStatement(
    select(command.c.subject, command.c.role, command.c.waking_at)
    .where(_OF_COMMAND, command.c.finished_at.is_(None))
    .with_for_update()
)
EARLIER_WAKE_UPS = PreparedStatement(
    select(wake_up.c.at, wake_up.c.subject, wake_up.c.by_owner).where(
        wake_up.c.vin == bindparam("of_vin"), wake_up.c.at > bindparam("after")
    )
)
INSERT_WAKE_UP = PreparedStatement(insert(wake_up).inline(), "vin", "at", "subject", "by_owner")
WAKING = (
    update(command)
    .where(_OF_COMMAND, command.c.finished_at.is_(None))
    .values(waking_at=func.coalesce(command.c.waking_at, bindparam("at", type_=Instant)))
    .returning(*command.c)
)


@cache
def end_statement(*, unless_taken_over: bool, by_vehicle: bool) -> PreparedStatement:
    """Give a command its end. Parameters: of_command, at, and new_status, _message, _reason, _guidance, _may_have and
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
    return PreparedStatement(statement)

"""The statements on the way of a command, made once: making one takes longer than running it.

Those that are Prepared take and give moments as microseconds.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Boolean, bindparam, func, insert, literal_column, select, update

from services.command.adapters.store.tables import audit, cancellation, command, history, outbox, wake_up
from services.command.domain.lifecycle import MAY_STILL_SUCCEED
from services.platform.database import Instant
from services.platform.prepared import PreparedStatement
from services.platform.times import microseconds

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
    "never_connected",
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
    "entry",
)


_OF_COMMAND = command.c.command_id == bindparam("of_command")
# Locked, so that an end that is being written at this moment is seen, or sees what follows; in one order for all, so
# that two that lock several wait for each other and do not deadlock.
FIND_ALL = (
    select(command)
    .where(command.c.command_id.in_(bindparam("ids", expanding=True)))
    .order_by(command.c.command_id)
    .with_for_update()
)
CANCELLATIONS = (
    select(
        cancellation.c.command_id,
        cancellation.c.cancel_id,
        cancellation.c.requested_at,
        cancellation.c.finished_at,
    )
    .where(cancellation.c.command_id.in_(bindparam("ids", expanding=True)))
    .order_by(cancellation.c.requested_at, cancellation.c.cancel_id)
)
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


EARLIER_WAKE_UPS = PreparedStatement(
    select(wake_up.c.at, wake_up.c.subject, wake_up.c.by_owner).where(
        wake_up.c.vin == bindparam("of_vin"), wake_up.c.at > bindparam("after")
    )
)
KEEP_OUTCOME = (
    update(command)
    .where(
        _OF_COMMAND,
        # The status service knows no commands: a vehicle can have named another's.
        command.c.vin == bindparam("of_vin"),
        command.c.status.in_([status.value for status in MAY_STILL_SUCCEED]),
        command.c.confirmation.is_(None),
    )
    .values(confirmation=bindparam("new_confirmation"))
    .returning(*command.c)
)
KEEP_LATE = PreparedStatement(
    update(command)
    .where(_OF_COMMAND, command.c.status == literal_column("'TIMEOUT'"), command.c.late_result.is_(None))
    .values(late_result=bindparam("new_late"))
)
PROVE_INACTION = PreparedStatement(
    update(command)
    .where(
        _OF_COMMAND,
        command.c.status == literal_column("'TIMEOUT'"),
        command.c.may_have_succeeded == bindparam("was", type_=Boolean()),
    )
    .values(may_have_succeeded=bindparam("now"), guidance=bindparam("new_guidance"))
)
SUPERSEDE = PreparedStatement(
    update(command)
    .where(_OF_COMMAND, command.c.finished_at.is_(None), command.c.superseded_at.is_(None))
    .values(superseded_at=bindparam("at", type_=Instant))
)
END_CANCELLATION = PreparedStatement(
    update(cancellation)
    .where(cancellation.c.cancel_id == bindparam("of_cancellation"), cancellation.c.finished_at.is_(None))
    .values(finished_at=bindparam("at", type_=Instant))
)
INSERT_WAKE_UP = PreparedStatement(insert(wake_up).inline(), "vin", "at", "subject", "by_owner")
NOTE_WAKE_UP = PreparedStatement(
    update(command)
    .where(_OF_COMMAND, command.c.finished_at.is_(None), command.c.waking_at.is_(None))
    .values(waking_at=bindparam("at", type_=Instant))
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

"""What is read. Each function only reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, bindparam, literal, or_, select

from services.command.adapters.store.statements import EARLIER_WAKE_UPS
from services.command.adapters.store.tables import (
    cancellation,
    command,
    command_from_row,
    idempotency_key,
    outbox,
)
from services.command.domain.commands import (
    Command,
    CommandAction,
    CommandRightEnded,
    InFlight,
    RequestedOrder,
    Requester,
    Status,
)
from services.command.domain.own_cancellations import taken_back_id
from services.command.domain.wake_budget import WakeUp
from services.command.usecases.ports import PriorRequest
from services.platform.outbox import message_of
from services.platform.times import microseconds, moment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from services.platform.outbox import OutgoingMessage

# Made once, because making a statement takes longer than running it.
_IN_FLIGHT = select(command.c.command_id, command.c.action).where(
    command.c.vin == bindparam("of_vin"),
    command.c.finished_at.is_(None),
    command.c.superseded_at.is_(None),
)
_PRIOR = select(command, command.c.fingerprint.label("print"), command.c.accepted_at.label("at")).where(
    command.c.idempotency_key == bindparam("of_key")
)


_taken_back = cancellation.alias()
_not_taken_back = ~(
    select(_taken_back.c.cancel_id)
    .where(_taken_back.c.cancel_id == literal(taken_back_id("")).concat(command.c.command_id))
    .correlate(command)
    .exists()
)


def by_id(connection: Connection, vin: str, command_id: str) -> Command | None:
    """Return one command. Until it ends, the time it was sent stands in the outbox."""
    row = connection.execute(
        select(command, outbox.table.c.sent_at.label("left_at"))
        .outerjoin(outbox.table, outbox.table.c.message_id == command.c.command_id)
        .where(command.c.command_id == command_id, command.c.vin == vin)
    ).one_or_none()
    return None if row is None else command_from_row(row, None if row.finished_at else row.left_at)


def requesters(connection: Connection, command_ids: Sequence[str]) -> dict[str, str]:
    """Return for whom each of these commands that are known was given."""
    query = select(command.c.command_id, command.c.subject).where(command.c.command_id.in_(command_ids))
    return {row.command_id: row.subject for row in connection.execute(query)}


def latest_by_correlation_id(connection: Connection, vin: str, correlation_id: str) -> Command | None:
    """Return the newest command of this vehicle under this id."""
    row = connection.execute(
        select(command)
        .where(command.c.vin == vin, command.c.correlation_id == correlation_id)
        .order_by(command.c.accepted_at.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else command_from_row(row)


def prior(
    connection: Connection, requester: Requester, vin: str, operation: str, correlation_id: str
) -> PriorRequest | None:
    """Return what was asked for before for the same customer under this key."""
    key = idempotency_key(requester.subject, vin, operation, correlation_id)
    if operation == CommandAction.CANCEL.value:
        row = connection.execute(
            select(
                command,
                cancellation.c.fingerprint.label("print"),
                cancellation.c.requested_at.label("at"),
                cancellation.c.answered,
            )
            .join(cancellation, cancellation.c.command_id == command.c.command_id)
            .where(cancellation.c.idempotency_key == key)
        ).one_or_none()
    else:
        row = connection.execute(_PRIOR, {"of_key": key}).one_or_none()
    if row is None:
        return None
    answered = Status(row.answered) if operation == CommandAction.CANCEL.value else Status.PENDING
    return PriorRequest(command_from_row(row), row.print, row.at, key, answered)


def in_flight(connection: Connection, vin: str) -> InFlight | None:
    """Return the command in flight on this vehicle."""
    row = connection.execute(_IN_FLIGHT, {"of_vin": vin}).one_or_none()
    return None if row is None else InFlight(row.command_id, CommandAction(row.action))


def overdue(connection: Connection, now: datetime, at_most: int) -> list[tuple[str, bool]]:
    """Return the ids of commands past their time that have not ended, and whether each was taken over."""
    rows = connection.execute(
        select(command.c.command_id, command.c.taken_over_at)
        .where(command.c.expires_at <= now, command.c.finished_at.is_(None))
        .order_by(command.c.expires_at)
        .limit(at_most)
    )
    return [(row.command_id, row.taken_over_at is not None) for row in rows]


def live(connection: Connection, ended: CommandRightEnded) -> list[RequestedOrder]:
    """Return the commands alive that this may concern, as they lie in the outbox."""
    matching = [command.c.finished_at.is_(None)]
    if ended.vin is not None:
        matching.append(command.c.vin == ended.vin)
    if ended.principal is not None:
        matching.append(or_(command.c.subject == ended.principal, command.c.principal == ended.principal))
    rows = connection.execute(
        select(command.c.command_id, command.c.vin, outbox.table.c.payload)
        .join(outbox.table, outbox.table.c.message_id == command.c.command_id)
        .where(*matching)
        .order_by(command.c.vin)
    )
    return [RequestedOrder(row.command_id, row.vin, bytes(row.payload)) for row in rows]


def unreceived(connection: Connection, vin: str, now: datetime) -> list[OutgoingMessage]:
    """Return the messages of commands still alive that the vehicle has not confirmed."""
    alive = select(command.c.command_id).where(
        command.c.vin == vin,
        command.c.finished_at.is_(None),
        command.c.received_at.is_(None),
        command.c.expires_at > now,
        command.c.superseded_at.is_(None),
        _not_taken_back,
    )
    rows = connection.execute(select(outbox.table).where(outbox.table.c.message_id.in_(alive)))
    return [message_of(row, now) for row in rows]


def outgoing(connection: Connection, message_ids: Sequence[str], now: datetime) -> list[OutgoingMessage]:
    """Return these messages, without those of commands that have ended or that their vehicle has stored, and of
    cancellations that have ended.

    A vehicle answers for what it has stored, after a reboot too; who refuses a copy of it is another unit.
    """
    open_commands = select(command.c.command_id).where(
        command.c.command_id.in_(message_ids),
        command.c.finished_at.is_(None),
        command.c.received_at.is_(None),
        command.c.superseded_at.is_(None),
        _not_taken_back,
    )
    open_cancellations = select(cancellation.c.cancel_id).where(
        cancellation.c.cancel_id.in_(message_ids), cancellation.c.finished_at.is_(None)
    )
    wanted = open_commands.union_all(open_cancellations)
    rows = connection.execute(select(outbox.table).where(outbox.table.c.message_id.in_(wanted)))
    return [message_of(row, now) for row in rows]


def wake_ups_of(connection: Connection, vin: str, after: datetime) -> list[WakeUp]:
    """Return the wake-ups that this vehicle was sent after that time."""
    known = EARLIER_WAKE_UPS(connection, {"of_vin": vin, "after": microseconds(after)})
    # Of one from before, nobody knows for whom it was: it counts against the vehicle's budget alone.
    return [WakeUp(moment(row.at), row.subject, row.by_owner is None or bool(row.by_owner)) for row in known]


def unanswered(
    connection: Connection, accepted_before: datetime, now: datetime, at_most: int
) -> list[tuple[str, str]]:
    """(command id, VIN) of commands alive that were not confirmed and that nobody was woken for."""
    rows = connection.execute(
        select(command.c.command_id, command.c.vin)
        .where(
            command.c.finished_at.is_(None),
            command.c.received_at.is_(None),
            command.c.waking_at.is_(None),
            command.c.superseded_at.is_(None),
            command.c.accepted_at <= accepted_before,
            command.c.expires_at > now,
        )
        .order_by(command.c.accepted_at)
        .limit(at_most)
    )
    return [(row.command_id, row.vin) for row in rows]


def unconfirmed(connection: Connection, accepted_before: datetime, now: datetime, at_most: int) -> list[str]:
    """VINs with a command alive that was not confirmed, the newest first."""
    rows = connection.execute(
        select(command.c.vin)
        .where(
            command.c.finished_at.is_(None),
            command.c.received_at.is_(None),
            command.c.superseded_at.is_(None),
            command.c.accepted_at <= accepted_before,
            command.c.expires_at > now,
        )
        .order_by(command.c.accepted_at.desc())
        .limit(at_most)
    )
    return [row.vin for row in rows]

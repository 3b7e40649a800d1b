"""What an erasure must wait for in this service, and what it does beside the tables' lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, func, or_, select, update

from services.config.adapters.store.tables import audit, configs, outbox

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

SETTINGS_IN_FLIGHT = "SETTINGS_IN_FLIGHT"


def _changed_by(person: str) -> ColumnElement[bool]:
    """Return whether a vehicle's settings were changed by them last: the proof beside them is theirs."""
    changes = audit.alias()
    newest = select(func.max(changes.c.id)).where(changes.c.vin == configs.c.vin).correlate(configs)
    last = (
        select(audit.c.id)
        .where(
            audit.c.id == newest.scalar_subquery(),
            or_(audit.c.subject == person, audit.c.actor == person),
        )
        .correlate(configs)
    )
    return and_(configs.c.capability.is_not(None), last.exists())


def _is_desired(column: ColumnElement[int | None]) -> ColumnElement[bool]:
    """Return whether a vehicle answered so to the settings that are wanted now: never NULL, so it can be negated."""
    return func.coalesce(column, -1) == configs.c.desired_version


def in_the_way_of_erasure(connection: Connection, person: str) -> str:
    """Return what must end first: settings of theirs that the vehicle has not answered; empty when nothing must."""
    answered = or_(_is_desired(configs.c.applied_version), _is_desired(configs.c.rejected_version))
    waiting = select(configs.c.vin).where(_changed_by(person), ~answered)
    return "" if connection.execute(waiting.limit(1)).first() is None else SETTINGS_IN_FLIGHT


def erase_proofs(connection: Connection, person: str, _pseudonym: str) -> None:
    """Let go of the capability that they changed settings with, and of the messages with it in them."""
    vins = list(connection.execute(select(configs.c.vin).where(_changed_by(person))).scalars())
    connection.execute(update(configs).where(configs.c.vin.in_(vins)).values(capability=None))
    for vin in vins:
        connection.execute(
            delete(outbox.table).where(
                outbox.table.c.subject.contains(vin, autoescape=True), outbox.table.c.sent_at.is_not(None)
            )
        )

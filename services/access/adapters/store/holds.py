"""Legal holds: what operators decided, and the copy that this service's own jobs obey."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from services.access.adapters.store.person_rows import hold_decisions
from services.access.adapters.store.tables import add_if_new, holds, write_audit
from services.access.domain.holds import HoldDecision, HoldUnknownError, NewHold, TooManyHoldsError
from services.platform.legal_holds import MOST_HOLDS, HeldSubject

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from services.platform.database import Database

_c = hold_decisions.c


class SqlHolds:
    """usecases.holds.HoldRecord on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def set(self, new: NewHold, *, by: str, at: datetime, alone: bool) -> HoldDecision:
        """See the port."""

        def work(connection: Connection) -> HoldDecision:
            first = HoldDecision(new, by, at)
            if add_if_new(connection, hold_decisions, _row_of(first)):
                _audit(connection, "HOLD_REQUESTED", first, by, at)
            known = _find(connection, new.hold_id)
            after = known.asked_again(new, by, at, alone=alone)
            if after.is_in_force and not known.is_in_force and len(_in_force(connection)) >= MOST_HOLDS:
                raise TooManyHoldsError
            _keep(connection, known, after, "LEGAL_HOLD_SET" if after.is_in_force else "", by, at)
            return after

        return await self._database.write(work)

    async def lift(self, hold_id: str, *, by: str, at: datetime, alone: bool) -> HoldDecision:
        """See the port."""

        def work(connection: Connection) -> HoldDecision:
            known = _find(connection, hold_id)
            after = known.asked_to_lift(by, at, alone=alone)
            act = "HOLD_LIFT_REQUESTED" if after.lifted_at is None else "LEGAL_HOLD_LIFTED"
            _keep(connection, known, after, act, by, at)
            return after

        return await self._database.write(work)

    async def all(self) -> list[HoldDecision]:
        """See the port."""
        last = (_c.lifted_at.is_not(None), _c.set_at.is_(None))
        query = select(hold_decisions).order_by(*last, _c.requested_at.desc(), _c.hold_id).limit(MOST_HOLDS)
        return await self._database.read(lambda c: [_decision_of(row) for row in c.execute(query)])

    async def in_force(self) -> list[HoldDecision]:
        """See the port."""
        return await self._database.read(_in_force)


def _keep(
    connection: Connection, before: HoldDecision, after: HoldDecision, act: str, by: str, at: datetime
) -> None:
    if after == before:
        return
    connection.execute(update(hold_decisions).where(_c.hold_id == after.asked.hold_id).values(_row_of(after)))
    _audit(connection, act, after, by, at)
    holds.replace(
        connection,
        [
            HeldSubject(each.asked.hold_id, each.asked.vin, each.asked.person, each.set_at or at)
            for each in _in_force(connection)
        ],
    )


def _audit(connection: Connection, act: str, decision: HoldDecision, by: str, at: datetime) -> None:
    asked = decision.asked
    write_audit(connection, act, by=by, at=at, principal=asked.person, vin=asked.vin, named=asked.hold_id)


def _find(connection: Connection, hold_id: str) -> HoldDecision:
    row = connection.execute(select(hold_decisions).where(_c.hold_id == hold_id).with_for_update()).first()
    if row is None:
        raise HoldUnknownError
    return _decision_of(row)


def _in_force(connection: Connection) -> list[HoldDecision]:
    query = select(hold_decisions).where(_c.set_at.is_not(None), _c.lifted_at.is_(None))
    rows = connection.execute(query.order_by(_c.set_at, _c.hold_id).limit(MOST_HOLDS))
    return [_decision_of(row) for row in rows]


def _row_of(decision: HoldDecision) -> dict[str, Any]:
    asked = decision.asked
    return {
        "hold_id": asked.hold_id,
        "vin": asked.vin,
        "person": asked.person,
        "reason": asked.reason,
        "requested_by": decision.requested_by,
        "requested_at": decision.requested_at,
        "approved_by": decision.approved_by or None,
        "set_at": decision.set_at,
        "lift_requested_by": decision.lift_requested_by or None,
        "lift_requested_at": decision.lift_requested_at,
        "lifted_by": decision.lifted_by or None,
        "lifted_at": decision.lifted_at,
    }


def _decision_of(row: Row[Any]) -> HoldDecision:
    return HoldDecision(
        NewHold(row.hold_id, row.vin, row.person, row.reason),
        row.requested_by,
        row.requested_at,
        row.approved_by or "",
        row.set_at,
        row.lift_requested_by or "",
        row.lift_requested_at,
        row.lifted_by or "",
        row.lifted_at,
    )

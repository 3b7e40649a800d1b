"""The tables of this service, and what is done to them. Rows never leave this file."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    LargeBinary,
    MetaData,
    String,
    Text,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Field, SQLModel

from services.diagnostics.adapters.alert_budget import AlertBudget
from services.diagnostics.adapters.check_requests import CheckRequests
from services.diagnostics.adapters.health_trends import HealthTrends
from services.diagnostics.adapters.told_alerts import ToldAlerts
from services.diagnostics.domain.damping import changed, due
from services.diagnostics.domain.diagnosis import (
    Alert,
    ComponentHealth,
    ComponentStatus,
    Diagnosis,
    SelfCheck,
    Severity,
    follow,
)
from services.platform.audit_outbox import AuditOutbox
from services.platform.clock import CLOCK
from services.platform.database import Instant
from services.platform.dead_letters import DeadLetters
from services.platform.legal_holds import LegalHolds
from services.platform.outbox import Outbox
from services.telematics.senders import sender_of
from services.telematics.sessions import VehicleSessions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Row, Table

    from services.diagnostics.domain.damping import ToldAlert
    from services.diagnostics.domain.diagnosis import AlertChange, AlertKey
    from services.diagnostics.domain.self_checks import RequestedCheck
    from services.diagnostics.domain.trend import ComponentTrend
    from services.platform.database import Database
    from services.platform.outbox import OutboxRelay, OutgoingMessage

HEAD = "0011_check_requests"
MOST_TOLD_ALERTS = 256
"""What was reported of so many alerts of a vehicle is remembered; of more, its share alone is the bound."""


class DiagnosticsModel(SQLModel):
    """The base of this service's rows."""

    metadata = MetaData()


class LastCheck(DiagnosticsModel, table=True):
    """The newest self-check of a vehicle, by epoch and counter; `components` is JSON."""

    __tablename__ = "last_check"

    vin: str = Field(sa_column=Column(String(17), primary_key=True))
    observed_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    boot_id: str = Field(sa_column=Column(String(64), nullable=False))
    sequence: int = Field(sa_column=Column(BigInteger, nullable=False))
    components: str = Field(sa_column=Column(Text, nullable=False))
    epoch: bytes | None = Field(sa_column=Column(LargeBinary, nullable=True))
    epoch_order: int = Field(sa_column=Column(BigInteger, nullable=False, server_default="0"))
    counter: int = Field(sa_column=Column(BigInteger, nullable=False, server_default="0"))


class ActiveAlert(DiagnosticsModel, table=True):
    """An alert that stands now, in the order `position` in which it is shown."""

    __tablename__ = "standing_alert"

    vin: str = Field(sa_column=Column(String(17), primary_key=True))
    component_id: str = Field(sa_column=Column(String(64), primary_key=True))
    code: str = Field(sa_column=Column(String(64), primary_key=True))
    position: int
    severity: str = Field(sa_column=Column(String(16), nullable=False))
    message: str = Field(sa_column=Column(Text, nullable=False))
    raised_at: datetime = Field(sa_column=Column(Instant, nullable=False))


outbox = Outbox(DiagnosticsModel.metadata)
audit_outbox = AuditOutbox(DiagnosticsModel.metadata)
dead_letters = DeadLetters(DiagnosticsModel.metadata, sender_of)
sessions = VehicleSessions(DiagnosticsModel.metadata, issues_orders=False)
told_alerts = ToldAlerts(DiagnosticsModel.metadata)
health_trends = HealthTrends(DiagnosticsModel.metadata)
check_requests = CheckRequests(DiagnosticsModel.metadata)
holds = LegalHolds(DiagnosticsModel.metadata)

last_checks: Table = DiagnosticsModel.metadata.tables["last_check"]
_checks = last_checks
_alerts: Table = DiagnosticsModel.metadata.tables["standing_alert"]


class DiagnosisStore:
    """This service's record. `outgoing` makes the message of a change; `relay` learns of it after the commit. An alert
    that comes and goes is reported once in `damping` (services.diagnostics.domain.damping).
    """

    def __init__(
        self,
        database: Database,
        relay: OutboxRelay,
        outgoing: Callable[[AlertChange, datetime], OutgoingMessage],
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = CLOCK.monotonic,
        damping: timedelta = timedelta(seconds=600),
        trend_kept: timedelta = timedelta(days=400),
    ) -> None:
        self._trend_kept = trend_kept
        self._budget = AlertBudget(monotonic)
        self._damping = damping
        self._database = database
        self._relay = relay
        self._outgoing = outgoing
        self._now = now

    async def find(self, vin: str) -> Diagnosis | None:
        """Return the vehicle's diagnosis; None before its first report."""
        return await self._database.read(lambda connection: _find(connection, vin))

    async def requested_check(self, vin: str) -> RequestedCheck | None:
        """Return what became of asking the vehicle for checks; None where it never was and is not going to be."""
        return await self._database.read(lambda connection: check_requests.of(connection, vin))

    async def trend(
        self, vin: str, component_id: str | None
    ) -> tuple[Diagnosis | None, list[ComponentTrend]]:
        """Return the vehicle's diagnosis, None before its first report, and the trend of its components, or of one."""

        def work(connection: Connection) -> tuple[Diagnosis | None, list[ComponentTrend]]:
            return _find(connection, vin), health_trends.of_vehicle(connection, vin, component_id)

        return await self._database.read(work)

    async def ingest(self, checks: Sequence[SelfCheck]) -> None:
        """Keep the newest of each vehicle, and tell of alerts that came and went, in one commit."""
        at = self._now()

        def work(connection: Connection) -> list[OutgoingMessage]:
            messages = [
                message
                for changes in _ingest(connection, checks, self._trend_kept)
                for message in self._tell(connection, changes, at)
            ]
            outbox.add(connection, messages)
            check_requests.answered(connection, sorted({check.vin for check in checks}), at)
            return messages

        self._relay.hand_over(await self._database.write(work))

    async def tell_due(self) -> None:
        """Tell of what has waited for its time: alerts that come and go, and what the vehicle's share had no room for.

        Raises StorageUnavailableError.
        """
        at = self._now()
        for vin in await self._database.read(lambda connection: told_alerts.due(connection, at)):
            self._relay.hand_over(await self._database.write(partial(self._tell_due, vin=vin, at=at)))

    def _tell(
        self, connection: Connection, changes: Sequence[AlertChange], at: datetime
    ) -> list[OutgoingMessage]:
        """Return what is told of the changes of one self-check."""
        if not changes:
            return []
        vin = changes[0].check.vin
        known = told_alerts.of(connection, vin)
        after: dict[AlertKey, ToldAlert | None] = {}
        now: list[AlertChange] = []
        may_tell = self._budget.left(vin) > 0
        for change in changes:
            key = change.alert.key
            told, at_once = changed(known.get(key), change, at, self._damping, may_tell=may_tell)
            if key in known or len(known) < MOST_TOLD_ALERTS:
                known[key] = after[key] = told
            now += [at_once] if at_once is not None else []
        told_alerts.keep(connection, vin, after, at, self._damping)
        return [self._outgoing(change, at) for change in self._budget.told(now)]

    def _tell_due(self, connection: Connection, vin: str, at: datetime) -> list[OutgoingMessage]:
        connection.execute(select(_checks.c.vin).where(_checks.c.vin == vin).with_for_update())
        diagnosis = _find(connection, vin)
        if diagnosis is None:
            return []
        after: dict[AlertKey, ToldAlert | None] = {}
        now: list[AlertChange] = []
        may_tell = self._budget.left(vin) > 0
        for key, known in told_alerts.of(connection, vin).items():
            after[key], told = due(known, diagnosis.check, at, self._damping, may_tell=may_tell)
            now += [told] if told is not None else []
        told_alerts.keep(connection, vin, after, at, self._damping, looked_at=True)
        messages = [self._outgoing(change, at) for change in self._budget.told(now)]
        outbox.add(connection, messages)
        return messages


def _find(connection: Connection, vin: str) -> Diagnosis | None:
    """Return the check and its alerts, in one statement, so that they belong together."""
    both = _checks.outerjoin(_alerts, _checks.c.vin == _alerts.c.vin)
    query = (
        select(_checks, _alerts.c.component_id, _alerts.c.code, _alerts.c.severity, _alerts.c.message)
        .add_columns(_alerts.c.raised_at)
        .select_from(both)
        .where(_checks.c.vin == vin)
        .order_by(_alerts.c.position)
    )
    rows = connection.execute(query).all()
    if not rows:
        return None
    return Diagnosis(_check(rows[0]), tuple(_alert(row) for row in rows if row.code is not None))


def _ingest(
    connection: Connection, checks: Sequence[SelfCheck], trend_kept: timedelta
) -> list[list[AlertChange]]:
    """Keep the newest; the changes that each check made."""
    told: list[list[AlertChange]] = []
    # By VIN, so that replicas that lock several vehicles wait for each other and do not deadlock.
    for check in sorted(checks, key=lambda item: item.vin):
        previous = _locked(connection, check)
        if previous is not None and not check.is_newer_than(previous.check):
            continue
        falling = health_trends.take(connection, previous, check, trend_kept)
        followed = follow(previous, check, falling)
        if followed is None:
            continue
        diagnosis, changes = followed
        _save(connection, diagnosis, alerts_differ=previous is None or previous.alerts != diagnosis.alerts)
        told.append(changes)
    return told


def _locked(connection: Connection, check: SelfCheck) -> Diagnosis | None:
    """Return what is known of the vehicle, None when nothing is; until the commit nobody else can change it."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    begun = connection.execute(dialect.insert(_checks).values(_row(check)).on_conflict_do_nothing())
    if begun.rowcount == 1:
        return None
    connection.execute(select(_checks.c.vin).where(_checks.c.vin == check.vin).with_for_update())
    return _find(connection, check.vin)


def _save(connection: Connection, diagnosis: Diagnosis, *, alerts_differ: bool) -> None:
    check = diagnosis.check
    connection.execute(update(_checks).where(_checks.c.vin == check.vin).values(_row(check)))
    if not alerts_differ:
        return
    connection.execute(delete(_alerts).where(_alerts.c.vin == check.vin))
    if diagnosis.alerts:
        connection.execute(
            insert(_alerts),
            [
                {
                    "vin": check.vin,
                    "component_id": alert.component_id,
                    "code": alert.code,
                    "position": position,
                    "severity": alert.severity.value,
                    "message": alert.message,
                    "raised_at": alert.raised_at,
                }
                for position, alert in enumerate(diagnosis.alerts)
            ],
        )


def _row(check: SelfCheck) -> dict[str, Any]:
    return {
        "vin": check.vin,
        "observed_at": check.observed_at,
        "boot_id": check.boot_id,
        "sequence": check.sequence,
        "components": json.dumps([_component_to_json(each) for each in check.components]),
        "epoch": check.epoch,
        "epoch_order": check.epoch_order,
        "counter": check.counter,
    }


def _check(row: Row[Any]) -> SelfCheck:
    components = tuple(_component_from_json(each) for each in json.loads(row.components))
    order = (bytes(row.epoch or b""), row.epoch_order, row.counter)
    return SelfCheck(row.vin, row.observed_at, row.boot_id, row.sequence, components, *order)


def _alert(row: Row[Any]) -> Alert:
    return Alert(row.component_id, row.code, Severity(row.severity), row.message, row.raised_at)


def _component_to_json(component: ComponentHealth) -> dict[str, Any]:
    return {
        "id": component.component_id,
        "name": component.name,
        "status": component.status.value,
        # An earlier version beside this one reads a number, and shows it: the one that alarms nobody.
        "health": 100 if component.health is None else component.health,
        **({"healthUnknown": True} if component.health is None else {}),
        "lastMaintenance": _to_text(component.last_maintenance),
        "errorCodes": component.error_codes,
        "lastReported": _to_text(component.last_reported),
    }


def _component_from_json(values: dict[str, Any]) -> ComponentHealth:
    return ComponentHealth(
        component_id=values["id"],
        name=values["name"],
        status=ComponentStatus(values["status"]),
        health=None if values.get("healthUnknown") else values["health"],
        last_maintenance=_from_text(values["lastMaintenance"]),
        error_codes=tuple(values["errorCodes"]),
        last_reported=_from_text(values.get("lastReported")),
    )


def _to_text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _from_text(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)

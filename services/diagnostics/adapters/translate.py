"""Between this service's words and the contract's messages, public and vehicle."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ecarus.remotecontrol.door.v1 import door_diagnostics_pb2, door_update_pb2
from ecarus.remotecontrol.vehicle.v1 import report_pb2
from google.protobuf.message import DecodeError

from services.diagnostics.domain.diagnosis import (
    OLDEST_SHOWN,
    ComponentHealth,
    ComponentStatus,
    DiagnosisNotYetReportedError,
    SelfCheck,
)
from services.diagnostics.usecases import CheckNotSentError, TrendQuery
from services.platform import errors
from services.platform.errors import Refusal
from services.platform.free_text import readable
from services.platform.times import set_time, time_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ecarus.remotecontrol.door.v1 import door_diagnostics_service_pb2 as service_pb2
    from google.protobuf.timestamp_pb2 import Timestamp

    from protocol.reports import OpenedReport
    from services.diagnostics.domain.diagnosis import Alert, AlertChange, Diagnosis
    from services.diagnostics.domain.self_checks import RequestedCheck
    from services.diagnostics.domain.trend import ComponentTrend, HealthPoint

_RETRY_AFTER_SECONDS = 5
_MAX_SEQUENCE = 2**63 - 1
_MAX_NAME = 64
_MAX_CODE = 32
_MOST_CODES = 8
_MOST_REPORTED = 32
_END_OF_TIME = 4_102_444_800
"""The year 2100, seconds since 1970."""
_MAX_NANOS = 999_999_999
_FROM_GOOD_TO_BAD = [
    ComponentStatus.ACTIVE,
    ComponentStatus.INACTIVE,
    ComponentStatus.MAINTENANCE_REQUIRED,
    ComponentStatus.ERROR,
]

_CONDITIONS = {
    report_pb2.COMPONENT_CONDITION_ACTIVE: ComponentStatus.ACTIVE,
    report_pb2.COMPONENT_CONDITION_INACTIVE: ComponentStatus.INACTIVE,
    report_pb2.COMPONENT_CONDITION_ERROR: ComponentStatus.ERROR,
    report_pb2.COMPONENT_CONDITION_MAINTENANCE_REQUIRED: ComponentStatus.MAINTENANCE_REQUIRED,
}


class ReportError(ValueError):
    """What is no report; the text says why."""


def self_check(opened: OpenedReport, received_at: datetime) -> SelfCheck:
    """Return what a DiagnosticsReport says. What is not understood in it is left out or put right, and named in `cut`;
    the rules are those of the contract (proto/.../vehicle/v1/report.proto). Raise ReportError when it is no report.
    """
    try:
        report = report_pb2.DiagnosticsReport.FromString(opened.payload)
    except DecodeError as error:
        raise ReportError("not a diagnostics report") from error
    cut: set[str] = set()
    observed_at = _time(report.observed_at)
    if observed_at is None:
        cut.add("observed_at")
    if observed_at is None or not timedelta(0) <= received_at - observed_at <= OLDEST_SHOWN:
        observed_at = received_at
    boot_id = _name(report.boot_id) or "unknown"
    if boot_id != report.boot_id:
        cut.add("boot_id")
    if report.sequence > _MAX_SEQUENCE:
        cut.add("sequence")
    return SelfCheck(
        opened.vin,
        observed_at,
        boot_id,
        min(report.sequence, _MAX_SEQUENCE),
        _components(report.components, cut),
        opened.epoch,
        opened.order,
        opened.counter,
        tuple(sorted(cut)),
    )


def _components(reported: Iterable[report_pb2.Component], cut: set[str]) -> tuple[ComponentHealth, ...]:
    """Return the components that are understood: of those named twice the worse one, and of too many the worst."""
    found: dict[str, ComponentHealth] = {}
    for each in reported:
        component = _component(each, cut)
        if component is None:
            cut.add("components")
            continue
        other = found.get(component.component_id)
        if other is not None:
            cut.add("components")
        if other is None or _badness(component) > _badness(other):
            found[component.component_id] = component
    if len(found) > _MOST_REPORTED:
        cut.add("components")
        worst = set(sorted(found, key=lambda name: _badness(found[name]), reverse=True)[:_MOST_REPORTED])
        return tuple(component for name, component in found.items() if name in worst)
    return tuple(found.values())


def _badness(component: ComponentHealth) -> tuple[int, int]:
    return _FROM_GOOD_TO_BAD.index(component.status), len(component.error_codes)


def _component(component: report_pb2.Component, cut: set[str]) -> ComponentHealth | None:
    """Return what is said of one component; None when it has no name, or nothing that is understood is said of it."""
    component_id = _name(component.component_id)
    codes = tuple(filter(None, (_name(code, _MAX_CODE) for code in component.error_codes[:_MOST_CODES])))
    condition = component.condition
    # Of a newer vehicle: what has fault codes is in error, whatever its condition is called.
    status = _CONDITIONS.get(condition) or (ComponentStatus.ERROR if codes else None)
    if not component_id or status is None:
        return None
    name = readable(component.name)[:_MAX_NAME] or component_id
    health = max(0, min(100, component.health)) if component.HasField("health") else None
    maintained = _time(component.last_maintenance) if component.HasField("last_maintenance") else None
    if (
        component_id != component.component_id
        or condition not in _CONDITIONS
        or codes != tuple(component.error_codes)
        or not 1 <= len(component.name) <= _MAX_NAME
        or health not in {None, component.health}
        or (maintained is None and component.HasField("last_maintenance"))
    ):
        cut.add("components")
    return ComponentHealth(component_id, name, status, health, maintained, codes)


def _name(text: str, most: int = _MAX_NAME) -> str:
    return "".join(each for each in text if each.isascii() and each.isprintable())[:most]


def _time(timestamp: Timestamp) -> datetime | None:
    """Return the time; None when it is none that the contract allows."""
    if not (0 <= timestamp.seconds < _END_OF_TIME and 0 <= timestamp.nanos <= _MAX_NANOS):
        return None
    return time_of(timestamp)


def door_diagnostics(
    diagnosis: Diagnosis, requested: RequestedCheck | None = None
) -> door_diagnostics_pb2.DoorDiagnostics:
    """Return the public resource."""
    check = diagnosis.check
    message = door_diagnostics_pb2.DoorDiagnostics(
        vin=check.vin,
        system_status=door_diagnostics_pb2.SystemStatus.Value.Value(diagnosis.system_status.value),
        components=[_door_component(each) for each in check.components],
        alerts=[_door_alert(each) for each in diagnosis.alerts],
    )
    set_time(message.last_check, check.observed_at)
    if requested is not None:
        message.checks.CopyFrom(_checks(requested))
    return message


def _checks(requested: RequestedCheck) -> door_diagnostics_pb2.DiagnosticsChecks:
    message = door_diagnostics_pb2.DiagnosticsChecks(state=_check_state(requested), missed=requested.missed)
    for name in ("requested_at", "answered_at", "due_at"):
        at = getattr(requested, name)
        if at is not None:
            set_time(getattr(message, name), at)
    return message


def _check_state(requested: RequestedCheck) -> door_diagnostics_pb2.DiagnosticsCheckState.Value.ValueType:
    return door_diagnostics_pb2.DiagnosticsCheckState.Value.Value(requested.state.value)


def diagnostics_check(requested: RequestedCheck) -> door_diagnostics_pb2.DiagnosticsCheck:
    """Return a check that was asked for."""
    message = door_diagnostics_pb2.DiagnosticsCheck(vin=requested.vin, state=_check_state(requested))
    if requested.requested_at is not None:
        set_time(message.requested_at, requested.requested_at)
    return message


_PERIODS = {
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
    "365d": timedelta(days=365),
}
DEFAULT_PERIOD = "30d"
DEFAULT_POINTS = 100


def trend_query(request: service_pb2.GetDoorDiagnosticsTrendRequest, now: datetime) -> TrendQuery:
    """Return which part of the trend is asked for."""
    return TrendQuery(
        request.vin,
        now,
        _PERIODS[_period_of(request)],
        request.component if request.HasField("component") else None,
        request.points if request.HasField("points") else DEFAULT_POINTS,
    )


def _period_of(request: service_pb2.GetDoorDiagnosticsTrendRequest) -> str:
    return request.period if request.HasField("period") else DEFAULT_PERIOD


def door_diagnostics_trend(
    request: service_pb2.GetDoorDiagnosticsTrendRequest, query: TrendQuery, trends: Iterable[ComponentTrend]
) -> door_diagnostics_pb2.DoorDiagnosticsTrend:
    """Return the public resource."""
    message = door_diagnostics_pb2.DoorDiagnosticsTrend(
        vin=query.vin, period=_period_of(request), components=map(_component_trend, trends)
    )
    set_time(getattr(message, "from"), query.since)
    set_time(message.to, query.now)
    return message


def _component_trend(trend: ComponentTrend) -> door_diagnostics_pb2.ComponentTrend:
    per_month = trend.change_per_window
    return door_diagnostics_pb2.ComponentTrend(
        id=trend.component_id,
        name=trend.name,
        points=map(_health_point, trend.points),
        change=trend.change,
        change_per_month=None if per_month is None else round(per_month, 1),
        falling=trend.is_falling,
    )


def _health_point(point: HealthPoint) -> door_diagnostics_pb2.HealthPoint:
    message = door_diagnostics_pb2.HealthPoint(
        health=point.health,
        lowest=point.lowest,
        status=door_diagnostics_pb2.ComponentStatus.Value.Value(point.status.value),
    )
    set_time(message.time, point.at)
    return message


def _door_component(component: ComponentHealth) -> door_diagnostics_pb2.DoorComponent:
    message = door_diagnostics_pb2.DoorComponent(
        id=component.component_id,
        name=component.name,
        status=door_diagnostics_pb2.ComponentStatus.Value.Value(component.status.value),
        health=component.health,
        error_codes=component.error_codes,
    )
    if component.last_reported is not None:
        set_time(message.last_reported, component.last_reported)
    if component.last_maintenance is not None:
        set_time(message.last_maintenance, component.last_maintenance)
    return message


def _door_alert(alert: Alert) -> door_diagnostics_pb2.DiagnosticsAlert:
    message = door_diagnostics_pb2.DiagnosticsAlert(
        code=alert.code,
        severity=door_update_pb2.AlertSeverity.Value.Value(alert.severity.value),
        message=alert.message,
        component_id=alert.component_id,
    )
    set_time(message.raised_at, alert.raised_at)
    return message


def door_update(change: AlertChange) -> door_update_pb2.DoorUpdate:
    """Return what those who watch the vehicle are told; the status service gives it its id."""
    alert = change.alert
    told = alert.message
    if change.flips:
        told += f" It comes and goes: {change.flips} changes since you were told of it last."
    message = door_update_pb2.DoorUpdate(
        type=door_update_pb2.DoorUpdateType.SYSTEM_ALERT,
        vin=change.check.vin,
        system_alert=door_update_pb2.SystemAlert(
            code=alert.code,
            severity=door_update_pb2.AlertSeverity.Value.Value(alert.severity.value),
            message=told,
            component_id=alert.component_id or None,
            cleared=True if change.cleared else None,
            flap_count=change.flips or None,
        ),
    )
    set_time(message.timestamp, change.check.observed_at)
    return message


def refusal_of(error: Exception) -> Refusal | None:
    """Return how this service's own exceptions are told."""
    if isinstance(error, DiagnosisNotYetReportedError):
        return Refusal(
            errors.NOT_YET_REPORTED,
            "The vehicle has not reported a self-check yet. One that sleeps is woken by a command (lock, unlock), and "
            "checks itself then.",
            retry_after_seconds=_RETRY_AFTER_SECONDS,
        )
    if isinstance(error, CheckNotSentError):
        return Refusal(
            errors.DEPENDENCY_UNAVAILABLE,
            "The vehicle could not be asked at this moment. Nothing was sent; try again.",
            retry_after_seconds=_RETRY_AFTER_SECONDS,
        )
    return None

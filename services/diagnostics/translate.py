"""Between this room's words and the contract's messages, public and vehicle."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from ecarus.remotecontrol.door.v1 import door_diagnostics_pb2, door_update_pb2
from ecarus.remotecontrol.vehicle.v1 import report_pb2
from google.protobuf.message import DecodeError

from services.diagnostics.domain import LONGEST_LEAD, Component, ComponentStatus, NotYetReported, SelfCheck
from services.runtime import errors
from services.runtime.errors import Refusal
from services.runtime.free_text import readable
from services.runtime.public_values import set_time
from services.runtime.vehicle_rules import broken_rule

if TYPE_CHECKING:
    from datetime import datetime

    from google.protobuf.timestamp_pb2 import Timestamp

    from services.diagnostics.domain import Alert, AlertChange, Diagnosis

_RETRY_AFTER_SECONDS = 5

_CONDITIONS = {
    report_pb2.COMPONENT_CONDITION_ACTIVE: ComponentStatus.ACTIVE,
    report_pb2.COMPONENT_CONDITION_INACTIVE: ComponentStatus.INACTIVE,
    report_pb2.COMPONENT_CONDITION_ERROR: ComponentStatus.ERROR,
    report_pb2.COMPONENT_CONDITION_MAINTENANCE_REQUIRED: ComponentStatus.MAINTENANCE_REQUIRED,
}


class ReportRefused(ValueError):
    """A vehicle's report that means nothing; the text says why."""


def self_check(vin: str, payload: bytes, received_at: datetime) -> SelfCheck:
    """What a serialized DiagnosticsReport says. Raises ReportRefused."""
    try:
        report = report_pb2.DiagnosticsReport.FromString(payload)
    except DecodeError as error:
        raise ReportRefused("not a diagnostics report") from error
    broken = broken_rule(report)
    if broken is not None:
        raise ReportRefused(broken)
    observed_at = _time(report.observed_at)
    if observed_at > received_at + LONGEST_LEAD:
        raise ReportRefused("observed in the future")
    components = tuple(_component(each) for each in report.components)
    if len({each.component_id for each in components}) != len(components):
        raise ReportRefused("two components with one id")
    return SelfCheck(vin, observed_at, report.boot_id, report.sequence, components)


def _component(component: report_pb2.Component) -> Component:
    return Component(
        component_id=component.component_id,
        name=readable(component.name) or component.component_id,
        status=_CONDITIONS[component.condition],
        health=component.health,
        last_maintenance=_time(component.last_maintenance)
        if component.HasField("last_maintenance")
        else None,
        error_codes=tuple(component.error_codes),
    )


def _time(timestamp: Timestamp) -> datetime:
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise ReportRefused("a time that is none") from error


def door_diagnostics(diagnosis: Diagnosis) -> door_diagnostics_pb2.DoorDiagnostics:
    """The public resource."""
    check = diagnosis.check
    message = door_diagnostics_pb2.DoorDiagnostics(
        vin=check.vin,
        system_status=door_diagnostics_pb2.SystemStatus.Value.Value(diagnosis.system_status.value),
        components=[_door_component(each) for each in check.components],
        alerts=[_door_alert(each) for each in diagnosis.alerts],
    )
    set_time(message.last_check, check.observed_at)
    return message


def _door_component(component: Component) -> door_diagnostics_pb2.DoorComponent:
    message = door_diagnostics_pb2.DoorComponent(
        id=component.component_id,
        name=component.name,
        status=door_diagnostics_pb2.ComponentStatus.Value.Value(component.status.value),
        health=component.health,
        error_codes=component.error_codes,
    )
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
    """What those who watch the vehicle are told; the status service gives it its id."""
    alert = change.alert
    message = door_update_pb2.DoorUpdate(
        type=door_update_pb2.DoorUpdateType.SYSTEM_ALERT,
        vin=change.check.vin,
        system_alert=door_update_pb2.SystemAlert(
            code=alert.code,
            severity=door_update_pb2.AlertSeverity.Value.Value(alert.severity.value),
            message=alert.message,
            component_id=alert.component_id or None,
            cleared=True if change.cleared else None,
        ),
    )
    set_time(message.timestamp, change.check.observed_at)
    return message


def refusal_of(error: Exception) -> Refusal | None:
    """How this room's own exceptions are told."""
    if isinstance(error, NotYetReported):
        return Refusal(
            errors.NOT_YET_REPORTED,
            "The vehicle has not reported a self-check yet; it does when it is next awake. Try again then.",
            retry_after_seconds=_RETRY_AFTER_SECONDS,
        )
    return None

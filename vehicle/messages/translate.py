"""Between the messages of `vehicle/v1` and the car's own words. The only place that builds or reads them."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1 import body_pb2, command_pb2, report_pb2

from vehicle.doors import diagnosis
from vehicle.doors.automation import ActuationCause
from vehicle.doors.body import REAR, Body, DoorName, Equipment, Gear, Ignition, RemoteAccess
from vehicle.doors.command import (
    Cancellation,
    CancelOutcome,
    Command,
    CommandFault,
    CommandOutcome,
    DoorOutcome,
    LockAction,
    MalformedCommandError,
    Mode,
    Result,
)
from vehicle.doors.settings import DoorSettings, DoorSettingsError, UnlockMode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from vehicle.doors.lock_changes import LockChange

_DOOR_IDS = {
    DoorName.DRIVER: body_pb2.DOOR_ID_DRIVER,
    DoorName.PASSENGER: body_pb2.DOOR_ID_PASSENGER,
    DoorName.REAR_LEFT: body_pb2.DOOR_ID_REAR_LEFT,
    DoorName.REAR_RIGHT: body_pb2.DOOR_ID_REAR_RIGHT,
    DoorName.TRUNK: body_pb2.DOOR_ID_TRUNK,
    DoorName.HOOD: body_pb2.DOOR_ID_HOOD,
}
_COMMANDED = {number: name for name, number in _DOOR_IDS.items() if name is not DoorName.HOOD}
_ACTIONS = {command_pb2.DOOR_ACTION_UNLOCK: LockAction.UNLOCK, command_pb2.DOOR_ACTION_LOCK: LockAction.LOCK}
_MODES = {
    command_pb2.DOOR_ACTION_MODE_NORMAL: Mode.NORMAL,
    command_pb2.DOOR_ACTION_MODE_EMERGENCY: Mode.EMERGENCY,
    command_pb2.DOOR_ACTION_MODE_SECURE: Mode.SECURE,
}
_MODES_OF = {
    LockAction.UNLOCK: (Mode.NORMAL, Mode.EMERGENCY),
    LockAction.LOCK: (Mode.NORMAL, Mode.SECURE),
}
_UNLOCK_MODES = {
    body_pb2.UNLOCK_MODE_ALL: UnlockMode.ALL,
    body_pb2.UNLOCK_MODE_DRIVER_ONLY: UnlockMode.DRIVER_ONLY,
    body_pb2.UNLOCK_MODE_SEQUENCE: UnlockMode.SEQUENCE,
}
_UNLOCK_MODE_NUMBERS = {mode: number for number, mode in _UNLOCK_MODES.items()}
_IGNITIONS = {
    Ignition.OFF: body_pb2.IGNITION_OFF,
    Ignition.ACC: body_pb2.IGNITION_ACC,
    Ignition.ON: body_pb2.IGNITION_ON,
}
_GEARS = {Gear.P: body_pb2.GEAR_P, Gear.R: body_pb2.GEAR_R, Gear.N: body_pb2.GEAR_N, Gear.D: body_pb2.GEAR_D}
_REMOTE_ACCESS = {
    RemoteAccess.ENABLED: body_pb2.REMOTE_ACCESS_ENABLED,
    RemoteAccess.DISABLED: body_pb2.REMOTE_ACCESS_DISABLED,
    RemoteAccess.PRIVACY_MODE: body_pb2.REMOTE_ACCESS_PRIVACY_MODE,
}
_FAULTS = {
    CommandFault.VEHICLE_MOVING: report_pb2.FAULT_CODE_VEHICLE_MOVING,
    CommandFault.DOOR_OPEN: report_pb2.FAULT_CODE_DOOR_OPEN,
    CommandFault.ENGINE_ON: report_pb2.FAULT_CODE_ENGINE_ON,
    CommandFault.ACTUATOR: report_pb2.FAULT_CODE_ACTUATOR,
    CommandFault.LOW_BATTERY: report_pb2.FAULT_CODE_LOW_BATTERY,
    CommandFault.EXPIRED: report_pb2.FAULT_CODE_EXPIRED,
    CommandFault.INTERRUPTED: report_pb2.FAULT_CODE_INTERRUPTED,
    CommandFault.NOT_SUPPORTED: report_pb2.FAULT_CODE_NOT_SUPPORTED,
    CommandFault.CANCELLED: report_pb2.FAULT_CODE_CANCELLED,
    CommandFault.REMOTE_ACCESS_DISABLED: report_pb2.FAULT_CODE_REMOTE_ACCESS_DISABLED,
}
_OUTCOMES = {
    CommandOutcome.SUCCEEDED: report_pb2.COMMAND_OUTCOME_SUCCEEDED,
    CommandOutcome.PARTIAL: report_pb2.COMMAND_OUTCOME_PARTIAL,
    CommandOutcome.FAILED: report_pb2.COMMAND_OUTCOME_FAILED,
    CommandOutcome.REFUSED: report_pb2.COMMAND_OUTCOME_REFUSED,
    CommandOutcome.CANCELLED: report_pb2.COMMAND_OUTCOME_CANCELLED,
}
_LOCK_CAUSES = {
    ActuationCause.COMMAND: body_pb2.LOCK_CAUSE_COMMAND,
    ActuationCause.EMERGENCY: body_pb2.LOCK_CAUSE_COMMAND,
    ActuationCause.AUTO_LOCK: body_pb2.LOCK_CAUSE_AUTO_LOCK,
    ActuationCause.SPEED_LOCK: body_pb2.LOCK_CAUSE_SPEED_LOCK,
    ActuationCause.PARKING_UNLOCK: body_pb2.LOCK_CAUSE_PARKING_UNLOCK,
    ActuationCause.HAND: body_pb2.LOCK_CAUSE_KEY,
    ActuationCause.DEFECT: body_pb2.LOCK_CAUSE_UNSPECIFIED,  # the unit sees that the lock moved, and cannot tell why
}
_NO_CHANGES: Mapping[DoorName, LockChange] = MappingProxyType({})
_CANCEL_OUTCOMES = {
    CancelOutcome.WILL_NOT_ACT: report_pb2.CANCEL_OUTCOME_WILL_NOT_ACT,
    CancelOutcome.STOPPED: report_pb2.CANCEL_OUTCOME_STOPPED,
    CancelOutcome.TOO_LATE: report_pb2.CANCEL_OUTCOME_TOO_LATE,
}
_CONDITIONS = {
    diagnosis.ComponentCondition.ACTIVE: report_pb2.COMPONENT_CONDITION_ACTIVE,
    diagnosis.ComponentCondition.ERROR: report_pb2.COMPONENT_CONDITION_ERROR,
    diagnosis.ComponentCondition.MAINTENANCE_REQUIRED: report_pb2.COMPONENT_CONDITION_MAINTENANCE_REQUIRED,
}


def command_from(message: command_pb2.DoorCommand, deadline_millis: int) -> Command:
    """Return the command. Raises MalformedCommandError for what this car cannot carry out as written."""
    action, mode = _ACTIONS.get(message.action), _MODES.get(message.mode)
    if action is None or mode not in _MODES_OF[action]:
        raise MalformedCommandError("action and mode do not belong together")
    if message.all_doors == bool(message.doors):
        raise MalformedCommandError("name doors, or all of them, and not both")
    if len(set(message.doors)) != len(message.doors) or not set(message.doors) <= _COMMANDED.keys():
        raise MalformedCommandError("a door is named twice or cannot be commanded")
    return Command(
        command_id=message.command_id,
        action=action,
        mode=mode,
        doors=tuple(_COMMANDED[number] for number in message.doors),
        all_doors=message.all_doors,
        deadline_millis=deadline_millis,
    )


def begun_command_from(kept: bytes) -> Command:
    """Return the command the journal kept: it began, so that it has no deadline any more."""
    return command_from(command_pb2.DoorCommand.FromString(kept), deadline_millis=0)


def cancellation_from(message: command_pb2.CancelCommand) -> Cancellation:
    """Return the cancellation."""
    return Cancellation(message.cancel_id, message.command_id, message.force)


def settings_from(message: body_pb2.DoorSettings, equipment: Equipment) -> tuple[DoorSettings, str]:
    """Return what of these settings a car of this equipment runs with, and which members it left out and why; empty
    when none. Raise DoorSettingsError for a value that no car takes: then nothing of them is applied.
    """
    mode = _UNLOCK_MODES.get(message.unlock_mode)
    if mode is None:
        raise DoorSettingsError("unlock_mode is unknown to this car")
    lacks_child_locks = message.child_lock_enabled and not any(
        name in equipment.child_locks and name in equipment.doors for name in REAR
    )
    settings = DoorSettings(
        auto_lock_enabled=message.auto_lock_enabled,
        auto_lock_delay_seconds=message.auto_lock_delay_seconds,
        unlock_mode=mode,
        child_lock_enabled=message.child_lock_enabled and not lacks_child_locks,
        speed_based_lock_enabled=message.speed_based_lock_enabled,
        speed_lock_threshold_kmh=message.speed_lock_threshold_kmh,
        parking_auto_unlock=message.parking_auto_unlock,
    )
    return settings, "child_lock_enabled: this car has no child locks" if lacks_child_locks else ""


def hello(boot_id: str, agent_version: str, config_version: int, now: datetime) -> report_pb2.Hello:
    """I am here."""
    message = report_pb2.Hello(boot_id=boot_id, agent_version=agent_version, config_version=config_version)
    message.said_at.FromDatetime(now)
    return message


def received(command_id: str, now: datetime) -> report_pb2.CommandReceived:
    """Return the message that the command is stored."""
    message = report_pb2.CommandReceived(command_id=command_id)
    message.received_at.FromDatetime(now)
    return message


def result_into(
    result: Result, body: Body, status: report_pb2.StatusReport, began_after: int | None = None
) -> report_pb2.CommandResult:
    """Return what became of a command that began after the report of sequence `began_after`, and how the car stands."""
    message = report_pb2.CommandResult(
        command_id=result.command_id,
        outcome=_OUTCOMES[result.outcome],
        guidance=result.guidance,
        doors=[_door_outcome(outcome, body) for outcome in result.doors],
        status=status,
        began_after_sequence=began_after,
    )
    if result.fault:
        message.fault = _FAULTS[result.fault]
    if result.started_at:
        message.started_at.FromDatetime(result.started_at)
    message.finished_at.FromDatetime(result.finished_at)
    return message


def was_cancelled(kept: bytes) -> bool:
    """Return whether the result the journal kept says CANCELLED: that no door moved and none will."""
    outcome = report_pb2.CommandResult.FromString(kept).outcome
    return outcome == report_pb2.COMMAND_OUTCOME_CANCELLED


def cancel_result(cancellation: Cancellation, outcome: CancelOutcome) -> report_pb2.CancelResult:
    """Return the car's signed response on a cancellation."""
    return report_pb2.CancelResult(
        cancel_id=cancellation.cancel_id,
        command_id=cancellation.command_id,
        outcome=_CANCEL_OUTCOMES[outcome],
    )


def status_report(
    body: Body,
    now: datetime,
    boot_id: str,
    sequence: int,
    interval_seconds: int,
    lock_changes: Mapping[DoorName, LockChange] = _NO_CHANGES,
    *,
    going_to_sleep: bool = False,
) -> report_pb2.StatusReport:
    """Return the car as it stands. `lock_changes`: how locks came to stand so, where that is known. `going_to_sleep`:
    it says no more until its next hello.
    """
    message = report_pb2.StatusReport(
        boot_id=boot_id,
        sequence=sequence,
        reporting_interval_seconds=interval_seconds,
        going_to_sleep=going_to_sleep,
        fitted_doors=[_DOOR_IDS[name] for name in body.doors],
        remote_access=_REMOTE_ACCESS[body.remote_access],
    )
    if body.remote_access is not RemoteAccess.PRIVACY_MODE:
        message.doors.extend(
            _observation(name, body, lock_changes.get(name))
            for name in body.doors
            if body.equipment.senses(name)
        )
        message.ignition = _IGNITIONS[body.ignition]
        message.speed_kmh = body.speed_kmh
        message.gear = _GEARS[body.gear]
    message.observed_at.FromDatetime(now)
    return message


def diagnostics_report(
    body: Body, now: datetime, boot_id: str, sequence: int
) -> report_pb2.DiagnosticsReport:
    """Return the self-check."""
    message = report_pb2.DiagnosticsReport(boot_id=boot_id, sequence=sequence)
    message.observed_at.FromDatetime(now)
    for component in diagnosis.components(body):
        line = message.components.add(
            component_id=component.component_id,
            name=component.name,
            condition=_CONDITIONS[component.condition],
            health=component.health,
            error_codes=component.error_codes,
        )
        line.last_maintenance.FromDatetime(component.last_maintenance)
    return message


def config_report(
    version: int, settings: DoorSettings, now: datetime, refused: str = "", left_out: str = ""
) -> report_pb2.ConfigReport:
    """Return the settings in force, answering `version`. `refused` says why that one was not applied, `left_out` which
    members of it were not, and why.
    """
    message = report_pb2.ConfigReport(
        version=version,
        applied=not refused,
        reason=refused or left_out,
        settings=body_pb2.DoorSettings(
            auto_lock_enabled=settings.auto_lock_enabled,
            auto_lock_delay_seconds=settings.auto_lock_delay_seconds,
            unlock_mode=_UNLOCK_MODE_NUMBERS[settings.unlock_mode],
            child_lock_enabled=settings.child_lock_enabled,
            speed_based_lock_enabled=settings.speed_based_lock_enabled,
            speed_lock_threshold_kmh=settings.speed_lock_threshold_kmh,
            parking_auto_unlock=settings.parking_auto_unlock,
        ),
    )
    message.applied_at.FromDatetime(now)
    return message


def _observation(name: DoorName, body: Body, changed: LockChange | None) -> body_pb2.DoorObservation:
    door, fitted = body.doors[name], body.equipment
    moved = None
    if changed is not None and name in fitted.lock_switches:
        cause = _LOCK_CAUSES.get(changed.cause, body_pb2.LOCK_CAUSE_OTHER)
        moved = body_pb2.LockChange(cause=cause, after_sequence=changed.after_sequence)
    return body_pb2.DoorObservation(
        door=_DOOR_IDS[name],
        locked=door.locked if name in fitted.lock_switches else None,
        open=door.open if name in fitted.door_switches else None,
        window_open=door.window_open if name in fitted.window_sensors else None,
        child_lock=door.child_lock if name in fitted.child_locks else None,
        lock_change=moved,
    )


def _sensed_lock(name: DoorName, body: Body) -> bool | None:
    if name not in body.doors or name not in body.equipment.lock_switches:
        return None
    if body.remote_access is RemoteAccess.PRIVACY_MODE:
        return None
    return body.doors[name].locked


def _door_outcome(outcome: DoorOutcome, body: Body) -> report_pb2.DoorOutcome:
    message = report_pb2.DoorOutcome(
        door=_DOOR_IDS[outcome.door],
        succeeded=outcome.succeeded,
        locked=_sensed_lock(outcome.door, body),
    )
    if outcome.fault:
        message.fault = _FAULTS[outcome.fault]
    return message

"""Messages with every member set: what a second implementation's generated code must read and write."""

from __future__ import annotations

from ecarus.remotecontrol.vehicle.v1 import body_pb2, command_pb2, report_pb2, session_pb2

from tests.support.protocol_harness import WALL_SECONDS

DOORS = (
    body_pb2.DOOR_ID_DRIVER,
    body_pb2.DOOR_ID_PASSENGER,
    body_pb2.DOOR_ID_REAR_LEFT,
    body_pb2.DOOR_ID_REAR_RIGHT,
    body_pb2.DOOR_ID_TRUNK,
)


def settings(version: int) -> command_pb2.ApplyConfig:
    """All settings, each switched on."""
    return command_pb2.ApplyConfig(version=version, settings=_settings())


def configured(version: int) -> report_pb2.ConfigReport:
    """Settings that were applied but for one member."""
    report = report_pb2.ConfigReport(
        version=version, applied=True, reason="this vehicle has no child_lock_enabled", settings=_settings()
    )
    report.settings.child_lock_enabled = False
    report.applied_at.FromSeconds(WALL_SECONDS)
    return report


def received(command_id: str) -> report_pb2.CommandReceived:
    """A command that was stored."""
    message = report_pb2.CommandReceived(command_id=command_id)
    message.received_at.FromSeconds(WALL_SECONDS)
    return message


def partial(command_id: str) -> report_pb2.CommandResult:
    """A result of two doors of which one did not move, and how the vehicle stands."""
    result = report_pb2.CommandResult(
        command_id=command_id,
        outcome=report_pb2.COMMAND_OUTCOME_PARTIAL,
        fault=report_pb2.FAULT_CODE_ACTUATOR,
        guidance="Have the trunk's actuator looked at.",
        began_after_sequence=4,
    )
    result.started_at.FromSeconds(WALL_SECONDS)
    result.finished_at.FromSeconds(WALL_SECONDS + 1)
    result.doors.add(door=body_pb2.DOOR_ID_DRIVER, succeeded=True, locked=False)
    result.doors.add(
        door=body_pb2.DOOR_ID_TRUNK, succeeded=False, locked=True, fault=report_pb2.FAULT_CODE_ACTUATOR
    )
    result.status.CopyFrom(status(5))
    return result


def status(sequence: int, *, going_to_sleep: bool = False) -> report_pb2.StatusReport:
    """A vehicle that tells of everything, `false` and 0 too."""
    report = report_pb2.StatusReport(
        boot_id="boot-1",
        sequence=sequence,
        ignition=body_pb2.IGNITION_OFF,
        speed_kmh=0.0,
        gear=body_pb2.GEAR_P,
        reporting_interval_seconds=30,
        going_to_sleep=going_to_sleep,
        fitted_doors=DOORS,
        remote_access=body_pb2.REMOTE_ACCESS_ENABLED,
    )
    report.observed_at.FromSeconds(WALL_SECONDS)
    for door in DOORS:
        one = report.doors.add(door=door, locked=door != DOORS[0], open=False)
        if door != body_pb2.DOOR_ID_TRUNK:
            one.window_open, one.child_lock = False, False
    moved = report.doors[0].lock_change
    moved.cause, moved.after_sequence = body_pb2.LOCK_CAUSE_COMMAND, 4
    return report


def self_check(sequence: int) -> report_pb2.DiagnosticsReport:
    """A self-check that found something."""
    report = report_pb2.DiagnosticsReport(boot_id="boot-1", sequence=sequence)
    report.observed_at.FromSeconds(WALL_SECONDS)
    component = report.components.add(
        component_id="driver_actuator_01",
        name="Driver door actuator",
        condition=report_pb2.COMPONENT_CONDITION_ERROR,
        health=0,
        error_codes=["B1A01", "B1A10"],
    )
    component.last_maintenance.FromSeconds(WALL_SECONDS - 86_400)
    return report


def hello() -> report_pb2.Hello:
    """A hello of a unit that runs with settings."""
    message = report_pb2.Hello(boot_id="boot-1", agent_version="unit 1.0.0", config_version=4)
    message.said_at.FromSeconds(WALL_SECONDS)
    return message


def refused_reports() -> list[session_pb2.RefusedReport]:
    """What a cloud tells a unit of its messages: one that it refused, one of which it cut something."""
    return [
        session_pb2.RefusedReport(domain="evt.result", reason="BAD_SIGNATURE", accepted=False, count=2),
        session_pb2.RefusedReport(
            domain="evt.status", reason="CUT: accepted without speed_kmh", accepted=True, count=17
        ),
    ]


def _settings() -> body_pb2.DoorSettings:
    return body_pb2.DoorSettings(
        auto_lock_enabled=True,
        auto_lock_delay_seconds=60,
        unlock_mode=body_pb2.UNLOCK_MODE_SEQUENCE,
        child_lock_enabled=True,
        speed_based_lock_enabled=True,
        speed_lock_threshold_kmh=20,
        parking_auto_unlock=True,
    )

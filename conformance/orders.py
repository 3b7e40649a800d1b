"""The orders that the rules give, and the doors that they look at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1 import body_pb2, command_pb2

from conformance.cloud import new_id
from conformance.finding import RuleViolatedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ecarus.remotecontrol.vehicle.v1 import report_pb2

DRIVER = body_pb2.DOOR_ID_DRIVER
PASSENGER = body_pb2.DOOR_ID_PASSENGER
LIFETIME = timedelta(seconds=30)
"""Of a command, by the wall clock."""


def unlock(*doors: body_pb2.DoorId.ValueType, command_id: str | None = None) -> command_pb2.DoorCommand:
    """Unlock these doors; the driver's where none is named."""
    return _door_command(command_pb2.DOOR_ACTION_UNLOCK, doors or (DRIVER,), command_id)


def lock(*doors: body_pb2.DoorId.ValueType) -> command_pb2.DoorCommand:
    """Lock these doors; the driver's where none is named."""
    return _door_command(command_pb2.DOOR_ACTION_LOCK, doors or (DRIVER,), None)


def cancel_command(command_id: str, *, force: bool = False) -> command_pb2.CancelCommand:
    """Return a cancellation, or a forced stop."""
    return command_pb2.CancelCommand(
        cancel_id=new_id(), command_id=command_id, reason="conformance", force=force
    )


def settings(version: int, delay_seconds: int = 30) -> command_pb2.ApplyConfig:
    """Return settings with which nothing happens by itself."""
    return command_pb2.ApplyConfig(
        version=version,
        settings=body_pb2.DoorSettings(
            auto_lock_delay_seconds=delay_seconds,
            unlock_mode=body_pb2.UNLOCK_MODE_ALL,
            speed_lock_threshold_kmh=15,
        ),
    )


def is_locked(status: report_pb2.StatusReport, door: int) -> bool:
    """Return what the report says of this door. Raises Violated where it says nothing: absent is not unlocked."""
    for one in status.doors:
        if one.door == door:
            if not one.HasField("locked"):
                raise RuleViolatedError(
                    "a report does not say whether a door is locked: false must be written, too"
                )
            if not one.HasField("locked"):
                raise RuleViolatedError(
                    "it does not say whether the door is locked: what is absent is unknown"
                )
            return one.locked
    raise RuleViolatedError("the result does not say how the doors stand (CommandResult.status)")


def _door_command(
    action: command_pb2.DoorAction.ValueType,
    doors: Sequence[body_pb2.DoorId.ValueType],
    command_id: str | None,
) -> command_pb2.DoorCommand:
    command = command_pb2.DoorCommand(
        command_id=command_id or new_id(),
        correlation_id=new_id(),
        action=action,
        doors=doors,
        mode=command_pb2.DOOR_ACTION_MODE_NORMAL,
        subject="conformance",
        actor="conformance",
    )
    now = datetime.now(UTC)
    command.issued_at.FromDatetime(now)
    command.expires_at.FromDatetime(now + LIFETIME)
    return command

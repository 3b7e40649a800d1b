"""The doors of a car that stands, locked and shut, and what is said of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.vehicle.v1 import body_pb2, command_pb2, report_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tcu.disk import Disk
    from tests.tcu.orders import Order

DOORS = (1, 2, 3, 4, 5)
DRIVER, TRUNK = 1, 5
DOOR_SECONDS = 0.2
INTERVAL_SECONDS = 30
RANGES = {"auto_lock_delay_seconds": (5, 600), "speed_lock_threshold_kmh": (5, 60)}
UNLOCK_MODES = {
    body_pb2.UNLOCK_MODE_ALL,
    body_pb2.UNLOCK_MODE_DRIVER_ONLY,
    body_pb2.UNLOCK_MODE_SEQUENCE,
}
UNLOCK, LOCK = command_pb2.DOOR_ACTION_UNLOCK, command_pb2.DOOR_ACTION_LOCK
NORMAL, EMERGENCY = command_pb2.DOOR_ACTION_MODE_NORMAL, command_pb2.DOOR_ACTION_MODE_EMERGENCY


class Body:
    def __init__(self, disk: Disk, boot_id: str) -> None:
        self._disk = disk
        self._boot_id = boot_id
        self.sequence = 0
        for door in DOORS:
            disk.locked.setdefault(str(door), True)

    @property
    def settings(self) -> Any:
        """As a new car has them: auto lock after 30 s, locks at 15 km/h, unlocks when parked, opens all doors."""
        version, kept = self._disk.settings
        if version:
            return body_pb2.DoorSettings.FromString(bytes.fromhex(kept))
        return body_pb2.DoorSettings(
            auto_lock_enabled=True,
            auto_lock_delay_seconds=30,
            unlock_mode=body_pb2.UNLOCK_MODE_ALL,
            speed_based_lock_enabled=True,
            speed_lock_threshold_kmh=15,
            parking_auto_unlock=True,
        )

    async def obey(self, order: Order, clock: Callable[[], int]) -> Any:
        """The CommandResult, without its status. The expiry is looked at before each door."""
        command = order.body
        result = report_pb2.CommandResult(command_id=command.command_id, began_after_sequence=self.sequence)
        result.started_at.GetCurrentTime()
        doors = self._doors(command)
        if command.action not in {UNLOCK, LOCK} or command.mode not in {NORMAL, EMERGENCY} or not doors:
            result.outcome = report_pb2.COMMAND_OUTCOME_REFUSED
            result.fault = report_pb2.FAULT_CODE_NOT_SUPPORTED
            return result
        for door in doors:
            is_late = clock() >= order.expires_at_millis
            if not is_late and self._locked(door) != (command.action == LOCK):
                await asyncio.sleep(DOOR_SECONDS)  # the actuator
                self._disk.locked[str(door)] = command.action == LOCK
                self._disk.keep()
            result.doors.add(
                door=door,
                succeeded=not is_late,
                locked=self._locked(door),
                fault=report_pb2.FAULT_CODE_EXPIRED if is_late else report_pb2.FAULT_CODE_UNSPECIFIED,
            )
        moved = [one.succeeded for one in result.doors]
        if all(moved):
            result.outcome = report_pb2.COMMAND_OUTCOME_SUCCEEDED
        elif any(moved):
            result.outcome = report_pb2.COMMAND_OUTCOME_PARTIAL
        else:
            result.outcome, result.fault = (
                report_pb2.COMMAND_OUTCOME_REFUSED,
                report_pb2.FAULT_CODE_EXPIRED,
            )
        result.finished_at.GetCurrentTime()
        return result

    def configure(self, order: Order) -> Any:
        """The ConfigReport: what is out of its range is not applied, and what runs is said."""
        wanted = order.body.settings
        wrong = [
            f"{name} must be {least} to {most}, not {getattr(wanted, name)}"
            for name, (least, most) in RANGES.items()
            if not least <= getattr(wanted, name) <= most
        ]
        if wanted.unlock_mode not in UNLOCK_MODES:
            wrong.append(f"unlock_mode {wanted.unlock_mode} is not known")
        if not wrong:
            self._disk.settings = [order.body.version, wanted.SerializeToString().hex()]
            self._disk.keep()
        report = report_pb2.ConfigReport(
            version=order.body.version, applied=not wrong, reason="; ".join(wrong), settings=self.settings
        )
        report.applied_at.GetCurrentTime()
        return report

    def status(self, *, going_to_sleep: bool = False) -> Any:
        self.sequence += 1
        report = report_pb2.StatusReport(
            boot_id=self._boot_id,
            sequence=self.sequence,
            ignition=body_pb2.IGNITION_OFF,
            gear=body_pb2.GEAR_P,
            speed_kmh=0.0,
            fitted_doors=DOORS,
            reporting_interval_seconds=INTERVAL_SECONDS,
            going_to_sleep=going_to_sleep,
        )
        report.observed_at.GetCurrentTime()
        for door in DOORS:
            report.doors.add(door=door, locked=self._locked(door), open=False)
        return report

    def self_check(self) -> Any:
        self.sequence += 1
        report = report_pb2.DiagnosticsReport(boot_id=self._boot_id, sequence=self.sequence)
        report.observed_at.GetCurrentTime()
        report.components.add(
            component_id="driver_actuator_01",
            name="Driver door actuator",
            condition=report_pb2.COMPONENT_CONDITION_ACTIVE,
            health=100,
        )
        return report

    def _locked(self, door: int) -> bool:
        return self._disk.locked[str(door)]

    def _doors(self, command: Any) -> list[int]:
        """Those that were named, or all that lock; the unlock mode says which of them an unlock of all opens."""
        if not command.all_doors:
            return [] if set(command.doors) - set(DOORS) else list(command.doors)
        mode = self.settings.unlock_mode
        if (
            command.action == UNLOCK
            and command.mode != EMERGENCY
            and (
                mode == body_pb2.UNLOCK_MODE_DRIVER_ONLY
                or (mode == body_pb2.UNLOCK_MODE_SEQUENCE and self._locked(DRIVER))
            )
        ):
            return [DRIVER]
        return list(DOORS)

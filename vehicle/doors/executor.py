"""Carries out one command: checks, then door by door, until done, expired, unsafe or stopped."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from vehicle.doors.automation import ActuationCause
from vehicle.doors.body import LOCKABLE, DoorName
from vehicle.doors.command import Command, CommandFault, CommandOutcome, DoorOutcome, LockAction, Mode, Result
from vehicle.doors.safety import refusal
from vehicle.doors.settings import UnlockMode, doors_to_unlock

if TYPE_CHECKING:
    from datetime import datetime

    from vehicle.clock import Clock
    from vehicle.doors.car import Car

EXPIRED_GUIDANCE = "The command reached the car too late, and nothing was moved. Send it again."

_DONE = {
    LockAction.UNLOCK: "The doors are unlocked.",
    LockAction.LOCK: "The doors are locked.",
}
_DOOR_FAULTS = {
    CommandFault.ACTUATOR: "did not move (actuator fault): use the key there and have it repaired",
    CommandFault.DOOR_OPEN: "was opened meanwhile: shut it and lock again",
    CommandFault.VEHICLE_MOVING: "was left alone because the car drove off",
    CommandFault.ENGINE_ON: "was left alone because the engine was started",
    CommandFault.REMOTE_ACCESS_DISABLED: "was left alone because remote access was switched off in the car",
    CommandFault.LOW_BATTERY: "was left alone to save the battery",
    CommandFault.EXPIRED: "was left alone because the command expired",
    CommandFault.CANCELLED: "was left alone because the command was cancelled",
    CommandFault.INTERRUPTED: "was not reached before the car's unit restarted",
}


class Execution:
    """One command being carried out. `run` once; `stop` any time."""

    def __init__(self, command: Command, car: Car, clock: Clock) -> None:
        self._command = command
        self._car = car
        self._clock = clock
        self._stop_asked = False

    def stop(self) -> bool:
        """Leave alone every door that has not begun to move. False for a lock: that is finished, because a car that
        is half locked stands open.
        """
        self._stop_asked = self._command.action is LockAction.UNLOCK
        return self._stop_asked

    async def run(self) -> Result:
        """Move what may be moved. The caller holds the car's actuators, and has remembered the command."""
        command, started_at = self._command, self._clock.now()
        doors = target_doors(command, self._car)
        if command.is_expired(self._clock):
            return self._unmoved(CommandOutcome.REFUSED, CommandFault.EXPIRED, EXPIRED_GUIDANCE, doors)
        beyond = self._beyond(doors)
        if beyond:
            return self._unmoved(CommandOutcome.REFUSED, CommandFault.NOT_SUPPORTED, beyond, doors)
        refused = refusal(command.action, command.mode, doors, self._car.body)
        if refused:
            return self._unmoved(CommandOutcome.REFUSED, refused.fault, refused.guidance, doors)
        cause = ActuationCause.EMERGENCY if command.mode is Mode.EMERGENCY else ActuationCause.COMMAND
        outcomes = tuple(
            await self._car.actuate(command.command_id, doors, command.position, cause, self._fault_for)
        )
        self._car.log.sync()
        return self._result(outcomes, started_at)

    @property
    def _movable(self) -> tuple[DoorName, ...]:
        body = self._car.body
        return body.unlockable if self._command.action is LockAction.UNLOCK else body.lockable

    def _beyond(self, doors: tuple[DoorName, ...]) -> str:
        """Return what to tell of doors that this car lacks, or does not unlock; nothing where it can do it all."""
        body = self._car.body
        lacking = [door.value for door in doors if door not in body.doors]
        if lacking:
            return f"This car has no door {', '.join(lacking)}. Nothing was moved; name the doors it has, or all."
        fixed = [door.value for door in doors if door in body.equipment.key_only]
        if self._command.action is LockAction.UNLOCK and (fixed or not doors):
            which = ", ".join(fixed) or "its doors"
            return f"This car unlocks {which} with the key alone. Nothing was moved."
        return ""

    def _fault_for(self, door: DoorName) -> CommandFault | None:
        if self._stop_asked:
            return CommandFault.CANCELLED
        if self._command.is_expired(self._clock):
            return CommandFault.EXPIRED
        refused = refusal(self._command.action, self._command.mode, (door,), self._car.body)
        return refused.fault if refused else None

    def _result(self, outcomes: tuple[DoorOutcome, ...], started_at: datetime) -> Result:
        faults = Counter(outcome.fault for outcome in outcomes if outcome.fault)
        outcome, fault = _verdict(outcomes, faults)
        return Result(
            self._command.command_id,
            outcome,
            fault,
            self._guidance(outcomes),
            outcomes,
            started_at,
            self._clock.now(),
            stopped=CommandFault.CANCELLED in faults,
        )

    def _guidance(self, outcomes: tuple[DoorOutcome, ...]) -> str:
        failed = [
            f"{outcome.door.value} {_DOOR_FAULTS[outcome.fault]}." for outcome in outcomes if outcome.fault
        ]
        if failed:
            moved = [outcome.door.value for outcome in outcomes if outcome.succeeded]
            done = _DONE[self._command.action].removeprefix("The doors are ").removesuffix(".")
            return " ".join([*failed, f"Now {done}: {', '.join(moved) or 'none of them'}."])
        deadlocked = [each.door.value for each in outcomes if self._car.body.doors[each.door].deadlocked]
        if deadlocked and self._command.mode is Mode.NORMAL:
            return (
                f"The doors are locked. The deadlock of {', '.join(deadlocked)} stays: unlock to release it."
            )
        if self._command.all_doors and len(outcomes) < len(self._movable):
            if self._car.settings.unlock_mode is UnlockMode.SEQUENCE:
                return "The driver's door is unlocked, as your settings say. Unlock again for the others."
            return (
                "Only the driver's door is unlocked, as your settings say. Name other doors to unlock them."
            )
        return _DONE[self._command.action]

    def _unmoved(
        self, outcome: CommandOutcome, fault: CommandFault, guidance: str, doors: tuple[DoorName, ...]
    ) -> Result:
        now = self._clock.now()
        outcomes = tuple(DoorOutcome(door, succeeded=False, moved=False, fault=fault) for door in doors)
        return Result(self._command.command_id, outcome, fault, guidance, outcomes, None, now)


def target_doors(command: Command, car: Car) -> tuple[DoorName, ...]:
    """Return the doors a command means, in the order of actuation. The unlock mode speaks only for "all"."""
    if not command.all_doors:
        return tuple(door for door in LOCKABLE if door in command.doors)
    if command.action is LockAction.UNLOCK and command.mode is Mode.NORMAL:
        return doors_to_unlock(car.settings.unlock_mode, car.body)
    return car.body.unlockable if command.action is LockAction.UNLOCK else car.body.lockable


def cancelled(command_id: str, doors: tuple[DoorName, ...], now: datetime) -> Result:
    """Return the result of a command that was cancelled before it began."""
    outcomes = tuple(
        DoorOutcome(door, succeeded=False, moved=False, fault=CommandFault.CANCELLED) for door in doors
    )
    guidance = "The command was cancelled before it began. No door was moved."
    return Result(command_id, CommandOutcome.CANCELLED, CommandFault.CANCELLED, guidance, outcomes, None, now)


def not_understood(command_id: str, reason: str, now: datetime) -> Result:
    """Return the result of a command this car cannot carry out as written."""
    guidance = f"This car cannot do that: {reason}. Nothing was moved."
    return Result(command_id, CommandOutcome.REFUSED, CommandFault.NOT_SUPPORTED, guidance, (), None, now)


def interrupted(command: Command, car: Car, began_at: datetime, now: datetime) -> Result:
    """Return the result of a command that a crash cut short: the doors as observed now. It never acts again."""
    outcomes = tuple(
        DoorOutcome(
            door, succeeded=at_target, moved=False, fault=None if at_target else CommandFault.INTERRUPTED
        )
        for door in _possible_targets(command, car)
        for at_target in (car.body.doors[door].is_at(command.position),)
    )
    guidance = (
        "The car's unit restarted in the middle of the command. Check the doors before you send it again."
    )
    return Result(
        command.command_id, CommandOutcome.FAILED, CommandFault.INTERRUPTED, guidance, outcomes, began_at, now
    )


def _possible_targets(command: Command, car: Car) -> tuple[DoorName, ...]:
    # What "all" meant was decided by the body as it stood then; report every door it may have meant.
    lockable = car.body.lockable
    return lockable if command.all_doors else tuple(door for door in lockable if door in command.doors)


def _verdict(
    outcomes: tuple[DoorOutcome, ...], faults: Counter[CommandFault]
) -> tuple[CommandOutcome, CommandFault | None]:
    if not faults:
        return CommandOutcome.SUCCEEDED, None
    tried = next(
        (fault for fault in (CommandFault.ACTUATOR, CommandFault.DOOR_OPEN) if fault in faults), None
    )
    if any(outcome.moved for outcome in outcomes):
        return CommandOutcome.PARTIAL, None
    if tried:
        some_stand_right = any(outcome.succeeded for outcome in outcomes)
        return (CommandOutcome.PARTIAL, None) if some_stand_right else (CommandOutcome.FAILED, tried)
    # Nothing was tried: what kept the first door from it speaks for all.
    first = next(iter(faults))
    return (CommandOutcome.CANCELLED if first is CommandFault.CANCELLED else CommandOutcome.REFUSED), first

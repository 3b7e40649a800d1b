"""How commands end that no vehicle ended, and what to do about each reason."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from services.command.domain.commands import CommandAction, Ending, FailureReason, Status

if TYPE_CHECKING:
    from datetime import datetime

    from services.command.domain.commands import DoorAction, DoorResult

GUIDANCE = {
    # generated: guidance of each reason
    FailureReason.VEHICLE_MOVING: (
        "Ask whether somebody is driving the vehicle. Try again once it stands still."
    ),
    FailureReason.DOOR_OPEN: (
        "Close all doors and the trunk firmly, then lock again. If every door is closed, have the door "
        "contact checked."
    ),
    FailureReason.ENGINE_ON: (
        "Switch the ignition off and try again. In an emergency use the unlock mode EMERGENCY while the "
        "vehicle stands still."
    ),
    FailureReason.ACTUATOR_FAULT: (
        "Use the mechanical key for that door. If it happens again at the same door, arrange a visit to a "
        "workshop."
    ),
    FailureReason.LOW_BATTERY: (
        "Use the mechanical key. Charge the battery or drive the vehicle; if it is low again soon, have the "
        "battery checked."
    ),
    FailureReason.PARTIAL_SUCCESS: (
        "Check the doors that did not move at the vehicle, and lock or unlock those by hand."
    ),
    FailureReason.TTL_EXPIRED: (
        "Check the door status first, because the vehicle may have acted. Try again where the vehicle has "
        "reception."
    ),
    FailureReason.TOO_LATE: "Check the door status. If it is not as wanted, send the opposite command.",
    FailureReason.GRANT_REVOKED: "Ask the owner of the vehicle to share it again.",
    FailureReason.INTERRUPTED: (
        "Check the door status before trying again. If it happens often, have the control unit and its "
        "power supply checked."
    ),
    FailureReason.NOT_SUPPORTED: "Choose doors and functions that this vehicle has.",
    FailureReason.CANCELLED: "Check the door status. Send the command again if it is still wanted.",
    FailureReason.SUPERSEDED: "Wait until the lock has ended, then unlock again if it is still wanted.",
    FailureReason.NOT_PROVEN: "Try again. If that does not help, contact technical support.",
    FailureReason.REMOTE_ACCESS_DISABLED: (
        "Remote access can be switched on again in the vehicle only. Until then use the key."
    ),
    FailureReason.COMMAND_IN_PROGRESS: "Wait until it has ended, or cancel it, and try again.",
    # end of generated
}
"""What to do about it, where the vehicle gave no guidance of its own: the contract's English (`failure_text`)."""


def not_accepted(now: datetime, fault: str) -> Ending:
    """Return the ending of a command that the vehicle refuses to take as an order."""
    return Ending(
        Status.FAILED,
        now,
        f"The vehicle does not take this order ({fault}).",
        failure_reason=FailureReason.NOT_SUPPORTED,
        guidance=GUIDANCE[FailureReason.NOT_SUPPORTED],
    )


def timed_out(now: datetime, *, surely_unsent: bool) -> Ending:
    """Return the ending of a command whose time ran out. It may have acted, unless it surely never left."""
    return Ending(
        status=Status.TIMEOUT,
        finished_at=now,
        message="No result from the vehicle in time."
        if not surely_unsent
        else "The command could not be handed to the vehicle in time; nothing was sent.",
        failure_reason=FailureReason.TTL_EXPIRED,
        guidance=GUIDANCE[FailureReason.TTL_EXPIRED]
        if not surely_unsent
        else "The vehicle was not reached and did not act; try again.",
        may_have_succeeded=not surely_unsent,
    )


def partial_success(now: datetime, doors: tuple[DoorResult, ...], guidance: str = "") -> Ending:
    """Return the ending of a command of which some doors moved; of one of which none did, or all, what is unclear."""
    moved = ", ".join(door.door_id for door in doors if door.success)
    stood = ", ".join(door.door_id for door in doors if not door.success)
    if not moved or not stood:
        return unclear(now, doors)
    return Ending(
        Status.FAILED,
        now,
        f"Moved: {moved}. Did not move: {stood}.",
        FailureReason.PARTIAL_SUCCESS,
        guidance or GUIDANCE[FailureReason.PARTIAL_SUCCESS],
        door_results=doors,
    )


def unclear(now: datetime, doors: tuple[DoorResult, ...]) -> Ending:
    """Return the ending of a command whose signed result does not fit together, or has an outcome that is not known
    here: it is over, and what is said of each door is all that is known.
    """
    return Ending(
        Status.FAILED,
        now,
        "The vehicle has finished, but its result is not clear.",
        FailureReason.INTERRUPTED,
        "Check the door status before trying again: doors may have moved.",
        may_have_succeeded=True,
        door_results=doors,
    )


def held_against(door_action: DoorAction, ending: Ending) -> Ending:
    """Return the ending of `door_action`, where a success whose doors stand otherwise than was ordered is none."""
    otherwise = door_action.action is not CommandAction.LOCK
    if ending.status is not Status.SUCCESS or not any(
        door.locked is otherwise for door in ending.door_results
    ):
        return ending
    doors = tuple(
        replace(door, success=False, failure_reason=FailureReason.ACTUATOR_FAULT)
        if door.locked is otherwise
        else door
        for door in ending.door_results
    )
    if any(door.success for door in doors):
        return partial_success(ending.finished_at, doors)
    word = "unlocked" if door_action.action is CommandAction.LOCK else "locked"
    return Ending(
        Status.FAILED,
        ending.finished_at,
        f"The vehicle says that it is done, and that the doors are still {word}.",
        FailureReason.ACTUATOR_FAULT,
        GUIDANCE[FailureReason.ACTUATOR_FAULT],
        door_results=doors,
    )


def arrived_too_late(now: datetime) -> Ending:
    """Return the ending of a command whose time was up when the vehicle got it, as the vehicle signs: it did not
    act.
    """
    return Ending(
        Status.TIMEOUT,
        now,
        "The vehicle got the command after its time was up and did not act.",
        failure_reason=FailureReason.TTL_EXPIRED,
        guidance="Nothing moved; try again.",
        may_have_succeeded=False,
    )


def cancelled_before_dispatch(now: datetime) -> Ending:
    """Return the ending of a command that was cancelled before it left."""
    return Ending(Status.CANCELLED, now, "Cancelled before it was handed to the vehicle.")


def superseded(now: datetime) -> Ending:
    """Return the ending of an unlock that a lock took the place of before the vehicle acted on it."""
    return Ending(
        Status.CANCELLED,
        now,
        "A later lock took its place; the vehicle did not act on this unlock.",
        failure_reason=FailureReason.SUPERSEDED,
        guidance=GUIDANCE[FailureReason.SUPERSEDED],
        may_have_succeeded=False,
    )


def right_ended(now: datetime) -> Ending:
    """Return the ending of a command whose requester lost the right before it was handed over."""
    return Ending(
        Status.FAILED,
        now,
        "Not handed to the vehicle: the right to command it had ended.",
        failure_reason=FailureReason.GRANT_REVOKED,
        guidance=GUIDANCE[FailureReason.GRANT_REVOKED],
    )


def not_proven(now: datetime) -> Ending:
    """Return the ending of a command that the signer saw no proof for: nothing about anybody's right."""
    return Ending(
        Status.FAILED,
        now,
        "Not handed to the vehicle: that it was asked for could not be proven.",
        failure_reason=FailureReason.NOT_PROVEN,
        guidance=GUIDANCE[FailureReason.NOT_PROVEN],
        may_have_succeeded=False,
    )


def right_ended_on_the_way(now: datetime) -> Ending:
    """Return the ending of a command that was on its way when its requester lost the right, and that the vehicle
    gave up.
    """
    return Ending(
        Status.FAILED,
        now,
        "Taken back: the right to command it had ended. The vehicle will not act on it.",
        failure_reason=FailureReason.GRANT_REVOKED,
        guidance=GUIDANCE[FailureReason.GRANT_REVOKED],
        may_have_succeeded=False,
    )

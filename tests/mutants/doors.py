"""Faults of which doors are meant, and of what is said of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.mutants.mutant import Swap, mutant
from vehicle.doors import executor
from vehicle.doors.body import RemoteAccess
from vehicle.doors.command import LockAction
from vehicle.messages import translate

if TYPE_CHECKING:
    from ecarus.remotecontrol.vehicle.v1 import command_pb2

    from vehicle.doors.body import Body, DoorName
    from vehicle.doors.command import Command


@mutant("all-doors-are-all-locks")
def all_means_the_drivers(swap: Swap) -> None:
    """A command for all doors moves one."""

    def target_doors(was: Any) -> Any:
        def one(command: Command, car: Any) -> tuple[DoorName, ...]:
            doors: tuple[DoorName, ...] = was(command, car)
            return doors[:1] if command.all_doors else doors

        return one

    swap(executor, "target_doors", target_doors)


@mutant("door-it-lacks-is-refused")
def doors_it_lacks_left_out(swap: Swap) -> None:
    """Of the doors that are named it moves those that there are."""

    def command_from(was: Any) -> Any:
        def knowing(message: command_pb2.DoorCommand, deadline_millis: int) -> Command:
            known = [door for door in message.doors if door in translate._COMMANDED]
            message.doors[:] = known
            command: Command = was(message, deadline_millis)
            return command

        return knowing

    swap(translate, "command_from", command_from)


@mutant("good-order-acts", stays_good=False)
def false_left_out(swap: Swap) -> None:
    """A hand-written encoder leaves `false` out: an unlocked door is unknown."""

    def observation(was: Any) -> Any:
        def without(name: DoorName, body: Any) -> Any:
            made = was(name, body)
            if not made.locked:
                made.ClearField("locked")
            return made

        return without

    swap(translate, "_observation", observation)


@mutant("remote-access-off-refuses-all")
def remote_access_does_not_count(swap: Swap) -> None:
    """It says that remote access is off, and locks all the same."""

    def refusal(was: Any) -> Any:
        def unlocks_only(action: Any, mode: Any, doors: Any, body: Body) -> Any:
            if action is LockAction.LOCK:
                body = body.with_remote_access(RemoteAccess.ENABLED)
            return was(action, mode, doors, body)

        return unlocks_only

    swap(executor, "refusal", refusal)


@mutant("privacy-mode-tells-nothing")
def results_tell_in_privacy_mode(swap: Swap) -> None:
    """Its reports are silent, and its results say how the locks stand."""

    def sensed_lock(was: Any) -> Any:
        def told(name: DoorName, body: Body) -> bool | None:
            locked: bool | None = was(name, body.with_remote_access(RemoteAccess.ENABLED))
            return locked

        return told

    swap(translate, "_sensed_lock", sensed_lock)

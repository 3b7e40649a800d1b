"""What a command may ask of a vehicle of a model. Standard library only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from services.command.domain.commands import ALL_DOORS, CommandAction, Mode
from services.command.domain.refusals import DoorNotFittedError, FunctionNotAvailableError

if TYPE_CHECKING:
    from collections.abc import Collection

    from services.command.domain.commands import DoorAction

TRUNK = "trunk"


class CommandableModel(Protocol):
    """What a model of vehicles can be told to do."""

    @property
    def door_ids(self) -> Collection[str]:
        """The doors that there are."""

    @property
    def lockable(self) -> Collection[str]:
        """Those of them that can be locked from afar."""

    @property
    def unlockable(self) -> Collection[str]:
        """Those of them that can be unlocked from afar."""

    @property
    def unlock_modes(self) -> Collection[str]:
        """The modes of an unlock."""

    @property
    def lock_modes(self) -> Collection[str]:
        """The modes of a lock."""


class VehicleModelLookup(Protocol):
    """Which model a vehicle is of."""

    def of(self, vin: str) -> CommandableModel:
        """Return the model of this vehicle."""


def check_available(asked: DoorAction, model: CommandableModel) -> None:
    """Raise DoorNotFittedError for a door that vehicles of this model lack, and FunctionNotAvailableError for what they
    cannot do.
    """
    unlocks = asked.action is CommandAction.UNLOCK
    modes, movable = (model.unlock_modes, model.unlockable) if unlocks else (model.lock_modes, model.lockable)
    missing = [
        (n, door) for n, door in enumerate(asked.target_doors) if door not in {ALL_DOORS, *model.door_ids}
    ]
    if missing:
        raise DoorNotFittedError(missing, tuple(movable))
    function = "REMOTE_UNLOCK" if unlocks else "REMOTE_LOCK"
    if not modes or not movable:
        raise FunctionNotAvailableError(function)
    if asked.mode.value not in modes:
        usual = asked.mode is Mode.NORMAL
        raise FunctionNotAvailableError(function if usual else f"{asked.mode.value}_{asked.action.value}")
    fixed = [door for door in asked.target_doors if door not in {ALL_DOORS, *movable}]
    if fixed:
        raise FunctionNotAvailableError("TRUNK_RELEASE" if unlocks and fixed == [TRUNK] else function, fixed)

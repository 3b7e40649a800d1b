"""Why something about a command is refused at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.command.domain.commands import FailureReason, Status


class CommandRefusedError(Exception):
    """A request that is not carried out."""


class DoorNotFittedError(CommandRefusedError):
    """The vehicle's model lacks doors that the command names: where each stands in the command, and its name.
    `there_are` are those that the command could name.
    """

    def __init__(self, missing: Sequence[tuple[int, str]], there_are: Sequence[str]) -> None:
        super().__init__(*(door for _, door in missing))
        self.missing = missing
        self.there_are = there_are


class FunctionNotAvailableError(CommandRefusedError):
    """Vehicles of this model cannot do that: `function` names it, `doors` those of which it is so, where not of all."""

    def __init__(self, function: str, doors: Sequence[str] = ()) -> None:
        super().__init__(function)
        self.function = function
        self.doors = doors


class CorrelationIdReusedError(CommandRefusedError):
    """The same id came before with another body."""


class CannotDeliverError(CommandRefusedError):
    """Nothing can leave for vehicles at this time: what cannot be sent is not accepted."""


@dataclass(slots=True, eq=False)
class CommandInProgressError(CommandRefusedError):
    """Another command is in flight on this vehicle."""

    command_id: str


class NotYoursToCancelError(CommandRefusedError):
    """Somebody else gave the command, whose role is higher; or it locks."""


class CommandNotFoundError(CommandRefusedError):
    """This vehicle has no such command."""


@dataclass(slots=True, eq=False)
class CommandAlreadyFinishedError(CommandRefusedError):
    """Stop tracking a command that has ended."""

    command_id: str
    status: Status


@dataclass(slots=True, eq=False)
class CommandForbiddenError(CommandRefusedError):
    """The vehicle said moments ago what stands in the way."""

    reason: FailureReason
    open_doors: tuple[str, ...] = field(default=())

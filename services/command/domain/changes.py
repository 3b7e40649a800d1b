"""What can happen to a command: what the rules return, and what the record keeps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from services.command.domain.own_cancellations import taken_back_id

if TYPE_CHECKING:
    from datetime import datetime

    from services.command.domain.commands import Command, Ending, FailureReason, LateResult, Status
    from services.command.domain.wake_budget import WakeUp


@dataclass(frozen=True, slots=True)
class CancellationState:
    """A cancellation as it stands: somebody's, or the cloud's own (own_cancellations)."""

    cancel_id: str
    requested_at: datetime
    unanswered: bool = True


@dataclass(frozen=True, slots=True)
class CommandState:
    """A command as it stands, with every cancellation of it that was ever kept."""

    command: Command
    cancellations: tuple[CancellationState, ...] = ()

    @property
    def final(self) -> bool:
        """Return whether it has ended."""
        return self.command.status.final

    @property
    def taken_back(self) -> bool:
        """Return whether the cloud asked the vehicle to give it up, because the right to it had ended."""
        return self.cancellation(taken_back_id(self.command.command_id)) is not None

    def cancellation(self, cancel_id: str) -> CancellationState | None:
        """Return the cancellation with this id; None when there is none."""
        return next((each for each in self.cancellations if each.cancel_id == cancel_id), None)

    def with_cancellation(self, cancellation: CancellationState) -> CommandState:
        """Return the same with one more, or with another state of one."""
        others = tuple(each for each in self.cancellations if each.cancel_id != cancellation.cancel_id)
        return replace(self, cancellations=(*others, cancellation))


@dataclass(frozen=True, slots=True)
class CommandReceived:
    """The vehicle has it: it is in progress."""

    at: datetime


@dataclass(frozen=True, slots=True)
class CommandEnded:
    """It has its final status. What the vehicle tells the end of, the vehicle has received (`by_vehicle`). With
    `unless_taken_over` it was surely never sent: no other process may have handed it over.
    """

    ending: Ending
    by_vehicle: bool = False
    unless_taken_over: bool = False


@dataclass(frozen=True, slots=True)
class LateResultKept:
    """The vehicle's result came after the time was up. The status stays."""

    late_result: LateResult


@dataclass(frozen=True, slots=True)
class InactionProven:
    """A command that timed out is known not to have acted. The status stays."""

    at: datetime
    guidance: str | None


@dataclass(frozen=True, slots=True)
class CancellationEnded:
    """A cancellation came to something, or to nothing and why."""

    cancel_id: str
    requested_at: datetime
    status: Status
    at: datetime
    reason: FailureReason | None


@dataclass(frozen=True, slots=True)
class CommandTakenBack:
    """The right to it ended on its way: the cloud's own cancellation is kept, for the vehicle to answer."""

    cancel_id: str
    answered: Status
    at: datetime


@dataclass(frozen=True, slots=True)
class CommandSuperseded:
    """The lock `by` took its place: it is not sent any more, and the cloud's own cancellation is kept."""

    cancel_id: str
    answered: Status
    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class WakeUpCounted:
    """The vehicle is sent a wake-up for it, within the budgets."""

    wake_up: WakeUp


@dataclass(frozen=True, slots=True)
class WakeUpNoted:
    """It is the first wake-up for this command."""

    at: datetime


@dataclass(frozen=True, slots=True)
class OutcomeContradicted:
    """The vehicle's next report showed doors otherwise than its result: (door, locked)."""

    at: datetime
    doors: tuple[tuple[str, bool], ...]


CommandChange = (
    CommandReceived
    | CommandEnded
    | LateResultKept
    | InactionProven
    | CancellationEnded
    | CommandTakenBack
    | CommandSuperseded
    | WakeUpCounted
    | WakeUpNoted
    | OutcomeContradicted
)


@dataclass(frozen=True, slots=True)
class Decision:
    """How a command stands then, and what happened, in order; nothing when it stands as before."""

    state: CommandState
    changes: tuple[CommandChange, ...] = ()


@dataclass(frozen=True, slots=True)
class ReportRejection:
    """A report that cannot be true of the command that it names, and why."""

    reason: str

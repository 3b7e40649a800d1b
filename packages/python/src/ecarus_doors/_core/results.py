"""How a command went, as far as is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ecarus_doors.errors import COMMAND_NOT_DONE, CommandNotDoneError
from ecarus_doors.models import CommandStatus, DoorCommand, DoorCommandDetails

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ecarus_doors.errors import DoorsError
    from ecarus_doors.models import DoorResult, FailureReason

LIFE_SECONDS = 30.0
"""How long a command lives (specification: the 30-second timeout)."""
LONGEST_WAIT = 60.0
FINAL = frozenset(
    {CommandStatus.SUCCESS, CommandStatus.FAILED, CommandStatus.TIMEOUT, CommandStatus.CANCELLED}
)
_BY_TIMER = (
    "The vehicle has not answered within 30 seconds. It may have acted: look at it, or ask for its status."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """A command, and how it stands.

    `status` is the command's; where 30 seconds have gone by without its end it is TIMEOUT, and `by_timer` is true: the
    service may still learn how it ended. `details` is its whole life, where it was asked for; `follow_error` why
    nothing more could be learned of it.
    """

    command_id: str
    vin: str
    status: CommandStatus
    correlation_id: str
    message: str
    by_timer: bool = False
    details: DoorCommandDetails | None = None
    follow_error: DoorsError | None = None

    @property
    def finished(self) -> bool:
        """Whether it has ended, or is taken as ended (`by_timer`)."""
        return self.status in FINAL

    @property
    def succeeded(self) -> bool:
        """Whether the doors are as was asked."""
        return self.status == CommandStatus.SUCCESS

    @property
    def may_have_acted(self) -> bool:
        """Whether the vehicle may have moved a door: only what is known not to have is False."""
        if self.status == CommandStatus.SUCCESS:
            return True
        if self.status == CommandStatus.CANCELLED:
            return False
        if (
            self.by_timer
            or not self.finished
            or self.details is None
            or self.details.may_have_succeeded is None
        ):
            return True
        return self.details.may_have_succeeded

    @property
    def failure_reason(self) -> FailureReason | None:
        """Why it failed."""
        return self.details.failure_reason if self.details else None

    @property
    def guidance(self) -> str | None:
        """What to do about it, for people."""
        return _BY_TIMER if self.by_timer else self.details.guidance if self.details else None

    @property
    def door_results(self) -> Sequence[DoorResult]:
        """What became of each door, as far as the vehicle has told."""
        return self.details.door_results if self.details else ()

    def raise_for_status(self) -> CommandResult:
        """Return itself where the command succeeded, or has not ended yet. Raise CommandNotDoneError otherwise."""
        if self.succeeded or not self.finished:
            return self
        raise CommandNotDoneError(
            self.guidance or self.message,
            code=COMMAND_NOT_DONE,
            title=self.status.value,
            correlation_id=self.correlation_id,
            command_id=self.command_id,
            may_have_succeeded=self.may_have_acted,
            door_results=[each.to_json() for each in self.door_results],
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object: the command's members, with `finished`, `byTimer` and `mayHaveActed`."""
        command = self.details.to_json() if self.details else {"commandId": self.command_id, "vin": self.vin}
        return command | {
            "status": self.status.value,
            "message": self.message,
            "correlationId": self.correlation_id,
            "finished": self.finished,
            "byTimer": self.by_timer,
            "mayHaveActed": self.may_have_acted,
        }


def result_of(
    answer: DoorCommand | DoorCommandDetails,
    *,
    is_overdue: bool = False,
    follow_error: DoorsError | None = None,
) -> CommandResult:
    """Return a command as a result. `is_overdue`: 30 seconds have gone by since it was asked for."""
    details = answer if isinstance(answer, DoorCommandDetails) else None
    by_timer = is_overdue and answer.status not in FINAL
    return CommandResult(
        command_id=answer.command_id,
        vin=answer.vin,
        status=CommandStatus.TIMEOUT if by_timer else answer.status,
        correlation_id=answer.correlation_id,
        message=answer.message,
        by_timer=by_timer,
        details=details,
        follow_error=follow_error,
    )


def checked_wait(wait: float | None) -> float:
    """Return the seconds to wait. Raise ValueError where that is less than 0 or more than a minute."""
    if wait is None:
        return 0.0
    if not 0 <= wait <= LONGEST_WAIT:
        raise ValueError(f"wait: 0 to {LONGEST_WAIT:g} seconds")
    return float(wait)


def door_names(doors: str | Sequence[str]) -> tuple[str, ...]:
    """Return doors as a request names them."""
    return (doors,) if isinstance(doors, str) else tuple(doors)

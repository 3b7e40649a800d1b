"""Commands that were accepted and have no result yet: those that wait, and the one that runs.

They live in memory only. A crash forgets those that wait: their orders were signed for the epoch that ended
with it, so they never act, and the cloud signs again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vehicle.doors.command import Cancellation, Command
    from vehicle.doors.executor import Execution
    from vehicle.link.port import CloudDelivery


@dataclass(slots=True)
class WaitingCommand:
    """A command that has not begun. `request_hash` names the order as it came last."""

    command: Command
    kept: bytes
    request_hash: bytes
    deliveries: list[CloudDelivery]


@dataclass(slots=True)
class PendingStop:
    """A forced cancellation that waits for the end of the command it stops."""

    cancellation: Cancellation
    request_hash: bytes
    deliveries: list[CloudDelivery]


@dataclass(slots=True)
class RunningCommand:
    """The command being carried out, and what stops it, by cancel id."""

    command_id: str
    execution: Execution
    request_hash: bytes
    deliveries: list[CloudDelivery]
    stops: dict[str, PendingStop] = field(default_factory=dict)


@dataclass(slots=True)
class PendingCommands:
    """All of one car's. `waiting` by command id, in the order of arrival."""

    waiting: dict[str, WaitingCommand] = field(default_factory=dict)
    running: RunningCommand | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a command is being carried out or waits for it."""
        return self.running is not None or bool(self.waiting)

    def find(self, command_id: str) -> WaitingCommand | RunningCommand | None:
        """Return the command, if it waits or runs."""
        if self.running and self.running.command_id == command_id:
            return self.running
        return self.waiting.get(command_id)

    def find_stop(self, cancel_id: str) -> PendingStop | None:
        """Return the forced cancellation, if it waits for a command's end."""
        return self.running.stops.get(cancel_id) if self.running else None

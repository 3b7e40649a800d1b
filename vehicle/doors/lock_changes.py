"""How each lock of a car came to stand as it does, in one boot of its agent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vehicle.doors.automation import ActuationCause
    from vehicle.doors.body import Body, DoorName


@dataclass(frozen=True, slots=True)
class LockChange:
    """What moved a lock, and the sequence of the last report that was made before; 0 before the first."""

    cause: ActuationCause
    after_sequence: int


class LockChanges:
    """Begins with the body as it stands: what moved its locks before is not known."""

    def __init__(self, body: Body) -> None:
        self._locked = _locks(body)
        self._changes: dict[DoorName, LockChange] = {}

    @property
    def of(self) -> Mapping[DoorName, LockChange]:
        """The last change of each lock that moved."""
        return self._changes

    def observe(self, body: Body, cause: ActuationCause | None, sequence: int) -> None:
        """Take in how the body stands after a change, when the report of `sequence` was the last."""
        before, self._locked = self._locked, _locks(body)
        if cause is None:
            return
        for door, locked in self._locked.items():
            if before.get(door, locked) is not locked:
                self._changes[door] = LockChange(cause, sequence)


def _locks(body: Body) -> dict[DoorName, bool]:
    return {name: door.locked for name, door in body.doors.items()}

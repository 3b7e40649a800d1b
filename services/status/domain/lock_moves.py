"""What vehicles say of how their locks came to stand as they do: rules only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.status.domain.doors import DOOR_NAMES

if TYPE_CHECKING:
    from services.status.domain.doors import DoorChange, Report


@dataclass(frozen=True, slots=True)
class LockMoved:
    """How a lock came to stand as a report shows it: `cause` is a number of the contract's LockCause, 0 where that is
    not known. `by_command`: by a command, or nobody knows. `after_sequence` is that of the last report made before.
    """

    cause: int
    by_command: bool
    after_sequence: int


def cause_of(report: Report, change: DoorChange) -> int | None:
    """Return what moved the lock, a number of the contract's LockCause; None where the report does not say, and where
    it is not the lock that changed.
    """
    if change.kind not in {"LOCKED", "UNLOCKED"}:
        return None
    moved = report.lock_moves().get(DOOR_NAMES.index(change.door))
    return moved.cause or None if moved is not None else None

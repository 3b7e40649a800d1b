"""What vehicles say of how their locks came to stand as they do: rules only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.status.domain.doors import DOOR_NAMES

if TYPE_CHECKING:
    from services.status.domain.doors import DoorChange, Report


def cause_of(report: Report, change: DoorChange) -> int | None:
    """Return what moved the lock, a number of the contract's LockCause; None where the report does not say, and where
    it is not the lock that changed.
    """
    if change.kind not in {"LOCKED", "UNLOCKED"}:
        return None
    moved = report.lock_moves().get(DOOR_NAMES.index(change.door))
    return moved.cause or None if moved is not None else None

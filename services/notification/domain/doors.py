"""How a vehicle's doors stand, as far as it matters for reminders: since when something has been open, or unlocked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

DOORS = frozenset({"driver", "passenger", "rearLeft", "rearRight", "trunk", "hood"})


class LeftCondition(StrEnum):
    """In what a vehicle can be left."""

    OPEN = "LEFT_OPEN"
    UNLOCKED = "LEFT_UNLOCKED"


@dataclass(frozen=True, slots=True)
class DoorState:
    """One door; None is what the vehicle cannot tell. `order` counts up with what is heard of it."""

    locked: bool | None = None
    open: bool | None = None
    window_open: bool | None = None
    order: int = 0


@dataclass(frozen=True, slots=True)
class StandingDoors:
    """A vehicle's doors, and since when each condition has lasted without a break."""

    doors: Mapping[str, DoorState] = field(default_factory=dict)
    since: Mapping[LeftCondition, datetime] = field(default_factory=dict)

    def those(self, condition: LeftCondition) -> list[str]:
        """Return the doors that are in this condition, in order of their names."""
        return sorted(
            name
            for name, door in self.doors.items()
            if (
                door.locked is False if condition is LeftCondition.UNLOCKED else door.open or door.window_open
            )
        )


@dataclass(frozen=True, slots=True)
class DoorNews:
    """What was heard of one door, when it arrived in the cloud. `drives`: the vehicle locked it for speed."""

    vin: str
    door_id: str
    state: DoorState
    at: datetime
    drives: bool = False


@dataclass(frozen=True, slots=True)
class DoorsUnknown:
    """How a vehicle's doors stand is not known from here on; `order` as of DoorState."""

    vin: str
    order: int


def forget_older(before: StandingDoors, unknown: DoorsUnknown) -> tuple[StandingDoors, list[LeftCondition]]:
    """Return what is known of them all the same, heard later, and which conditions are not known any more."""
    doors = {name: door for name, door in before.doors.items() if door.order > unknown.order}
    after = StandingDoors(doors)
    since = {condition: at for condition, at in before.since.items() if after.those(condition)}
    return replace(after, since=since), [each for each in before.since if each not in since]


def follow(
    before: StandingDoors, change: DoorNews
) -> tuple[StandingDoors, list[LeftCondition], list[LeftCondition]]:
    """Return how they stand after the change, which conditions began and which ended with it.

    What is older than what is known of the door changes nothing.
    """
    known = before.doors.get(change.door_id)
    if change.door_id not in DOORS or (known is not None and known.order >= change.state.order):
        return before, [], []
    after = replace(before, doors={**before.doors, change.door_id: change.state})
    began, ended = [], []
    since = dict(before.since)
    for condition in LeftCondition:
        stands = bool(after.those(condition))
        if stands and condition not in since:
            since[condition] = change.at
            began.append(condition)
        elif not stands and condition in since:
            del since[condition]
            ended.append(condition)
    return replace(after, since=since), began, ended

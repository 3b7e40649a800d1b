"""What a vehicle left out of the settings that it applied: rules only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.config.domain import DoorSettings


@dataclass(frozen=True, slots=True)
class LeftOutSettings:
    """Members of DoorSettings that a vehicle does not run as they were wanted, though it applied the others."""

    settings: tuple[str, ...]
    reason: str


def left_out_of(wanted: DoorSettings, running: DoorSettings, reason: str) -> LeftOutSettings | None:
    """Return what of the settings `wanted` a vehicle does not run that applied them; None where it runs all."""
    told = asdict(running)
    names = tuple(name for name, value in asdict(wanted).items() if told[name] != value)
    return LeftOutSettings(names, reason) if names else None

"""Settings as they are named on the command line: `autoLockDelay=30`."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, get_type_hints

from ecarus_doors._core.codec import json_name
from ecarus_doors.models import DoorConfigUpdate

if TYPE_CHECKING:
    from collections.abc import Sequence

ON, OFF = frozenset({"on", "true", "yes"}), frozenset({"off", "false", "no"})
NOT_SETTINGS = frozenset({"extra", "updated_time", "application"})


def changes_of(changes: Sequence[str]) -> dict[str, Any]:
    """Return arguments of `update_config`. Raise ValueError, naming those that there are, where one is none."""
    known = {
        json_name(each.name): each.name for each in fields(DoorConfigUpdate) if each.name not in NOT_SETTINGS
    }
    kinds = get_type_hints(DoorConfigUpdate)
    made: dict[str, Any] = {}
    for change in changes:
        name, separator, value = change.partition("=")
        if not separator or name not in known:
            raise ValueError(f"{change!r} is no NAME=VALUE of {', '.join(known)}")
        made[known[name]] = _value(name, kinds[known[name]], value)
    return made


def _value(name: str, kind: Any, value: str) -> bool | int | str:
    if kind == bool | None:
        if value.lower() not in ON | OFF:
            raise ValueError(f"{name} is on or off, not {value!r}")
        return value.lower() in ON
    if kind == int | None:
        if not (value.isascii() and value.isdigit() and len(value) < 7):  # noqa: PLR2004  # a number that fits
            raise ValueError(f"{name} is a number, not {value!r}")
        return int(value)
    return value

"""The ids of the cancellations that nobody asks for: the same whoever makes them, so that each is made once."""

from __future__ import annotations

_TAKEN_BACK = "ended-"
_SUPERSEDED = "superseded-"


def taken_back_id(command_id: str) -> str:
    """Return the id of the cloud's own cancellation of a command whose right ended."""
    return f"{_TAKEN_BACK}{command_id}"


def superseded_id(command_id: str) -> str:
    """Return the id of the cloud's own cancellation of an unlock that a lock took the place of."""
    return f"{_SUPERSEDED}{command_id}"

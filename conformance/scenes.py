"""What several rules set up: doors that take their time, a command in the middle of them, a queue that is empty."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from conformance.finding import require

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conformance.unit import Unit

_ASK_AGAIN_SECONDS = 0.02
_UNSEEN_SECONDS = 1.0
ARRIVAL_SECONDS = 0.5
"""In which an order that was published is with the unit."""


@contextlib.asynccontextmanager
async def slow_doors(unit: Unit, seconds: float) -> AsyncIterator[None]:
    """Let each door take so long. Raises Skipped without control interface."""
    await unit.hands.set_door_time(seconds)
    try:
        yield
    finally:
        await unit.hands.set_door_time(0)


async def has_acted(unit: Unit, command_id: str) -> None:
    """Wait until an actuator was set in motion; where that cannot be seen, for long enough."""
    if not unit.hands.sees_actuations:
        await asyncio.sleep(_UNSEEN_SECONDS)
        return
    ends_at = _now() + unit.patience.answer
    while not await unit.hands.actuations(command_id):
        require(_now() < ends_at, "it did not act")
        await asyncio.sleep(_ASK_AGAIN_SECONDS)


async def settled(unit: Unit, seconds: float) -> None:
    """Wait until the unit has acknowledged all that it got. Raises Violated."""
    # Not by a timeout: Python 3.11's wait_for, in the broker's client, drops a cancellation that meets its answer.
    ends_at = _now() + seconds
    while left := await unit.link.unsettled():
        require(_now() < ends_at, f"{left} messages were never acknowledged")
        await asyncio.sleep(_ASK_AGAIN_SECONDS)


def _now() -> float:
    return asyncio.get_running_loop().time()

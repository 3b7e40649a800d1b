"""Commands: asked for once, whatever becomes of the answers, and followed to their end."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Literal

from ecarus_doors._async.raw import AsyncRawDoors
from ecarus_doors._async.runtime import sleep
from ecarus_doors._core.calls import checked_correlation_id
from ecarus_doors._core.exchange import failed_call
from ecarus_doors._core.results import FINAL, LIFE_SECONDS, CommandResult, checked_wait, door_names, result_of
from ecarus_doors.errors import DoorsError
from ecarus_doors.models import (
    DoorCancellation,
    DoorCommandDetails,
    DoorLock,
    DoorUnlock,
    LockMode,
    UnlockMode,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ecarus_doors._async.session import AsyncSession
    from ecarus_doors.models import DoorCommand

Door = Literal["driver", "passenger", "rearLeft", "rearRight", "trunk"]
TargetDoor = Literal["all"] | Door
CancelReason = Literal["User cancellation", "Emergency stop", "System error", "Timeout"]
FIRST_LOOK, LONGEST_LOOK = 0.5, 2.0
"""Seconds between looks at a command that is followed."""
SHORTEST_ANSWER = 1.0
"""Seconds that the answer to a look may take at least."""


class AsyncCommands:
    """Lock, unlock, cancel."""

    def __init__(self, raw: AsyncRawDoors, session: AsyncSession) -> None:
        self.raw, self._session = raw, session

    async def unlock(
        self,
        vin: str,
        doors: TargetDoor | Sequence[TargetDoor] = "all",
        *,
        mode: UnlockMode | Literal["NORMAL", "EMERGENCY"] | None = None,
        wait: float | None = None,
        correlation_id: str | None = None,
    ) -> CommandResult:
        """Unlock doors, and wait `wait` seconds for the end.

        Without `wait` it is returned once it was accepted. Raise DoorsError where it is refused, or nobody knows what
        became of it. One command only comes of it, whatever happens to the answers.
        """
        body = DoorUnlock(target_doors=door_names(doors), unlock_mode=UnlockMode(mode) if mode else None)  # type: ignore[arg-type]  # what a caller names the service checks
        prefer, begun, waits, name = _begin(wait, correlation_id)
        answer = await self.raw.unlock_doors(vin, body, prefer=prefer, correlation_id=name)
        return await self._ended(vin, answer, begun, waits)

    async def lock(
        self,
        vin: str,
        doors: TargetDoor | Sequence[TargetDoor] = "all",
        *,
        mode: LockMode | Literal["NORMAL", "SECURE"] | None = None,
        wait: float | None = None,
        correlation_id: str | None = None,
    ) -> CommandResult:
        """Lock doors, and wait `wait` seconds for the end; otherwise as `unlock`."""
        body = DoorLock(target_doors=door_names(doors), lock_mode=LockMode(mode) if mode else None)  # type: ignore[arg-type]  # what a caller names the service checks
        prefer, begun, waits, name = _begin(wait, correlation_id)
        answer = await self.raw.lock_doors(vin, body, prefer=prefer, correlation_id=name)
        return await self._ended(vin, answer, begun, waits)

    async def cancel(
        self,
        vin: str,
        correlation_id: str,
        *,
        reason: CancelReason = "User cancellation",
        force: bool | None = None,
    ) -> DoorCommand:
        """Withdraw the command that was asked for under `correlation_id`.

        The answer is that command. Where it had left already the vehicle decides: follow it.
        """
        body = DoorCancellation(correlation_id=correlation_id, reason=reason, force=force)
        return await self.raw.cancel_command(vin, body)

    async def command(self, vin: str, command_id: str) -> DoorCommandDetails:
        """Return a command with its life so far."""
        return await self.raw.get_command(vin, command_id)

    async def follow(self, vin: str, command_id: str, *, wait: float = LIFE_SECONDS) -> CommandResult:
        """Follow a command until it ends, or `wait` seconds are up."""
        waits, begun = checked_wait(wait), time.monotonic()
        first = AsyncRawDoors(self._session.within(max(waits, SHORTEST_ANSWER)))
        details = await first.get_command(vin, command_id)
        return await self._ended(vin, details, begun, waits)

    async def _ended(
        self, vin: str, answer: DoorCommand | DoorCommandDetails, begun: float, waits: float
    ) -> CommandResult:
        pause = FIRST_LOOK
        error: DoorsError | None = None
        last: DoorCommand | DoorCommandDetails = answer
        is_looked_at = isinstance(answer, DoorCommandDetails)
        while last.status not in FINAL and waits:
            left = begun + waits - time.monotonic()
            if is_looked_at and left <= 0:
                break
            try:
                if left > 0:
                    await sleep(min(pause, left))
                left = max(begun + waits - time.monotonic(), SHORTEST_ANSWER)
                look = AsyncRawDoors(self._session.within(left, is_once=True))
                last = await look.get_command(vin, last.command_id)
            except DoorsError as caught:
                # The command is accepted, whatever keeps it from being looked at: that is not lost for it.
                error = caught
                if not caught.retryable:
                    break
            except Exception as caught:  # noqa: BLE001  # a caller's function: it is told of with the command
                error = failed_call(caught, last.correlation_id)
                error.__cause__ = caught
                break
            else:
                error = None
            pause, is_looked_at = min(pause * 1.5, LONGEST_LOOK), True
        return result_of(last, is_overdue=time.monotonic() - begun >= LIFE_SECONDS, follow_error=error)


def _begin(wait: float | None, correlation_id: str | None) -> tuple[str | None, float, float, str]:
    waits = checked_wait(wait)
    prefer = f"wait={math.ceil(min(waits, LIFE_SECONDS))}" if waits else None
    return prefer, time.monotonic(), waits, checked_correlation_id(correlation_id)

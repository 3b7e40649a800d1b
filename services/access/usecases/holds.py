"""Setting and lifting legal holds, and telling every service of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from services.access.domain.holds import HoldDecision, NewHold


class HoldRecord(Protocol):
    """Where holds are kept. Every method may raise StorageUnavailableError."""

    async def set(self, new: NewHold, *, by: str, at: datetime, alone: bool) -> HoldDecision:
        """Keep that somebody asked for it, and what follows, with its audit row. Raises HoldConflictError,
        TooManyHoldsError.
        """

    async def lift(self, hold_id: str, *, by: str, at: datetime, alone: bool) -> HoldDecision:
        """Keep that somebody asked to lift it, and what follows, with its audit row. Raises HoldUnknownError."""

    async def all(self) -> list[HoldDecision]:
        """Return all: those in force, those that wait for a second operator, those that were lifted, each of these with
        the newest first.
        """

    async def in_force(self) -> list[HoldDecision]:
        """Return those in force."""


class ToldServices(Protocol):
    """The other services, which keep to what they were told."""

    async def tell_holds(self, holds: Sequence[HoldDecision]) -> list[str]:
        """Tell all of them; the names of those that could not be told."""


class LegalHoldDecisions:
    """What operators decide. `alone`: one operator is enough, in the sandbox."""

    def __init__(
        self, record: HoldRecord, services: ToldServices, now: Callable[[], datetime], *, alone: bool
    ) -> None:
        self._record = record
        self._services = services
        self._now = now
        self._alone = alone

    async def set(self, new: NewHold, *, by: str) -> tuple[HoldDecision, list[str]]:
        """Ask for a hold. Raises HeldNothingError, HoldConflictError, TooManyHoldsError. With it the services that are
        not told yet.
        """
        new.check()
        decision = await self._record.set(new, by=by, at=self._now(), alone=self._alone)
        return decision, await self.tell()

    async def lift(self, hold_id: str, *, by: str) -> tuple[HoldDecision, list[str]]:
        """Ask to lift one. Raises HoldUnknownError. With it the services that are not told yet."""
        decision = await self._record.lift(hold_id, by=by, at=self._now(), alone=self._alone)
        return decision, await self.tell()

    async def listed(self) -> list[HoldDecision]:
        """Return all, those in force first."""
        return await self._record.all()

    async def tell(self) -> list[str]:
        """Tell every service what is held; the names of those that could not be told."""
        return await self._services.tell_holds(await self._record.in_force())

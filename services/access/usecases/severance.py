"""Severing a person's access to a vehicle, at once and without telling them; and taking that back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from services.access.domain.sharing import UnsoundChangeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from services.access.domain.severance import AccessSeverance, NewSeverance
    from services.access.domain.sharing import Giver
    from services.access.usecases.grants import InvalidateCaches


class Severances(Protocol):
    """Where severances are kept. Every method may raise StorageUnavailableError."""

    async def sever(self, new: NewSeverance, *, at: datetime) -> AccessSeverance:
        """End all that the person may do with the vehicle, with audit rows and messages, in one commit.

        Raises GrantConflictError, TooManySeverancesError.
        """

    async def found(self, vin: str, severance_id: str, requested_by: str) -> AccessSeverance:
        """Return one that this person asked for. Raises SeveranceUnknownError."""

    async def listed(self, vin: str) -> list[AccessSeverance]:
        """Return those of a vehicle, or of all for an empty VIN, newest first."""

    async def reverse(self, severance_id: str, reason: str, *, by: str, at: datetime) -> AccessSeverance:
        """Take it back once a second operator asks for it. Raises SeveranceUnknownError."""


class SeveredAccess:
    """Severs access. When a method returns, this process lets nothing through that has ended."""

    def __init__(
        self, severances: Severances, invalidate: InvalidateCaches, now: Callable[[], datetime]
    ) -> None:
        self._severances = severances
        self._invalidate = invalidate
        self._now = now

    async def sever(self, new: NewSeverance, giver: Giver) -> AccessSeverance:
        """End all that somebody else may do with the vehicle. Raises what Severances.sever does, ByAgentError,
        UnsoundChangeError.
        """
        giver.check()
        if new.person == giver.subject:
            raise UnsoundChangeError("person", "is yourself; give your own right back instead")
        return await self._sever(new)

    async def sever_for(self, new: NewSeverance) -> AccessSeverance:
        """Do the same as an operator, for somebody without a right of their own. Raises what Severances.sever does."""
        return await self._sever(new)

    async def found(self, vin: str, severance_id: str, giver: Giver) -> AccessSeverance:
        """Return what has become of one that they asked for. Raises SeveranceUnknownError."""
        return await self._severances.found(vin, severance_id, giver.subject)

    async def listed(self, vin: str) -> list[AccessSeverance]:
        """Return those of a vehicle, or of all for an empty VIN, newest first."""
        return await self._severances.listed(vin)

    async def reverse(self, severance_id: str, reason: str, *, by: str) -> AccessSeverance:
        """Ask to take one back; it takes two operators. Raises SeveranceUnknownError."""
        try:
            return await self._severances.reverse(severance_id, reason, by=by, at=self._now())
        finally:
            self._invalidate()

    async def _sever(self, new: NewSeverance) -> AccessSeverance:
        try:
            return await self._severances.sever(new, at=self._now())
        finally:
            self._invalidate(principal=new.person)

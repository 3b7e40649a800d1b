"""What people can ask about the rights on a vehicle: list, give, accept, narrow, suspend, end, hand over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from services.access.domain.grants import RightRefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from services.access.domain.sharing import Giver, GrantOffer, GrantReduction, GrantView, Transfer
    from services.access.usecases.grants import InvalidateCaches

Changed = TypeVar("Changed")


class SharedGrants(Protocol):
    """Where grants are kept that people give. Every change is one commit, with its audit row and with what the
    vehicle's owners and the other services are told. Every method may raise StorageUnavailableError.
    """

    async def listed(self, vin: str, by: str, *, is_owner: bool, at: datetime) -> list[GrantView]:
        """Return those on the vehicle, newest first: for an owner all that had not ended when they became one, for
        others their own. What was severed is not among them.
        """

    async def found(self, vin: str, grant_id: str, by: str, *, is_owner: bool, at: datetime) -> GrantView:
        """Return one of those. Raises GrantHiddenError."""

    async def offer(self, offer: GrantOffer, *, at: datetime) -> GrantView:
        """Keep an offer. The same again answers with what became of it.

        Raises NotOwnerError, GrantConflictError, GrantNotPossibleError, TooManyGrantsError, and what GrantOffer.grant
        does.
        """

    async def accept(self, vin: str, grant_id: str, *, by: str, at: datetime) -> GrantView:
        """Put the offer in force. Raises GrantHiddenError, GrantEndedError, GrantNotPossibleError."""

    async def narrow(
        self, vin: str, grant_id: str, narrowing: GrantReduction, *, by: str, at: datetime
    ) -> GrantView:
        """Take some of it away. Raises NotOwnerError, GrantHiddenError, GrantEndedError, UnsoundChangeError."""

    async def suspend(self, vin: str, grant_id: str, *, by: str, at: datetime) -> GrantView:
        """Take it away for a while. Raises NotOwnerError, GrantHiddenError, GrantEndedError."""

    async def resume(self, vin: str, grant_id: str, *, by: str, at: datetime) -> GrantView:
        """Give it back. Raises NotOwnerError, GrantHiddenError, GrantEndedError."""

    async def end(self, vin: str, grant_id: str, *, by: str, at: datetime) -> GrantView:
        """End it. Raises GrantHiddenError."""

    async def transfer(self, vin: str, new_owner: str, grant_id: str, *, by: str, at: datetime) -> Transfer:
        """Make somebody the owner, and end every other right. Raises NotOwnerError, GrantNotPossibleError,
        UnsoundChangeError, GrantConflictError.
        """


class SharedAccess:
    """Changes who has which right. When a method returns, this process goes by what it has changed."""

    def __init__(
        self, grants: SharedGrants, invalidate: InvalidateCaches, now: Callable[[], datetime]
    ) -> None:
        self._grants = grants
        self._invalidate = invalidate
        self._now = now

    async def listed(self, vin: str, giver: Giver, *, is_owner: bool) -> list[GrantView]:
        """Return the vehicle's rights: an owner sees all of their own time, everybody else their own."""
        return await self._grants.listed(vin, giver.subject, is_owner=is_owner, at=self._now())

    async def found(self, vin: str, grant_id: str, giver: Giver, *, is_owner: bool) -> GrantView:
        """Return one right. Raises GrantHiddenError."""
        return await self._grants.found(vin, grant_id, giver.subject, is_owner=is_owner, at=self._now())

    async def give(self, offer: GrantOffer, giver: Giver) -> GrantView:
        """Offer somebody a right. Raises what SharedGrants.offer does, and ByAgentError."""
        giver.check()
        return await self._changed(self._grants.offer(offer, at=self._now()))

    async def accept(self, vin: str, grant_id: str, giver: Giver) -> GrantView:
        """Accept a right that was offered. Raises what SharedGrants.accept does, and ByAgentError."""
        giver.check()
        return await self._changed(self._grants.accept(vin, grant_id, by=giver.subject, at=self._now()))

    async def narrow(self, vin: str, grant_id: str, narrowing: GrantReduction, giver: Giver) -> GrantView:
        """Take some of a right away. Raises what SharedGrants.narrow does, and ByAgentError."""
        giver.check()
        return await self._changed(
            self._grants.narrow(vin, grant_id, narrowing, by=giver.subject, at=self._now())
        )

    async def suspend(self, vin: str, grant_id: str, giver: Giver) -> GrantView:
        """Take a right away for a while. Raises what SharedGrants.suspend does, and ByAgentError."""
        giver.check()
        return await self._changed(self._grants.suspend(vin, grant_id, by=giver.subject, at=self._now()))

    async def resume(self, vin: str, grant_id: str, giver: Giver) -> GrantView:
        """Give a suspended right back. Raises what SharedGrants.resume does, and ByAgentError."""
        giver.check()
        return await self._changed(self._grants.resume(vin, grant_id, by=giver.subject, at=self._now()))

    async def end(self, vin: str, grant_id: str, giver: Giver) -> GrantView:
        """End a right. Raises GrantHiddenError, ByAgentError."""
        giver.check()
        return await self._changed(self._grants.end(vin, grant_id, by=giver.subject, at=self._now()))

    async def transfer(self, vin: str, new_owner: str, grant_id: str, giver: Giver) -> Transfer:
        """Hand the vehicle over. Raises what SharedGrants.transfer does, and ByAgentError."""
        giver.check()
        done = await self._known(
            self._grants.transfer(vin, new_owner, grant_id, by=giver.subject, at=self._now())
        )
        for holder in done.holders:
            self._invalidate(principal=holder)
        return done

    async def _changed(self, change: Awaitable[GrantView]) -> GrantView:
        """Return what became of a right, and have this process go by it."""
        view = await self._known(change)
        self._invalidate(principal=view.grant.asked.principal)
        return view

    async def _known(self, change: Awaitable[Changed]) -> Changed:
        """Return what was changed. Where that got lost nobody knows whose rights did, and this process goes by none
        that it remembers; what was refused changed nothing, and empties no memory of anybody's.
        """
        try:
            return await change
        except RightRefusedError:
            raise
        except BaseException:
            self._invalidate()
            raise

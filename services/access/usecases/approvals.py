"""Rights that one operator must not give alone: outside of the sandbox, those of an owner, and every API key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from services.access.domain.grants import GrantRole

if TYPE_CHECKING:
    from datetime import datetime

    from services.access.domain.accounts import ApiKey, NewApiKey, PendingApiKey
    from services.access.domain.grants import Grant, NewGrant, PendingGrant


class PendingGrants(Protocol):
    """Where requests for grants are kept. Every method may raise StorageUnavailableError."""

    async def request(self, new: NewGrant, *, by: str, at: datetime) -> Grant | PendingGrant:
        """Keep the request, with its audit row. The same again answers with what became of it; else
        GrantConflictError.
        """

    async def approve(self, grant_id: str, *, by: str, at: datetime) -> tuple[Grant, PendingGrant]:
        """Make it a grant, with the audit rows of both operators, in one commit. Repeating it changes nothing.

        Raises GrantNotPendingError, SameOperatorError, GrantConflictError.
        """

    async def cancel(self, grant_id: str, *, by: str, at: datetime) -> PendingGrant | None:
        """End the request, with its audit row; None when there is none, or it is a grant already."""

    async def on_vehicle(self, vin: str) -> list[PendingGrant]:
        """Return all of a vehicle's, decided ones included, oldest first."""


class PendingApiKeys(Protocol):
    """Where API keys wait for a second operator. Every method may raise StorageUnavailableError."""

    async def request(self, new: NewApiKey, *, by: str, at: datetime) -> PendingApiKey:
        """Keep it, with its audit row."""

    async def approve(self, key_id: str, *, by: str, at: datetime) -> tuple[ApiKey, PendingApiKey]:
        """Make it an API key, with the audit rows of both operators, in one commit. Repeating it changes nothing.

        Raises ApiKeyNotPendingError, SameOperatorError.
        """

    async def cancel(self, key_id: str, *, by: str, at: datetime) -> PendingApiKey | None:
        """End it, with its audit row; None when there is none, or it was approved already."""

    async def of(self, principal: str) -> list[PendingApiKey]:
        """Return all of an account's, decided ones included, oldest first."""


def needs_two_operators(new: NewGrant) -> bool:
    """Return whether one operator is not enough: an owner may do everything, and lets others in."""
    return new.role is GrantRole.OWNER

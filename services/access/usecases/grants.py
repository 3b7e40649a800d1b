"""What operators and services can ask about grants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from services.access.domain.accounts import Account, ApiKey, NewApiKey
    from services.access.domain.grants import Grant, NewGrant
    from services.access.domain.overviews import AccountOverview, AccountSummary
    from services.access.domain.permissions import Allowance


@dataclass(frozen=True, slots=True)
class GrantQuery:
    """Whether `subject` may do `action` to `vin` now, and `actor` for them, with `credential`, where these two
    are said.
    """

    subject: str
    vin: str
    action: str
    actor: str = ""
    credential: str = ""


class GrantRecord(Protocol):
    """Where grants are kept. Every method may raise StorageUnavailableError."""

    async def create(self, new: NewGrant, *, by: str, at: datetime) -> Grant:
        """Keep it, with its audit row. The same again answers with what is kept; else GrantConflictError."""

    async def revoke(self, grant_id: str, *, by: str, at: datetime) -> Grant:
        """End it, with its audit row and the message to the other services. Raises GrantUnknownError."""

    async def on_vehicle(self, vin: str) -> list[Grant]:
        """Return all of a vehicle's, ended ones included, oldest first."""

    async def answer(self, questions: Sequence[GrantQuery], *, at: datetime) -> list[Allowance | None]:
        """Return what allows each, or None. Read from the record itself; a locked account, subject's or actor's,
        has none.
        """


class AccountRecord(Protocol):
    """Where accounts and API keys are kept. Every method may raise StorageUnavailableError."""

    async def lock(self, principal: str, reason: str, *, by: str, at: datetime) -> Account:
        """Lock it, with its audit row and the message to the other services. One that is locked keeps the new reason,
        and a request to restore it lapses.
        """

    async def overview(self, principal: str, *, at: datetime) -> AccountOverview:
        """Return what is kept of an account; nothing of most."""

    async def summaries(
        self, *, after: str, limit: int, locked_only: bool, at: datetime
    ) -> list[AccountSummary]:
        """Return the first `limit` accounts after this one of which something is kept, by principal."""

    async def issue_key(self, new: NewApiKey, *, by: str, at: datetime) -> ApiKey:
        """Keep a new API key, with its audit row."""

    async def keys_of(self, principal: str) -> list[ApiKey]:
        """Return all of an account's API keys, ended ones included, oldest first."""

    async def expire_key(self, key_id: str, ends: datetime, *, by: str, at: datetime) -> ApiKey:
        """Have it end then, unless it ends before, with its audit row and the message to the other services.

        Raises ApiKeyUnknownError.
        """

    async def revoke_key(self, key_id: str, *, by: str, at: datetime) -> ApiKey:
        """End it, with its audit row and the message to the other services. Raises ApiKeyUnknownError."""


class InvalidateCaches(Protocol):
    """What this process remembers of rights, callers and capabilities."""

    def __call__(self, *, principal: str = "", credential: str = "") -> None:
        """Believe nothing that was read before of this principal or this credential; without either, nothing at all."""


async def create_grant(
    record: GrantRecord, invalidate: InvalidateCaches, new: NewGrant, *, by: str, at: datetime
) -> Grant:
    """Give a right. Raises ActionsBeyondRoleError, GrantConflictError. Repeating it changes nothing."""
    new.check()
    grant = await record.create(new, by=by, at=at)
    invalidate(principal=new.principal)
    return grant


async def revoke_grant(
    record: GrantRecord, invalidate: InvalidateCaches, grant_id: str, *, by: str, at: datetime
) -> Grant:
    """End a right: when this returns, this process lets nothing through for it. Raises GrantUnknownError."""
    principal = ""
    try:
        grant = await record.revoke(grant_id, by=by, at=at)
        principal = grant.asked.principal
    finally:
        # Also when the answer got lost: the right may have ended all the same, and whose it was is not known.
        invalidate(principal=principal)
    return grant


async def list_grants(record: GrantRecord, vin: str) -> list[Grant]:
    """Return the rights on a vehicle, the ended ones included, oldest first."""
    return await record.on_vehicle(vin)


async def check_grants(
    record: GrantRecord, trusts: Callable[[str], bool], questions: Sequence[GrantQuery], *, at: datetime
) -> list[Allowance | None]:
    """For each question what allows it, None where nothing does; never from memory.

    `trusts` says of a credential whether it is not known to be withdrawn.
    """
    found = await record.answer(questions, at=at)
    return [each if trusts(q.credential) else None for q, each in zip(questions, found, strict=True)]


async def lock_account(
    record: AccountRecord, invalidate: InvalidateCaches, principal: str, reason: str, *, by: str, at: datetime
) -> Account:
    """Lock an account: when this returns, this process lets nothing through for it."""
    try:
        return await record.lock(principal, reason, by=by, at=at)
    finally:
        invalidate(principal=principal)


async def list_accounts(
    record: AccountRecord, *, after: str, limit: int, locked_only: bool, at: datetime
) -> tuple[list[AccountSummary], bool]:
    """Return a page of the accounts of which something is kept, and whether more come after it."""
    found = await record.summaries(after=after, limit=limit + 1, locked_only=locked_only, at=at)
    return found[:limit], len(found) > limit


async def list_keys(record: AccountRecord, principal: str) -> list[ApiKey]:
    """Return the account's API keys, the ended ones included, oldest first."""
    return await record.keys_of(principal)


async def expire_key(
    record: AccountRecord,
    invalidate: InvalidateCaches,
    key_id: str,
    ends: datetime,
    *,
    by: str,
    at: datetime,
) -> ApiKey:
    """Have an API key end earlier: when this returns, this process knows its new end. Raises ApiKeyUnknownError."""
    try:
        return await record.expire_key(key_id, ends, by=by, at=at)
    finally:
        invalidate(credential=key_id)


async def revoke_key(
    record: AccountRecord, invalidate: InvalidateCaches, key_id: str, *, by: str, at: datetime
) -> ApiKey:
    """End an API key: when this returns, this process knows nobody by it. Raises ApiKeyUnknownError."""
    try:
        return await record.revoke_key(key_id, by=by, at=at)
    finally:
        invalidate(credential=key_id)

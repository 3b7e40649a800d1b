"""The record as use cases see it: each change in one transaction, its messages handed to the relay after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from services.access.adapters.store import accounts, grants, overviews
from services.access.adapters.store.abnormal import tell_of_account
from services.access.adapters.store.vehicle_people import holders_of_rights, vins_of_person

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from services.access.adapters.store.notices import ChangeMessages
    from services.access.domain.accounts import Account, ApiKey, NewApiKey
    from services.access.domain.grants import Grant, NewGrant
    from services.access.domain.overviews import AccountOverview, AccountSummary
    from services.access.domain.permissions import Allowance
    from services.access.domain.vehicle_people import RightHolder
    from services.access.usecases.grants import GrantQuery
    from services.platform.database import Database
    from services.platform.outbox import OutgoingMessage

T = TypeVar("T")


class SqlGrantRecord:
    """The record (usecases.GrantRecord and AccountRecord). `sent` hears of messages after their commit."""

    def __init__(
        self,
        database: Database,
        change_messages: ChangeMessages,
        sent: Callable[[Sequence[OutgoingMessage]], None],
    ) -> None:
        self._database = database
        self._change_messages = change_messages
        self._message_of = change_messages.ended
        self._sent = sent

    async def create(self, new: NewGrant, *, by: str, at: datetime) -> Grant:
        """Keep it, with its audit row. The same again answers with what is kept; else GrantConflictError."""
        return await self._ending(lambda c: grants.give_grant(c, new, by, at, self._change_messages))

    async def revoke(self, grant_id: str, *, by: str, at: datetime) -> Grant:
        """End it, with its audit row and the message to the other services. Raises GrantUnknownError."""
        return await self._ending(lambda c: grants.revoke_grant(c, grant_id, by, at, self._change_messages))

    async def on_vehicle(self, vin: str) -> list[Grant]:
        """See the port."""
        return await self._database.read(lambda connection: grants.grants_on(connection, vin))

    async def right_holders(self, vin: str, *, at: datetime, also: str = "") -> list[RightHolder]:
        """Return whoever has a right on the vehicle at this moment, owners first, `also` in any case."""
        return await self._database.read(lambda connection: holders_of_rights(connection, vin, at, also))

    async def vins_of(self, person: str, *, after: str, most: int, at: datetime) -> list[str]:
        """Return the VINs after this one that a person's grants name which have not ended, in order."""
        return await self._database.read(lambda c: vins_of_person(c, person, after, most, at))

    async def answer(self, questions: Sequence[GrantQuery], *, at: datetime) -> list[Allowance | None]:
        """Return what allows each, or None. Read from the record itself; a locked account, subject's or actor's,
        has none.
        """
        return await self._database.read(lambda connection: grants.answer(connection, questions, at))

    async def lock(self, principal: str, reason: str, *, by: str, at: datetime) -> Account:
        """Lock it, with its audit row and the message to the other services. One that is locked stays as it is."""

        def change(connection: Connection) -> tuple[Account, list[OutgoingMessage]]:
            account, messages = accounts.lock_account(connection, principal, reason, by, at, self._message_of)
            if messages:
                told = tell_of_account(connection, principal, "LOCKED", at, self._change_messages)
                messages = [*messages, *told]
            return account, messages

        return await self._ending(change)

    async def overview(self, principal: str, *, at: datetime) -> AccountOverview:
        """Return what is kept of an account; nothing of most."""
        return await self._database.read(lambda c: overviews.overview(c, principal, at))

    async def summaries(
        self, *, after: str, limit: int, locked_only: bool, at: datetime
    ) -> list[AccountSummary]:
        """Return the first `limit` accounts after this one of which something is kept, by principal."""
        return await self._database.read(
            lambda c: overviews.summaries(c, at, after=after, limit=limit, locked_only=locked_only)
        )

    async def issue_key(self, new: NewApiKey, *, by: str, at: datetime) -> ApiKey:
        """Keep a new API key, with its audit row."""
        return await self._database.write(lambda c: accounts.issue_key(c, new, by, at))

    async def keys_of(self, principal: str) -> list[ApiKey]:
        """Return all of an account's API keys, ended ones included, oldest first."""
        return await self._database.read(lambda connection: accounts.keys_of(connection, principal))

    async def expire_key(self, key_id: str, ends: datetime, *, by: str, at: datetime) -> ApiKey:
        """Have it end then, unless it ends before, with its audit row and the message to the other services.

        Raises ApiKeyUnknownError.
        """
        return await self._ending(lambda c: accounts.expire_key(c, key_id, ends, by, at, self._message_of))

    async def revoke_key(self, key_id: str, *, by: str, at: datetime) -> ApiKey:
        """End it, with its audit row and the message to the other services. Raises ApiKeyUnknownError."""
        return await self._ending(lambda c: accounts.revoke_key(c, key_id, by, at, self._message_of))

    async def note_issuer_keys(self, trusted: Iterable[str], *, at: datetime) -> None:
        """Keep which keys of the issuer are trusted, and tell of those that are not any more."""
        kept = frozenset(trusted)

        def note(connection: Connection) -> tuple[None, list[OutgoingMessage]]:
            return None, accounts.note_issuer_keys(connection, kept, at, self._message_of)

        await self._ending(note)

    async def _ending(self, change: Callable[[Connection], tuple[T, list[OutgoingMessage]]]) -> T:
        result, messages = await self._database.write(change)
        self._sent(messages)
        return result

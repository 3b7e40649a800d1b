"""Tickets as they are kept: by their digest, until they are used or too old."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from services.access.adapters.store.accounts import key_by_id
from services.access.adapters.store.tables import tickets
from services.access.domain.accounts import KEY_ID_PREFIX, ApiKeyUnknownError
from services.access.domain.tickets import TICKET_SECONDS, EventTicketUnknownError, digest_of

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from services.platform.database import Database


class SqlSessions:
    """usecases.sessions.EventTickets and SessionRecord on a database. A ticket is one row, and whoever deletes it has
    used it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, ticket: str, session: str, *, at: datetime, vin: str = "") -> None:
        """Keep it; those that are too old go. Raises StorageUnavailableError."""
        row = {"digest": digest_of(ticket, vin), "session": session, "created_at": at}

        def write(connection: Connection) -> None:
            too_old = tickets.c.created_at <= at - timedelta(seconds=TICKET_SECONDS)
            connection.execute(delete(tickets).where(too_old))
            connection.execute(insert(tickets).values(row))

        await self._database.write(write)

    async def use(self, ticket: str, *, at: datetime, vin: str = "") -> str:
        """Return the session it was given for; it is used then. Raises EventTicketUnknownError,
        StorageUnavailableError.
        """
        which = tickets.c.digest == digest_of(ticket, vin)

        def take(connection: Connection) -> str | None:
            found = connection.execute(select(tickets.c.session, tickets.c.created_at).where(which)).first()
            # Two that come at once both find it; one of them deletes it.
            if found is None or connection.execute(delete(tickets).where(which)).rowcount != 1:
                return None
            is_late = found.created_at <= at - timedelta(seconds=TICKET_SECONDS)
            return None if is_late else str(found.session)

        session = await self._database.write(take)
        if session is None:
            raise EventTicketUnknownError
        return session

    async def is_withdrawn(self, credential: str, *, at: datetime) -> bool:
        """Return whether this is an API key that has ended. Raises StorageUnavailableError."""
        if not credential.startswith(KEY_ID_PREFIX):
            return False
        try:
            key = await self._database.read(lambda connection: key_by_id(connection, credential))
        except ApiKeyUnknownError:
            return True
        return not key.is_live(at)

"""What the holder of a session may ask: a ticket for another connection, and vehicles to be told of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from services.access.domain.tickets import new_ticket

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from services.access.domain.accounts import Caller


class EventTickets(Protocol):
    """Where tickets are kept. Every method may raise StorageUnavailableError."""

    async def keep(self, ticket: str, session: str, *, at: datetime, vin: str = "") -> None:
        """Keep it until it is used or too old: for this vehicle's stream, or without one for the WebSocket."""

    async def use(self, ticket: str, *, at: datetime, vin: str = "") -> str:
        """Return the session it was given for, for the same; it is used then. Raises EventTicketUnknownError."""


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """Somebody's request for the updates of vehicles, by their session: what of usecases.authorization.AccessRequest
    does not come from a request of their own.
    """

    network: str
    action: str
    service: str
    limit_class: str | None
    country: str = ""
    certificate: str = ""
    authorization: str | None = None
    proof: None = None
    step_up: str = ""
    step_up_decided_by_service: bool = False
    closed_to_agents: bool = False
    changes: bool = False
    about_caller: bool = False
    open_to_keys: bool = False
    watches_people: bool = False
    correlation_id: str = ""
    named_id: str | None = None
    written_vin: str = ""

    def vin(self) -> str:
        """Return its vehicle."""
        return self.written_vin

    def mode(self, vin: str) -> str:  # noqa: ARG002  # the port's signature
        """Return that it needs none."""
        return ""


async def create_ticket(
    tickets: EventTickets, session: str, now: Callable[[], datetime], vin: str = ""
) -> str:
    """Return a ticket for this session: for the vehicle's stream, or without one for the WebSocket. Raises
    StorageUnavailableError.
    """
    ticket = new_ticket()
    await tickets.keep(ticket, session, at=now(), vin=vin)
    return ticket


class SessionRecord(Protocol):
    """Where it is kept which API keys were withdrawn."""

    async def is_withdrawn(self, credential: str, *, at: datetime) -> bool:
        """Return whether this is an API key that has ended. Raises StorageUnavailableError."""


async def is_in_force(
    record: SessionRecord, trusts: Callable[[str], bool], caller: Caller, *, at: datetime
) -> bool:
    """Return whether what the session's caller signed in with is accepted still. Raises StorageUnavailableError."""
    return trusts(caller.credential) and not await record.is_withdrawn(caller.credential, at=at)

"""Tickets: what opens a session's WebSocket or a vehicle's event stream once, for whoever can send no bearer. Standard
library only.
"""

from __future__ import annotations

import hashlib
import re
import secrets

TICKET_SECONDS = 30
_BYTES = 32
_FORM = re.compile(r"[A-Za-z0-9_-]{43}")


class EventTicketUnknownError(Exception):
    """There is no such ticket: it was never given, was used, or is too old."""


def new_ticket() -> str:
    """Return a ticket that nobody can guess."""
    return secrets.token_urlsafe(_BYTES)


def digest_of(ticket: str, vin: str = "") -> bytes:
    """Return what is kept of a ticket for this vehicle's stream; without one, for the WebSocket. Raises
    EventTicketUnknownError for what is none.

    What it is for is in the digest: presented anywhere else, the same ticket is one that was never given.
    """
    if not _FORM.fullmatch(ticket):
        raise EventTicketUnknownError
    return hashlib.sha256((f"{ticket}/{vin}" if vin else ticket).encode()).digest()

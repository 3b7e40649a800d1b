"""The lines of the tables of a service that speaks with vehicles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.platform.kept_data import KeptTable
from services.platform.times import milliseconds
from services.telematics.sessions import KEEP_ISSUED_MILLIS

if TYPE_CHECKING:
    from services.telematics.sessions import VehicleSessions


def session_line(sessions: VehicleSessions, why: str) -> KeptTable:
    """Return the line of the sessions, which are there to do `why`."""
    return KeptTable(
        sessions.sessions,
        "sessions of the protocol with vehicles",
        why,
        "until the vehicle begins the next",
        secret=("record",),
    )


def order_lines(sessions: VehicleSessions) -> list[KeptTable]:
    """Return the lines of the sessions and issued orders of a service that gives orders."""
    return [
        session_line(sessions, "signing for a vehicle"),
        KeptTable(
            sessions.issued,
            "hashes of orders that were issued",
            "knowing a vehicle's answer",
            "24 h",
            over=lambda at: sessions.issued.c.issued_at_millis < milliseconds(at) - KEEP_ISSUED_MILLIS,
        ),
    ]

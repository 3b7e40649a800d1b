"""Who subscribes and unsubscribes over MQTT without end is shut out.

Each subscription of a session is a consumer that the broker makes, and takes away when the vehicle unsubscribes. While
it takes one away, a copy of a command for another vehicle may get lost on its way into that vehicle's session. It
counts subscriptions as no messages, but tells of each consumer that it makes: by the session's name, not the vehicle's.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from protocol.streams import MQTT_SESSION_CHANGES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from services.enrolment.domain import ConnectionTraffic

_TOLD = MQTT_SESSION_CHANGES.removesuffix("*")
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHARACTERS = 8


def session_of(subject: str) -> str | None:
    """Return whose consumer was made, by the session's name; None for another message."""
    return subject.removeprefix(_TOLD).partition("_")[0] if subject.startswith(_TOLD) else None


def session_name(client_id: str) -> str:
    """Return what the broker calls the session of this client (nats-server, `getHash`)."""
    digest = hashlib.sha256(client_id.encode()).digest()
    return "".join(_DIGITS[octet % len(_DIGITS)] for octet in digest[:_CHARACTERS])


def vehicle_of(session: str, seen: Iterable[ConnectionTraffic]) -> str | None:
    """Return whose session it is, of those that were seen: a client over MQTT has its VIN for a name."""
    return next((each.vin for each in seen if session_name(each.vin) == session), None)

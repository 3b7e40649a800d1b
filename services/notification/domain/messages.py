"""A push message, the device it is for, and what became of sending it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_MOST_HOST = 255


class PushKind(StrEnum):
    """Through which push service a device is reached."""

    FCM = "FCM"
    APNS = "APNS"
    WEB_PUSH = "WEB_PUSH"


def host_of(kind: str, token: str) -> str:
    """Return the host that a token of this kind of push service is at, by which its places are counted: empty where a
    push service is one.
    """
    return urlsplit(token).netloc[:_MOST_HOST] if kind == PushKind.WEB_PUSH else ""


@dataclass(frozen=True, slots=True)
class PushDevice:
    """A device as a push service addresses it.

    `token` is FCM's registration token, APNs' device token in hex, or the URL of the Web Push endpoint (RFC 8030).
    `p256dh` (65 bytes, an uncompressed point of P-256) and `auth` (16 bytes) are a Web Push subscription's (RFC 8291),
    and empty for the others. `app` is which of the maker's apps it is, an APNs topic for instance; empty for the
    default.
    """

    id: str
    kind: PushKind
    token: str
    p256dh: bytes = b""
    auth: bytes = b""
    app: str = ""


@dataclass(frozen=True, slots=True)
class PushMessage:
    """What one device shows.

    `id` is a UUID in canonical form, and stays the same for this event and device however often it is sent. `event`
    is the kind of notification. `data` holds what an app needs to ask for more (`commandId`, `kind`) and nothing
    sensitive: no VIN, no name, no place. After `expires_at` (UTC) it is worth nothing. Of messages with the same
    `collapse` (at most 32 characters of base64url) a device shows the last.
    """

    id: str
    event: str
    title: str
    body: str
    data: Mapping[str, str]
    expires_at: datetime
    is_urgent: bool
    collapse: str


class PushOutcome(Enum):
    """What became of sending a message."""

    DELIVERED = "DELIVERED"
    """The push service took it."""
    GONE = "GONE"
    """The token is dead: the device is removed."""
    LATER = "LATER"
    """The push service cannot take it now."""
    REFUSED = "REFUSED"
    """This message is never taken."""


@dataclass(frozen=True, slots=True)
class PushResult:
    """The outcome, and with LATER how many seconds the push service wants to be left alone (None: it did not say).

    `reason` is the push service's own word for it, for logs: at most 64 characters, never a token.
    """

    outcome: PushOutcome
    retry_after: float | None = None
    reason: str = ""

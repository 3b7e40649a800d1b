"""Domains and content types: what may travel where.

A domain is the last two words of a subject of `protocol.subjects`. What is signed or sealed for one is
worthless in every other, because the whole subject is part of what is authenticated.
"""

from __future__ import annotations

from enum import StrEnum


class Domain(StrEnum):
    """Where a message belongs; counters count per domain."""

    COMMAND = "cmd.door"
    CANCEL = "cmd.cancel"
    CONFIG = "cmd.config"
    CHALLENGE = "cmd.session"
    KEYS = "cmd.keys"

    HELLO = "evt.hello"
    RECEIVED = "evt.received"
    RESULT = "evt.result"
    CANCELLED = "evt.cancel"
    CONFIGURED = "evt.config"
    STATUS = "evt.status"
    DIAGNOSTICS = "evt.diagnostics"


class ContentType(StrEnum):
    """What a signed envelope holds."""

    COMMAND = "rdc-command+v1"
    TOMBSTONE = "rdc-tombstone+v1"
    CONFIG = "rdc-config+v1"
    CHALLENGE = "rdc-challenge+v1"
    SESSION = "rdc-session+v1"
    RECEIVED = "rdc-received+v1"
    RESULT = "rdc-result+v1"
    CANCELLED = "rdc-cancelled+v1"
    CONFIGURED = "rdc-configured+v1"
    FAULT = "rdc-fault+v1"
    MANIFEST = "rdc-manifest+v1"
    ENDORSED_MANIFEST = "rdc-endorsement+v1"


ORDER_TYPES = {
    Domain.COMMAND: ContentType.COMMAND,
    Domain.CANCEL: ContentType.TOMBSTONE,
    Domain.CONFIG: ContentType.CONFIG,
}
"""The one content type of each domain of orders."""

ORDER_FIELDS = {Domain.COMMAND: "door", Domain.CANCEL: "cancel", Domain.CONFIG: "config"}
"""The member of SignedOrder that each domain of orders fills."""

ANSWER_FIELDS = {
    Domain.RECEIVED: ("received", ContentType.RECEIVED),
    Domain.RESULT: ("result", ContentType.RESULT),
    Domain.CANCELLED: ("cancel", ContentType.CANCELLED),
    Domain.CONFIGURED: ("config", ContentType.CONFIGURED),
}
"""The member of SignedAnswer that each domain of answers fills, and its content type. A refusal
(ContentType.FAULT, member "refused") may stand in its place."""

REFUSED_ON = {
    Domain.COMMAND: Domain.RESULT,
    Domain.CANCEL: Domain.CANCELLED,
    Domain.CONFIG: Domain.CONFIGURED,
}
"""Where the vehicle says that it refuses an order of a domain."""

REPORTS = frozenset({Domain.STATUS, Domain.DIAGNOSTICS})
"""Domains under session keys. All others are signed and sealed."""

LONGEST_VALIDITY_MILLIS = {Domain.COMMAND: 30_000, Domain.CANCEL: 60_000, Domain.CONFIG: 60_000}
"""How long before its expiry an order may be signed. What moves doors lives shortest."""

MAX_COUNTER = 2**48 - 1
"""The last counter of an epoch. Nobody gets there by counting; it leaves service against overflow everywhere."""


def subject_of(vin: str, domain: Domain) -> bytes:
    """Return what binds a message to vehicle and domain: the NATS subject, also where MQTT carries it."""
    return f"vehicle.{vin}.{domain.value}".encode("ascii")

"""Who is let in, and who has sent too much to stay. Rules only."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_ADMISSION = timedelta(hours=12)
"""After this long the broker ends the connection, and the vehicle comes again."""

MOST_CONNECTIONS = 4
"""A vehicle's at the broker at once. It needs one; where the network breaks, the broker misses the old one only after
minutes."""

MOST_ARRIVALS = 240
ARRIVAL_EVERY = timedelta(seconds=15)
_MOST_REMEMBERED = 100_000
SHUT_OUT_FOR = timedelta(hours=1)
"""So long a vehicle that did harm at the broker is not let in; the operator's `enrol` ends it."""
FIRST_FLOOD_OUT_FOR = timedelta(minutes=1)
FLOOD_REMEMBERED_FOR = timedelta(days=1)
BURST_SECONDS = 4
"""A vehicle may send so many seconds' worth at once: what it stored while it was out of coverage."""
MOST_RATED = 20_000
"""So many are remembered at most, those seen last."""
_MOST_COUNTED = 16
REPORTED_AGAIN_SECONDS = 1.0
_MOST_REPORTED = 10_000
MOST_SUBSCRIBED, SUBSCRIBED_WITHIN_SECONDS = 20, 5.0
"""A vehicle subscribes once for each connection."""

TAKEOVERS_WITHIN = timedelta(minutes=10)
MOST_TAKEOVERS = 3
"""So many within that time are no broken connection that its vehicle replaced: two units have one vehicle's keys."""


class LinkProtocol(StrEnum):
    """What a vehicle speaks."""

    NATS = "nats"
    MQTT = "mqtt"


@dataclass(frozen=True, slots=True)
class Connection:
    """A vehicle's connection: the id of the broker's node, the number that the node gave it, and what it speaks."""

    server_id: str
    number: int
    link: LinkProtocol


class NotAdmittedError(Exception):
    """Not let in; the text says why, for the log. The vehicle is not told."""


class NotAVinError(ValueError):
    """Not a vehicle identification number."""


class NotEnrolledError(Exception):
    """There is no such vehicle here."""


class CredentialInUseError(Exception):
    """The certificate, or one of the keys, is another vehicle's."""


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """What a vehicle says is verified with `verify_key` (Ed25519), what it alone may read is sealed to `seal_key`
    (X25519). 32 bytes each.
    """

    verify_key: bytes
    seal_key: bytes


@dataclass(frozen=True, slots=True)
class ConnectingVehicle:
    """Who asks to be let in: what its certificate says, which the broker has verified, and its connection.

    `fingerprint` is the SHA-256 of the certificate, in hex. `client_id` is MQTT's.
    """

    vin: str
    fingerprint: str
    certificate_ends_at: datetime
    link: LinkProtocol
    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The certificate and the keys of a vehicle, and whether they still count.

    Without a certificate (only a load generator's vehicle) it is not let in here, without keys not commanded.
    `certificate_ends_at` is not known of vehicles that were enrolled before it was kept.
    """

    vin: str
    fingerprint: str | None
    enrolled_at: datetime
    revoked_at: datetime | None = None
    keys: PublicKeys | None = None
    certificate_ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class BrokerAdmission:
    """A vehicle is let in, over this link, for so long."""

    vin: str
    link: LinkProtocol
    until: datetime


class ShutOutVehicles:
    """Vehicles that are not let in for a while, because of what they did at the broker."""

    def __init__(self) -> None:
        self._until: dict[str, datetime] = {}
        self._floods: dict[str, tuple[datetime, timedelta]] = {}

    def add(self, vin: str, now: datetime) -> bool:
        """Shut it out from now on; whether it was not before."""
        was_out = self.holds(vin, now)
        self._until[vin] = now + SHUT_OUT_FOR
        return not was_out

    def add_flood(self, vin: str, now: datetime) -> timedelta | None:
        """Shut it out from now on, for FIRST_FLOOD_OUT_FOR or twice as long as the last time, at most SHUT_OUT_FOR.

        Return for how long; None where it is out already. What is a day old is forgotten.
        """
        if self.holds(vin, now):
            return None
        at, before = self._floods.get(vin, (now, FIRST_FLOOD_OUT_FOR / 2))
        if now - at > FLOOD_REMEMBERED_FOR:
            before = FIRST_FLOOD_OUT_FOR / 2
        if len(self._floods) >= _MOST_REMEMBERED:
            self._floods = {one: had for one, had in self._floods.items() if now - had[0] <= SHUT_OUT_FOR}
        lasts = min(SHUT_OUT_FOR, 2 * before)
        self._floods[vin] = now, lasts
        self._until[vin] = now + lasts
        return lasts

    def remove(self, vin: str) -> None:
        """Let it in again."""
        self._until.pop(vin, None)
        self._floods.pop(vin, None)

    def holds(self, vin: str, now: datetime) -> bool:
        """Return whether it is shut out."""
        until = self._until.get(vin)
        if until is not None and until <= now:
            del self._until[vin]
            return False
        return until is not None


class Arrivals:
    """How often each vehicle is let in: MOST_ARRIVALS at once, and one more for each of ARRIVAL_EVERY.

    Each admission may be a connection for LONGEST_ADMISSION, and the broker has room for so many.
    """

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, datetime]] = {}

    def take(self, vin: str, now: datetime) -> bool:
        """Return whether it may be let in once more, which it then is."""
        left = self._left_of(vin, now)
        if left < 1:
            return False
        if len(self._left) >= _MOST_REMEMBERED:
            self._left = {
                one: have for one, have in self._left.items() if self._left_of(one, now) < MOST_ARRIVALS
            }
        self._left[vin] = (left - 1, now)
        return True

    def _left_of(self, vin: str, now: datetime) -> float:
        left, since = self._left.get(vin, (MOST_ARRIVALS, now))
        return min(MOST_ARRIVALS, left + (now - since) / ARRIVAL_EVERY)


class LatestConnections:
    """The connection that each vehicle was let in with last, at most MOST_REMEMBERED of them."""

    def __init__(self, most: int = _MOST_REMEMBERED) -> None:
        self._most = most
        self._latest: OrderedDict[str, Connection] = OrderedDict()

    def admitted(self, vin: str, connection: Connection) -> Connection | None:
        """Remember it, and return the one to end: the vehicle's connection before it.

        None where there is none, or the broker ends it itself: one MQTT session of a client id ends the other.
        """
        before = self._latest.pop(vin, None)
        self._latest[vin] = connection
        if len(self._latest) > self._most:
            self._latest.popitem(last=False)
        if before is None or before == connection or before.link is connection.link is LinkProtocol.MQTT:
            return None
        return before


class Takeovers:
    """How often a vehicle's connection took the place of one that lived."""

    def __init__(self, most: int = _MOST_REMEMBERED) -> None:
        self._most = most
        self._at: OrderedDict[str, tuple[datetime, ...]] = OrderedDict()

    def add(self, vin: str, now: datetime) -> int:
        """Count one more; how many there were within TAKEOVERS_WITHIN, at most MOST_TAKEOVERS."""
        lately = [at for at in self._at.pop(vin, ()) if now - at < TAKEOVERS_WITHIN]
        self._at[vin] = (*lately, now)[-MOST_TAKEOVERS:]
        if len(self._at) > self._most:
            self._at.popitem(last=False)
        return len(self._at[vin])

    def has_two_units(self, times: int) -> bool:
        """Return whether so many within that time show that two units have the vehicle's keys."""
        return times >= MOST_TAKEOVERS


def is_own_reply(reply: str, vin: str) -> bool:
    """Return whether an answer to this subject reaches the vehicle, or nobody, and is no pattern."""
    if not reply:
        return True
    return reply.startswith(f"_INBOX.{vin}.") and not {"*", ">"}.intersection(reply.split("."))


class HarmReports:
    """When each vehicle that does harm was reported last: once a REPORTED_AGAIN_SECONDS at most, whatever it sends."""

    def __init__(self, most: int = _MOST_REPORTED) -> None:
        self._most = most
        self._at: dict[str, float] = {}

    def is_due(self, vin: str, at: float) -> bool:
        """Return whether it is to be reported now, which it then is. `at` is monotonic, in seconds."""
        if at - self._at.get(vin, -REPORTED_AGAIN_SECONDS) < REPORTED_AGAIN_SECONDS:
            return False
        if len(self._at) >= self._most:
            self._at.clear()
        self._at[vin] = at
        return True


class SessionChanges:
    """How often each session over MQTT subscribes: MOST_SUBSCRIBED within SUBSCRIBED_WITHIN_SECONDS, and no more."""

    def __init__(self, most: int = _MOST_REPORTED) -> None:
        self._most = most
        self._since: dict[str, tuple[float, int]] = {}

    def is_excessive(self, session: str, at: float) -> bool:
        """Count one more; whether they are too many, which is said once in that time. `at` is monotonic, in seconds."""
        since, count = self._since.get(session, (at, 0))
        if at - since >= SUBSCRIBED_WITHIN_SECONDS:
            since, count = at, 0
        if session not in self._since and len(self._since) >= self._most:
            self._since.clear()
        self._since[session] = since, count + 1
        return count + 1 == MOST_SUBSCRIBED + 1


class Stays:
    """How many connections each vehicle may have open: as many as were found, and all that it was let in for since."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}

    def add(self, vin: str) -> bool:
        """Count one more; whether they may be too many."""
        if vin not in self._open and len(self._open) >= _MOST_REMEMBERED:
            self._open.clear()  # they are counted anew: one that goes on is found all the same
        self._open[vin] = self.count(vin) + 1
        return self.too_many(vin)

    def count(self, vin: str) -> int:
        """Return how many may be open."""
        return self._open.get(vin, 0)

    def too_many(self, vin: str) -> bool:
        """Return whether the vehicle must be looked after."""
        return self.count(vin) > MOST_CONNECTIONS

    def found(self, vin: str, left: int, came_meanwhile: int) -> None:
        """Take over what the broker said: so many are left, without those that were let in meanwhile."""
        self._open[vin] = left + came_meanwhile


def admission(caller: ConnectingVehicle, enrolment: Enrolment | None, now: datetime) -> BrokerAdmission:
    """Let the caller in. Raises NotAdmittedError."""
    if enrolment is None:
        raise NotAdmittedError("the vehicle is not enrolled")
    if enrolment.revoked_at is not None:
        raise NotAdmittedError("the vehicle's enrolment is revoked")
    if caller.fingerprint != enrolment.fingerprint:
        raise NotAdmittedError("not the certificate that is enrolled for the vehicle")
    # Another client id would be a session of its own, or another vehicle's.
    if caller.link is LinkProtocol.MQTT and caller.client_id != caller.vin:
        raise NotAdmittedError("the MQTT client id is not the VIN")
    if caller.certificate_ends_at <= now:
        raise NotAdmittedError("the certificate has expired")
    return BrokerAdmission(caller.vin, caller.link, min(caller.certificate_ends_at, now + LONGEST_ADMISSION))


@dataclass(frozen=True, slots=True)
class ConnectionTraffic:
    """What the broker's node `server_id` has counted of one connection of a vehicle since it was opened.

    `age_seconds`: for how long it has been open, or was. Of one that has ended (`is_open` is false) it is the
    last count.
    """

    vin: str
    server_id: str
    number: int
    age_seconds: float
    messages: int
    octets: int
    is_open: bool


@dataclass(slots=True)
class _Sent:
    """Of one vehicle: what is above its rate, when that was so, and the last count of each connection."""

    at: float
    messages: float = 0
    octets: float = 0
    counts: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)


class MessageRates:
    """Keeps, for each vehicle, how far it is above `messages` and `octets` a second in the mean.

    A connection counts with what it sent since it was last seen. One that was not seen before counts with what is more
    than it might have sent in its whole life: the rest may be the work of months.
    """

    def __init__(self, messages: int, octets: int) -> None:
        self._messages = messages
        self._octets = octets
        self._vehicles: OrderedDict[str, _Sent] = OrderedDict()

    def excessive(self, seen: Sequence[ConnectionTraffic], at: float) -> dict[str, int]:
        """Return the vehicles that sent too much, by VIN, with how many messages they are above their rate.

        `at` is monotonic, in seconds. Each begins anew once it was returned.
        """
        vehicles = {each.vin: self._sent(each.vin, at) for each in seen}
        for each in seen:
            self._add(vehicles[each.vin], each)
        found = {}
        for vin, sent in vehicles.items():
            passed, sent.at = at - sent.at, at
            sent.messages = max(0.0, sent.messages - passed * self._messages)
            sent.octets = max(0.0, sent.octets - passed * self._octets)
            if sent.messages > BURST_SECONDS * self._messages or sent.octets > BURST_SECONDS * self._octets:
                found[vin] = round(sent.messages)
                sent.messages = sent.octets = 0
        return found

    def _sent(self, vin: str, at: float) -> _Sent:
        sent = self._vehicles.setdefault(vin, _Sent(at))
        self._vehicles.move_to_end(vin)
        if len(self._vehicles) > MOST_RATED:
            self._vehicles.popitem(last=False)
        return sent

    def _add(self, sent: _Sent, each: ConnectionTraffic) -> None:
        key = (each.server_id, each.number)
        before = sent.counts.pop(key, None)
        if before is None:
            sent.messages += max(0.0, each.messages - each.age_seconds * self._messages)
            sent.octets += max(0.0, each.octets - each.age_seconds * self._octets)
        else:
            sent.messages += each.messages - before[0]
            sent.octets += each.octets - before[1]
        sent.counts[key] = each.messages, each.octets
        if len(sent.counts) > _MOST_COUNTED:
            del sent.counts[next(iter(sent.counts))]

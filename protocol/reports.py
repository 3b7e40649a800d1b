"""Reports under session keys: status and diagnostics, which are too many for a signature each.

    0x01 | 0x02 | epoch (16) | counter (8) | ciphertext and tag

The key comes from X25519 between a key the vehicle made with its epoch (public in its signed session
information) and the cloud's static report key (public in the manifest): only these two can make it,
so a report that opens came from the vehicle, though nobody could prove it to a third.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.domains import MAX_COUNTER, REPORTS, Domain, subject_of
from protocol.faults import Fault, MessageRefusedError
from protocol.seal import PROTOCOL_VERSION
from protocol.session import EPOCH_BYTES
from protocol.window import Window

if TYPE_CHECKING:
    from protocol.keys import OpenKeys, SealKey

MAX_REPORT_BYTES = 64 * 1024
HEAD = bytes((PROTOCOL_VERSION, 2))

_COUNTER_AT = len(HEAD) + EPOCH_BYTES
_CIPHERTEXT_AT = _COUNTER_AT + 8
_LEAST_BYTES = _CIPHERTEXT_AT + 16
_NONCE_PAD = bytes(4)


def report_key(shared: bytes, epoch: bytes, vin: str, domain: Domain) -> bytes:
    """Return the AES-256 key of one vehicle, epoch and domain, from the X25519 shared secret."""
    if domain not in REPORTS:
        raise ValueError(f"{domain.value} is signed, not reported")
    info = b"rdc-report" + bytes((PROTOCOL_VERSION,)) + subject_of(vin, domain)
    return HKDF(algorithm=SHA256(), length=32, salt=epoch, info=info).derive(shared)


class ReportSealer:
    """The vehicle's side, for one epoch."""

    def __init__(self, vin: str, epoch: bytes, own_key: X25519PrivateKey, cloud_key: SealKey) -> None:
        self._vin = vin
        self._epoch = epoch
        shared = own_key.exchange(cloud_key.key)
        self._keys = {domain: AESGCM(report_key(shared, epoch, vin, domain)) for domain in REPORTS}
        self._sent = dict.fromkeys(REPORTS, 0)

    def seal(self, domain: Domain, report: bytes) -> bytes:
        """Return the report as it travels, at most MAX_REPORT_BYTES. Raises ValueError when it would be longer."""
        counter = self._sent[domain] + 1
        if len(report) + _LEAST_BYTES > MAX_REPORT_BYTES:
            raise ValueError(f"a report of {len(report)} bytes")
        if counter > MAX_COUNTER:
            raise OverflowError("no counters left in this epoch")  # a nonce must never repeat
        self._sent[domain] = counter
        head = b"".join((HEAD, self._epoch, counter.to_bytes(8)))
        ciphertext = self._keys[domain].encrypt(
            _NONCE_PAD + head[_COUNTER_AT:], report, head + subject_of(self._vin, domain)
        )
        return head + ciphertext


@dataclass(frozen=True, slots=True)
class ReportSession:
    """What the session information of an epoch says about its reports, and what was seen of them before.

    `seen` has the windows as the caller stored them; domains left out were not seen. `order` is the epoch's among the
    vehicle's (CloudSession.order_of).
    """

    vehicle_public_key: bytes
    cloud_key_id: bytes
    seen: tuple[tuple[Domain, Window], ...] = ()
    order: int = 0


class ReportSessions(Protocol):
    """Where the cloud keeps what vehicles' session information said."""

    def load(self, vin: str, epoch: bytes) -> ReportSession | None:
        """Return the session of this epoch; None when no session information of it was seen, when a later epoch
        followed it, and when the vehicle is not enrolled any more. Asked when an epoch is not the one whose keys are
        kept.
        """


@dataclass(frozen=True, slots=True)
class OpenedReport:
    """A report of this vehicle. (epoch, counter) is unique within its domain; `order` is the epoch's."""

    vin: str
    domain: Domain
    epoch: bytes
    counter: int
    payload: bytes
    order: int = 0


@dataclass(slots=True)
class _Channel:
    epoch: bytes
    key: AESGCM
    subject: bytes
    window: Window
    order: int


class ReportOpener:
    """The cloud's side, for many vehicles. Keeps the keys of the `most_kept` heard last, about 1 kB each, and of
    each vehicle and domain only those of the epoch that ReportSessions told of last.
    """

    def __init__(self, cloud_keys: OpenKeys, sessions: ReportSessions, most_kept: int) -> None:
        self._cloud_keys = cloud_keys
        self._sessions = sessions
        self._most_kept = most_kept
        self._channels: OrderedDict[tuple[str, Domain], _Channel] = OrderedDict()

    def open(self, vin: str, domain: Domain, data: bytes) -> OpenedReport:
        """Return the report that came on this subject. It counts as seen only when `taken` is told.

        Raises MessageRefusedError: TOO_LARGE, MALFORMED, WRONG_EPOCH (no session information of it yet: try again),
        UNKNOWN_KEY, COUNTER_NOT_NEW, COUNTER_TOO_LARGE, NOT_FOR_US.
        """
        if len(data) > MAX_REPORT_BYTES:
            raise MessageRefusedError(Fault.TOO_LARGE, f"{len(data)} bytes; at most {MAX_REPORT_BYTES}")
        if len(data) < _LEAST_BYTES or data[: len(HEAD)] != HEAD:
            raise MessageRefusedError(Fault.MALFORMED, "not a report of this version")
        epoch = data[len(HEAD) : _COUNTER_AT]
        channel = self._channel(vin, domain, epoch)
        raw_counter = data[_COUNTER_AT:_CIPHERTEXT_AT]
        counter = int.from_bytes(raw_counter)
        channel.window.check(counter)
        try:
            payload = channel.key.decrypt(
                _NONCE_PAD + raw_counter, data[_CIPHERTEXT_AT:], data[:_CIPHERTEXT_AT] + channel.subject
            )
        except InvalidTag as error:
            raise MessageRefusedError(Fault.NOT_FOR_US, "it does not open") from error
        return OpenedReport(vin, domain, epoch, counter, payload, channel.order)

    def taken(self, report: OpenedReport) -> Window | None:
        """Note that this report is committed: a repetition is refused from here on. Return the window, to be
        stored by whoever wants it to outlive the process; None when the keys it was opened with were forgotten
        meanwhile.

        Taking and opening are two steps because a commit may fail, and the same report must then open again.
        """
        channel = self._channels.get((report.vin, report.domain))
        if channel is None or channel.epoch != report.epoch:
            return None
        channel.window = channel.window.with_counter(report.counter)
        return channel.window

    def invalidate(self, vin: str) -> None:
        """Drop this vehicle's keys: it was revoked, or began another epoch."""
        for domain in REPORTS:
            self._channels.pop((vin, domain), None)

    def clear(self) -> None:
        """All keys are to be asked for again: nobody knows what was missed."""
        self._channels.clear()

    def _channel(self, vin: str, domain: Domain, epoch: bytes) -> _Channel:
        place = (vin, domain)
        channel = self._channels.get(place)
        if channel is None or channel.epoch != epoch:
            channel = self._agreed(vin, domain, epoch)
            self._channels[place] = channel
            if len(self._channels) > self._most_kept:
                self._channels.popitem(last=False)
        self._channels.move_to_end(place)
        return channel

    def _agreed(self, vin: str, domain: Domain, epoch: bytes) -> _Channel:
        session = self._sessions.load(vin, epoch)
        if session is None:
            raise MessageRefusedError(Fault.WRONG_EPOCH, "an epoch that no session information told of")
        own = self._cloud_keys.find(session.cloud_key_id)
        if own is None:
            raise MessageRefusedError(Fault.UNKNOWN_KEY, "agreed with a report key that is not here")
        try:
            shared = own.exchange(X25519PublicKey.from_public_bytes(session.vehicle_public_key))
        except ValueError as error:  # a point of small order
            raise MessageRefusedError(Fault.MALFORMED, "an impossible report key") from error
        key = AESGCM(report_key(shared, epoch, vin, domain))
        window = dict(session.seen).get(domain, Window())
        return _Channel(epoch, key, subject_of(vin, domain), window, session.order)

"""The kit as cloud: signs what the rules order, and accepts of the unit what the protocol lets it accept.

Everything stays in memory; the keys are `keys`'. It sends nothing.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.vehicle.v1 import report_pb2, session_pb2
from google.protobuf.message import DecodeError

from conformance.acceptance import unacceptable
from conformance.forge import UNCHANGED, Mutation, sealed_order
from protocol.cloud_side import AnswerReader, IssuedOrder, ReplayGuard, next_slot
from protocol.domains import ORDER_FIELDS, REPORTS, Domain
from protocol.faults import REPETITIONS, Fault, MessageRefusedError
from protocol.order import command_id, domain_of, order_id
from protocol.reports import ReportOpener, ReportSession
from protocol.seal import Direction, seal
from protocol.session import CloudSession
from protocol.signing import sign_session_request
from protocol.subjects import EventKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from conformance.bench import IssuedHashes
    from conformance.keys import KitCloudKeys
    from protocol.keys import Signer, VehicleKeys
    from protocol.order import VehicleCommand

VALID_MILLIS = 20_000
_EPOCHS_OF_REPORTS = 10
_PLACE_BYTES = 26
_RECEIVER = slice(2, 10)
_REPORTS: dict[Domain, type[report_pb2.StatusReport | report_pb2.DiagnosticsReport]] = {
    Domain.STATUS: report_pb2.StatusReport,
    Domain.DIAGNOSTICS: report_pb2.DiagnosticsReport,
}


@dataclass(frozen=True, slots=True)
class OutboundOrder:
    """An order on its way: publish `data` on the unit's subject of `domain`."""

    domain: Domain
    order: VehicleCommand
    envelope: bytes
    data: bytes
    request_hash: bytes

    @property
    def order_id(self) -> str:
        """Return the order's id, as `protocol.order` reads it."""
        return order_id(self.order)


@dataclass(frozen=True, slots=True)
class UnitMessage:
    """What the unit said, verified. `info` belongs to a hello, `request_hash` to an answer; `at_millis` is when it
    came, by the kit's clock.
    """

    event: EventKind
    message_id: str
    epoch: bytes
    counter: int
    payload: Any
    at_millis: int
    digest: bytes
    """SHA-256 over the message as it came."""
    message: Any
    """The whole that was signed or sealed."""
    sealed_to: bytes
    """The id of the key it was sealed to; of no meaning for a report."""
    request_hash: bytes = b""
    info: session_pb2.SessionInfo | None = None


class _OfEarlierRunError(Exception):
    """An answer to what an earlier run ordered: nothing that this run can judge."""


@dataclass(slots=True)
class _Store:
    """CloudStore, Enrolment and ReportSessions for one unit."""

    keys: VehicleKeys
    session: CloudSession | None = None
    issued: dict[bytes, IssuedOrder] = field(default_factory=dict)

    def load(self, _vin: str) -> CloudSession | None:
        return self.session

    def save(self, _vin: str, session: CloudSession) -> None:
        self.session = session

    def remember(self, issued: IssuedOrder) -> None:
        self.issued[issued.request_hash] = issued

    def find(self, _vin: str, request_hash: bytes) -> IssuedOrder | None:
        return self.issued.get(request_hash)


class _Enrolled:
    def __init__(self, vin: str, keys: VehicleKeys) -> None:
        self._vin = vin
        self._keys = keys

    def find(self, vin: str) -> VehicleKeys | None:
        return self._keys if vin == self._vin else None


class _Reported:
    def __init__(self, store: _Store) -> None:
        self._store = store

    def load(self, vin: str, epoch: bytes) -> ReportSession | None:
        session = self._store.load(vin)
        if session is None or session.epoch != epoch:
            return None
        return ReportSession(session.report_public_key, session.report_key_id)


class Cloud:
    """The cloud of one unit. `now_millis` is its clock: it need only run evenly. `issued` knows the orders of earlier
    runs.
    """

    def __init__(
        self,
        vin: str,
        keys: KitCloudKeys,
        unit: VehicleKeys,
        now_millis: Callable[[], int],
        issued: IssuedHashes | None = None,
    ) -> None:
        self.vin = vin
        self.keys = keys
        self.unit = unit
        self.received: list[UnitMessage] = []
        self.rejected: list[str] = []
        """What no cloud would have accepted, and why."""
        self.now_millis = now_millis
        self._issued = issued
        self.said: list[EventKind] = []
        """The event of each message that was heard, accepted or not, in the order in which they came."""
        self._store = _Store(unit)
        self._replay_guard = ReplayGuard(self._store, now_millis)
        self._enrolled = _Enrolled(vin, unit)
        self._came: set[bytes] = set()
        self._stored: set[bytes] = set()
        self._early: list[tuple[EventKind, bytes]] = []
        self.reused_counters: set[tuple[Domain, bytes]] = set()
        """Places (epoch and counter) under which the unit sealed more than one report: a nonce used twice."""
        self._reports: dict[tuple[Domain, bytes], bytes] = {}
        self._open_with_all_keys()

    def _open_with_all_keys(self) -> None:
        self._reader = AnswerReader(self.keys.open_keys("seal"), self._enrolled)
        self._opener = ReportOpener(
            self.keys.open_keys("report"), _Reported(self._store), most_kept=_EPOCHS_OF_REPORTS
        )

    @property
    def session(self) -> CloudSession:
        """What the unit's last words were of its session; an empty one before its hello."""
        return self._store.session or CloudSession()

    @property
    def unannounced(self) -> int:
        """How many messages wait for the hello of their epoch."""
        return len(self._early)

    @property
    def signer(self) -> Signer:
        """Whom the unit accepts."""
        return self.keys.signer

    def sign(
        self, order: VehicleCommand, mutation: Mutation = UNCHANGED, domain: Domain | None = None
    ) -> OutboundOrder:
        """Return the order, right in everything but what `mutation` says, for the subject of `domain` (the
        order's own).

        What it signs counts as issued: an answer to it is an answer. Raises NotReachableError before the first hello.
        """
        domain = domain or domain_of(order)
        place, session = next_slot(self._store.session, domain, VALID_MILLIS, self.now_millis())
        self._store.session = session
        expires_at_millis = place.expires_at_millis
        if mutation.left_millis is not None:
            expires_at_millis = max(0, self.unit_clock_millis() + mutation.left_millis)
        message = session_pb2.SignedOrder(
            vin=self.vin,
            epoch=place.epoch,
            counter=place.counter,
            expires_at_millis=expires_at_millis,
            manifest_version=self.keys.version,
        )
        getattr(message, ORDER_FIELDS[domain_of(order)]).CopyFrom(order)
        made = sealed_order(message, domain, self.signer, self.unit.seal_key, mutation)
        self._store.remember(
            IssuedOrder(
                self.vin, domain, order_id(order), command_id(order), made.request_hash, self.now_millis()
            )
        )
        if self._issued is not None:
            self._issued.add(made.request_hash)
        return OutboundOrder(domain, order, made.envelope, made.data, made.request_hash)

    def skip_to(self, domain: Domain, counter: int) -> None:
        """As if all counters up to this one had been issued."""
        session = self.session
        self._store.session = replace(session, current=session.current.with_issued(domain, counter))

    def unit_clock_millis(self) -> int:
        """Return what the unit's clock says now, or a little less."""
        return self.now_millis() + self.session.clock_lead_millis

    def challenge(
        self,
        by: Signer | None = None,
        refused: Sequence[session_pb2.RefusedReport] = (),
        *,
        self_check: bool = False,
    ) -> tuple[bytes, bytes]:
        """Return a challenge, and the session request with it, sealed; it tells what was `refused` besides, or asks for
        a self-check.
        """
        challenge = self._replay_guard.challenge(self.vin)
        envelope = sign_session_request(
            by or self.signer, self.vin, challenge, refused, self_check=self_check
        )
        return challenge, self.seal(envelope)

    def seal(self, envelope: bytes) -> bytes:
        """Sealed to the unit, as anybody can."""
        return seal(envelope, self.unit.seal_key, Direction.TO_VEHICLE, self.vin)

    def receive(self, event: EventKind, data: bytes, *, stored: bool = True) -> UnitMessage | None:
        """Accept it and file it; None for what is repeated, waits for its hello, or is not accepted.

        `stored`: the broker's stream has it. The same bytes count once, however often they come.
        """
        digest = hashlib.sha256(data).digest()
        if stored:
            self._stored.add(digest)
        if digest in self._came:
            return None
        self._came.add(digest)
        self.said.append(event)
        return self._receive(event, data)

    def is_stored(self, received: UnitMessage) -> bool:
        """Return whether the broker's stream has it."""
        return received.digest in self._stored

    def _receive(self, event: EventKind, data: bytes) -> UnitMessage | None:
        try:
            received = self._open(event, data)
        except _OfEarlierRunError:
            return None
        except MessageRefusedError as refused:
            if refused.fault is Fault.WRONG_EPOCH:
                self._early.append((event, data))
            elif refused.fault not in REPETITIONS:
                self.rejected.append(f"evt.{event.value}: {refused}")
            return None
        self.received.append(received)
        for fault in unacceptable(received.message):
            # Filed all the same: what is wrong with it is to be said once, not by every rule that waits for it.
            self.rejected.append(f"evt.{event.value}: {fault}")
        if event is EventKind.HELLO:
            early, self._early = self._early, []
            for one in early:
                self._receive(*one)
        return received

    def keys_changed(self) -> None:
        """There are more keys to open with than before."""
        self._open_with_all_keys()

    def answers(self, *request_hashes: bytes) -> list[UnitMessage]:
        """Return what the unit said of these orders."""
        return [one for one in self.received if one.request_hash in request_hashes]

    def _open(self, event: EventKind, data: bytes) -> UnitMessage:
        domain = Domain(f"evt.{event.value}")
        if domain in REPORTS:
            return self._open_report(event, domain, data)
        if domain is Domain.HELLO:
            info = self._reader.hello(self.vin, data)
            self._replay_guard.learn(info)
            at = self._at(data, info)
            return UnitMessage(event, info.message_id, info.epoch, 0, info.hello, *at, info=info)
        message = self._reader.answer(self.vin, domain, data)
        if self._issued is not None and self._issued.is_earlier(message.request_hash):
            raise _OfEarlierRunError
        opened = self._replay_guard.admit(domain, message)
        return UnitMessage(
            event,
            opened.message_id,
            message.epoch,
            message.counter,
            opened.answer,
            *self._at(data, message),
            message.request_hash,
        )

    def _at(self, data: bytes, message: Any) -> tuple[int, bytes, Any, bytes]:
        return self.now_millis(), hashlib.sha256(data).digest(), message, data[_RECEIVER]

    def _open_report(self, event: EventKind, domain: Domain, data: bytes) -> UnitMessage:
        place = (domain, data[:_PLACE_BYTES])
        if self._reports.setdefault(place, hashlib.sha256(data).digest()) != hashlib.sha256(data).digest():
            self.reused_counters.add(place)
        opened = self._opener.open(self.vin, domain, data)
        self._opener.taken(opened)
        try:
            report = _REPORTS[domain].FromString(opened.payload)
        except DecodeError as error:
            raise MessageRefusedError(Fault.MALFORMED, "not a report") from error
        return UnitMessage(event, "", opened.epoch, opened.counter, report, *self._at(data, report))


def new_id() -> str:
    """Unlike any other."""
    return secrets.token_hex(16)

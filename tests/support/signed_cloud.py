"""The cloud in memory, for tests of the car: signs orders, and accepts what the protocol lets it accept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.vehicle.v1 import command_pb2, report_pb2, session_pb2

from protocol import order
from protocol.cloud_side import AnswerReader, IssuedOrder
from protocol.domains import REPORTS, Domain
from protocol.faults import REPETITIONS, Fault, MessageRefusedError
from protocol.keys import OpenKeys
from protocol.manifest import Trust, endorse
from protocol.reports import ReportOpener
from protocol.subjects import EventKind
from tests.support import protocol_harness
from tests.support.described_events import fault_of_unit_message
from vehicle.messages.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from protocol.keys import KeySigner
    from protocol.order import VehicleCommand

VIN = protocol_harness.VIN
OTHER_VIN = protocol_harness.OTHER_VIN
FAR_SECONDS = 4_000_000_000
"""The end of the manifests here, whatever year the tests are run in."""

_REPORTS: dict[Domain, type[report_pb2.StatusReport | report_pb2.DiagnosticsReport]] = {
    Domain.STATUS: report_pb2.StatusReport,
    Domain.DIAGNOSTICS: report_pb2.DiagnosticsReport,
}


def manifest(version: int = 1, **changes: Any) -> session_pb2.KeyManifest:
    """The cloud's keys."""
    return protocol_harness.manifest(version, **{"expires_at": FAR_SECONDS, **changes})


def endorsed(one: session_pb2.KeyManifest) -> bytes:
    """By the root that cars are made with."""
    return endorse(one, protocol_harness.ROOT, protocol_harness.ROOT)


@dataclass(frozen=True, slots=True)
class VerifiedUnitMessage:
    """What a car said, verified. `payload` is OrderRefused for a fault; `info` belongs to a hello."""

    event: EventKind
    message_id: str
    payload: Any
    issued: IssuedOrder | None = None
    info: session_pb2.SessionInfo | None = None


class SignedCloud:
    """Signer and services in one. The car of VIN is enrolled, and so is another."""

    def __init__(self, now_millis: Callable[[], int]) -> None:
        self.car = protocol_harness.Car(VIN, protocol_harness.Clock())
        """Nothing but the car's keys, and a hand for forgeries."""
        other = protocol_harness.Car(OTHER_VIN, protocol_harness.Clock())
        self.store = protocol_harness.Store({VIN: self.car.keys, OTHER_VIN: other.keys})
        self.signer = protocol_harness.CLOUD_SIGNER
        self.manifest_version = 1
        self._now_millis = now_millis
        self._open_keys = OpenKeys(protocol_harness.CLOUD_SEAL)
        self._reports = ReportOpener(
            OpenKeys(protocol_harness.CLOUD_REPORT), protocol_harness.Reported(self.store), most_kept=10
        )
        self._early: list[tuple[EventKind, bytes]] = []
        self.received: list[VerifiedUnitMessage] = []
        self.repetitions: list[EventKind] = []
        """What came again, and was not looked at twice."""

    @property
    def credentials(self) -> Credentials:
        """What the car is made with."""
        trust = Trust.restore(protocol_harness.ROOT.public_bytes, endorsed(manifest()))
        return Credentials(self.car.signer, OpenKeys(self.car.seal_key), trust)

    @property
    def epoch(self) -> bytes:
        """That the car said it is in; empty before its first hello."""
        session = self.store.load(VIN)
        return session.epoch if session else b""

    def sign(
        self,
        message: VehicleCommand,
        *,
        valid_seconds: float = 30,
        role: session_pb2.Role.ValueType = protocol_harness.OWNER,
        by: KeySigner | None = None,
    ) -> bytes:
        """The order, sealed to the car."""
        cloud = protocol_harness.Cloud(
            by or self.signer, self._open_keys, self.store, self.manifest_version, self._now_millis
        )
        return cloud.seal_order(VIN, message, role, round(valid_seconds * 1000))

    def forge(self, message: VehicleCommand, domain: Domain = Domain.COMMAND, **changes: Any) -> bytes:
        """An order that is right in everything but what is named; see stand.Car.forge."""
        session = self.store.load(VIN)
        assert session is not None
        now_millis = self._now_millis() + session.clock_lead_millis
        right = {
            "epoch": session.epoch,
            "counter": session.current.issued.get(domain, 0) + 1,
            "expires_at_millis": now_millis + 20_000,
        }
        return self.car.forge(message, domain=domain, **{**right, **changes})

    def remember_as_issued(self, data: bytes, command_id: str) -> None:
        """This came from the cloud's own signer, as far as the cloud remembers."""
        request_hash = order.request_hash(self.car.envelope_of(data))
        self.store.remember(
            IssuedOrder(VIN, Domain.COMMAND, command_id, command_id, request_hash, self._now_millis())
        )

    def rotate_report_key(self, key: X25519PrivateKey) -> None:
        """Open reports with this one from now on."""
        self._reports = ReportOpener(OpenKeys(key), protocol_harness.Reported(self.store), most_kept=10)

    def challenge(self, refused: Iterable[session_pb2.RefusedReport] = ()) -> bytes:
        """A session request, which tells of what was `refused`."""
        return self._cloud().seal_challenge(VIN, refused)

    def seal_manifest(self, one: session_pb2.KeyManifest) -> bytes:
        """The manifest, on its way to the car."""
        return self._cloud().seal_manifest(VIN, endorsed(one))

    def receive(self, event: EventKind, data: bytes) -> VerifiedUnitMessage | None:
        """Accepts it and files it; None for a repetition, and for what came before its hello and waits for it.

        Raises MessageRefusedError for everything that a car must never send.
        """
        try:
            received = self._open(event, data)
        except MessageRefusedError as refused:
            if refused.fault in REPETITIONS:
                self.repetitions.append(event)
            elif refused.fault is Fault.WRONG_EPOCH:
                self._early.append((event, data))
            else:
                raise
            return None
        said = received.info if received.info is not None else received.payload
        fault = fault_of_unit_message(Domain(f"evt.{event.value}"), said)
        assert fault is None, f"not as the AsyncAPI document says: {fault}"
        self.received.append(received)
        if event is EventKind.HELLO:
            early, self._early = self._early, []
            for one in early:
                self.receive(*one)
        return received

    def result_in(self, data: bytes) -> report_pb2.CommandResult:
        """The result in these bytes, whether or not it came in its turn."""
        message = AnswerReader(self._open_keys, protocol_harness.Enrolled(self.store)).answer(
            VIN, Domain.RESULT, data
        )
        return message.result

    def said(self, event: EventKind) -> list[Any]:
        """What the car said there, without faults."""
        return [
            one.payload
            for one in self.received
            if one.event is event and not isinstance(one.payload, session_pb2.OrderRefused)
        ]

    @property
    def faults(self) -> list[Fault]:
        """What the car refused by the protocol."""
        return [
            Fault(one.payload.fault)
            for one in self.received
            if isinstance(one.payload, session_pb2.OrderRefused)
        ]

    def _open(self, event: EventKind, data: bytes) -> VerifiedUnitMessage:
        domain = Domain(f"evt.{event.value}")
        if domain in REPORTS:
            opened = self._reports.open(VIN, domain, data)
            self._reports.taken(opened)
            place = f"{opened.epoch.hex()}{opened.counter}"
            return VerifiedUnitMessage(event, place, _REPORTS[domain].FromString(opened.payload))
        if domain is Domain.HELLO:
            info = self._cloud().open_hello(VIN, data)
            return VerifiedUnitMessage(event, info.message_id, info.hello, info=info)
        answer = self._cloud().open_answer(VIN, domain, data)
        return VerifiedUnitMessage(event, answer.message_id, answer.answer, issued=answer.issued)

    def _cloud(self) -> protocol_harness.Cloud:
        return protocol_harness.Cloud(
            self.signer, self._open_keys, self.store, self.manifest_version, self._now_millis
        )


def unlock(command_id: str) -> command_pb2.DoorCommand:
    """All doors."""
    return protocol_harness.unlock(command_id)

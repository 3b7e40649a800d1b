"""A cloud and a car that talk through the protocol, with keys from seeds and a clock in the test's hand."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from ecarus.remotecontrol.vehicle.v1 import command_pb2, report_pb2, session_pb2

from protocol import cose
from protocol.cloud_side import AnswerReader, IssuedOrder, OpenedAnswer, ReplayGuard
from protocol.domains import ORDER_FIELDS, ORDER_TYPES, Domain, subject_of
from protocol.keys import KeySigner, OpenKeys, SealKey, Signer, VehicleKeys
from protocol.manifest import Trust, endorse
from protocol.order import VehicleCommand, domain_of, order_id
from protocol.reports import ReportOpener, ReportSession
from protocol.seal import Direction, seal, unseal
from protocol.session import CloudSession, NotReachableError, VehicleSession
from protocol.signing import sign_order, sign_session_request
from protocol.vehicle_side import AcceptedOrder, KnownOrder, OutgoingEnvelope, RefusedOrder, VehicleSide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

VIN = "KMHSH81C7LU123456"
OTHER_VIN = "KMHSH81C7LU654321"
WALL_SECONDS = 1_800_000_000
YEAR_SECONDS = 365 * 86_400
OWNER = session_pb2.ROLE_OWNER


def signer(name: str) -> KeySigner:
    """A signing key that follows from its name."""
    return KeySigner(Ed25519PrivateKey.from_private_bytes(seed(name)))


def exchange_key(name: str) -> X25519PrivateKey:
    """An X25519 key that follows from its name."""
    return X25519PrivateKey.from_private_bytes(seed(name))


def seed(name: str) -> bytes:
    """32 bytes that follow from a name."""
    return hashlib.sha256(f"test key: {name}".encode()).digest()


def public(key: X25519PrivateKey) -> bytes:
    """The public half."""
    return key.public_key().public_bytes_raw()


ROOT = signer("root")
CLOUD_SIGNER = signer("cloud signer")
CLOUD_SEAL = exchange_key("cloud seal")
CLOUD_REPORT = exchange_key("cloud report")


def manifest(
    version: int = 1,
    *,
    root: KeySigner = ROOT,
    sign_keys: dict[bytes, tuple[int, bool]] | None = None,
    expires_at: int = WALL_SECONDS + YEAR_SECONDS,
    issued_at: int = WALL_SECONDS - 100,
    other_keys: Iterable[tuple[int, KeySigner]] = (),
) -> session_pb2.KeyManifest:
    """A manifest. `sign_keys` are public key: (expiry in seconds, revoked); `other_keys` come last, with their use."""
    signers = sign_keys if sign_keys is not None else {CLOUD_SIGNER.public_bytes: (expires_at, False)}
    made = session_pb2.KeyManifest(
        version=version,
        issued_at_seconds=issued_at,
        expires_at_seconds=expires_at,
        root_public_key=root.public_bytes,
    )
    for key, (key_expires_at, revoked) in signers.items():
        made.keys.add(
            use=session_pb2.KEY_USE_SIGN, public_key=key, expires_at_seconds=key_expires_at, revoked=revoked
        )
    made.keys.add(use=session_pb2.KEY_USE_SEAL, public_key=public(CLOUD_SEAL), expires_at_seconds=expires_at)
    made.keys.add(
        use=session_pb2.KEY_USE_REPORT, public_key=public(CLOUD_REPORT), expires_at_seconds=expires_at
    )
    for use, key_of in other_keys:
        made.keys.add(use=use, public_key=key_of.public_bytes, expires_at_seconds=expires_at)  # type: ignore[arg-type]  # also uses that are not defined
    return made


def unlock(command_id: str = "cmd-1") -> command_pb2.DoorCommand:
    return command_pb2.DoorCommand(
        command_id=command_id,
        correlation_id="corr-1",
        action=command_pb2.DOOR_ACTION_UNLOCK,
        all_doors=True,
        mode=command_pb2.DOOR_ACTION_MODE_NORMAL,
        subject="user-123",
        actor="user-123",
    )


def cancellation(command_id: str = "cmd-1", cancel_id: str = "can-1") -> command_pb2.CancelCommand:
    return command_pb2.CancelCommand(cancel_id=cancel_id, command_id=command_id, reason="changed my mind")


def succeeded(command_id: str) -> report_pb2.CommandResult:
    result = report_pb2.CommandResult(command_id=command_id, outcome=report_pb2.COMMAND_OUTCOME_SUCCEEDED)
    result.doors.add(door=1, succeeded=True, locked=False)
    return result


class Clock:
    """Wall and boot clock of everybody, unless a test moves the car's."""

    def __init__(self) -> None:
        self.millis = WALL_SECONDS * 1000

    def now_millis(self) -> int:
        return self.millis

    def now_seconds(self) -> int:
        return self.millis // 1000

    def advance(self, seconds: float) -> None:
        self.millis += round(seconds * 1000)


class Car:
    """A car that acts on what its protocol accepts, and writes down each time it does."""

    def __init__(self, vin: str, clock: Clock) -> None:
        self.vin = vin
        self.clock = clock
        self.drift_millis = 0
        self.signer = signer(f"{vin} signer")
        self.seal_key = exchange_key(f"{vin} seal")
        self.keys = VehicleKeys.of(self.signer.public_bytes, public(self.seal_key))
        self.trust = Trust(ROOT.public_bytes).adopt(endorse(manifest(), ROOT, ROOT), WALL_SECONDS)
        self.known: set[tuple[Domain, str]] = set()
        self.kept_manifest = (self.trust.endorsed_by, self.trust.endorsed)
        self.actuations: list[str] = []
        self.boots = 0
        self.boot()

    def boot(self) -> None:
        """Starts a new epoch. What it knows, it keeps."""
        self.boots += 1
        began = self.clock.millis
        self.epoch = seed(f"{self.vin} epoch {self.boots}")[:16]
        self.session = VehicleSession(self.epoch, lambda: self.clock.millis - began + self.drift_millis)
        self.side = VehicleSide(
            self.vin,
            self.signer,
            OpenKeys(self.seal_key),
            self.trust,
            self.session,
            exchange_key(f"{self.vin} report {self.boots}"),
            self,
            self.clock.now_seconds,
        )

    def is_known(self, domain: Domain, order_id: str) -> bool:
        return (domain, order_id) in self.known

    def keep_manifest(self, endorsed_by: bytes, endorsed: bytes) -> None:
        self.kept_manifest = (endorsed_by, endorsed)

    def receive(
        self, data: bytes, domain: Domain = Domain.COMMAND
    ) -> AcceptedOrder | KnownOrder | RefusedOrder:
        """What an agent does: remember, then act."""
        opened = self.side.open_order(domain, data)
        if isinstance(opened, AcceptedOrder):
            self.known.add((domain, opened.order_id))
            self.actuations.append(opened.order_id)
        return opened

    def hello(self, challenge: bytes = b"") -> bytes:
        return self.side.seal_hello(
            report_pb2.Hello(boot_id=f"boot-{self.boots}", agent_version="1"), "hello-1", challenge
        )

    def forge(
        self,
        order: VehicleCommand,
        *,
        by: Signer = CLOUD_SIGNER,
        subject: bytes | None = None,
        content_type: str | None = None,
        domain: Domain = Domain.COMMAND,
        **fields: Any,
    ) -> bytes:
        """An order sealed to this car, right in everything but what is named."""
        values: dict[str, Any] = {
            "vin": self.vin,
            "epoch": self.epoch,
            "counter": 1,
            "expires_at_millis": 20_000,
            "manifest_version": 1,
            "role": OWNER,
        }
        message = session_pb2.SignedOrder(**(values | fields))
        getattr(message, ORDER_FIELDS[domain]).CopyFrom(order)
        envelope = cose.sign(
            by,
            content_type or ORDER_TYPES[domain],
            subject or subject_of(self.vin, domain),
            message.SerializeToString(),
        )
        return self.seal_to(envelope)

    def seal_to(self, envelope: bytes) -> bytes:
        """Sealed to this car, as anybody can."""
        return seal(envelope, SealKey.of(public(self.seal_key)), Direction.TO_VEHICLE, self.vin)

    def envelope_of(self, data: bytes) -> bytes:
        """What is inside a sealed order."""
        return unseal(data, OpenKeys(self.seal_key), Direction.TO_VEHICLE, self.vin)


@dataclass
class Store:
    """CloudStore, Enrolment and ReportSessions in memory."""

    cars: dict[str, VehicleKeys] = field(default_factory=dict)
    sessions: dict[str, CloudSession] = field(default_factory=dict)
    issued: dict[bytes, IssuedOrder] = field(default_factory=dict)

    def load(self, vin: str) -> CloudSession | None:
        return self.sessions.get(vin)

    def save(self, vin: str, session: CloudSession) -> None:
        self.sessions[vin] = session

    def remember(self, issued: IssuedOrder) -> None:
        self.issued[issued.request_hash] = issued

    def find(self, vin: str, request_hash: bytes) -> IssuedOrder | None:
        issued = self.issued.get(request_hash)
        return issued if issued and issued.vin == vin else None


class Enrolled:
    """Enrolment over the same store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, vin: str) -> VehicleKeys | None:
        return self._store.cars.get(vin)


class Reported:
    """ReportSessions over the same store: the current epoch of each car."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def load(self, vin: str, epoch: bytes) -> ReportSession | None:
        session = self._store.sessions.get(vin)
        if session is None or session.epoch != epoch:
            return None
        return ReportSession(session.report_public_key, session.report_key_id)


class Cloud:
    """The signer and the services in one: each call is one transaction on `store`."""

    def __init__(
        self,
        by: Signer,
        open_keys: OpenKeys,
        store: Store,
        manifest_version: int,
        now_millis: Callable[[], int],
    ) -> None:
        self._by = by
        self._enrolled = Enrolled(store)
        self._manifest_version = manifest_version
        self._reader = AnswerReader(open_keys, self._enrolled)
        self._replay_guard = ReplayGuard(store, now_millis)

    def seal_order(
        self, vin: str, order: VehicleCommand, role: session_pb2.Role.ValueType, valid_millis: int
    ) -> bytes:
        keys = self._keys(vin)
        domain = domain_of(order)
        place = self._replay_guard.reserve_slot(vin, domain, valid_millis)
        message = session_pb2.SignedOrder(
            vin=vin,
            epoch=place.epoch,
            counter=place.counter,
            expires_at_millis=place.expires_at_millis,
            manifest_version=self._manifest_version,
            role=role,
        )
        getattr(message, ORDER_FIELDS[domain]).CopyFrom(order)
        envelope = sign_order(self._by, message)
        self._replay_guard.issue(vin, order, place, envelope)
        return seal(envelope, keys.seal_key, Direction.TO_VEHICLE, vin)

    def seal_challenge(self, vin: str, refused: Iterable[session_pb2.RefusedReport] = ()) -> bytes:
        keys = self._keys(vin)
        envelope = sign_session_request(self._by, vin, self._replay_guard.challenge(vin), refused)
        return seal(envelope, keys.seal_key, Direction.TO_VEHICLE, vin)

    def seal_manifest(self, vin: str, endorsed: bytes) -> bytes:
        return seal(endorsed, self._keys(vin).seal_key, Direction.TO_VEHICLE, vin)

    def open_hello(self, vin: str, data: bytes) -> session_pb2.SessionInfo:
        info = self._reader.hello(vin, data)
        self._replay_guard.learn(info)
        return info

    def open_answer(self, vin: str, domain: Domain, data: bytes) -> OpenedAnswer:
        return self._replay_guard.admit(domain, self._reader.answer(vin, domain, data))

    def _keys(self, vin: str) -> VehicleKeys:
        keys = self._enrolled.find(vin)
        if keys is None:
            raise NotReachableError
        return keys


class ProtocolHarness:
    """One cloud, two cars of which the first said hello."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.car = Car(VIN, self.clock)
        self.other = Car(OTHER_VIN, self.clock)
        self.store = Store({VIN: self.car.keys, OTHER_VIN: self.other.keys})
        self.cloud = self.cloud_with(CLOUD_SIGNER)
        self.reports = ReportOpener(OpenKeys(CLOUD_REPORT), Reported(self.store), most_kept=10)
        self.greet()

    def cloud_with(self, by: Signer, manifest_version: int = 1) -> Cloud:
        return Cloud(by, OpenKeys(CLOUD_SEAL), self.store, manifest_version, self.clock.now_millis)

    def greet(self) -> session_pb2.SessionInfo:
        return self.cloud.open_hello(VIN, self.car.hello())

    def command(self, command_id: str = "cmd-1", valid_millis: int = 30_000) -> bytes:
        return self.cloud.seal_order(VIN, unlock(command_id), OWNER, valid_millis)

    def accepted(self, command_id: str = "cmd-1") -> AcceptedOrder:
        opened = self.car.receive(self.command(command_id))
        assert isinstance(opened, AcceptedOrder)
        assert opened.order_id == order_id(opened.order)
        return opened

    def answered(self, command_id: str = "cmd-1", message_id: str = "msg-1") -> OutgoingEnvelope:
        taken = self.accepted(command_id)
        return self.car.side.seal_answer(message_id, taken.request_hash, succeeded(command_id))

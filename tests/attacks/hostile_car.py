"""A car whose owner took it apart: its certificate, its private keys and raw connections, and none of its software's
good manners.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import ssl
import struct
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any, Self

import grpc
import nats.errors
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from ecarus.remotecontrol.access.v1 import vehicle_enrolment_service_pb2 as enrolment
from ecarus.remotecontrol.access.v1 import vehicle_enrolment_service_pb2_grpc as enrolment_grpc
from ecarus.remotecontrol.vehicle.v1 import report_pb2, session_pb2
from nats.aio.client import Client

from protocol import cose
from protocol.domains import ANSWER_FIELDS, ContentType, Domain, subject_of
from protocol.seal import Direction, seal
from protocol.session import VehicleSession
from protocol.subjects import STATUS_PARTITIONS, EventKind, event_subject
from protocol.vehicle_side import VehicleSide
from tests.attacks.people import certified
from tests.attacks.sandbox import car_pair
from tests.support.app import FOREIGN
from vehicle.clock import SystemClock
from vehicle.messages.credentials import make_car_keys, read_credentials

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.support.running_mesh import Mesh

ATTEMPT_SECONDS = 1
_NUMBERS = count(1)


def partition(vin: str) -> int:
    """Which of the streams of status reports the broker files a car's reports in (FNV-1a, as nats-server has it).

    A hostile car shares the bystander's: what it does there meets them.
    """
    value = 0x811C9DC5
    for byte in vin.encode():
        value = (value ^ byte) * 0x01000193 % 2**32
    return value % STATUS_PARTITIONS


class _Memory:
    """It forgets: every order is new to it."""

    def is_known(self, _domain: Domain, _order_id: str) -> bool:
        return False

    def keep_manifest(self, _endorsed_by: bytes, _endorsed: bytes) -> None:
        return


@dataclass
class HostileCar:
    """An enrolled car in an attacker's hands."""

    mesh: Mesh
    vin: str
    pair: tuple[Path, Path]
    keys: Path
    side: VehicleSide = field(init=False)
    epoch: bytes = field(init=False)

    @classmethod
    def enrol(cls, mesh: Mesh, folder: Path) -> Self:
        """A car that nobody knows yet; its owner enrols it as any other."""
        vin = next(
            vin for vin in (f"KMHSH81C7LU9{n:05d}" for n in _NUMBERS) if partition(vin) == partition(FOREIGN)
        )
        private, public = folder / f"{vin}.keys.pem", folder / f"{vin}.pub.pem"
        make_car_keys(private, public)
        pair = car_pair(mesh, vin)
        request = enrolment.EnrolVehicleRequest(
            vin=vin, certificate=pair[0].read_bytes(), public_keys=public.read_bytes()
        )
        with grpc.secure_channel(
            f"localhost:{mesh.ports.service('enrolment')}", certified(mesh, "operator")
        ) as operator:
            enrolment_grpc.VehicleEnrolmentServiceStub(operator).EnrolVehicle(request, timeout=30)
        return cls(mesh, vin, pair, private)

    def __post_init__(self) -> None:
        self._credentials = read_credentials(
            self.keys,
            self.mesh.data / "public" / "root.pub",
            max((self.mesh.data / "public" / "manifests").glob("*.manifest"), key=lambda p: int(p.stem)),
        )
        self.new_epoch()

    def new_epoch(self) -> None:
        """As after a reboot."""
        clock = SystemClock()
        self._report_key = X25519PrivateKey.generate()
        self.epoch = secrets.token_bytes(16)
        began = clock.uptime_millis()
        self._answers = count(1)
        self.side = VehicleSide(
            self.vin,
            self._credentials.signer,
            self._credentials.open_keys,
            self._credentials.factory_trust,
            VehicleSession(self.epoch, lambda: clock.uptime_millis() - began),
            self._report_key,
            _Memory(),
            lambda: int(clock.now().timestamp()),
        )

    # What it says, with real keys.

    def hello(self) -> bytes:
        """As a good car says it."""
        said = report_pb2.Hello(boot_id=secrets.token_hex(8), agent_version="1")
        said.said_at.FromDatetime(datetime.now(UTC))
        return self.side.seal_hello(said, secrets.token_hex(16))

    def forged_hello(
        self, *, counters: dict[str, int] | None = None, said_at: int | None = None, **fields: Any
    ) -> bytes:
        """Signed as a good one, with whatever stands in it."""
        info = self.side._session_info(secrets.token_hex(16))
        info.hello.boot_id = secrets.token_hex(8)
        info.hello.said_at.seconds = int(datetime.now(UTC).timestamp()) if said_at is None else said_at
        for domain, value in (counters or {}).items():
            info.counters.add(domain=domain, counter=value)
        for name, value in fields.items():
            setattr(info, name, value)
        return self.sealed(Domain.HELLO, ContentType.SESSION, info.SerializeToString())

    def answer(
        self, domain: Domain, message: Any, *, epoch: bytes | None = None, request_hash: bytes = bytes(32)
    ) -> bytes:
        """A signed answer; to what nobody asked, where `request_hash` is not that of an order."""
        field_name, content_type = ANSWER_FIELDS[domain]
        if isinstance(message, session_pb2.OrderRefused):
            field_name, content_type = "refused", ContentType.FAULT
        answer = session_pb2.SignedAnswer(
            vin=self.vin,
            message_id=secrets.token_hex(16),
            epoch=epoch or self.epoch,
            counter=next(self._answers),
            request_hash=request_hash,
            **{field_name: message},
        )
        return self.sealed(domain, content_type, answer.SerializeToString())

    def sealed(self, domain: Domain, content_type: ContentType, payload: bytes) -> bytes:
        trust = self._credentials.factory_trust
        envelope = cose.sign(self._credentials.signer, content_type, subject_of(self.vin, domain), payload)
        return seal(
            envelope, trust.seal_key(int(datetime.now(UTC).timestamp())), Direction.TO_CLOUD, self.vin
        )

    # How it reaches the broker.

    def tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.mesh.ca))
        context.load_cert_chain(*self.pair)
        return context

    async def connect(self) -> RawNats:
        return await RawNats.open(self)


class RawNats:
    """The car's NATS connection, with any subject, any reply and any size. What the broker refuses is in `errors`."""

    def __init__(self, car: HostileCar) -> None:
        self.car = car
        self.errors: list[str] = []
        self.received: list[tuple[str, bytes]] = []
        self.client: Client | None = None
        self.thrown_out = False

    @classmethod
    async def open(cls, car: HostileCar) -> Self:
        raw = cls(car)

        async def failed(error: Exception) -> None:
            raw.errors.append(str(error))

        raw.client = await connected(
            f"tls://127.0.0.1:{car.mesh.ports.nats}",
            tls=car.tls(),
            inbox_prefix=f"_INBOX.{car.vin}",
            error_cb=failed,
        )
        return raw

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.client is not None:
            await hang_up(self.client)

    @property
    def alive(self) -> bool:
        return self.client is not None and self.client.is_connected and not self.thrown_out

    async def say(self, event: EventKind, data: bytes, reply: str = "", **headers: str) -> None:
        await self.publish(event_subject(self.car.vin, event), data, reply, **headers)

    async def publish(self, subject: str, data: bytes = b"", reply: str = "", **headers: str) -> None:
        """As far as the broker lets it: who is thrown out stays out, and the attack goes on without them."""
        if self.client is None or not self.alive:
            return
        try:
            # A client that is thrown out while much is to be written waits for that for ever.
            async with asyncio.timeout(ATTEMPT_SECONDS):
                await self.client.publish(subject, data, reply=reply, headers=headers or None)
        except TimeoutError:
            self.thrown_out = True
        except nats.errors.Error as error:
            self.errors.append(str(error))

    async def flush(self) -> None:
        if self.client is not None and self.alive:
            try:
                await self.client.flush(5)
            except (nats.errors.Error, TimeoutError) as error:
                self.errors.append(str(error))

    async def not_refused(self, subjects: Sequence[str]) -> list[str]:
        """Those that the broker did not refuse."""
        return await not_refused(subjects, self.errors)

    async def listen(self, subject: str) -> None:
        async def arrived(message: Any) -> None:
            self.received.append((message.subject, message.data))

        if self.client is not None and self.alive:
            await self.client.subscribe(subject, cb=arrived)
            await self.flush()

    async def pull(self, reply: str, **request: Any) -> None:
        """Ask for its own commands, to be answered where the car likes."""
        body = json.dumps({"batch": 1, "no_wait": True, **request}).encode()
        for subject in pull_subjects(self.car.vin):
            await self.publish(subject, body, reply)

    async def orders(self, seconds: float = 5) -> list[tuple[str, bytes, str]]:
        """What waits for the car: subject, data, and where to acknowledge."""
        assert self.client is not None
        inbox = f"_INBOX.{self.car.vin}.{secrets.token_hex(4)}"
        found: asyncio.Queue[Any] = asyncio.Queue()
        subscription = await self.client.subscribe(inbox, cb=found.put)
        deadline = asyncio.get_running_loop().time() + seconds
        try:
            while asyncio.get_running_loop().time() < deadline:
                await self.pull(inbox, batch=16)
                message = await asyncio.wait_for(found.get(), 2)
                if not (message.headers or {}).get("Status"):
                    return [(message.subject, message.data, message.reply)]
                await asyncio.sleep(0.1)
        except TimeoutError:
            return []
        finally:
            await subscription.unsubscribe()
        return []


async def connected(url: str, **options: Any) -> Client:
    """A client that the broker let in. Raises nats.errors.Error, OSError or TimeoutError, and leaves nothing open."""
    client = Client()
    try:
        await client.connect(
            url, allow_reconnect=False, max_reconnect_attempts=1, connect_timeout=5, **options
        )
        await client.flush(5)
        if not client.is_connected:
            raise nats.errors.ConnectionClosedError
    except (nats.errors.Error, OSError, TimeoutError):
        await hang_up(client)
        raise
    return client


async def hang_up(client: Client) -> None:
    """Close, also where the client would leave its socket to the garbage collector."""
    try:
        async with asyncio.timeout(2):
            await client.close()
    except (nats.errors.Error, OSError, TimeoutError):
        pass  # it was never open, or the broker hung up first
    transport = client._transport
    for name in ("_io_writer", "_bare_io_writer"):
        writer = getattr(transport, name, None)
        if writer is not None:
            writer.transport.abort()
    await asyncio.sleep(0)  # what is aborted is gone by the loop's next turn
    await asyncio.sleep(0)


async def not_refused(subjects: Sequence[str], errors: list[str], seconds: float = 5) -> list[str]:
    """Those of which no error of the broker tells; what it says comes in its own time."""
    deadline = time.monotonic() + seconds

    def left() -> list[str]:
        said = "\n".join(errors).lower()
        return [subject for subject in subjects if f'"{subject.lower()}"' not in said]

    while left() and time.monotonic() < deadline:  # noqa: ASYNC110  # the client tells of each error by a call
        await asyncio.sleep(0.05)
    return left()


def pull_subjects(vin: str) -> list[str]:
    """Where a car may ask for its commands."""
    from vehicle.link.nats_link import NatsAccount, NatsLink  # noqa: PLC0415  # the unit's own word for it

    return [NatsLink(vin, NatsAccount("tls://127.0.0.1"))._next_subject]


class RawMqtt:
    """The car's MQTT connection, byte by byte: what a library would refuse to send is sent."""

    def __init__(self, car: HostileCar, client_id: str | None = None) -> None:
        self.car = car
        plain = socket.create_connection(("127.0.0.1", car.mesh.ports.mqtt), timeout=30)
        self._socket = car.tls().wrap_socket(plain, server_hostname="localhost")
        self._socket.settimeout(3)
        name = _text(client_id or car.vin)
        self._send(0x10, _text("MQTT") + bytes((4, 0x02)) + struct.pack("!H", 60) + name)
        self.greeting = self._receive()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def admitted(self) -> bool:
        return self.greeting is not None and self.greeting[0] == 0x20 and self.greeting[1][1] == 0

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, number: int = 1) -> bool:
        """With QoS 1; whether the connection still stands."""
        try:
            self._send(0x32 | retain, _text(topic) + struct.pack("!H", number) + payload)
        except OSError:
            return False
        return True

    def subscribe(self, topic: str) -> tuple[int, bytes] | None:
        try:
            self._send(0x82, struct.pack("!H", 1) + _text(topic) + b"\x01")
        except OSError:
            return None
        return self._receive()

    def drain(self) -> None:
        """Read until nothing more comes, or the broker hangs up."""
        self._socket.settimeout(0.25)
        try:
            while self._socket.recv(65_536):
                pass
        except OSError:
            return

    def _send(self, kind: int, body: bytes) -> None:
        length, digits = len(body), bytearray()
        while True:
            length, digit = divmod(length, 128)
            digits.append(digit | (0x80 if length else 0))
            if not length:
                break
        self._socket.sendall(bytes((kind,)) + bytes(digits) + body)

    def _receive(self) -> tuple[int, bytes] | None:
        """One packet of less than 128 bytes; None when the broker hung up instead."""
        try:
            head = self._socket.recv(2)
            return (head[0], self._socket.recv(head[1])) if len(head) == 2 else None
        except OSError:
            return None


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("!H", len(data)) + data

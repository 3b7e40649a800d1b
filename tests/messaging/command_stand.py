"""The command room as it is wired, for tests: a real broker, a fake access service, a fake vehicle, the edge."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
import jwt
import nats
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ecarus.remotecontrol.access.v1 import access_service_pb2, access_service_pb2_grpc
from ecarus.remotecontrol.door.v1 import door_command_pb2
from ecarus.remotecontrol.door.v1 import door_command_service_pb2 as rpc
from ecarus.remotecontrol.door.v1.door_command_service_pb2_grpc import DoorCommandServiceStub
from ecarus.remotecontrol.vehicle.v1 import command_pb2, report_pb2
from nats.errors import Error as NatsError

from mesh.pki import Identity, Pki
from protocol.broker import VEHICLE_COMMANDS, Event, event_subject
from protocol.envelope import pack, unpack
from services.runtime.capability import AUDIENCE, ISSUER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from google.protobuf.message import Message
    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from mesh.pki import Pair

VIN = "KMHSH81C7LU123456"
WAIT_SECONDS = 20
_ACTIONS = ("door.unlock", "door.lock", "door.cancel", "door.status.read", "door.history.read")


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """Its first true answer."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not (answer := await condition()):  # noqa: ASYNC110  # another process decides; it sets no event here
            await asyncio.sleep(0.02)
    return answer


class FakeAccess(access_service_pb2_grpc.AccessServiceServicer):
    """Everything is allowed until `revoked`; `go_away` and `come_back` as a crashed service would."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._server: grpc.aio.Server | None = None
        self.target = f"127.0.0.1:{free_port()}"
        self.revoked = False

    async def CheckGrants(  # noqa: N802  # the contract's name
        self, request: access_service_pb2.CheckGrantsRequest, _context: Any
    ) -> access_service_pb2.CheckGrantsResponse:
        return access_service_pb2.CheckGrantsResponse(allowed=[not self.revoked] * len(request.questions))

    async def come_back(self) -> None:
        pair = self._stand.pair("room/access")
        self._server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        access_service_pb2_grpc.add_AccessServiceServicer_to_server(self, self._server)
        credentials = grpc.ssl_server_credentials(
            [(pair.key.read_bytes(), pair.cert.read_bytes())],
            root_certificates=self._stand.pki.ca.read_bytes(),
            require_client_auth=True,
        )
        self._server.add_secure_port(self.target, credentials)
        await self._server.start()

    async def go_away(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None


@dataclass(slots=True)
class FakeVehicle:
    """Carries out each command once, while awake. `actuated` is what it did, in order.

    `hold` keeps it from finishing: it confirms a command and waits, so that it can be cancelled.
    """

    server: Any
    vin: str = VIN
    actuated: list[str] = field(default_factory=list)
    hold: bool = False
    _results: dict[str, tuple[str, report_pb2.CommandResult]] = field(default_factory=dict)
    _running: dict[str, command_pb2.DoorCommand] = field(default_factory=dict)
    _drop: int = 0
    _duplicate: int = 0
    _client: Client | None = None
    _loop: asyncio.Task[None] | None = None

    def drop_next(self) -> None:
        self._drop += 1

    def duplicate_next(self) -> None:
        self._duplicate += 1

    async def wake(self) -> None:
        settings = self.server.settings()
        self._client = await nats.connect(
            self.server.url,
            user=settings.nats_user,
            password=settings.nats_password_file.read_text(),
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.1,
        )
        self._loop = asyncio.create_task(self._live(self._client))

    async def sleep(self) -> None:
        if self._loop is not None and self._client is not None:
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop
            await self._client.close()
            self._loop = self._client = None

    async def say(self, event: Event, message: Message, message_id: str | None = None, vin: str = "") -> None:
        assert self._client is not None
        data = pack(vin or self.vin, message_id or uuid.uuid4().hex, message, datetime.now(UTC))
        await self.say_bytes(event, data)

    async def say_bytes(self, event: Event, data: bytes) -> None:
        assert self._client is not None
        await self._client.jetstream().publish(event_subject(self.vin, event), data, timeout=2)

    async def _live(self, client: Client) -> None:
        jetstream = client.jetstream()
        queue = await jetstream.pull_subscribe_bind(consumer=self.vin, stream=VEHICLE_COMMANDS)
        greet = True
        while True:
            try:
                if greet:
                    await self.say(Event.HELLO, report_pb2.Hello(boot_id="b"))
                    greet = False
                for message in await queue.fetch(16, timeout=0.5):
                    await self._take(message)
            except TimeoutError:
                try:
                    await queue.consumer_info()
                except (NatsError, TimeoutError):
                    greet = True
            except NatsError:
                greet = True
                await asyncio.sleep(0.05)

    async def _take(self, message: Msg) -> None:
        order = unpack(message.data, vin=self.vin).payload
        if self._drop:
            self._drop -= 1
        elif isinstance(order, command_pb2.DoorCommand):
            await self._obey(order)
        elif isinstance(order, command_pb2.CancelCommand):
            await self._cancel(order)
        await message.ack()

    async def _obey(self, order: command_pb2.DoorCommand) -> None:
        if order.command_id in self._results:
            message_id, result = self._results[order.command_id]
            await self.say(Event.RESULT, result, message_id)
            return
        await self.say(Event.RECEIVED, report_pb2.CommandReceived(command_id=order.command_id))
        self._running[order.command_id] = order
        if not self.hold:
            await self.finish(order.command_id)

    async def finish(self, command_id: str, outcome: int = report_pb2.COMMAND_OUTCOME_SUCCEEDED) -> None:
        order = self._running.pop(command_id)
        result = report_pb2.CommandResult(command_id=command_id, outcome=outcome)  # type: ignore[arg-type]  # its number
        if outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED:
            self.actuated.append(command_id)
            for door in order.doors or (1, 2, 3, 4, 5):
                result.doors.add(
                    door=door, succeeded=True, locked=order.action == command_pb2.DOOR_ACTION_LOCK
                )
        self._results[command_id] = uuid.uuid4().hex, result
        for _ in range(1 + self._duplicate):
            await self.say(Event.RESULT, result, self._results[command_id][0])
        self._duplicate = 0

    async def _cancel(self, order: command_pb2.CancelCommand) -> None:
        if order.command_id in self._results:
            outcome = report_pb2.CANCEL_OUTCOME_TOO_LATE
        else:
            outcome = report_pb2.CANCEL_OUTCOME_WILL_NOT_ACT
            self._running.setdefault(order.command_id, command_pb2.DoorCommand())
            await self.finish(order.command_id, report_pb2.COMMAND_OUTCOME_CANCELLED)
        decided = report_pb2.CancelResult(
            cancel_id=order.cancel_id, command_id=order.command_id, outcome=outcome
        )
        await self.say(Event.CANCEL, decided)


class Stand:
    """Everything around the room. `environment` is what its process reads."""

    def __init__(self, folder: Path, server: Any) -> None:
        self.pki = Pki(folder / "pki", datetime.now(UTC))
        self.database = folder / "command.sqlite3"
        self.target = f"127.0.0.1:{free_port()}"
        self.access = FakeAccess(self)  # type: ignore[abstract]  # the room asks nothing else of it
        self._server = server
        self._key = Ed25519PrivateKey.generate()
        public = jwt.algorithms.OKPAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        self._jwks = folder / "jwks.json"
        self._jwks.write_text(json.dumps({"keys": [{**public, "kid": "test", "alg": "EdDSA", "use": "sig"}]}))

    def pair(self, workload: str) -> Pair:
        kind, _, name = workload.partition("/")
        dns = ("localhost", f"{name}.rooms.ecarus.internal") if kind == "room" else ("localhost",)
        uri = f"spiffe://ecarus/{workload}"
        identity = Identity(workload.replace("/", "-"), uri=uri, dns=dns, addresses=("127.0.0.1",))
        return self.pki.ensure(identity)

    def environment(self, *, ttl_seconds: int) -> dict[str, str]:
        pair = self.pair("room/command")
        return {
            "DOORS_LISTEN": self.target,
            "DOORS_TLS_CERT": str(pair.cert),
            "DOORS_TLS_KEY": str(pair.key),
            "DOORS_TLS_CA": str(self.pki.ca),
            "DOORS_DATABASE_URL": f"sqlite:///{self.database}",
            "DOORS_NATS_URL": self._server.url,
            "DOORS_NATS_USER": self._server.settings().nats_user,
            "DOORS_NATS_PASSWORD_FILE": str(self._server.settings().nats_password_file),
            "DOORS_CAPABILITY_JWKS": str(self._jwks),
            "DOORS_ACCESS_TARGET": self.access.target,
            "DOORS_COMMAND_TTL_SECONDS": str(ttl_seconds),
            "DOORS_DRAIN_SECONDS": "0.2",
        }

    def edge(self) -> grpc.aio.Channel:
        pair = self.pair("edge")
        credentials = grpc.ssl_channel_credentials(
            self.pki.ca.read_bytes(), pair.key.read_bytes(), pair.cert.read_bytes()
        )
        options = (
            ("grpc.ssl_target_name_override", "command.rooms.ecarus.internal"),
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 100),
        )
        return grpc.aio.secure_channel(self.target, credentials, options=options)

    def metadata(self, vin: str, correlation_id: str) -> tuple[tuple[str, str], ...]:
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "user-123",
            "act": "user-123",
            "vin": vin,
            "actions": list(_ACTIONS),
            "amr": ["pwd"],
            "src": "MOBILE_APP",
            "iat": now,
            "exp": now + 60,
            "jti": uuid.uuid4().hex,
        }
        token = jwt.encode(claims, self._key, algorithm="EdDSA", headers={"kid": "test"})
        return (("x-ecarus-capability", token), ("x-correlation-id", correlation_id))


class App:
    """A person's app, behind the edge."""

    def __init__(self, stand: Stand, channel: grpc.aio.Channel) -> None:
        self._stand = stand
        self._stub: Any = DoorCommandServiceStub(channel)

    async def unlock(self, correlation_id: str = "c-1", vin: str = VIN) -> str:
        request = rpc.UnlockDoorsRequest(vin=vin, unlock=door_command_pb2.DoorUnlock(target_doors=["all"]))
        metadata = self._stand.metadata(vin, correlation_id)
        answer = await self._stub.UnlockDoors(request, metadata=metadata, wait_for_ready=True, timeout=9)
        return str(answer.command_id)

    async def cancel(self, correlation_id: str = "c-1", cancel_id: str = "x-1", vin: str = VIN) -> str:
        cancellation = door_command_pb2.DoorCancellation(
            correlation_id=correlation_id, reason="User cancellation"
        )
        request = rpc.CancelCommandRequest(vin=vin, cancellation=cancellation)
        answer = await self._stub.CancelCommand(
            request, metadata=self._stand.metadata(vin, cancel_id), timeout=9
        )
        return door_command_pb2.CommandStatus.Value.Name(answer.status)

    async def details(self, command_id: str, vin: str = VIN) -> door_command_pb2.DoorCommandDetails:
        request = rpc.GetCommandRequest(vin=vin, command_id=command_id)
        metadata = self._stand.metadata(vin, "g-1")
        details: door_command_pb2.DoorCommandDetails = await self._stub.GetCommand(
            request, metadata=metadata, wait_for_ready=True, timeout=9
        )
        return details

    async def reaches(self, command_id: str, *statuses: str, vin: str = VIN) -> Any:
        """The command, once it has one of these statuses."""

        async def reached() -> Any:
            details = await self.details(command_id, vin)
            name = door_command_pb2.CommandStatus.Value.Name(details.status)
            return details if name in statuses else None

        return await until(reached)

    async def has_left(self, command_id: str, vin: str = VIN) -> None:
        async def left() -> bool:
            stages = (await self.details(command_id, vin)).stages
            return any(stage.name == door_command_pb2.CommandStage.Name.SENT for stage in stages)

        await until(left)

    async def history(self, vin: str = VIN, *, wait_for_ready: bool = False) -> Any:
        request = rpc.ListCommandHistoryRequest(vin=vin, limit=200)
        metadata = self._stand.metadata(vin, "h-1")
        return await self._stub.ListCommandHistory(
            request, metadata=metadata, wait_for_ready=wait_for_ready, timeout=9
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

"""The command service as it is wired, for tests: a real broker, the services it asks, a fake vehicle, the edge."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
import jwt
from ecarus.remotecontrol.door.v1 import door_command_pb2
from ecarus.remotecontrol.door.v1 import door_command_service_pb2 as rpc
from ecarus.remotecontrol.door.v1.door_command_service_pb2_grpc import DoorCommandServiceStub

from mesh.pki import Pki
from services.platform.capability import AUDIENCE, EMERGENCY, ISSUER, audience_of
from services.platform.clock import CLOCK
from tests.messaging.fake_vehicle import VIN
from tests.messaging.neighbours import Neighbours
from tests.support.capabilities import new_signer
from tests.support.certificates import Certificates
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from mesh.pki import Pair

WAIT_SECONDS = 60
ANSWER_SECONDS = 30
"""Far above what the service takes; its process may have to be started anew for an answer."""


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """Its first true answer."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not (answer := await condition()):  # noqa: ASYNC110  # another process decides; it sets no event here
            await asyncio.sleep(0.02)
    return answer


class CommandHarness:
    """Everything around the service. `environment` is what its process reads."""

    def __init__(self, folder: Path, server: Any) -> None:
        self.pki = Pki(folder / "pki", datetime.now(UTC))
        self.database = folder / "command.sqlite3"
        self.target = f"127.0.0.1:{free_port()}"
        self._server = server
        signer = new_signer(folder)
        self._key, self._jwks = signer.key, signer.jwks
        self.neighbours = Neighbours(folder, self.pki, self._jwks)

    def pair(self, workload: str) -> Pair:
        return Certificates(self.pki).of(workload)

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
            **self.neighbours.environment(),
            "DOORS_COMMAND_TTL_SECONDS": str(ttl_seconds),
            "DOORS_SHOWN_DOORS_PATIENCE_SECONDS": "0",  # there is no status service here
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

    def metadata(self, vin: str, correlation_id: str, action: str) -> tuple[tuple[str, str], ...]:
        now = int(CLOCK.seconds())
        claims = {
            "iss": ISSUER,
            "aud": [AUDIENCE, audience_of("command")],
            "sub": "user-123",
            "act": "user-123",
            "vin": vin,
            "actions": [action],
            "amr": ["pwd"],
            "src": "MOBILE_APP",
            "iat": now,
            "exp": now + 60,
            "jti": uuid.uuid4().hex,
            "mode": EMERGENCY,
        }
        token = jwt.encode(claims, self._key, algorithm="EdDSA", headers={"kid": "test"})
        return (("x-ecarus-capability", token), ("x-correlation-id", correlation_id))


class App:
    """A person's app, behind the edge."""

    def __init__(self, harness: CommandHarness, channel: grpc.aio.Channel) -> None:
        self._harness = harness
        self._stub: Any = DoorCommandServiceStub(channel)

    async def unlock(self, correlation_id: str = "c-1", vin: str = VIN) -> str:
        request = rpc.UnlockDoorsRequest(vin=vin, unlock=door_command_pb2.DoorUnlock(target_doors=["all"]))
        metadata = self._harness.metadata(vin, correlation_id, "door.unlock")
        answer = await self._stub.UnlockDoors(
            request, metadata=metadata, wait_for_ready=True, timeout=ANSWER_SECONDS
        )
        return str(answer.command_id)

    async def lock(self, correlation_id: str = "l-1", vin: str = VIN) -> str:
        request = rpc.LockDoorsRequest(vin=vin, lock=door_command_pb2.DoorLock(target_doors=["all"]))
        metadata = self._harness.metadata(vin, correlation_id, "door.lock")
        answer = await self._stub.LockDoors(
            request, metadata=metadata, wait_for_ready=True, timeout=ANSWER_SECONDS
        )
        return str(answer.command_id)

    async def cancel(self, correlation_id: str = "c-1", cancel_id: str = "x-1", vin: str = VIN) -> str:
        cancellation = door_command_pb2.DoorCancellation(
            correlation_id=correlation_id, reason="User cancellation"
        )
        request = rpc.CancelCommandRequest(vin=vin, cancellation=cancellation)
        answer = await self._stub.CancelCommand(
            request, metadata=self._harness.metadata(vin, cancel_id, "door.cancel"), timeout=ANSWER_SECONDS
        )
        return door_command_pb2.CommandStatus.Value.Name(answer.status)

    async def details(self, command_id: str, vin: str = VIN) -> door_command_pb2.DoorCommandDetails:
        request = rpc.GetCommandRequest(vin=vin, command_id=command_id)
        metadata = self._harness.metadata(vin, "g-1", "door.status.read")
        details: door_command_pb2.DoorCommandDetails = await self._stub.GetCommand(
            request, metadata=metadata, wait_for_ready=True, timeout=ANSWER_SECONDS
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
        metadata = self._harness.metadata(vin, "h-1", "door.history.read")
        return await self._stub.ListCommandHistory(
            request, metadata=metadata, wait_for_ready=wait_for_ready, timeout=ANSWER_SECONDS
        )

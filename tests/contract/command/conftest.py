"""DoorCommandService over real gRPC with mutual TLS, on a real store."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.door.v1 import door_command_pb2
from ecarus.remotecontrol.door.v1 import door_command_service_pb2 as rpc
from ecarus.remotecontrol.door.v1 import door_command_service_pb2_grpc as stubs
from google.protobuf.json_format import MessageToDict, ParseDict

import services.command
from services.command.adapters import store
from services.command.adapters.outbox_messages import CommandOutboxMessages
from services.command.adapters.refusals import refusal_of
from services.command.adapters.server import POLICY, SERVICE, DoorCommandServicer
from services.command.adapters.wait_link import note_ended
from services.command.domain.reports import ReportedResult
from services.command.domain.rules import Rules
from services.command.usecases.history import RefusedRequests
from services.command.usecases.ports import CommandDependencies
from services.command.usecases.vehicle_reports import ingest_messages
from services.command.usecases.waiting import CommandWaits
from services.platform.database import open_database
from services.vehicle_models.catalogue import VehicleModels
from tests.contract.conftest import ServedRoom
from tests.support.command_store_harness import MAC, FakeConditions, FakeDispatch, FakeKnownVehicles, admitted
from tests.support.databases import migrated
from tests.support.vehicle_models import MODELS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from services.command.domain.commands import Ending
    from services.platform.outbox import OutgoingMessage


VIN = "KMHSH81C7LU123456"


START = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)


ALL_ACTIONS = ("door.unlock", "door.lock", "door.cancel", "door.status.read", "door.history.read")


class NoReplicas:
    """A service alone."""

    def tell_awaited(self, command_id: str) -> None:
        """There is nobody to tell."""

    def tell_ended(self, command_id: str) -> None:
        """There is nobody to tell."""


@dataclass(slots=True)
class CommandRpcHarness:
    """A command service that serves, with the vehicle's side played by the test."""

    dispatch: FakeDispatch
    advisory_states: FakeConditions
    commands: store.SqlCommands
    refused: Any = None
    stub: Any = None
    signer: Any = None
    audit: Any = None
    now: datetime = START
    vin: str = VIN
    models: VehicleModels = field(default_factory=lambda: VehicleModels(MODELS))
    known: FakeKnownVehicles = field(default_factory=FakeKnownVehicles)
    waits: CommandWaits = field(default_factory=lambda: CommandWaits(NoReplicas(), 4, 2))

    @property
    def deps(self) -> CommandDependencies:
        rules = Rules(timedelta(seconds=30), 5, timedelta(days=90))
        return CommandDependencies(
            self.commands,
            CommandOutboxMessages(MAC),
            self.hand_over,
            self.dispatch,
            self.advisory_states,
            self.known,
            self.models,
            rules,
            lambda: self.now,
        )

    def hand_over(self, messages: Sequence[OutgoingMessage]) -> None:
        self.dispatch.committed(messages)
        note_ended(self.waits, messages)

    def metadata(self, correlation_id: str, *, prefer: str | None = None, **claims: Any) -> Any:
        token = self.signer.capability(
            claims.pop("vin", self.vin), *claims.pop("actions", ALL_ACTIONS), **claims
        )
        return (
            ("x-ecarus-capability", token),
            ("x-correlation-id", correlation_id),
            ("x-envoy-original-path", "/door?x=1"),
            *([("prefer", prefer)] if prefer is not None else []),
        )

    def unlock(self, correlation_id: str = "c-1", body: dict[str, Any] | None = None, **claims: Any) -> Any:
        unlock = ParseDict(body or {"targetDoors": ["all"]}, door_command_pb2.DoorUnlock())
        request = rpc.UnlockDoorsRequest(vin=self.vin, unlock=unlock)
        return self.stub.UnlockDoors(request, metadata=self.metadata(correlation_id, **claims))

    def lock(self, correlation_id: str = "c-1", body: dict[str, Any] | None = None, **claims: Any) -> Any:
        lock = ParseDict(body or {"targetDoors": ["all"]}, door_command_pb2.DoorLock())
        request = rpc.LockDoorsRequest(vin=self.vin, lock=lock)
        return self.stub.LockDoors(request, metadata=self.metadata(correlation_id, **claims))

    def cancel(
        self,
        cancel_id: str = "x-1",
        correlation_id: str = "c-1",
        claims: dict[str, Any] | None = None,
        **body: Any,
    ) -> Any:
        fields = {"correlationId": correlation_id, "reason": "User cancellation", "force": False, **body}
        cancellation = ParseDict(fields, door_command_pb2.DoorCancellation())
        request = rpc.CancelCommandRequest(vin=VIN, cancellation=cancellation)
        return self.stub.CancelCommand(request, metadata=self.metadata(cancel_id, **(claims or {})))

    async def details(self, command_id: str, **claims: Any) -> dict[str, Any]:
        request = rpc.GetCommandRequest(vin=self.vin, command_id=command_id)
        return as_json(await self.stub.GetCommand(request, metadata=self.metadata("g-1", **claims)))

    async def history(self, claims: dict[str, Any] | None = None, **query: Any) -> dict[str, Any]:
        request = ParseDict({"vin": self.vin, **query}, rpc.ListCommandHistoryRequest())
        metadata = self.metadata("h-1", **(claims or {}))
        return as_json(await self.stub.ListCommandHistory(request, metadata=metadata))

    async def vehicle_ends(self, command_id: str, ending: Ending) -> None:
        await ingest_messages(self.deps, admitted(ReportedResult("m-1", VIN, command_id, ending)))


def as_json(message: Any) -> dict[str, Any]:
    """As Envoy's transcoder prints it (gateway: fields without presence are always there)."""
    return MessageToDict(message, always_print_fields_with_no_presence=True)


async def refused(call: Any) -> dict[str, Any]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    document: dict[str, Any] = json.loads(dict(caught.value.trailing_metadata() or ())["x-problem"])
    return document


@pytest.fixture
def served() -> ServedRoom:
    return ServedRoom("command", [SERVICE], POLICY, refusal_of)


@pytest.fixture
async def unserved(signer: Any, tmp_path: Path) -> AsyncIterator[CommandRpcHarness]:
    """The service over its store, and nobody who asks it."""
    url = f"sqlite:///{tmp_path}/command.sqlite3"
    migrations = Path(services.command.__file__).with_name("migrations")
    await asyncio.to_thread(migrated, url, migrations, store.HEAD)
    database = await open_database(url)
    dispatch = FakeDispatch()
    service = CommandRpcHarness(
        dispatch,
        FakeConditions(),
        store.SqlCommands(database),
    )
    service.signer = signer
    yield service
    await database.close()


@pytest.fixture
def grpc_servicer(unserved: CommandRpcHarness) -> DoorCommandServicer:
    service = unserved
    service.refused = RefusedRequests(service.commands, lambda: service.now)
    return DoorCommandServicer(service.deps, service.refused, service.waits)


@pytest.fixture
def grpc_add_to_server() -> Any:
    return stubs.add_DoorCommandServiceServicer_to_server


@pytest.fixture
def grpc_stub_cls() -> type[stubs.DoorCommandServiceStub]:
    return stubs.DoorCommandServiceStub


@pytest.fixture
def service(unserved: CommandRpcHarness, grpc_stub: Any) -> CommandRpcHarness:
    unserved.stub = grpc_stub
    return unserved

"""DoorStatusService over real gRPC with mutual TLS, as the edge calls it."""

from __future__ import annotations

import asyncio
import json
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.door.v1 import door_status_service_pb2 as rpc
from ecarus.remotecontrol.door.v1 import door_update_pb2
from ecarus.remotecontrol.door.v1.door_status_service_pb2_grpc import DoorStatusServiceStub

from protocol.subjects import kept_update_subject
from services.platform.storage import StorageUnavailableError
from services.status.adapters import translate
from services.status.adapters.event_ids import EventIds
from services.status.adapters.refusals import refusal_of
from services.status.adapters.server import POLICY, SERVICE, DoorStatusServer
from services.status.adapters.status_read_log import StatusReadLog
from services.status.domain.updates import Bounds, LogPosition, Update
from services.status.usecases.hub import Hub
from services.status.usecases.presence import LostVehicles, Reachability
from services.status.usecases.streams import Streams
from services.vehicle_models.catalogue import VehicleModels
from tests.contract.conftest import ServedRoom
from tests.support.vehicle_models import MODELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from services.platform.outbox import OutgoingMessage
    from services.status.usecases.capabilities import WakeUpQuestion
    from services.status.usecases.door_status import LastReport


VIN = "KMHSH81C7LU123456"


NOW_US = 1_768_228_200_000_000  # 2026-01-12T14:30:00Z


WAIT_SECONDS = 10


IDS = EventIds(bytes(range(32)))


@dataclass(slots=True)
class FakeReader:
    """Knows the reports it was given; `break_down` makes its storage go away."""

    reports: dict[str, LastReport] = field(default_factory=dict)
    broken: bool = False
    broker_connected: bool = True

    async def last_report(self, vin: str) -> LastReport | None:
        if self.broken:
            raise StorageUnavailableError("gone")
        return self.reports.get(vin)


@dataclass(slots=True)
class FakeWakeUpBudgets:
    """Lets a vehicle be woken at `at_us`; None: nobody can tell. Remembers what it was asked."""

    at_us: int | None = NOW_US + 5_000_000
    asked: list[WakeUpQuestion] = field(default_factory=list)

    async def next_wake_up_us(self, question: WakeUpQuestion) -> int | None:
        self.asked.append(question)
        return self.at_us


@dataclass(slots=True)
class FakeStore:
    """Keeps what was sent."""

    sent: list[OutgoingMessage] = field(default_factory=list)

    async def send(self, messages: Sequence[OutgoingMessage], /) -> None:
        self.sent += messages


TOLD_BY = {
    door_update_pb2.DoorUpdateType.DOOR_STATUS_UPDATE: "status",
    door_update_pb2.DoorUpdateType.COMMAND_STATUS_UPDATE: "command",
    door_update_pb2.DoorUpdateType.SYSTEM_ALERT: "diagnostics",
}


@dataclass(slots=True)
class FakeLog:
    """A log of updates that publishes into the hub as the broker does. `invalidate` drops the oldest."""

    hub: Hub
    first: int = 1
    kept: list[tuple[str, Update]] = field(default_factory=list)

    def publish(
        self, update: door_update_pb2.DoorUpdate, published_at: float = math.inf, told_by: str = ""
    ) -> None:
        position = LogPosition("e1", self.hub.position.sequence + 1)
        payload = update.SerializeToString()
        subject = kept_update_subject(told_by or TOLD_BY.get(update.type, "nobody"), update.vin)
        self.kept.append((update.vin, Update(position, payload, subject, published_at=published_at)))
        self.hub.publish(update.vin, position, payload, subject)

    def invalidate(self, count: int) -> None:
        self.first += count

    async def bounds(self) -> Bounds:
        return Bounds("e1", self.first, self.hub.position.sequence)

    async def next_after(self, vin: str, position: LogPosition) -> Update | None:
        for name, update in self.kept:
            if name == vin and update.position.sequence > position.sequence:
                return update
        return None


@dataclass(slots=True)
class StatusRpcHarness:
    reader: FakeReader
    store: FakeStore
    checks: StatusReadLog
    hub: Hub
    log: FakeLog
    lost: LostVehicles
    stub: Any
    signer: Any
    budgets: FakeWakeUpBudgets = field(default_factory=FakeWakeUpBudgets)

    def metadata(
        self, *actions: str, last_event_id: str | None = None, **claims: Any
    ) -> tuple[tuple[str, str], ...]:
        token = self.signer.capability(claims.pop("vin", VIN), *actions, **claims)
        extra = (("last-event-id", last_event_id),) if last_event_id else ()
        return (
            ("x-ecarus-capability", token),
            ("x-correlation-id", "c-1"),
            ("x-envoy-original-path", "/p?x=1"),
            *extra,
        )

    def status(self, **claims: Any) -> Any:
        return self.stub.GetDoorStatus(
            rpc.GetDoorStatusRequest(vin=VIN), metadata=self.metadata("door.status.read", **claims)
        )

    def capabilities(self, vin: str = VIN, **claims: Any) -> Any:
        metadata = self.metadata("door.status.read", vin=vin, **claims)
        return self.stub.GetDoorCapabilities(rpc.GetDoorCapabilitiesRequest(vin=vin), metadata=metadata)

    def sse(self, in_query: str | None = None, **claims: Any) -> Any:
        return self.stub.StreamDoorUpdates(
            rpc.StreamDoorUpdatesRequest(vin=VIN, last_event_id=in_query),
            metadata=self.metadata("door.updates.read", **claims),
        )

    def watch(self, last_event_id: str | None = None, **claims: Any) -> Any:
        request = rpc.WatchDoorUpdatesRequest(vin=VIN, last_event_id=last_event_id)
        return self.stub.WatchDoorUpdates(request, metadata=self.metadata("door.updates.read", **claims))


@pytest.fixture
def served() -> ServedRoom:
    return ServedRoom("status", [SERVICE], POLICY, refusal_of)


@pytest.fixture
def unserved(signer: Any) -> StatusRpcHarness:
    """The service's parts, and nobody who asks them."""
    store = FakeStore()
    hub = Hub(time.monotonic, time.time, 50, 30, 60, max_waiting_bytes=1_000, shared=Streams(50, 50, 50))
    hub.start_at(LogPosition("e1", 0))
    checks = StatusReadLog(store, translate.checks_message, lambda: NOW_US)
    return StatusRpcHarness(FakeReader(), store, checks, hub, FakeLog(hub), LostVehicles(), None, signer)


@pytest.fixture
def grpc_servicer(unserved: StatusRpcHarness) -> DoorStatusServer:
    service = unserved
    reachability = Reachability(service.lost, lambda: service.reader.broker_connected)
    return DoorStatusServer(
        service.reader,
        service.checks,
        service.hub,
        service.log,
        reachability,
        IDS,
        lambda: NOW_US,
        models=VehicleModels(MODELS),
        budgets=service.budgets,
    )


@pytest.fixture
def grpc_add_to_server() -> Any:
    return DoorStatusServer.register


@pytest.fixture
def grpc_stub_cls() -> type[DoorStatusServiceStub]:
    return DoorStatusServiceStub


@pytest.fixture
def service(unserved: StatusRpcHarness, grpc_stub: Any) -> Iterator[StatusRpcHarness]:
    unserved.stub = grpc_stub
    yield unserved
    unserved.hub.close()


def change() -> door_update_pb2.DoorUpdate:
    """The update of the specification's Door Status Update."""
    update = door_update_pb2.DoorUpdate(
        type=door_update_pb2.DoorUpdateType.Value.DOOR_STATUS_UPDATE,
        vin=VIN,
        door_status=door_update_pb2.DoorStatusChange(
            door_id="driver",
            locked=True,
            open=False,
            window_open=False,
            change_type=door_update_pb2.DoorChangeType.Value.LOCKED,
            previous_state=door_update_pb2.PreviousDoorState(locked=False, open=False),
        ),
    )
    update.timestamp.FromJsonString("2026-01-12T14:30:18Z")
    return update


async def read(call: Any) -> Any:
    async with asyncio.timeout(WAIT_SECONDS):
        return await call.read()


async def drained(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


async def refused(call: Any) -> tuple[grpc.StatusCode, dict[str, Any], dict[str, Any]]:
    async with asyncio.timeout(WAIT_SECONDS):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await (drained(call) if hasattr(call, "read") else call)
    trailers = dict(caught.value.trailing_metadata() or ())
    return caught.value.code(), json.loads(trailers["x-problem"]), trailers

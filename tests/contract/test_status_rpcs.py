"""DoorStatusService over real gRPC with mutual TLS, as the edge calls it."""

from __future__ import annotations

import asyncio
import json
import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.door.v1 import door_status_service_pb2 as rpc
from ecarus.remotecontrol.door.v1 import door_update_pb2
from ecarus.remotecontrol.door.v1.door_status_pb2 import Connectivity
from ecarus.remotecontrol.door.v1.door_status_service_pb2_grpc import DoorStatusServiceStub
from ecarus.remotecontrol.door.v1.room_event_pb2 import StatusChecks
from ecarus.remotecontrol.vehicle.v1 import body_pb2, report_pb2
from google.protobuf.json_format import MessageToDict

from protocol.subjects import kept_update_subject
from services.platform.policy import RpcPolicy
from services.platform.storage import StorageUnavailableError
from services.status.adapters import translate
from services.status.adapters.event_ids import EventIds
from services.status.adapters.refusals import refusal_of
from services.status.adapters.server import POLICY, SERVICE, DoorStatusServer
from services.status.adapters.status_read_log import StatusReadLog
from services.status.domain.doors import Bounds, LogPosition, Update
from services.status.domain.rights import EndingCause, RightEnding
from services.status.usecases.door_status import LastReport
from services.status.usecases.hub import Hub
from services.status.usecases.presence import LostVehicles, Reachability
from tests.contract.conftest import ServedRoom

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from services.platform.outbox import OutgoingMessage

VIN = "KMHSH81C7LU123456"
NOW_US = 1_768_228_200_000_000  # 2026-01-12T14:30:00Z
WAIT_SECONDS = 10
IDS = EventIds(bytes(range(32)))


def at(sequence: int, epoch: str = "e1") -> str:
    """The id of an update at this place."""
    return IDS.id_of(LogPosition(epoch, sequence))


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

    def sse(self, **claims: Any) -> Any:
        return self.stub.StreamDoorUpdates(
            rpc.StreamDoorUpdatesRequest(vin=VIN), metadata=self.metadata("door.updates.read", **claims)
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
    hub = Hub(time.monotonic, time.time, 50, 30, 60, max_waiting_bytes=1_000)
    hub.start_at(LogPosition("e1", 0))
    checks = StatusReadLog(store, translate.checks_message, lambda: NOW_US)
    return StatusRpcHarness(FakeReader(), store, checks, hub, FakeLog(hub), LostVehicles(), None, signer)


@pytest.fixture
def grpc_servicer(unserved: StatusRpcHarness) -> DoorStatusServer:
    service = unserved
    reachability = Reachability(service.lost, lambda: service.reader.broker_connected)
    return DoorStatusServer(
        service.reader, service.checks, service.hub, service.log, reachability, IDS, lambda: NOW_US
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


def sample_report() -> report_pb2.StatusReport:
    """The vehicle of the specification's Door Status Response."""
    made = report_pb2.StatusReport(
        boot_id="b",
        sequence=1,
        ignition=body_pb2.IGNITION_OFF,
        gear=body_pb2.GEAR_P,
        speed_kmh=0.0,
        reporting_interval_seconds=30,
    )
    made.observed_at.FromMicroseconds(NOW_US)
    for door, child in ((1, False), (2, None), (3, True), (4, True)):
        made.doors.add(door=door, locked=True, open=False, window_open=False, child_lock=child)
    made.doors.add(door=5, locked=True, open=False)
    made.doors.add(door=6, locked=True, open=False)
    return made


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


async def test_the_status_is_the_specifications(service: StatusRpcHarness) -> None:
    service.reader.reports[VIN] = LastReport(sample_report().SerializeToString(), NOW_US + 1_000)
    answer = MessageToDict(await service.status(), always_print_fields_with_no_presence=True)
    shut = {"locked": True, "open": False}
    assert answer == {
        "vin": VIN,
        "doors": {
            "driver": {**shut, "windowOpen": False, "childLock": False},
            "passenger": {**shut, "windowOpen": False},
            "rearLeft": {**shut, "windowOpen": False, "childLock": True},
            "rearRight": {**shut, "windowOpen": False, "childLock": True},
            "trunk": shut,
            "hood": shut,
        },
        "ignitionStatus": "OFF",
        "vehicleSpeed": 0.0,
        "gearPosition": "P",
        "timestamp": "2026-01-12T14:30:00Z",
        "stale": False,
        "receivedAt": "2026-01-12T14:30:00.001Z",
        "connectivity": "ONLINE",
    }


async def test_what_the_vehicle_cannot_tell_is_absent(service: StatusRpcHarness) -> None:
    made = sample_report()
    del made.doors[2:4]  # two doors
    made.doors[0].ClearField("locked")
    made.doors[1].ClearField("open")
    made.doors[1].ClearField("window_open")
    made.doors[2].ClearField("locked")
    made.doors[2].ClearField("open")
    made.speed_kmh = -0.0
    service.reader.reports[VIN] = LastReport(made.SerializeToString(), NOW_US)
    answer = MessageToDict(await service.status(), always_print_fields_with_no_presence=True)
    assert answer["doors"] == {
        "driver": {"open": False, "windowOpen": False, "childLock": False},
        "passenger": {"locked": True},
        "trunk": {},
        "hood": {"locked": True, "open": False},
    }
    assert str(answer["vehicleSpeed"]) == "0.0"


async def test_an_event_leaves_out_what_the_vehicle_could_not_tell(service: StatusRpcHarness) -> None:
    stream = service.sse()
    await read(stream)
    update = change()
    update.door_status.ClearField("open")
    update.door_status.previous_state.ClearField("open")
    service.log.publish(update)
    document = json.loads((await read(stream)).data.decode().split("data: ")[1])
    assert document["data"] == {
        "doorId": "driver",
        "locked": True,
        "windowOpen": False,
        "changeType": "LOCKED",
        "previousState": {"locked": False},
    }


async def test_a_lost_vehicle_is_shown_as_lost_until_it_speaks_again(service: StatusRpcHarness) -> None:
    service.reader.reports[VIN] = LastReport(sample_report().SerializeToString(), NOW_US)
    service.lost.note(VIN, NOW_US + 1)
    assert (await service.status()).connectivity == Connectivity.LOST
    service.reader.reports[VIN] = LastReport(sample_report().SerializeToString(), NOW_US + 2)
    assert (await service.status()).connectivity == Connectivity.ONLINE


async def test_while_the_broker_is_away_nobody_is_online(service: StatusRpcHarness) -> None:
    service.reader.reports[VIN] = LastReport(sample_report().SerializeToString(), NOW_US)
    service.reader.broker_connected = False
    assert (await service.status()).connectivity == Connectivity.LOST
    asleep = sample_report()
    asleep.going_to_sleep = True
    service.reader.reports[VIN] = LastReport(asleep.SerializeToString(), NOW_US)
    assert (await service.status()).connectivity == Connectivity.ASLEEP
    service.reader.reports[VIN] = LastReport(sample_report().SerializeToString(), NOW_US)
    service.reader.broker_connected = True
    assert (await service.status()).connectivity == Connectivity.ONLINE


async def test_who_left_a_command_unanswered_is_lost_and_stale_until_it_speaks_again(
    service: StatusRpcHarness,
) -> None:
    service.reader.reports[VIN] = LastReport(sample_report().SerializeToString(), NOW_US)
    before = await service.status()
    assert (before.connectivity, before.stale) == (Connectivity.ONLINE, False)
    service.lost.note_unanswered(VIN, NOW_US + 1)
    after = await service.status()
    assert (after.connectivity, after.stale) == (Connectivity.LOST, True)
    service.reader.reports[VIN] = LastReport(sample_report().SerializeToString(), NOW_US + 2)
    later = await service.status()
    assert (later.connectivity, later.stale) == (Connectivity.ONLINE, False)


async def test_a_look_is_recorded_with_who_looked(service: StatusRpcHarness) -> None:
    service.reader.reports[VIN] = LastReport(sample_report().SerializeToString(), NOW_US)
    await service.status(actor="agent-7", source="CALL_CENTER")
    await service.status()
    await service.checks.flush()
    [message] = service.store.sent
    looked = [
        (c.user_id, c.actor_id, c.source, c.correlation_id)
        for c in StatusChecks.FromString(message.payload).checks
    ]
    assert looked == [("user-123", "agent-7", 2, "c-1"), ("user-123", "user-123", 1, "c-1")]


async def test_a_vehicle_that_never_reported_is_503_with_retry_after(service: StatusRpcHarness) -> None:
    code, problem, trailers = await refused(service.status())
    assert (code, problem["code"], problem["status"]) == (
        grpc.StatusCode.UNAVAILABLE,
        "NOT_YET_REPORTED",
        503,
    )
    assert trailers["retry-after"] == "5"


async def test_storage_that_is_away_is_503(service: StatusRpcHarness) -> None:
    service.reader.broken = True
    code, problem, _ = await refused(service.status())
    assert (code, problem["code"]) == (grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")


async def test_another_vehicles_capability_opens_nothing(service: StatusRpcHarness) -> None:
    code, problem, _ = await refused(service.status(vin="KMHSH81C7LU654321"))
    assert (code, problem["code"]) == (grpc.StatusCode.NOT_FOUND, "VEHICLE_NOT_FOUND")
    code, problem, _ = await refused(service.sse(vin="KMHSH81C7LU654321"))
    assert (code, problem["code"]) == (grpc.StatusCode.NOT_FOUND, "VEHICLE_NOT_FOUND")


async def test_every_rpc_is_in_the_policy_table() -> None:
    assert set(POLICY) == {
        f"/{SERVICE}/{m}" for m in ("GetDoorStatus", "WatchDoorUpdates", "StreamDoorUpdates")
    }
    assert all(isinstance(rule, RpcPolicy) and rule.action for rule in POLICY.values())


async def test_an_event_is_the_specifications(service: StatusRpcHarness) -> None:
    stream = service.sse()
    opening = await read(stream)
    assert opening.content_type == "text/event-stream"
    retry, place, opened, data = opening.data.decode().removesuffix("\n\n").split("\n")
    assert (retry, place, opened) == ("retry: 2000", f"id: {at(0)}", "event: STREAM_OPENED")
    assert json.loads(data.removeprefix("data: ")) == {
        "type": "STREAM_OPENED",
        "vin": VIN,
        "timestamp": "2026-01-12T14:30:00.000Z",
        "data": {},
    }
    service.log.publish(change())
    event = (await read(stream)).data.decode()
    name, kind, data, end = event.split("\n", 3)
    assert (name, kind, end) == (f"id: {at(1)}", "event: DOOR_STATUS_UPDATE", "\n")
    assert json.loads(data.removeprefix("data: ")) == {
        "type": "DOOR_STATUS_UPDATE",
        "vin": VIN,
        "timestamp": "2026-01-12T14:30:18.000Z",
        "data": {
            "doorId": "driver",
            "locked": True,
            "open": False,
            "windowOpen": False,
            "changeType": "LOCKED",
            "previousState": {"locked": False, "open": False},
        },
    }


async def test_a_heartbeat_is_a_comment(service: StatusRpcHarness) -> None:
    stream = service.sse()
    await read(stream)
    service.hub.beat()
    assert (await read(stream)).data == b": heartbeat\n"


async def test_a_stream_resumes_after_its_last_id(service: StatusRpcHarness) -> None:
    for _ in range(3):
        service.log.publish(change())
    stream = service.sse(last_event_id=at(1))
    assert b"id:" not in (await read(stream)).data
    service.log.publish(change())
    got = [(await read(stream)).data.split(b"\n")[0] for _ in range(3)]
    assert got == [f"id: {at(n)}".encode() for n in (2, 3, 4)]


@pytest.mark.parametrize(
    "last_event_id",
    [at(1, "e0"), at(99), "A" * 22, pytest.param("e1-1", id="as they were before they were sealed")],
)
async def test_an_id_that_is_not_kept_begins_with_a_reset(
    service: StatusRpcHarness, last_event_id: str
) -> None:
    service.log.publish(change())
    stream = service.sse(last_event_id=last_event_id)
    await read(stream)
    reset = (await read(stream)).data.decode()
    assert reset.startswith(f"id: {at(1)}\nevent: SYSTEM_ALERT\n")
    assert json.loads(reset.split("data: ")[1])["data"]["code"] == "UPDATES_RESET"
    service.log.publish(change())
    assert (await read(stream)).data.startswith(f"id: {at(2)}\n".encode())


@pytest.mark.parametrize(
    "last_event_id",
    [
        "nonsense",
        "-",
        "e1-",
        "E1-1",
        "e1--1",
        "e1-1 or more",
        "A" * 21,
        "A" * 23,
        "A" * 21 + "B",
        "x" * 4_000,
    ],
)
async def test_an_id_that_is_none_begins_with_a_reset_and_refuses_nobody(
    service: StatusRpcHarness, last_event_id: str
) -> None:
    sse, typed = service.sse(last_event_id=last_event_id), service.watch(last_event_id)
    assert b"id:" not in (await read(sse)).data
    assert b'"code":"UPDATES_RESET"' in (await read(sse)).data
    reset = await read(typed)
    assert (reset.system_alert.code, reset.id) == ("UPDATES_RESET", at(0))


async def test_the_place_a_stream_opens_at_is_one_to_come_back_to(service: StatusRpcHarness) -> None:
    sse, typed = service.sse(), service.watch()
    [place] = [
        line.removeprefix(b"id: ") for line in (await read(sse)).data.split(b"\n") if line.startswith(b"id: ")
    ]
    assert dict(await typed.initial_metadata())["last-event-id"] == place.decode()
    sse.cancel()
    typed.cancel()
    service.log.publish(change())
    resumed = service.sse(last_event_id=place.decode())
    await read(resumed)
    assert (await read(resumed)).data.startswith(f"id: {at(1)}\n".encode())
    again = service.watch(place.decode())
    assert "last-event-id" not in dict(await again.initial_metadata())
    assert (await read(again)).id == at(1)


async def test_nobody_is_shown_what_happened_before_their_right_began(service: StatusRpcHarness) -> None:
    for published_at in (100.0, 200.0, 300.0):
        service.log.publish(change(), published_at)
    theirs = service.sse(last_event_id=at(1), since=150.0)
    await read(theirs)
    assert [(await read(theirs)).data.split(b"\n")[0] for _ in range(2)] == [
        f"id: {at(n)}".encode() for n in (2, 3)
    ]
    for stream in (
        service.sse(last_event_id=at(0), since=150.0),
        service.sse(last_event_id=at(1), since=250.0),
    ):
        await read(stream)
        assert b'"code":"UPDATES_RESET"' in (await read(stream)).data
    reset = await read(service.watch(at(0), since=400.0))
    assert reset.system_alert.code == "UPDATES_RESET"
    service.log.publish(change())
    assert (await read(theirs)).data.startswith(f"id: {at(4)}\n".encode())
    assert (await read(stream)).data.startswith(f"id: {at(4)}\n".encode())


async def test_whoever_is_granted_the_right_again_watches_at_once(service: StatusRpcHarness) -> None:
    ended_at = time.time()
    service.hub.right_ended(RightEnding(EndingCause.GRANT, ended_at, "user-123", VIN))
    again = service.sse(read=ended_at + 0.002, since=ended_at + 0.001)
    assert b"STREAM_OPENED" in (await read(again)).data
    _, problem, _ = await refused(service.sse(read=ended_at + 0.002, since=ended_at - 1))
    assert problem["code"] == "ACTION_NOT_GRANTED", "read before the end was surely known"


async def test_the_typed_stream_gives_the_same_updates(service: StatusRpcHarness) -> None:
    stream = service.watch()
    await stream.initial_metadata()
    service.log.publish(change())
    got = await read(stream)
    expected = change()
    expected.id = at(1)
    assert got == expected


@pytest.mark.parametrize(
    ("ending", "grpc_code", "code"),
    [
        (RightEnding(EndingCause.GRANT, 0.0, "user-123", VIN), "PERMISSION_DENIED", "ACTION_NOT_GRANTED"),
        (RightEnding(EndingCause.ACCOUNT, 0.0, "user-123"), "PERMISSION_DENIED", "ACCOUNT_LOCKED"),
        (RightEnding(EndingCause.CREDENTIAL, 0.0, credential="key_1"), "UNAUTHENTICATED", "TOKEN_INVALID"),
    ],
    ids=lambda given: given.cause.name if isinstance(given, RightEnding) else None,
)
async def test_a_right_that_ends_ends_both_streams_and_says_so(
    service: StatusRpcHarness, ending: RightEnding, grpc_code: str, code: str
) -> None:
    ending = replace(ending, at=time.time())
    sse, typed = service.sse(), service.watch()
    await read(sse)
    await typed.initial_metadata()
    service.hub.right_ended(ending)
    assert (await read(sse)).data.startswith(f": the stream ends: {code}: ".encode())
    assert await read(sse) is grpc.aio.EOF
    status, problem, _ = await refused(typed)
    assert (status.name, problem["code"]) == (grpc_code, code)
    status, problem, _ = await refused(service.sse(read=time.time() - 1))
    assert problem["code"] == code, "the same right opens it again"


async def end_regularly(service: StatusRpcHarness) -> None:
    await service.hub.end_regularly(lambda: frozenset({"test"}))


@pytest.mark.parametrize(
    ("ends_with", "grpc_code", "code"),
    [("TOKEN", "UNAUTHENTICATED", "TOKEN_EXPIRED"), ("GRANT", "PERMISSION_DENIED", "ACTION_NOT_GRANTED")],
)
async def test_streams_end_with_the_right_behind_them(
    service: StatusRpcHarness, ends_with: str, grpc_code: str, code: str
) -> None:
    ending = asyncio.create_task(end_regularly(service))
    try:
        end = time.time() + 0.5
        sse, typed = service.sse(ends=end, ends_with=ends_with), service.watch(ends=end, ends_with=ends_with)
        await read(sse)
        await typed.initial_metadata()
        async with asyncio.timeout(end + 1 - time.time()):
            assert (await read(sse)).data.startswith(f": the stream ends: {code}: ".encode())
            status, problem, _ = await refused(typed)
        assert time.time() >= end
        assert (status.name, problem["code"]) == (grpc_code, code)
        status, problem, _ = await refused(service.sse(ends=end, ends_with=ends_with))
        assert (status.name, problem["code"]) == (grpc_code, code)
    finally:
        ending.cancel()


async def test_streams_of_a_withdrawn_key_of_the_access_service_end(service: StatusRpcHarness) -> None:
    trusted = frozenset({"test"})
    ending = asyncio.create_task(service.hub.end_regularly(lambda: trusted))
    try:
        sse = service.sse()
        await read(sse)
        trusted = frozenset({"next"})
        assert (await read(sse)).data.startswith(b": the stream ends: TOKEN_INVALID: ")
    finally:
        ending.cancel()


async def test_a_reader_that_reads_nothing_is_cut_when_its_right_ends(service: StatusRpcHarness) -> None:
    ending = asyncio.create_task(end_regularly(service))
    try:
        sse = service.sse()
        await read(sse)
        big = change()
        big.door_status.door_id = "x" * 200_000
        while service.hub.watcher_count:  # until so much waits that nothing more can be written
            service.log.publish(big)
            await asyncio.sleep(0.01)
            if service.hub.position.sequence == 6:
                service.hub.right_ended(RightEnding(EndingCause.GRANT, time.time(), "user-123", VIN))
            assert service.hub.position.sequence < 500
    finally:
        ending.cancel()


async def test_the_oldest_stream_of_a_user_gives_way_and_is_told_so(service: StatusRpcHarness) -> None:
    oldest = service.sse()
    await read(oldest)
    others = [service.sse() for _ in range(30)]
    for each in others:
        await read(each)
    last = (await read(oldest)).data
    assert last.startswith(b"retry: 30000\n: the stream ends: RATE_LIMITED: ")
    assert await read(oldest) is grpc.aio.EOF
    service.hub.beat()
    assert (await read(others[0])).data == b": heartbeat\n"


async def test_at_shutdown_streams_end_so_that_clients_come_back(service: StatusRpcHarness) -> None:
    sse, typed = service.sse(), service.watch()
    await read(sse)
    await typed.initial_metadata()
    service.hub.close()
    assert (await read(sse)).data.startswith(b": the stream ends: DEPENDENCY_UNAVAILABLE")
    code, _, _ = await refused(typed)
    assert code is grpc.StatusCode.UNAVAILABLE


async def test_a_reader_slower_than_its_updates_is_ended(service: StatusRpcHarness) -> None:
    typed = service.watch()
    await typed.initial_metadata()
    for _ in range(40):  # without a turn of the loop in between, nobody can read
        service.log.publish(change())
    code, problem, _ = await refused(typed)
    assert (code, problem["code"]) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")


async def test_a_client_that_leaves_is_forgotten(service: StatusRpcHarness) -> None:
    stream = service.sse()
    await read(stream)
    assert service.hub.watcher_count == 1
    stream.cancel()
    async with asyncio.timeout(WAIT_SECONDS):
        while service.hub.watcher_count:  # noqa: ASYNC110  # the hub has no event for it, and needs none
            await asyncio.sleep(0.01)


async def test_streams_are_bounded(service: StatusRpcHarness) -> None:
    streams = [service.sse(subject=f"user-{n}") for n in range(50)]
    for stream in streams:
        await read(stream)
    code, problem, _ = await refused(service.sse(subject="one-too-many"))
    assert (code, problem["code"]) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")

"""What GetDoorStatus answers, and who looked."""

from __future__ import annotations

import json

import grpc
from ecarus.remotecontrol.door.v1.door_status_pb2 import Connectivity
from ecarus.remotecontrol.door.v1.room_event_pb2 import StatusChecks
from ecarus.remotecontrol.vehicle.v1 import body_pb2, report_pb2
from google.protobuf.json_format import MessageToDict

from services.platform.policy import RpcPolicy
from services.status.adapters.server import POLICY, SERVICE
from services.status.usecases.door_status import LastReport
from tests.contract.status.conftest import NOW_US, VIN, StatusRpcHarness, change, read, refused


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


async def test_a_look_of_who_does_not_consent_to_a_history_is_not_recorded(service: StatusRpcHarness) -> None:
    service.reader.reports[VIN] = LastReport(sample_report().SerializeToString(), NOW_US)
    await service.status(unrecorded=0)
    await service.status(actor="agent-7", source="CALL_CENTER", unrecorded=1_768_228_100)
    await service.checks.flush()
    assert service.store.sent == []


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
        f"/{SERVICE}/{m}"
        for m in ("GetDoorStatus", "GetDoorCapabilities", "WatchDoorUpdates", "StreamDoorUpdates")
    }
    assert all(isinstance(rule, RpcPolicy) and rule.action for rule in POLICY.values())

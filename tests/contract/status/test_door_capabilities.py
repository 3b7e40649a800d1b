"""What GetDoorCapabilities answers, and what of a status the vehicle's model does not have."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ecarus.remotecontrol.door.v1 import door_status_service_pb2 as rpc
from ecarus.remotecontrol.door.v1.door_capabilities_pb2 import DoorReachability
from ecarus.remotecontrol.vehicle.v1 import body_pb2, report_pb2
from google.protobuf.json_format import MessageToDict

from services.status.adapters.model_limits import ModelLimits
from services.status.adapters.vehicle_translate import ReportOrigin, report_of
from services.status.domain.doors import PRESENT
from services.status.usecases.capabilities import WakeUpQuestion
from services.status.usecases.door_status import LastReport
from services.vehicle_models.catalogue import VehicleModels
from tests.contract.status.conftest import NOW_US, StatusRpcHarness, refused
from tests.contract.status.test_status_read import sample_report
from tests.support.vehicle_models import COUPE, MODELS, SEDAN, VAN

SECOND = 1_000_000


async def asked(service: StatusRpcHarness, vin: str, **claims: Any) -> dict[str, Any]:
    answer = await service.capabilities(vin, **claims)
    return MessageToDict(answer, always_print_fields_with_no_presence=True)


async def test_the_doors_modes_and_functions_are_the_models(service: StatusRpcHarness) -> None:
    coupe = await asked(service, COUPE)
    assert coupe == {
        "vin": COUPE,
        "model": "Coupe",
        "doors": [
            _door("driver", windowSensor=False),
            _door("passenger", windowSensor=False),
            _door("trunk", remoteUnlock=False, windowSensor=False),
            _door("hood", remoteLock=False, remoteUnlock=False, windowSensor=False),
        ],
        "unlockModes": ["NORMAL", "EMERGENCY"],
        "lockModes": ["NORMAL", "SECURE"],
        "functions": ["REMOTE_UNLOCK", "REMOTE_LOCK", "AUTO_LOCK", "SPEED_LOCK", "PARKING_UNLOCK"],
        "settingUnlockModes": ["ALL", "DRIVER_ONLY"],
        "reachability": {"state": "NEVER_CONNECTED"},
    }
    van = await asked(service, VAN)
    assert (van["unlockModes"], van["lockModes"]) == ([], ["NORMAL"])
    assert not any(door["remoteUnlock"] for door in van["doors"])
    assert [door["doorId"] for door in van["doors"] if door["sliding"]] == ["rearLeft", "rearRight"]
    unknown = await asked(service, "1M8GDM9AXKP042788")
    assert (unknown["model"], len(unknown["doors"])) == ("Unknown", 6)


def _door(door_id: str, **but: bool) -> dict[str, Any]:
    usual = dict.fromkeys(("remoteLock", "remoteUnlock", "lockSensor", "openSensor", "windowSensor"), True)
    return {"doorId": door_id, **usual, "sliding": False, "childLock": False, **but}


def _reported(service: StatusRpcHarness, *, ago_seconds: float, asleep: bool = False) -> None:
    made = sample_report()
    made.going_to_sleep = asleep
    received = NOW_US - round(ago_seconds * SECOND)
    service.reader.reports[SEDAN] = LastReport(made.SerializeToString(), received)


async def test_one_that_reports_is_online(service: StatusRpcHarness) -> None:
    _reported(service, ago_seconds=10)
    reach = (await asked(service, SEDAN))["reachability"]
    assert reach == {"state": "ONLINE", "since": "2026-01-12T14:29:50Z"}
    assert service.budgets.asked == []  # nobody need wake it


@pytest.mark.parametrize("role", ["OWNER", "SHARED_USER"])
async def test_one_that_sleeps_says_since_when_and_when_it_may_be_woken(
    service: StatusRpcHarness, role: str
) -> None:
    _reported(service, ago_seconds=7_200, asleep=True)
    reach = (await asked(service, SEDAN, sub="user-9", role=role))["reachability"]
    assert reach == {
        "state": "ASLEEP",
        "since": "2026-01-12T12:30:00Z",
        "wakeUpAt": "2026-01-12T14:30:05Z",
    }
    assert service.budgets.asked == [WakeUpQuestion(SEDAN, "user-9", by_owner=role == "OWNER")]


async def test_one_whose_budget_nobody_knows_is_told_of_all_the_same(service: StatusRpcHarness) -> None:
    _reported(service, ago_seconds=7_200, asleep=True)
    service.budgets.at_us = None
    reach = (await asked(service, SEDAN))["reachability"]
    assert reach == {"state": "ASLEEP", "since": "2026-01-12T12:30:00Z"}


async def test_one_that_is_lost_says_since_when(service: StatusRpcHarness) -> None:
    _reported(service, ago_seconds=100)  # two reports of 30 s are overdue since 35 s
    reach = (await asked(service, SEDAN))["reachability"]
    assert (reach["state"], reach["since"]) == ("LOST", "2026-01-12T14:29:25Z")
    assert reach["wakeUpAt"] == "2026-01-12T14:30:05Z"
    _reported(service, ago_seconds=20)
    service.lost.note(SEDAN, NOW_US - 4 * SECOND)
    service.lost.note_unanswered(SEDAN, NOW_US - 2 * SECOND)
    reach = (await asked(service, SEDAN))["reachability"]
    assert (reach["state"], reach["since"]) == ("LOST", "2026-01-12T14:29:56Z")


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (body_pb2.REMOTE_ACCESS_DISABLED, "REMOTE_ACCESS_DISABLED"),
        (body_pb2.REMOTE_ACCESS_PRIVACY_MODE, "PRIVACY_MODE"),
        (body_pb2.REMOTE_ACCESS_ENABLED, "ONLINE"),
    ],
)
async def test_one_that_is_switched_off_in_the_vehicle_says_so(
    service: StatusRpcHarness, said: body_pb2.RemoteAccess, state: str
) -> None:
    made = sample_report()
    made.remote_access = said
    service.reader.reports[SEDAN] = LastReport(made.SerializeToString(), NOW_US - 10 * SECOND)
    reach = (await asked(service, SEDAN))["reachability"]
    assert reach == {"state": state, "since": "2026-01-12T14:29:50Z"}


async def test_while_the_broker_is_away_none_can_be_reached(service: StatusRpcHarness) -> None:
    _reported(service, ago_seconds=1)
    service.reader.broker_connected = False
    reach = (await service.capabilities(SEDAN)).reachability
    assert reach.state == DoorReachability.State.LOST
    assert not reach.HasField("since")


async def test_a_store_that_is_away_is_told_as_for_the_status(service: StatusRpcHarness) -> None:
    service.reader.broken = True
    _, problem, _ = await refused(service.capabilities(SEDAN))
    assert problem["code"] == "STORAGE_UNAVAILABLE"


async def test_a_status_shows_nothing_that_the_model_does_not_have(service: StatusRpcHarness) -> None:
    kept = body_pb2.DoorObservation(door=body_pb2.DOOR_ID_REAR_LEFT, locked=False, open=True)
    known_before = json.dumps({"rearLeft": [NOW_US, kept.SerializeToString().hex()]})
    made = sample_report()
    del made.doors[2]
    service.reader.reports[COUPE] = LastReport(made.SerializeToString(), NOW_US, known_before)
    metadata = service.metadata("door.status.read", vin=COUPE)
    answer = await service.stub.GetDoorStatus(rpc.GetDoorStatusRequest(vin=COUPE), metadata=metadata)
    doors = MessageToDict(answer)["doors"]
    shut = {"locked": True, "open": False}
    assert doors == dict.fromkeys(("driver", "passenger", "trunk", "hood"), shut)


def test_what_a_vehicle_claims_beyond_its_model_is_left_out_and_named() -> None:
    limits = ModelLimits(VehicleModels(MODELS))
    made = sample_report()
    beyond = limits.leave_out(COUPE, made)
    assert beyond == [
        *("doors.driver.window_open", "doors.driver.child_lock", "doors.passenger.window_open"),
        *("doors.rearLeft", "doors.rearRight"),
    ]
    report = report_of(COUPE, made, b"", ReportOrigin(b"e", 1, 1, NOW_US), beyond)
    assert list(report.cut) == beyond
    assert [bool(flags & PRESENT) for flags in report.doors] == [True, True, False, False, True, True]
    shown = report_pb2.StatusReport.FromString(report.payload)
    assert [each.door for each in shown.doors] == [1, 2, 5, 6]
    assert limits.leave_out(COUPE, shown) == []
    whole = sample_report()
    for vin in (SEDAN, "1M8GDM9AXKP042788"):
        assert limits.leave_out(vin, whole) == []
    assert whole == sample_report()


def test_a_result_tells_nothing_of_doors_that_the_model_lacks() -> None:
    result = report_pb2.CommandResult()
    for door in (1, 3):
        result.doors.add(door=door, succeeded=True, locked=True)
    assert ModelLimits(VehicleModels(MODELS)).leave_out_results(COUPE, result) == ["result.rearLeft"]
    assert [each.door for each in result.doors] == [1]


def test_what_a_model_cannot_report_at_all_is_absent(tmp_path: Any) -> None:
    (tmp_path / "a.toml").write_text(
        'name = "A"\n[match]\npatterns = ["KMH"]\n[doors.driver]\nlock_sensor = false\n[doors.passenger]\n'
        "[reports]\nignition = false\nspeed = false\ngear = false\n",
        encoding="utf-8",
    )
    made = sample_report()
    made.ignition = body_pb2.IGNITION_ON
    beyond = ModelLimits(VehicleModels(tmp_path)).leave_out(SEDAN, made)
    assert {"doors.driver.locked", "ignition", "speed_kmh", "gear"} <= set(beyond)
    assert (made.ignition, made.HasField("speed_kmh"), made.gear) == (0, False, 0)
    assert not made.doors[0].HasField("locked")
    assert made.doors[0].HasField("open")

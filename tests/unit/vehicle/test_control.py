"""The control interface as curl would use it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio

from tests.support.signed_cloud import VIN, SignedCloud
from tests.unit.vehicle.fakes import FakeLink
from vehicle.clock import SystemClock
from vehicle.doors.automation import ActuationCause
from vehicle.doors.body import DoorName, LockPosition
from vehicle.simulator.control import control_app
from vehicle.simulator.simulated_car import SimulatedCar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def make(folder: Path) -> SimulatedCar:
    cloud = SignedCloud(lambda: round(time.time() * 1000))
    return SimulatedCar(
        VIN, folder / VIN, lambda: FakeLink(cloud), cloud.credentials, SystemClock(), awake=False
    )


@pytest_asyncio.fixture
async def simulated(tmp_path: Path) -> AsyncIterator[SimulatedCar]:
    one = make(tmp_path)
    one.start()
    yield one
    await one.stop()


@pytest_asyncio.fixture
async def http(simulated: SimulatedCar) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(control_app({VIN: simulated}))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8600") as client:
        yield client


async def ask(http: httpx.AsyncClient, path: str, body: Any = None) -> Any:
    answer = await http.post(f"/vehicles/{VIN}/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_day_in_the_life(http: httpx.AsyncClient) -> None:
    assert (await ask(http, "doors/driver/unlock"))["doors"]["driver"]["locked"] is False
    assert (await ask(http, "doors/driver/open"))["doors"]["driver"]["open"] is True
    assert (await ask(http, "doors/driver/close"))["doors"]["driver"]["open"] is False
    assert (await ask(http, "doors/driver/window-open"))["doors"]["driver"]["windowOpen"] is True
    assert (await ask(http, "drive", {"speedKmh": 30}))["speedKmh"] == 30
    assert (await ask(http, "park"))["gear"] == "P"
    assert (await ask(http, "ignition", {"ignition": "ON"}))["ignition"] == "ON"
    assert (await ask(http, "gear", {"gear": "R"}))["gear"] == "R"
    assert (await ask(http, "actuators/trunk/fail"))["failedActuators"] == ["trunk"]
    assert (await ask(http, "actuators/trunk/repair"))["failedActuators"] == []
    assert (await ask(http, "battery", {"percent": 8}))["batteryPercent"] == 8
    assert (await ask(http, "door-time", {"seconds": 0.2}))["doorTimeSeconds"] == 0.2
    assert (await ask(http, "messages/drop-next"))["counters"]["eventsDropped"] == 0
    assert (await http.get(f"/vehicles/{VIN}/actuations")).json() == []


async def test_an_actuator_can_slip_and_be_repaired(http: httpx.AsyncClient, simulated: SimulatedCar) -> None:
    async def lock(door: DoorName) -> None:
        async with simulated.car.actuators:
            (outcome,) = await simulated.car.actuate(
                "c1", (door,), LockPosition.LOCKED, ActuationCause.COMMAND, lambda _: None
            )
            assert (outcome.succeeded, outcome.moved) == (True, True)
            assert simulated.car.body.doors[door].locked

    await ask(http, "doors/driver/unlock")
    assert (await ask(http, "actuators/driver/slip"))["slippingActuators"] == ["driver"]
    await lock(DoorName.DRIVER)
    assert not simulated.car.body.doors[DoorName.DRIVER].locked
    assert (await ask(http, "actuators/driver/repair"))["slippingActuators"] == []
    await lock(DoorName.DRIVER)
    assert simulated.car.body.doors[DoorName.DRIVER].locked


async def test_sleep_wake_and_reboot(http: httpx.AsyncClient, simulated: SimulatedCar) -> None:
    assert (await ask(http, "wake"))["asleep"] is False
    await simulated.agent.connected.wait()
    assert (await http.get("/healthz")).status_code == 200
    await simulated.agent.reported.wait()
    assert (await http.get("/readyz")).json() == {"cars": 1, "notReported": 0}
    assert (await ask(http, "sleep"))["asleep"] is True
    first = (await http.get(f"/vehicles/{VIN}")).json()
    again = await ask(http, "reboot")
    assert (again["asleep"], again["counters"]["boots"]) == (False, 2)
    assert again["bootId"] != first["bootId"]
    assert (await http.get("/vehicles")).json()[0]["vin"] == VIN


async def test_it_can_be_another_car(http: httpx.AsyncClient, simulated: SimulatedCar) -> None:
    doors = ["driver", "passenger", "trunk"]
    coupe = await ask(http, "equipment", {"equipment": {"doors": doors, "windowSensors": []}})
    assert (list(coupe["doors"]), coupe["counters"]["boots"]) == (doors, 2)
    assert (await http.post(f"/vehicles/{VIN}/doors/rearLeft/open")).status_code == 422
    await simulated.agent.reported.wait()
    assert len((await ask(http, "equipment", {"equipment": {}}))["doors"]) == 6


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("doors/boot/open", None, 404),
        ("doors/driver/kick", None, 404),
        ("fly", None, 404),
        ("actuators/driver/oil", None, 404),
        ("actuators/hood/slip", None, 422),
        ("messages/burn", None, 404),
        ("doors/driver/open", None, 409),
        ("drive", {"speedKmh": "fast"}, 422),
        ("drive", {"speedKmh": 301}, 422),
        ("drive", {"speedKmh": True}, 422),
        ("drive", None, 422),
        ("ignition", {"ignition": "START"}, 422),
        ("gear", {"gear": ["P"]}, 422),
        ("battery", {"percent": 101}, 422),
        ("door-time", {"seconds": -1}, 422),
        ("doors/hood/lock", None, 422),
        ("equipment", {"equipment": {"doors": ["boot"]}}, 422),
        ("equipment", {"doors": ["driver"]}, 422),
        ("doors/trunk/window-open", None, 422),
    ],
)
async def test_bad_requests(http: httpx.AsyncClient, path: str, body: Any, status: int) -> None:
    answer = await http.post(f"/vehicles/{VIN}/{path}", json=body)
    assert answer.status_code == status
    assert answer.json()["error"]


LOCK = f"/vehicles/{VIN}/doors/driver/lock"
HERE = "127.0.0.1:8600"


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "attacker.example:8600"},  # a name that was made to point here
        {"host": "127.0.0.1.attacker.example"},
        {"host": "localhost.attacker.example"},
        {"host": "localhost@attacker.example"},
        {"host": ""},
        {"host": "192.168.0.7:8600"},
        {"host": HERE, "origin": "http://attacker.example"},
        {"host": HERE, "origin": "http://127.0.0.1:3000"},  # another program's page on this machine
        {"host": HERE, "origin": "https://127.0.0.1:8600"},
        {"host": HERE, "origin": "null"},
        {"host": HERE, "origin": ""},
        {"host": HERE, "sec-fetch-site": "cross-site"},
        {"host": HERE, "sec-fetch-site": "same-site"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_a_website_reaches_nothing(
    http: httpx.AsyncClient, simulated: SimulatedCar, method: str, headers: dict[str, str]
) -> None:
    before = simulated.car.body
    answer = await http.request(method, LOCK if method == "POST" else f"/vehicles/{VIN}", headers=headers)
    assert answer.status_code == 403
    assert VIN not in answer.text
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert simulated.car.body == before


@pytest.mark.parametrize(
    "headers",
    [
        {"host": HERE},
        {"host": "LOCALHOST"},
        {"host": "[::1]:8600"},
        {"host": HERE, "origin": f"http://{HERE}", "sec-fetch-site": "same-origin"},
        {"host": HERE, "sec-fetch-site": "none"},
    ],
)
async def test_a_program_on_this_machine_is_served_and_never_with_cors(
    http: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    for answer in (await http.get("/vehicles", headers=headers), await http.post(LOCK, headers=headers)):
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_two_hosts_are_no_host(http: httpx.AsyncClient) -> None:
    twice = [("host", HERE), ("host", "attacker.example")]
    assert (await http.get("/vehicles", headers=twice)).status_code == 403


async def test_an_unknown_car(http: httpx.AsyncClient) -> None:
    assert (await http.get("/vehicles/KMHSH81C7LU999999")).status_code == 404


async def test_the_car_is_the_same_after_a_restart(simulated: SimulatedCar, tmp_path: Path) -> None:
    simulated.car.change(lambda body: body.driven(20).with_battery(42), ActuationCause.HAND)
    again = make(tmp_path)
    assert again.car.body == simulated.car.body
    assert again.car.settings == simulated.car.settings


async def test_a_wake_up_reaches_a_car_that_sleeps_and_none_without_coverage(http: httpx.AsyncClient) -> None:
    assert (await ask(http, "tap"))["asleep"] is False
    left = await ask(http, "leave-coverage")
    assert (left["asleep"], left["hasCoverage"]) == (True, False)
    assert (await ask(http, "tap"))["asleep"] is True
    assert (await ask(http, "enter-coverage"))["asleep"] is False

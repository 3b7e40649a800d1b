"""Whoever sees a SUCCESS, in whatever way, and then asks for the status is shown the doors as that SUCCESS says; and
whoever watches is reported the doors first.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest
from ecarus.remotecontrol.door.v1 import (
    door_command_pb2,
    door_status_service_pb2,
    door_status_service_pb2_grpc,
    door_update_pb2,
)

from tests.support.app import SAMPLE, SECOND, App, Car, eventually
from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system
TURNS = 12
SECONDS = 20.0
"""How long one command may take."""


@pytest.fixture(params=[SAMPLE, SECOND], ids=["nats", "mqtt"])
def app(mesh: Mesh, request: pytest.FixtureRequest) -> App:
    car = Car(mesh, request.param)
    car.meet()
    car.do("door-time", seconds=0)
    return App(mesh, request.param)


@pytest.fixture
def phone(app: App) -> Iterator[Phone]:
    with httpx.Client(headers=app.headers, verify=NO_TLS) as client:
        yield Phone(app, client)


def by_polling(phone: Phone, command_id: str) -> list[dict[str, Any]]:
    return phone.until(lambda: phone.get(f"commands/{command_id}"))["doorResults"]


def by_the_history(phone: Phone, command_id: str) -> list[dict[str, Any]]:
    def entry() -> dict[str, Any]:
        entries = phone.get("history?limit=5")["history"]
        return next((each for each in entries if each["commandId"] == command_id), {})

    return phone.until(entry)["doorResults"]


class Phone:
    """An app that asks without a pause, on a connection that stays."""

    def __init__(self, app: App, client: httpx.Client) -> None:
        self._app = app
        self._client = client

    def get(self, path: str) -> dict[str, Any]:
        answer = self._client.get(f"{self._app.door}/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def until(self, look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            found = look()
            if found.get("status") == "SUCCESS":
                return found
            assert found.get("status") not in {"FAILED", "TIMEOUT", "CANCELLED"}, found
        raise AssertionError("no SUCCESS")

    def shown(self) -> dict[str, bool]:
        return {name: door["locked"] for name, door in self.get("status")["doors"].items()}


def order(app: App, turn: int) -> str:
    action = ("unlock", "lock")[turn % 2]
    accepted = eventually(lambda: (a := app.order(action)).status_code == 202 and a)
    return str(accepted.json()["commandId"])


@pytest.mark.parametrize("see", [by_polling, by_the_history])
def test_who_asks_in_a_tight_loop_is_never_shown_earlier_doors(
    app: App, phone: Phone, see: Callable[[Phone, str], list[dict[str, Any]]]
) -> None:
    for turn in range(TURNS):
        results = see(phone, order(app, turn))
        shown = phone.shown()
        assert {each["doorId"]: each["locked"] for each in results} == {
            each["doorId"]: shown[each["doorId"]] for each in results
        }, turn


def test_who_watches_is_told_of_the_doors_first(app: App, phone: Phone) -> None:
    changed = 0
    with httpx.stream(
        "GET", f"{app.door}/updates/stream", headers=app.headers, timeout=SECONDS, verify=NO_TLS
    ) as response:
        events = _data_of(response.iter_lines())
        assert next(events)["type"] == "STREAM_OPENED"
        for turn in range(TURNS):
            command_id = order(app, turn)
            doors: dict[str, bool] = {}
            results: dict[str, bool] = {}
            while not results:
                event = next(events)
                data = event["data"]
                if event["type"] == "DOOR_STATUS_UPDATE":
                    doors[data["doorId"]] = data["locked"]
                elif data.get("status") == "SUCCESS":
                    assert data["commandId"] == command_id
                    results = {each["doorId"]: each["locked"] for each in data["doorResults"]}
            assert phone.shown().items() >= results.items()
            # A door whose change came later would be found in the next turn, where it stands otherwise already.
            assert doors.items() <= results.items(), turn
            # Before the first turn some may have been there already.
            assert turn == 0 or doors.keys() == results.keys(), turn
            changed += bool(doors)
    assert changed >= TURNS - 1  # all but the first, whose doors may have stood so


def test_who_watches_over_grpc_is_told_of_the_doors_first(app: App, mesh: Mesh) -> None:
    pki = mesh.data / "pki"
    identity = grpc.ssl_channel_credentials(
        *((pki / name).read_bytes() for name in ("ca.crt", "team-demo.key", "team-demo.crt"))
    )
    with grpc.secure_channel(f"localhost:{mesh.ports.mtls}", identity) as channel:
        stub: Any = door_status_service_pb2_grpc.DoorStatusServiceStub(channel)
        watched = stub.WatchDoorUpdates(
            door_status_service_pb2.WatchDoorUpdatesRequest(vin=app.vin),
            metadata=(("authorization", f"Bearer {app.bearer}"),),
            timeout=TURNS * SECONDS,
        )
        watched.initial_metadata()
        for turn in range(TURNS):
            command_id = order(app, turn)
            doors: dict[str, bool] = {}
            for update in watched:
                if update.type == door_update_pb2.DoorUpdateType.DOOR_STATUS_UPDATE:
                    doors[update.door_status.door_id] = update.door_status.locked
                elif update.command_status.status == door_command_pb2.CommandStatus.SUCCESS:
                    assert update.command_status.command_id == command_id
                    results = {each.door_id: each.locked for each in update.command_status.door_results}
                    break
            assert doors.items() <= results.items(), turn
            assert not doors or doors.keys() == results.keys(), turn
        watched.cancel()


def _data_of(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))

"""A person's phones are told by push how their commands ended, through the edge and the phones' own push services."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.app import ANSWER_SECONDS, SAMPLE, App, Car, eventually
from tests.support.phones import OWNER, PhoneOwner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system

KINDS = ("FCM", "APNS", "WEB_PUSH")


@pytest.fixture
def owner(mesh: Mesh) -> PhoneOwner:
    return PhoneOwner(mesh, mesh.token(OWNER))


@pytest.fixture
def car(mesh: Mesh) -> Iterator[Car]:
    car = Car(mesh)
    car.meet()
    car.do("door-time", seconds=0)
    yield car
    car.do("doors/driver/close")


def ordered(mesh: Mesh, action: str) -> str:
    """The id of a command of the owner's."""
    return str(App(mesh, bearer=mesh.token(OWNER)).accepted(action)["commandId"])


def test_each_phone_is_told_once_how_a_command_ended(mesh: Mesh, owner: PhoneOwner, car: Car) -> None:
    assert car.vin == SAMPLE
    with contextlib.ExitStack() as stack:
        phones = [stack.enter_context(owner.phone(kind)) for kind in KINDS]
        command_id = ordered(mesh, "unlock")
        for phone in phones:
            told = phone.message(command_id)
            assert (told["title"], told["body"]) == ("Unlocked", "Your car is unlocked.")
            assert told["isUrgent"] is True
            assert told["ttlSeconds"] <= 86_400
            whole = json.dumps(told)
            assert SAMPLE not in whole
            assert OWNER not in whole
        later = ordered(mesh, "lock")
        for phone in phones:
            assert phone.message(later)["title"] == "Locked"
            assert len(phone.messages(command_id)) == 1


def test_why_it_failed_is_told_in_the_persons_language(mesh: Mesh, owner: PhoneOwner, car: Car) -> None:
    assert owner.ask("/preferences", "PUT", {"language": "ko", "timeZone": "Asia/Seoul"}).status_code == 200
    try:
        with owner.phone("WEB_PUSH") as phone:
            car.do("park")
            unlocked = ordered(mesh, "unlock")
            assert phone.message(unlocked)["title"] == "잠금 해제됨"
            car.do("actuators/driver/fail")
            failed = ordered(mesh, "lock")
            told = phone.message(failed)
            app = App(mesh, bearer=owner.bearer)
            ended = app.end_of(failed)
            assert ended["status"] == "FAILED"
            assert told["title"] not in {"잠김", ""}
            assert any("\uac00" <= letter <= "\ud7a3" for letter in told["body"])
    finally:
        car.do("actuators/driver/repair")
        owner.ask("/preferences", "PUT", {})


def test_a_phone_in_trouble_is_told_later_and_a_dead_one_is_forgotten(
    mesh: Mesh, owner: PhoneOwner, car: Car
) -> None:
    assert car.vin == SAMPLE
    # The last one to be registered: it is told of no other before it dies.
    with owner.phone("FCM") as slow, owner.phone("WEB_PUSH") as well, owner.phone("APNS") as dead:
        slow.fail("THROTTLED", retryAfterSeconds=1)
        slow.fail("UNAVAILABLE", retryAfterSeconds=1)
        dead.fail("GONE", times=10)
        command_id = ordered(mesh, "unlock")
        assert well.message(command_id)["title"] == "Unlocked"
        assert slow.message(command_id)["title"].startswith("Unlocked")
        eventually(lambda: dead.name not in owner.devices())
        assert not dead.messages(command_id)
        assert {slow.name, well.name} <= set(owner.devices())


def test_a_browser_learns_what_to_subscribe_under(mesh: Mesh, owner: PhoneOwner) -> None:
    key = owner.ask("/devices").json()["applicationServerKey"]
    made_for = json.loads((mesh.data / "public" / "push-senders.json").read_text())
    assert key == made_for["webPush"]["applicationServerKey"]


def test_no_endpoint_elsewhere_is_registered(mesh: Mesh, owner: PhoneOwner) -> None:
    push = mesh.ports.push
    with owner.phone("WEB_PUSH") as phone:
        usual = httpx.get(f"{phone.inbox}/phones/{phone.name}", timeout=ANSWER_SECONDS).json()
        for url in (
            "https://localhost/wpush/x",
            f"https://127.0.0.1:{push}/wpush/x",
            f"http://localhost:{push}/wpush/x",
            f"https://user@localhost:{push}/wpush/x",
            "https://169.254.169.254/latest/meta-data",
            f"https://localhost:{mesh.ports.service('status')}/",
        ):
            refused = owner.ask("/devices/elsewhere", "PUT", {**usual, "token": url})
            assert refused.status_code == 400, url
            assert [each["field"] for each in refused.json()["errors"]] == ["token"]
        assert "elsewhere" not in owner.devices()


@pytest.mark.disturbs
@pytest.mark.timeout(300)
def test_who_is_killed_in_between_tells_it_all_the_same(mesh: Mesh, owner: PhoneOwner, car: Car) -> None:
    """What was sent and not recorded yet is sent again under the same id, and the phone shows it in its place."""
    assert car.vin == SAMPLE
    with owner.phone("FCM") as fcm, owner.phone("WEB_PUSH") as web:
        fcm.fail("HANG")
        command_id = ordered(mesh, "unlock")
        web.message(command_id)
        os.kill(mesh.pid_of("notification"), signal.SIGKILL)
        mesh.wait_for_line("mesh: notification ready", 90)
        fcm.message(command_id)
        for phone in (fcm, web):
            told = phone.messages(command_id)
            assert len({each["data"]["id"] for each in told}) == 1
            assert len({each["collapse"] for each in told}) == 1
        os.kill(mesh.pid_of("phones"), signal.SIGKILL)
        later = ordered(mesh, "lock")
        mesh.wait_for_line("mesh: phones ready", 90)
        assert fcm.message(later)["title"].startswith("Locked")

"""A guest, an agent and a person whose key was found: what they may ends when their right ends, in streams and in
commands that are on their way, and what they may not was never theirs.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2

from protocol.subjects import EventKind
from tests.attacks.people import (
    DIGITAL_KEY,
    SHARED_USER,
    bearer,
    grant,
    new_name,
    operator,
    owner_of,
    person,
    revoke,
)
from tests.attacks.sandbox import issued_orders, let_wake_ups_age, plant_api_key, wake_ups
from tests.attacks.tokens import acting, another_issuer_key, claims, signed
from tests.support.app import ASLEEP, SAMPLE, App, Car, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.attacks.bystander import BystanderProbe
    from tests.attacks.hostile_car import HostileCar
    from tests.support.app import Stream
    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system

ENDS_WITHIN_SECONDS = 1.0
NOISE_SECONDS = 1.0
"""What a busy machine adds."""
GUESTS_WAKE_UPS = 4
"""Of one guest in an hour."""
REFUSED_WAKE_UP_SECONDS = 4.0
"""An order that is not confirmed for 2 s makes the car be woken, if it may be."""
KEY_SET_SECONDS = 60.0
"""A withdrawn key is trusted no longer than this."""


@pytest.fixture
def owner(mesh: Mesh) -> Iterator[App]:
    """The sample car's, with its doors locked."""
    car = Car(mesh, SAMPLE)
    car.meet()
    car.do("door-time", seconds=0)
    app = App(mesh, SAMPLE, bearer(mesh, "user-123"))
    finish(app, "lock")
    yield app
    car.do("enter-coverage")
    car.do("door-time", seconds=0)


def finish(app: App, action: str) -> dict[str, Any]:
    answer = eventually(lambda: (a := app.order(action)).status_code == 202 and a, 45)
    return app.end_of(answer.json()["commandId"])


def ends_in_time(stream: Stream, end: float) -> None:
    """`end` by the wall clock."""
    assert stream.status == 200
    left = end - time.time() + ENDS_WITHIN_SECONDS + NOISE_SECONDS
    assert stream.ended.wait(left), "the stream outlived the right"


def test_a_stream_ends_with_its_grant(mesh: Mesh, bystander: BystanderProbe) -> None:
    guest = new_name("guest")
    app = person(mesh, SAMPLE, guest)
    with bystander.undisturbed():
        end = time.time() + 3
        grant(mesh, guest, SAMPLE, DIGITAL_KEY, seconds=3)
        with app.stream() as stream:
            assert not stream.ended.is_set()
            ends_in_time(stream, end)
    assert app.order("unlock").status_code == 404


def test_a_stream_ends_with_its_token(mesh: Mesh, bystander: BystanderProbe) -> None:
    guest = new_name("guest")
    grant(mesh, guest, SAMPLE, DIGITAL_KEY)
    with bystander.undisturbed():
        end = int(time.time()) + 4
        app = App(mesh, SAMPLE, signed(mesh, claims(mesh, guest, exp=end)))
        with app.stream() as stream:
            assert not stream.ended.is_set()
            ends_in_time(stream, end)


def lock_account(mesh: Mesh, user: str, _grant_id: str) -> None:
    with operator(mesh, "operator") as access:
        access.LockAccount(access_service_pb2.LockAccountRequest(principal=user, reason="stolen"), timeout=20)


def revoke_grant(mesh: Mesh, _user: str, grant_id: str) -> None:
    revoke(mesh, grant_id)


ENDS: dict[str, Callable[[Mesh, str, str], None]] = {"revocation": revoke_grant, "account-lock": lock_account}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_a_stream_ends_with_a_revocation(
    mesh: Mesh, bystander: BystanderProbe, end: Callable[[Mesh, str, str], None]
) -> None:
    guest = new_name("guest")
    grant_id = grant(mesh, guest, SAMPLE, DIGITAL_KEY)
    app = person(mesh, SAMPLE, guest)
    with bystander.undisturbed(), app.stream() as stream:
        assert not stream.ended.is_set()
        end(mesh, guest, grant_id)
        ends_in_time(stream, time.time())
    assert app.order("unlock").status_code in {403, 404}


def test_a_stream_ends_with_its_api_key(mesh: Mesh, bystander: BystanderProbe) -> None:
    guest = new_name("guest")
    grant(mesh, guest, SAMPLE, DIGITAL_KEY)
    found, kept = (App(mesh, SAMPLE, plant_api_key(mesh, guest)) for _ in range(2))
    with bystander.undisturbed(), found.stream() as stream, kept.stream() as another:
        assert not stream.ended.is_set()
        with operator(mesh, "operator") as access:
            access.RevokeApiKey(access_service_pb2.RevokeApiKeyRequest(key=found.bearer), timeout=20)
        ends_in_time(stream, time.time())
        assert found.get("status").status_code == 401
        assert found.order("unlock").status_code == 401
        assert not another.ended.is_set(), "another key of the same person's was not revoked"
        assert kept.get("status").status_code == 200


@pytest.mark.timeout(150)
def test_a_guest_spends_no_wake_up_of_the_owner_s(mesh: Mesh, bystander: BystanderProbe) -> None:
    """Each wake-up costs the battery, so there are few of them; a guest who wakes the car all day takes his share."""
    guest, car = new_name("guest"), Car(mesh, ASLEEP)
    grant(mesh, guest, ASLEEP, DIGITAL_KEY)
    app, theirs = person(mesh, ASLEEP, guest), App(mesh, ASLEEP, bearer(mesh, "user-123"))
    car.meet()
    car.do("door-time", seconds=0)
    eventually(lambda: app.get("status").status_code == 200)

    def asleep() -> None:
        car.do("sleep")
        eventually(lambda: theirs.get("status").json().get("connectivity") == "ASLEEP")
        let_wake_ups_age(mesh, ASLEEP, 60)

    with bystander.undisturbed():
        asleep()
        first = wake_ups(mesh, ASLEEP)
        for number in range(1, GUESTS_WAKE_UPS + 1):
            assert finish(app, "lock")["status"] == "SUCCESS"
            assert wake_ups(mesh, ASLEEP) == first + number
            asleep()
        refused = eventually(lambda: (a := app.order("unlock")).status_code in {202, 409} and a)
        time.sleep(REFUSED_WAKE_UP_SECONDS)  # nothing tells of what is not sent
        assert wake_ups(mesh, ASLEEP) == first + GUESTS_WAKE_UPS, refused.text
        assert car.state()["asleep"]
        assert finish(theirs, "lock")["status"] == "SUCCESS"
        assert wake_ups(mesh, ASLEEP) == first + GUESTS_WAKE_UPS + 1
    car.do("sleep")


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_a_right_that_ended_opens_no_door_of_a_car_that_comes_back(
    mesh: Mesh, bystander: BystanderProbe, owner: App, end: Callable[[Mesh, str, str], None]
) -> None:
    """The order lay at the broker, signed, when its right ended."""
    guest, car = new_name("guest"), Car(mesh, SAMPLE)
    grant_id = grant(mesh, guest, SAMPLE, DIGITAL_KEY)
    app = person(mesh, SAMPLE, guest)
    with bystander.undisturbed():
        car.do("leave-coverage")
        answer = eventually(
            lambda: (a := app.order("unlock", unlockMode="EMERGENCY")).status_code == 202 and a
        )
        command_id = answer.json()["commandId"]
        eventually(lambda: "SENT" in {stage["name"] for stage in owner.command(command_id)["stages"]})
        end(mesh, guest, grant_id)
        car.do("enter-coverage")
        ended = owner.end_of(command_id)
    assert car.actuations(command_id) == []
    assert ended["status"] in {"CANCELLED", "FAILED"}
    assert car.state_locked()


@pytest.mark.alone
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_a_queued_unlock_is_never_signed_and_the_stream_ends(
    mesh: Mesh, hostile_car: HostileCar, end: Callable[[Mesh, str, str], None]
) -> None:
    """The car has not said yet who it is, so the order waits unsigned when its right ends. Then the car comes."""
    guest, vin = new_name("guest"), hostile_car.vin
    grant_id = grant(mesh, guest, vin, DIGITAL_KEY)
    app, owner = person(mesh, vin, guest), owner_of(mesh, vin)
    queued = eventually(lambda: (a := app.order("unlock", unlockMode="EMERGENCY")).status_code == 202 and a)
    command_id = queued.json()["commandId"]
    with app.stream() as stream:
        assert stream.status == 200
        assert not stream.ended.is_set()
        end(mesh, guest, grant_id)
        assert stream.ended.wait(ENDS_WITHIN_SECONDS), "the stream outlived the right"
    ended = owner.end_of(command_id)
    assert (ended["status"], ended["failureReason"]) == ("FAILED", "GRANT_REVOKED")
    assert not ended.get("mayHaveSucceeded")
    assert "SENT" not in {stage["name"] for stage in ended["stages"]}
    asyncio.run(says_hello_and_is_sent_a_lock(hostile_car, owner))
    issued = issued_orders(mesh, vin)
    assert issued, "nothing was ever signed for this car, so nothing was shown"
    assert command_id not in issued


async def says_hello_and_is_sent_a_lock(car: HostileCar, owner: App) -> None:
    """What waits for a car is signed for its epoch once it said hello."""
    async with await car.connect() as link:
        await link.say(EventKind.HELLO, car.hello())
        await asyncio.to_thread(eventually, lambda: owner.order("lock").status_code == 202)
        await asyncio.to_thread(eventually, lambda: issued_orders(car.mesh, car.vin))
        assert await link.orders(seconds=30)


@pytest.mark.timeout(150)
def test_a_withdrawn_key_of_the_issuer_is_trusted_no_longer(mesh: Mesh, bystander: BystanderProbe) -> None:
    guest = new_name("guest")
    grant(mesh, guest, SAMPLE, DIGITAL_KEY)
    with another_issuer_key(mesh) as key:
        app = App(mesh, SAMPLE, signed(mesh, claims(mesh, guest), key))
        eventually(lambda: app.get("status").status_code == 200, KEY_SET_SECONDS)
        stream = app.stream()
    with bystander.undisturbed(), stream:
        assert stream.ended.wait(KEY_SET_SECONDS), "the stream outlived the key"
        eventually(lambda: app.get("status").status_code == 401, KEY_SET_SECONDS)


REFUSED_TOKENS: dict[str, dict[str, Any] | bytes] = {
    "ten-years": {"exp": int(time.time()) + 10 * 365 * 86_400},
    "for-ever": {"exp": 2**52},
    "bound-to-a-key": {"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}},
    "bound-to-a-certificate": {"cnf": {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}},
    "scope-of-another": {"scope": "openid profile"},
    "scope-to-read": {"scope": "door.status.read"},
    "may-act": {"may_act": {"sub": "somebody-else"}},
    "surrogate": {"sub": "user-123\ud800"},
    "two-subjects": b'{"sub": "nobody", "sub": "user-123"',
}


@pytest.mark.parametrize("name", REFUSED_TOKENS)
def test_a_token_that_limits_itself_is_honoured_or_refused(mesh: Mesh, owner: App, name: str) -> None:
    changes = REFUSED_TOKENS[name]
    if isinstance(changes, bytes):
        payload = changes + b", " + json.dumps(claims(mesh, "user-123", sub=None)).encode()[1:]
    else:
        payload = json.dumps(claims(mesh, "user-123", **changes)).encode()
    before = Car(mesh, SAMPLE).actuations()
    answer = App(mesh, SAMPLE, signed(mesh, payload)).order("unlock", unlockMode="EMERGENCY")
    assert answer.status_code in {401, 403}, answer.text
    finish(owner, "lock")
    assert not {line["action"] for line in Car(mesh, SAMPLE).actuations()[len(before) :]} & {
        "UNLOCK",
        "unlock",
    }


def test_a_token_in_utf16_is_no_token(mesh: Mesh) -> None:
    payload = json.dumps(claims(mesh, "user-123")).encode("utf-16")
    assert App(mesh, SAMPLE, signed(mesh, payload)).get("status").status_code == 401


def test_a_digital_key_stops_no_lock_of_the_owner(mesh: Mesh, owner: App) -> None:
    guest, car = new_name("guest"), Car(mesh, SAMPLE)
    grant(mesh, guest, SAMPLE, DIGITAL_KEY)
    app = person(mesh, SAMPLE, guest)
    eventually(lambda: app.get("status").status_code == 200)
    finish(owner, "unlock")
    car.do("door-time", seconds=0.4)
    correlation_id = f"lock-{uuid.uuid4()}"
    accepted = owner.order("lock", correlation_id=correlation_id)
    command_id = accepted.json()["commandId"]
    eventually(lambda: car.actuations(command_id))
    for force in (True, False):
        body = {"correlationId": correlation_id, "reason": "Emergency stop", "force": force}
        assert app.send("POST", "cancel", body).status_code != 400, "no attack at all"
    ended = owner.end_of(command_id)
    assert ended["status"] == "SUCCESS", ended
    assert len(car.moved(command_id)) == 5
    assert all(door["locked"] for door in car.state()["doors"].values() if "locked" in door)


def test_a_new_grant_sees_no_history_of_before(mesh: Mesh, owner: App) -> None:
    secret = finish(owner, "unlock")["commandId"]
    finish(owner, "lock")
    guest = new_name("guest")
    grant(mesh, guest, SAMPLE, SHARED_USER)
    app = person(mesh, SAMPLE, guest)
    eventually(lambda: app.get("history").status_code == 200)
    seen = app.history(period="30d", limit=200)["history"]
    assert secret not in {entry["commandId"] for entry in seen}
    assert "user-123" not in json.dumps(seen)
    assert app.get(f"commands/{secret}").status_code == 404


def test_an_agents_request_is_its_customers(mesh: Mesh, owner: App) -> None:
    """The same correlation id for two customers of one agent is two commands."""
    other = new_name("customer")
    grant(mesh, other, SAMPLE, SHARED_USER)
    both = [
        App(mesh, SAMPLE, signed(mesh, claims(mesh, user, **acting("agent-7"))))
        for user in ("user-123", other)
    ]
    eventually(lambda: both[1].get("status").status_code == 200)
    correlation_id = f"agent-{uuid.uuid4()}"
    first = both[0].order("lock", correlation_id=correlation_id)
    assert first.status_code == 202, first.text
    owner.end_of(first.json()["commandId"])
    second = eventually(
        lambda: (a := both[1].order("lock", correlation_id=correlation_id)).status_code != 409 and a
    )
    assert second.status_code == 202, second.text
    assert second.json()["commandId"] != first.json()["commandId"]

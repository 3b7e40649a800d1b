"""Rights that end while their orders are on the way to cars that are out of coverage."""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2

from services.command.domain.own_cancellations import taken_back_id
from tests.attacks.people import operator as certified_operator
from tests.support.app import SAMPLE, SECOND, App, Car, eventually
from tests.system.test_rights import acting, grant, operator, token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system


@pytest.fixture(params=[SAMPLE, SECOND], ids=["NATS", "MQTT"])
def car(mesh: Mesh, request: pytest.FixtureRequest) -> Iterator[Car]:
    """Connected and locked."""
    car, owner = Car(mesh, request.param), App(mesh, request.param)
    car.do("wake")
    car.meet()
    car.do("door-time", seconds=0)
    locked = eventually(lambda: (a := owner.order("lock")).status_code == 202 and a, 45)
    assert owner.end_of(locked.json()["commandId"])["status"] == "SUCCESS"
    yield car
    car.do("enter-coverage")


def bearer_of(mesh: Mesh, what: str, name: str, vin: str) -> str:
    """Somebody who may unlock the car: with a grant, with an account of their own, or as the owner's agent."""
    if what == "agent":
        return token(mesh, "user-123", seconds=300, **acting(name, vin))
    with operator(mesh) as access:
        grant(access, name, name, vin=vin)
    return mesh.token(name)


def end(mesh: Mesh, what: str, name: str) -> None:
    if what == "grant":
        with operator(mesh) as access:
            access.RevokeGrant(access_service_pb2.RevokeGrantRequest(grant_id=name), timeout=30)
    else:
        # Not by the command line, whose process may take longer to start on a busy machine than the command lives.
        with certified_operator(mesh, "operator") as access:
            request = access_service_pb2.LockAccountRequest(principal=name, reason="stolen phone")
            access.LockAccount(request, timeout=30)


@pytest.mark.parametrize("what", ["grant", "account", "agent"])
def test_a_right_that_ended_opens_no_door_of_a_car_that_was_out_of_coverage(
    mesh: Mesh, car: Car, what: str
) -> None:
    """The unlock was accepted, signed and published; the car finds its cancellation instead."""
    name = f"{what}-{uuid.uuid4()}"
    owner = App(mesh, car.vin)
    guest = App(mesh, car.vin, bearer_of(mesh, what, name, car.vin))
    eventually(lambda: guest.get("status").status_code == 200)
    car.do("leave-coverage")
    command_id = guest.order("unlock").json()["commandId"]
    sent = eventually(lambda: sent_at(owner, command_id))
    end(mesh, what, name)
    eventually(lambda: cancellation_left(mesh, command_id))
    car.do("enter-coverage")
    ended = owner.end_of(command_id)
    assert (ended["status"], ended["failureReason"]) == ("FAILED", "GRANT_REVOKED")
    assert ended["mayHaveSucceeded"] is False
    assert sent_at(owner, command_id) == sent
    assert car.state_locked()
    opened = eventually(lambda: (a := owner.order("unlock")).status_code == 202 and a)
    assert owner.end_of(opened.json()["commandId"])["status"] == "SUCCESS"
    # Whatever waited for the car has reached it before this.
    assert car.actuations(command_id) == []


def cancellation_left(mesh: Mesh, command_id: str) -> bool:
    """Whether the cloud's own cancellation waits for the car at the broker. Nothing shows that to a person."""
    found = "SELECT count(*) FROM outbox WHERE message_id = ? AND sent_at IS NOT NULL"
    with closing(
        sqlite3.connect(f"file:{mesh.data}/data/command.db?mode=ro", uri=True, timeout=30)
    ) as database:
        [[count]] = database.execute(found, (taken_back_id(command_id),)).fetchall()
    return bool(count)


def sent_at(app: App, command_id: str) -> str | None:
    """When the command first left, once it has."""
    stages = {stage["name"]: stage["time"] for stage in app.command(command_id).get("stages", ())}
    return stages.get("SENT")

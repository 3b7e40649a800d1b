"""Rights that end while their orders are on the way to cars that are out of coverage."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2, grant_pb2

from tests.system.app import SAMPLE, SECOND, App, Car, eventually
from tests.system.test_rights import operator

if TYPE_CHECKING:
    from tests.system.conftest import Mesh

pytestmark = pytest.mark.system


@pytest.mark.parametrize(
    ("vin", "what"),
    [(SAMPLE, "grant"), (SECOND, "grant"), (SAMPLE, "account")],
    ids=["NATS", "MQTT", "account"],
)
def test_a_right_that_ended_opens_no_door_of_a_car_that_was_out_of_coverage(
    mesh: Mesh, vin: str, what: str
) -> None:
    """The unlock was accepted, signed and published; the car finds its cancellation instead."""
    name = f"guest-{uuid.uuid4()}"
    guest, owner, car = App(mesh, vin, mesh.token(name)), App(mesh, vin), Car(mesh, vin)
    car.do("wake")
    car.meet()
    car.do("door-time", seconds=0)
    locked = eventually(lambda: (a := owner.order("lock")).status_code == 202 and a, 45)
    assert owner.end_of(locked.json()["commandId"])["status"] == "SUCCESS"
    with operator(mesh) as access:
        access.CreateGrant(
            access_service_pb2.CreateGrantRequest(
                grant_id=name, principal=name, vin=vin, role=grant_pb2.GRANT_ROLE_DIGITAL_KEY
            ),
            timeout=5,
        )
        eventually(lambda: guest.get("status").status_code == 200)
        car.do("leave-coverage")
        command_id = guest.order("unlock").json()["commandId"]
        sent = eventually(lambda: sent_at(owner, command_id))
        if what == "grant":
            access.RevokeGrant(access_service_pb2.RevokeGrantRequest(grant_id=name), timeout=5)
        else:
            access.LockAccount(
                access_service_pb2.LockAccountRequest(principal=name, reason="stolen"), timeout=5
            )
    # What the room did is seen in the broker by nobody here; what the car finds a second later is what counts.
    time.sleep(1)  # the time within which a right's end takes its orders back
    car.do("enter-coverage")
    ended = owner.end_of(command_id)
    assert (ended["status"], ended["failureReason"]) == ("FAILED", "GRANT_REVOKED")
    assert ended["mayHaveSucceeded"] is False
    assert sent_at(owner, command_id) == sent
    assert car.actuations(command_id) == []
    assert car.state_locked()
    opened = eventually(lambda: (a := owner.order("unlock")).status_code == 202 and a)
    assert owner.end_of(opened.json()["commandId"])["status"] == "SUCCESS"
    assert car.actuations(command_id) == []
    owner.end_of(owner.order("lock").json()["commandId"])


def sent_at(app: App, command_id: str) -> str | None:
    """When the command first left, once it has."""
    stages = {stage["name"]: stage["time"] for stage in app.command(command_id).get("stages", ())}
    return stages.get("SENT")

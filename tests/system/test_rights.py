"""Rights given and taken away while somebody uses them."""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2, access_service_pb2_grpc, grant_pb2

from tests.system.app import SAMPLE, SECOND, App, Car, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.conftest import Mesh

pytestmark = pytest.mark.system


@contextmanager
def operator(mesh: Mesh) -> Iterator[access_service_pb2_grpc.AccessServiceStub]:
    """The access room, as an operator's workload reaches it."""
    pki = mesh.data / "pki"
    identity = grpc.ssl_channel_credentials(
        (pki / "ca.crt").read_bytes(),
        (pki / "team-operator.key").read_bytes(),
        (pki / "team-operator.crt").read_bytes(),
    )
    with grpc.secure_channel(f"localhost:{mesh.ports.room('access')}", identity) as channel:
        yield access_service_pb2_grpc.AccessServiceStub(channel)


def test_a_key_lives_and_dies_with_its_grant(mesh: Mesh) -> None:
    guest = f"guest-{uuid.uuid4()}"
    app, car = App(mesh, bearer=mesh.token(guest)), Car(mesh)
    car.do("door-time", seconds=0)
    assert app.get("status").json()["code"] == "VEHICLE_NOT_FOUND"
    with operator(mesh) as access:
        access.CreateGrant(
            access_service_pb2.CreateGrantRequest(
                grant_id=guest, principal=guest, vin=SAMPLE, role=grant_pb2.GRANT_ROLE_DIGITAL_KEY
            ),
            timeout=5,
        )
        eventually(lambda: app.get("status").status_code == 200)
        refused = app.send("PUT", "config", {"autoLockEnabled": False})
        assert (refused.status_code, refused.json()["code"]) == (403, "ACTION_NOT_GRANTED")
        accepted = eventually(lambda: (a := app.order("lock", ["trunk"])).status_code == 202 and a)
        app.end_of(accepted.json()["commandId"])
        with app.stream() as stream:
            assert stream.status == 200
            access.RevokeGrant(access_service_pb2.RevokeGrantRequest(grant_id=guest), timeout=5)
            assert stream.ended.wait(5), "the stream outlived the right"
    gone = eventually(lambda: (a := app.get("status")).status_code == 404 and a)
    assert gone.json()["code"] == "VEHICLE_NOT_FOUND"
    assert app.order("unlock").status_code == 404


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


def test_nobody_else_gives_rights(mesh: Mesh) -> None:
    pki = mesh.data / "pki"
    identity = grpc.ssl_channel_credentials(
        (pki / "ca.crt").read_bytes(),
        (pki / "team-demo.key").read_bytes(),
        (pki / "team-demo.crt").read_bytes(),
    )
    with grpc.secure_channel(f"localhost:{mesh.ports.room('access')}", identity) as channel:
        stub = access_service_pb2_grpc.AccessServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.ListGrants(access_service_pb2.ListGrantsRequest(vin=SAMPLE), timeout=5)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_a_team_commands_over_native_grpc_for_a_user(mesh: Mesh) -> None:
    from ecarus.remotecontrol.door.v1 import (  # noqa: PLC0415  # only this test speaks native gRPC
        door_status_service_pb2,
        door_status_service_pb2_grpc,
    )

    pki = mesh.data / "pki"
    identity = grpc.ssl_channel_credentials(
        (pki / "ca.crt").read_bytes(),
        (pki / "team-demo.key").read_bytes(),
        (pki / "team-demo.crt").read_bytes(),
    )
    with grpc.secure_channel(f"localhost:{mesh.ports.mtls}", identity) as channel:
        stub = door_status_service_pb2_grpc.DoorStatusServiceStub(channel)
        metadata = [("authorization", f"Bearer {mesh.token('user-123')}")]
        request = door_status_service_pb2.GetDoorStatusRequest(vin=SAMPLE)
        assert stub.GetDoorStatus(request, metadata=metadata, timeout=5).vin == SAMPLE
        with pytest.raises(grpc.RpcError) as refused:
            stub.GetDoorStatus(request, timeout=5)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        foreign = door_status_service_pb2.GetDoorStatusRequest(vin="KMHSH81C7LU654321")
        with pytest.raises(grpc.RpcError) as refused:
            stub.GetDoorStatus(foreign, metadata=metadata, timeout=5)
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND

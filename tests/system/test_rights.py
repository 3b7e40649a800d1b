"""Rights given and taken away while somebody uses them."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2, access_service_pb2_grpc, grant_pb2

from tests.system.app import SAMPLE, App, Car, eventually

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

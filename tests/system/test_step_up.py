"""Step-up authentication as a client meets it: through Envoy, by curl's verbs and over native gRPC."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import grpc
import pytest
from ecarus.remotecontrol.door.v1 import (
    door_command_pb2,
    door_command_service_pb2,
    door_command_service_pb2_grpc,
)
from google.rpc import error_details_pb2, status_pb2

from mesh.tokens import ONE_FACTOR
from tests.support.app import SAMPLE, App, Car

if TYPE_CHECKING:
    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system

CHALLENGE = (
    'Bearer error="insufficient_user_authentication", '
    'error_description="A stronger or more recent authentication is required", '
    'acr_values="urn:ecarus:acr:2fa", max_age="3600"'
)


def weak(mesh: Mesh) -> str:
    """A token as `make token USER=user-123 MFA=0` prints it."""
    return mesh.token("user-123", acr=ONE_FACTOR)


def test_an_unlock_is_challenged_and_satisfied_by_the_same_request(mesh: Mesh) -> None:
    Car(mesh).do("door-time", seconds=0)
    request = {"correlation_id": str(uuid.uuid4())}
    refused = App(mesh, bearer=weak(mesh)).order("unlock", ["trunk"], **request)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, CHALLENGE)
    document = refused.json()
    assert (document["code"], document["retryable"], document["mayHaveSucceeded"]) == (
        "STEP_UP_REQUIRED",
        False,
        False,
    )
    assert refused.headers["x-correlation-id"] == request["correlation_id"]
    app = App(mesh, bearer=mesh.token("user-123"))
    accepted = app.order("unlock", ["trunk"], **request)
    assert (accepted.status_code, accepted.headers["x-correlation-id"]) == (202, request["correlation_id"])
    assert accepted.headers["ratelimit"].startswith('"command";r=')
    assert app.end_of(accepted.json()["commandId"])["status"] == "SUCCESS"


def test_locking_and_reading_go_on_with_a_password_only(mesh: Mesh) -> None:
    Car(mesh).do("door-time", seconds=0)
    app = App(mesh, bearer=weak(mesh))
    accepted = app.order("lock", ["trunk"])
    assert accepted.status_code == 202
    assert app.end_of(accepted.json()["commandId"])["status"] == "SUCCESS"
    for path in ("status", "history", "config", "diagnostics"):
        assert app.get(path).status_code == 200, path


def test_a_setting_that_weakens_security_needs_it_and_its_opposite_does_not(mesh: Mesh) -> None:
    weakly, strongly = App(mesh, bearer=weak(mesh)), App(mesh, bearer=mesh.token("user-123"))
    assert strongly.send("PUT", "config", {"speedLockThreshold": 15}).status_code == 200
    same = {"X-Correlation-ID": str(uuid.uuid4())}
    refused = weakly.send("PUT", "config", {"speedLockThreshold": 30}, **same)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, CHALLENGE)
    assert (refused.json()["code"], refused.json()["settings"]) == (
        "STEP_UP_REQUIRED",
        ["speedLockThreshold"],
    )
    assert weakly.get("config").json()["speedLockThreshold"] == 15
    changed = strongly.send("PUT", "config", {"speedLockThreshold": 30}, **same)
    assert (changed.status_code, changed.json()["speedLockThreshold"]) == (200, 30)
    back = weakly.send("PUT", "config", {"speedLockThreshold": 15})
    assert (back.status_code, back.json()["speedLockThreshold"]) == (200, 15)


def test_over_grpc_a_team_is_told_the_same(mesh: Mesh) -> None:
    pki = mesh.data / "pki"
    identity = grpc.ssl_channel_credentials(
        (pki / "ca.crt").read_bytes(),
        (pki / "team-demo.key").read_bytes(),
        (pki / "team-demo.crt").read_bytes(),
    )
    request = door_command_service_pb2.UnlockDoorsRequest(
        vin=SAMPLE, unlock=door_command_pb2.DoorUnlock(target_doors=["trunk"])
    )
    with grpc.secure_channel(f"localhost:{mesh.ports.mtls}", identity) as channel:
        stub = door_command_service_pb2_grpc.DoorCommandServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.UnlockDoors(request, metadata=(("authorization", f"Bearer {weak(mesh)}"),), timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    trailers = dict(caught.value.trailing_metadata())
    info = error_details_pb2.ErrorInfo()
    assert status_pb2.Status.FromString(trailers["grpc-status-details-bin"]).details[0].Unpack(info)
    assert (info.reason, info.metadata["acrValues"], info.metadata["maxAge"]) == (
        "STEP_UP_REQUIRED",
        "urn:ecarus:acr:2fa",
        "3600",
    )

"""What the running mesh says of itself through Envoy: readiness, health by name, and what reflection shows a team."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.support.app import eventually
from tests.support.plain_http import NO_TLS
from tests.system.edge_harness import HEALTH_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system

DOORS = {
    f"ecarus.remotecontrol.door.v1.{kind}Service"
    for kind in (
        *("DoorCommand", "DoorStatus", "DoorConfig", "DoorDiagnostics", "DoorGrant", "DoorAudit"),
        *(
            "Consent",
            "PersonalData",
            "SecurityCase",
            "DoorEvent",
            "PersonVehicle",
            "Case",
            "DoorFailure",
            "PushDevice",
            "FleetFailure",
            "Webhook",
        ),
    )
}
STANDARD = {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


@pytest.fixture
def team(mesh: Mesh) -> Iterator[grpc.Channel]:
    """A team's channel to the edge."""
    pki = mesh.data / "pki"
    identity = grpc.ssl_channel_credentials(
        *((pki / name).read_bytes() for name in ("ca.crt", "team-demo.key", "team-demo.crt"))
    )
    with grpc.secure_channel(f"localhost:{mesh.ports.mtls}", identity) as channel:
        yield channel


def test_a_mesh_that_serves_is_ready_in_every_part(mesh: Mesh) -> None:
    root = mesh.base_url.partition("/api/")[0]
    for part in (
        "",
        "/access",
        "/command",
        "/commands",
        "/status",
        "/streams",
        "/config",
        "/diagnostics",
        "/audit",
    ):
        answer = eventually(
            lambda part=part: (a := httpx.get(f"{root}/readyz{part}", verify=NO_TLS)).status_code == 200 and a
        )
        assert answer.json() == {"status": "ready"}


def test_every_service_answers_for_itself(team: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(team)
    for name in HEALTH_NAMES:
        answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=30)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, name


def test_reflection_shows_a_team_what_it_may_call_and_nothing_else(team: grpc.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(team)
    internal = "ecarus.remotecontrol.access.v1.AccessService"
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=internal),
        *(reflection_pb2.ServerReflectionRequest(file_containing_symbol=name) for name in sorted(DOORS)),
    ]
    listed, hidden, *shown = stub.ServerReflectionInfo(iter(asked), timeout=10)
    assert {each.name for each in listed.list_services_response.service} == DOORS | STANDARD
    assert hidden.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert all(answer.file_descriptor_response.file_descriptor_proto for answer in shown)

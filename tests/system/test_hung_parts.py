"""A part that is stopped and keeps its connections: it is noticed, said, and started again, all within seconds."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.app import App, Car, eventually
from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from tests.support.running_mesh import Mesh

pytestmark = [pytest.mark.system, pytest.mark.disturbs, pytest.mark.alone]

SAID_SECONDS = 10.0
STARTED_AGAIN_SECONDS = 15.0
USABLE_SECONDS = 45.0


def commands_ready(mesh: Mesh) -> bool:
    root = mesh.base_url.partition("/api/")[0]
    return httpx.get(f"{root}/readyz/commands", verify=NO_TLS, trust_env=False, timeout=5).status_code == 200


def commands_served(mesh: Mesh) -> bool:
    """As a team's standard gRPC health says."""
    names = ("ca.crt", "team-demo.key", "team-demo.crt")
    identity = grpc.ssl_channel_credentials(*((mesh.data / "pki" / name).read_bytes() for name in names))
    with grpc.secure_channel(f"localhost:{mesh.ports.mtls}", identity) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service="commands"), timeout=5
            )
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def test_a_broker_that_hangs_is_said_by_health_and_connectivity_and_started_again(mesh: Mesh) -> None:
    app, car = App(mesh), Car(mesh)
    car.meet()
    eventually(lambda: commands_ready(mesh) and commands_served(mesh), USABLE_SECONDS)
    eventually(lambda: app.get("status").json().get("connectivity") == "ONLINE", USABLE_SECONDS)
    before, began = mesh.pid_of("nats"), time.monotonic()
    os.kill(before, signal.SIGSTOP)
    eventually(lambda: app.get("status").json().get("connectivity") == "LOST", SAID_SECONDS)
    eventually(lambda: not commands_ready(mesh), SAID_SECONDS - (time.monotonic() - began))
    assert not commands_served(mesh)
    assert app.order("lock").json()["code"] == "DEPENDENCY_UNAVAILABLE"
    mesh.wait_for_line("mesh: nats ran and did not serve", STARTED_AGAIN_SECONDS - (time.monotonic() - began))
    mesh.wait_for_line("mesh: nats ready", 40)
    assert mesh.pid_of("nats") != before
    eventually(lambda: commands_ready(mesh) and commands_served(mesh), USABLE_SECONDS)
    eventually(lambda: app.get("status").json().get("connectivity") == "ONLINE", USABLE_SECONDS)
    eventually(lambda: app.order("unlock", unlockMode="EMERGENCY").status_code == 202, USABLE_SECONDS)


@pytest.mark.parametrize("name", ["signer", "access"])
def test_a_service_without_a_twin_that_hangs_is_started_again(mesh: Mesh, name: str) -> None:
    app = App(mesh)
    eventually(lambda: app.get("status").status_code == 200 and commands_ready(mesh), USABLE_SECONDS)
    before = mesh.pid_of(name)
    os.kill(before, signal.SIGSTOP)
    mesh.wait_for_line(f"mesh: {name} ran and did not serve", STARTED_AGAIN_SECONDS)
    mesh.wait_for_line(f"mesh: {name} ready", 40)
    assert mesh.pid_of(name) != before
    eventually(lambda: app.get("status").status_code == 200 and commands_ready(mesh), USABLE_SECONDS)


def test_a_service_that_starts_while_the_broker_hangs_waits_and_serves(mesh: Mesh) -> None:
    app, log = App(mesh), mesh.data / "logs" / "command.log"
    eventually(lambda: app.get("status").status_code == 200 and commands_ready(mesh), USABLE_SECONDS)
    said_before = log.read_text(errors="replace").count('"room_failed"')
    command, broker = mesh.pid_of("command"), mesh.pid_of("nats")
    os.kill(broker, signal.SIGSTOP)
    os.kill(command, signal.SIGKILL)
    mesh.wait_for_line("mesh: nats ready", 60)
    mesh.wait_for_line("mesh: command ready", 60)
    assert log.read_text(errors="replace").count('"room_failed"') == said_before
    eventually(lambda: commands_ready(mesh), USABLE_SECONDS)

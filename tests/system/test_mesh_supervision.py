"""`make run` as a person meets it: ready means ready, what dies comes back, what cannot start says why."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from mesh.ports import Ports
from services import registry
from tests.support.plain_http import NO_TLS
from tests.support.ports import free_port_base
from tests.system.edge_harness import BASE, VIN

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.running_mesh import Mesh

pytestmark = [pytest.mark.system, pytest.mark.disturbs]

COMPONENTS = ("nats", *registry.NAMES, "envoy", "vehicles")


def until_status(mesh: Mesh, token: str, wanted: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    with httpx.Client(verify=NO_TLS, trust_env=False) as client:
        while True:
            try:
                url = f"http://127.0.0.1:{mesh.ports.http}{BASE}/status"
                answer = client.get(url, headers={"authorization": f"Bearer {token}"})
            except httpx.TransportError:
                status = 0
            else:
                status = answer.status_code
            if status == wanted:
                return
            assert time.monotonic() < deadline, f"still {status}, not {wanted}"


def run_mesh(mesh: Mesh, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mesh", "run"],
        env=mesh.environment | environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_ready_means_that_a_request_is_answered(mesh: Mesh) -> None:
    until_status(mesh, mesh.token("user-123"), 200, seconds=0)


def test_a_token_for_another_vehicle_does_not_open_this_one(mesh: Mesh) -> None:
    until_status(mesh, mesh.token("user-123", "KMHSH81C7LU123457"), 404, seconds=0)
    until_status(mesh, mesh.token("user-456"), 404, seconds=0)


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_killed_component_comes_back(mesh: Mesh, name: str) -> None:
    token = mesh.token("user-123", VIN)
    before = mesh.pid_of(name)
    os.kill(before, signal.SIGKILL)
    mesh.wait_for_line(f"mesh: {name} was ended by SIGKILL; restarting", 30)
    mesh.wait_for_line(f"mesh: {name} ready", 40)
    assert mesh.pid_of(name) != before
    until_status(mesh, token, 200, seconds=30)


@pytest.mark.timeout(150)
def test_a_component_that_hangs_is_started_again(mesh: Mesh) -> None:
    before = mesh.pid_of("config")
    os.kill(before, signal.SIGSTOP)
    mesh.wait_for_line("mesh: config ran and did not serve; restarting", 90)
    mesh.wait_for_line("mesh: config ready", 40)
    assert mesh.pid_of("config") != before


def test_a_second_mesh_on_the_same_data_says_so(mesh: Mesh) -> None:
    done = run_mesh(mesh, DOORS_PORT_BASE="31500")
    assert done.returncode == 1
    assert done.stderr.startswith("mesh: another mesh is running on ")
    assert len(done.stderr.splitlines()) == 1


def test_a_port_in_use_is_named_before_anything_starts(mesh: Mesh, tmp_path: Path) -> None:
    ports = Ports(free_port_base())
    port = ports.https
    with socket.create_server(("127.0.0.1", port)):
        done = run_mesh(mesh, DOORS_PORT_BASE=str(ports.base), DOORS_DATA_DIR=str(tmp_path / "doors"))
    assert done.returncode == 1
    assert (done.stdout, len(done.stderr.splitlines())) == ("", 1)
    assert f"port {port} for envoy (HTTPS) is in use" in done.stderr


def test_a_component_that_can_not_start_ends_the_run(mesh: Mesh, tmp_path: Path) -> None:
    base = str(free_port_base())
    folder = tmp_path / "doors"
    done = run_mesh(mesh, DOORS_PORT_BASE=base, DOORS_DATA_DIR=str(folder), DOORS_LOG_LEVEL="NONSENSE")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "DOORS_LOG_LEVEL" in done.stderr
    with socket.socket() as probe:  # the broker that had started is gone again
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", int(base) + 422))

"""Everything on one disk that is full: what is accepted is kept, all else is refused, and it passes by itself."""

from __future__ import annotations

import itertools
import os
import queue
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.ports import Ports
from services import registry
from tests.support.app import App, eventually
from tests.support.ports import free_port_base
from tests.support.running_mesh import ROOT, STOP_SECONDS, Mesh, share_compiled_code
from tests.support.small_disk import SmallDisk, small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

MEGABYTES = 256
COMPONENTS = ("nats", *registry.NAMES, "envoy", "vehicles")


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    with small_disk(tmp_path_factory.mktemp("full") / "disk", MEGABYTES) as mounted:
        yield mounted


@pytest.fixture(scope="module")
def small_mesh(disk: SmallDisk) -> Iterator[Mesh]:
    """The whole mesh, its console on the small disk as well: `make run > mesh.out`."""
    base = free_port_base()
    share_compiled_code(disk.folder / "doors")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("DOORS_")},
        "DOORS_PORT_BASE": str(base),
        "DOORS_DATA_DIR": str(disk.folder / "doors"),
        "DOORS_LOW_SPACE_BYTES": str(8 * 1024 * 1024),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}",
    }
    output = disk.folder / "mesh.out"
    with (
        output.open("ab") as console,
        subprocess.Popen(
            [sys.executable, "-m", "mesh", "run"], cwd=ROOT, env=environment, stdout=console, stderr=console
        ) as process,
    ):
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        mesh = Mesh(Ports(base), disk.folder / "doors", environment, process, lines)  # type: ignore[arg-type]  # bytes
        ended = threading.Event()
        reader = threading.Thread(target=_follow, args=(output, lines, ended))
        reader.start()
        try:
            mesh.wait_for_line("ready ", 120)
            yield mesh
            process.terminate()
            assert process.wait(STOP_SECONDS) == 0
        finally:
            process.kill()
            ended.set()
            reader.join()


def _follow(output: Path, lines: queue.SimpleQueue[str], ended: threading.Event) -> None:
    with output.open() as file:
        while not ended.wait(0.05):
            for line in file:
                lines.put(line.rstrip("\n"))


def storage_of(mesh: Mesh, service: str) -> str:
    """What the service's health says of its disk."""
    key, cert = (mesh.data / "pki" / f"edge.{kind}" for kind in ("key", "crt"))
    credentials = grpc.ssl_channel_credentials(mesh.ca.read_bytes(), key.read_bytes(), cert.read_bytes())
    with grpc.secure_channel(f"127.0.0.1:{mesh.ports.service(service)}", credentials) as channel:
        request = health_pb2.HealthCheckRequest(service="storage")
        answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=30)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def test_low_space_is_said_before_there_is_none(small_mesh: Mesh, disk: SmallDisk) -> None:
    app = App(small_mesh)
    assert storage_of(small_mesh, "command") == "SERVING"
    disk.fill(but_bytes=4 * 1024 * 1024)
    small_mesh.wait_for_line("mesh: little room is left in ", 30)
    eventually(lambda: storage_of(small_mesh, "command") == "NOT_SERVING")
    assert '"event": "space_low"' in (small_mesh.data / "logs" / "command.log").read_text()
    assert app.order("lock").status_code == 202
    disk.free()
    small_mesh.wait_for_line("mesh: enough room again in ", 30)
    eventually(lambda: storage_of(small_mesh, "command") == "SERVING")


_DELAYS = itertools.cycle(range(10, 500))


def next_settings(app: App) -> httpx.Response:
    """A change that is to be kept: nothing else has to end before."""
    return app.send("PUT", "config", {"autoLockDelay": next(_DELAYS)})


def test_a_full_disk_refuses_commands_and_harms_nothing_else(small_mesh: Mesh, disk: SmallDisk) -> None:
    app = App(small_mesh)
    pids = {name: small_mesh.pid_of(name) for name in COMPONENTS}
    for _ in range(2):  # as often as it happens
        disk.fill()
        # What still fits into the database's own files is kept, and said to be; a command that was is in flight then.
        answer = eventually(lambda: (a := next_settings(app)).status_code != 200 and a)
        assert (answer.status_code, answer.json()["code"]) == (503, "STORAGE_UNAVAILABLE")
        assert answer.json()["mayHaveSucceeded"] is False
        assert "retry-after" in answer.headers
        for _ in range(20):  # each is written to logs that are full as well
            assert next_settings(app).status_code == 503
            assert app.order("lock").status_code in {503, 409}
            assert app.get("status").status_code == 200
            assert app.get("history").status_code == 200
        disk.free()
        eventually(lambda: next_settings(app).status_code == 200, 10)
        # A command that was kept while the disk was full ends by itself, at the latest with its time.
        kept = eventually(lambda: (a := app.order("lock")).status_code == 202 and a, 45).json()
        assert app.command(kept["commandId"])["commandId"] == kept["commandId"]
    assert {name: small_mesh.pid_of(name) for name in COMPONENTS} == pids, "something had to be restarted"

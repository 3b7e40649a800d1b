"""Fixtures of the system tests: the edge with stand-in rooms, and the whole mesh as `make run` starts it."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest_asyncio

from mesh.ports import Ports
from tests.system.edge_stand import EdgeStand, free_port_base

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import pytest

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 40.0
STOP_SECONDS = 12.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EdgeStand]:
    envoy = Path(sys.executable).with_name("envoy")
    async with EdgeStand(tmp_path_factory.mktemp("edge"), envoy) as stand:
        yield stand


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge_that_pings(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EdgeStand]:
    """The edge, whose pings to services come every half second instead of every thirty."""
    envoy = Path(sys.executable).with_name("envoy")
    shorter = {"connection_keepalive: {interval: 30s": "connection_keepalive: {interval: 0.5s"}
    async with EdgeStand(tmp_path_factory.mktemp("edge"), envoy, instead=shorter) as stand:
        yield stand


@dataclass
class Mesh:
    """The running mesh: where to reach it, its process, and what its console said so far."""

    ports: Ports
    data: Path
    environment: dict[str, str]
    process: subprocess.Popen[str]
    lines: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)
    console: list[str] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        """REST in plain HTTP, up to and without `/vehicles`."""
        return f"http://127.0.0.1:{self.ports.http}/api/v1/remotecontrol"

    @property
    def https_url(self) -> str:
        """The same over TLS; its CA is `ca`."""
        return f"https://127.0.0.1:{self.ports.https}/api/v1/remotecontrol"

    @property
    def control_url(self) -> str:
        """The simulated vehicles' control interface."""
        return f"http://127.0.0.1:{self.ports.control}"

    @property
    def ca(self) -> Path:
        """The CA of every certificate here."""
        return self.data / "pki" / "ca.crt"

    def token(self, user: str, vin: str | None = None) -> str:
        """An access token of the development issuer, as `make token` prints it."""
        words = [sys.executable, "-m", "mesh", "token", "--user", user]
        words += ["--vin", vin] if vin else []
        done = subprocess.run(
            words, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def pid_of(self, component: str) -> int:
        """The process id of a component, from the last time the console called it ready."""
        while not self.lines.empty():
            self.console.append(self.lines.get())
        started = [line for line in self.console if line.startswith(f"mesh: {component} ready")]
        return int(started[-1].rpartition("pid ")[2].rstrip(")"))

    def wait_for_line(self, beginning: str, seconds: float) -> str:
        """The next console line that begins so. Raises TimeoutError with the console's lines."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                line = self.lines.get(timeout=min(left, 0.2))
            except queue.Empty:
                if self.process.poll() is not None and self.lines.empty():
                    break
                continue
            self.console.append(line)
            if line.startswith(beginning):
                return line
        raise TimeoutError(f"no {beginning!r}; the console said:\n" + "\n".join(self.console))


@contextmanager
def running_mesh(data: Path, **settings: str) -> Iterator[Mesh]:
    """`python -m mesh run` in this folder, ready; stopped with SIGTERM at the end, which must succeed in time."""
    base = free_port_base()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("DOORS_")},
        "DOORS_PORT_BASE": str(base),
        "DOORS_DATA_DIR": str(data),
        "DOORS_KEYS_REREAD_SECONDS": "1",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}",
        **settings,
    }
    with subprocess.Popen(
        [sys.executable, "-m", "mesh", "run"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        running = Mesh(Ports(base), data, environment, process)
        reader = threading.Thread(target=_read, args=(running,))
        reader.start()
        try:
            running.wait_for_line("ready ", READY_SECONDS)
            yield running
            process.terminate()
            assert process.wait(STOP_SECONDS) == 0
        finally:
            process.kill()  # nothing when it has ended; the components die with it
            reader.join()


def _read(mesh: Mesh) -> None:
    assert mesh.process.stdout is not None
    for line in mesh.process.stdout:
        mesh.lines.put(line.rstrip("\n"))

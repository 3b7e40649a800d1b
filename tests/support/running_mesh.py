"""The whole mesh as `make run` starts it, for tests."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mesh.ports import Ports
from mesh.sandbox import Sandbox
from mesh.tokens import Bearer, issue_token
from tests.support.described_events import described_events
from tests.support.ports import free_port_base, worker_number
from tests.support.run import compiled_code, locked

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 90.0
TOO_SLOW = "was not ready after"
"""What the supervisor says of a component that did not end and is not ready yet."""
ENDED = re.compile(r"^mesh: .* (?:ended with status|was ended by) ", re.MULTILINE)
"""What it says of one that ended: a fault, whatever else was slow beside it."""
SLOW_START = "a mesh was started twice, because it was too slow at first"
"""How the warning begins that pyproject.toml lets through to the summary."""
STARTS_AT_ONCE = 2
"""So many meshes start beside each other: of more, each component takes longer than the supervisor waits for it."""
STOP_SECONDS = 30.0


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

    def token(self, user: str, vin: str | None = None, **signed_in: Any) -> str:
        """An access token of the development issuer, as `make token` prints it; `signed_in` is of a Bearer."""
        sandbox, bearer = Sandbox(self.data), Bearer(user, vin=vin, **signed_in)
        return issue_token(sandbox.issuer_key, sandbox.issuer, bearer, datetime.now(UTC))

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
    """`python -m mesh run` in this folder, ready; stopped with SIGTERM at the end, which must succeed in time. What it
    tells of vehicles is held to the AsyncAPI document.
    """
    base = free_port_base()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("DOORS_")},
        "DOORS_PORT_BASE": str(base),
        "DOORS_DATA_DIR": str(data),
        "DOORS_KEYS_REREAD_SECONDS": "1",
        "DOORS_TOKEN_KEYS_FETCH_SECONDS": "1",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}",
        **settings,
    }
    ports = Ports(base)
    with described_events(ports.http, ports.https), contextlib.ExitStack() as ends:
        with locked(f"mesh-start-{worker_number() % STARTS_AT_ONCE}"):
            running = _ready_mesh(ports, data, environment, ends)
        yield running
        running.process.terminate()
        assert running.process.wait(STOP_SECONDS) == 0


def _ready_mesh(ports: Ports, data: Path, environment: dict[str, str], ends: contextlib.ExitStack) -> Mesh:
    """Start it; once more, on a folder as fresh as the first was, where a component was only too slow, as one is while
    much else starts. `ends` ends it.

    What the slow one left is kept beside the folder, and the summary of the tests tells of it.
    """
    for again in (True, False):
        share_compiled_code(data)
        running = ends.enter_context(_started(ports, data, environment))
        try:
            running.wait_for_line("ready ", READY_SECONDS)
        except TimeoutError as late:
            ends.close()
            if not again or TOO_SLOW not in str(late) or ENDED.search(str(late)):
                raise
            kept = data.rename(data.with_name(f"{data.name}-too-slow"))
            warnings.warn(f"{SLOW_START}; it left {kept}: {late}", stacklevel=1)
        else:
            break
    return running


@contextmanager
def _started(ports: Ports, data: Path, environment: dict[str, str]) -> Iterator[Mesh]:
    with subprocess.Popen(
        [sys.executable, "-m", "mesh", "run"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        running = Mesh(ports, data, environment, process)
        reader = threading.Thread(target=_read, args=(running,))
        reader.start()
        try:
            yield running
        finally:
            process.kill()  # nothing when it has ended; the components die with it
            reader.join()


def share_compiled_code(data: Path) -> None:
    """Let a mesh with this folder start with code that is compiled already, as it does from its second start on."""
    data.mkdir(mode=0o700, exist_ok=True)
    (data / "pycache").symlink_to(compiled_code())


def _read(mesh: Mesh) -> None:
    assert mesh.process.stdout is not None
    for line in mesh.process.stdout:
        mesh.lines.put(line.rstrip("\n"))

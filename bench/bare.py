"""Runs the bare limit: the small server and an Envoy in front of it."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from bench.http_client import LOOPBACK
from mesh.component import MeshComponent, RunningComponent
from mesh.edge_config import ROOT
from mesh.files import write_private
from mesh.probes import admin_ready

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mesh.ports import Ports


@dataclass(frozen=True, slots=True)
class BareLimit:
    """Where it answers, and its processes."""

    port: int
    pids: dict[str, int]


@asynccontextmanager
async def bare_limit(folder: Path, ports: Ports) -> AsyncIterator[BareLimit]:
    """Yield it while it runs. Raises ComponentFailedError when a part does not start."""
    config = folder / "bare-envoy.yaml"
    template = Template(Path(__file__).with_name("bare_envoy.yaml").read_text(encoding="utf-8"))
    server_port = ports.service("command")
    admin = folder / "bare-admin.sock"
    text = template.substitute(
        HTTP_PORT=ports.http, ADMIN_SOCKET=admin, SERVER_PORT=server_port, GEN_DIR=ROOT / "gen"
    )
    write_private(config, text.encode())
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}"}
    envoy = str(Path(sys.executable).with_name("envoy"))
    parts = (
        MeshComponent(
            name="bare-server",
            command=(sys.executable, "-m", "bench.bare_server", str(server_port), str(folder / "bare.db")),
            environment=environment,
            log=folder / "bare-server.log",
            probe=lambda: _listening(server_port),
        ),
        MeshComponent(
            name="bare-envoy",
            command=(envoy, "-c", str(config), "--disable-hot-restart", "--log-level", "warn"),
            environment=environment,
            log=folder / "bare-envoy.log",
            probe=lambda: admin_ready(admin),
            stop_seconds=1.0,
        ),
    )
    running: list[RunningComponent] = []
    try:
        for part in parts:
            is_ready = part.probe()
            running.append(await RunningComponent.start(part, ROOT))
            await running[-1].until_ready(is_ready)
        yield BareLimit(ports.http, {each.component.name: each.pid for each in running})
    finally:
        for each in reversed(running):
            await each.stop()


def _listening(port: int) -> Callable[[], Awaitable[bool]]:
    async def probe() -> bool:
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, port)
        except OSError:
            return False
        writer.close()
        return True

    return probe

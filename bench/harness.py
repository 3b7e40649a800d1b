"""The whole mesh with the bench's fleet in it, run by the mesh's own supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, Self

from bench.http_client import BenchFailedError
from mesh.plan import Planner
from mesh.ports import PortInUseError, Ports
from mesh.sandbox import Sandbox
from mesh.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from mesh.component import MeshComponent
    from mesh.plan import Plan

_READY = re.compile(r"(\S+) ready \(.*pid (\d+)\)")
_LOWEST_BASE = 10_000
_HIGHEST_BASE = 31_800
"""A block of ports from here ends below 32,768, where Linux begins with those of connections (ip(7))."""
_TRIES = 50
# Wide enough that no limit is met; a measured refusal would be cheaper than an acceptance.
_SETTINGS = {
    "DOORS_COMMANDS_PER_MINUTE": "1000000",
    "DOORS_READS_PER_MINUTE": "10000000",
    # One owner watches with all the readers that there are.
    "DOORS_MAX_STREAMS_PER_USER": "5000",
    "DOORS_MAX_STREAMS_PER_VEHICLE": "5000",
    # The WebSockets come from one address, which may take a fifth of these.
    "DOORS_EDGE_CONNECTIONS": "12500",
    "DOORS_WEBSOCKET_CONNECTIONS_PER_USER": "5000",
    "DOORS_WEBSOCKET_SUBSCRIPTIONS_PER_USER": "5000",
    "DOORS_MAX_WATCHES_PER_USER": "5000",
    "DOORS_MAX_WATCHES_PER_VEHICLE": "5000",
}


def free_ports() -> Ports:
    """Return ports that are all free now, below those that the system gives to connections: what connects while the
    mesh starts would take one of them. Raises BenchFailedError when there is no such block.
    """
    for _ in range(_TRIES):
        base = random.randrange(_LOWEST_BASE, _HIGHEST_BASE)  # noqa: S311  # two runs choose different ones
        ports = Ports(base)
        with contextlib.suppress(PortInUseError):
            ports.require_free()
            return ports
    raise BenchFailedError("no block of free ports was found")


class Vehicles(Protocol):
    """The vehicles of a run."""

    def join(self, sandbox: Sandbox) -> None:
        """Add them and their owner to a sandbox that is prepared."""

    def allow_on_broker(self, ports: Ports, sandbox: Sandbox) -> None:
        """Let the broker admit them; its configuration is written by now."""


class MeshHarness:
    """Use as an async context manager; it is ready inside. Raises ComponentFailedError."""

    def __init__(self, folder: Path, ports: Ports, fleet: Vehicles, environment: Mapping[str, str]) -> None:
        self.ports = ports
        self.sandbox = Sandbox(folder)
        self.pids: dict[str, int] = {}
        self._plan: Plan | None = None
        self._fleet = fleet
        self._environment = {**environment, **_SETTINGS}
        self._deaths: list[str] = []
        self._ready = asyncio.Event()
        self._stop = asyncio.Event()
        self._run: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start everything."""
        self.sandbox.prepare(datetime.now(UTC))
        self._fleet.join(self.sandbox)
        plan = self._plan = _without_wake_ups(Planner(self.ports, self.sandbox, self._environment).plan())
        self._fleet.allow_on_broker(self.ports, self.sandbox)
        supervisor = Supervisor(plan, self.sandbox.envoy_admin, say=self._receive, welcome=self._ready.set)
        self._run = asyncio.create_task(supervisor.run(self._stop))
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait([self._run, ready], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self._end()
            raise
        finally:
            ready.cancel()
        if self._run.done():
            self._run.result()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything."""
        await self._end()

    @property
    def simulator(self) -> MeshComponent:
        """What runs cars here, as a pattern for more of it."""
        if self._plan is None:
            raise LookupError("not started yet")
        return self._plan.vehicles

    def require_unharmed(self) -> None:
        """Raise BenchFailedError when a component has died since the start."""
        if self._deaths:
            raise BenchFailedError("; ".join(self._deaths))

    async def _end(self) -> None:
        self._stop.set()
        if self._run is not None:
            await self._run

    def _receive(self, line: str) -> None:
        started = _READY.fullmatch(line)
        if started:
            self.pids[started[1]] = int(started[2])
        elif " ended with " in line:
            self._deaths.append(line)


def _without_wake_ups(plan: Plan) -> Plan:
    """No gateway for wake-ups: here it is the simulator, which knows only its own cars and shares the cores."""

    def without(service: MeshComponent) -> MeshComponent:
        environment = {name: value for name, value in service.environment.items() if name != "DOORS_WAKE_URL"}
        return replace(service, environment=environment)

    return replace(plan, services=tuple(without(service) for service in plan.services))

"""Thousands of simulated cars as they are in production: each with a certificate of its own, over NATS or MQTT.

The broker asks the enrolment service about every one that connects. They run in a few processes of the reference
simulator.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bench.fleet import OWNER
from bench.http_client import BenchFailedError
from mesh.component import RunningComponent
from mesh.edge_config import ROOT
from mesh.files import write_private, write_private_json
from mesh.nats_config import render_nats
from mesh.pki import Pair
from mesh.probes import ready_line
from mesh.sandbox import vehicle_identity
from mesh.sandbox_fleet import SAMPLE_KEY_SCOPES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mesh.component import MeshComponent
    from mesh.ports import Ports
    from mesh.sandbox import Sandbox

CARS_PER_PROCESS = 500
_MQTT_EVERY = 10
_LOOK_AGAIN_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class SimulatedFleet:
    """`key` is the API key of the one who owns all the cars, made anew for each run."""

    key: str
    vins: tuple[str, ...]

    @classmethod
    def of(cls, cars: int) -> SimulatedFleet:
        """So many cars, every tenth of them over MQTT."""
        return cls(f"sk_{secrets.token_urlsafe(32)}", tuple(f"FLEETCAR{number:09}" for number in range(cars)))

    @property
    def over_mqtt(self) -> tuple[str, ...]:
        """Those on MQTT."""
        return self.vins[::_MQTT_EVERY]

    def join(self, sandbox: Sandbox) -> None:
        """Add them and their owner to a sandbox that is prepared. Keys, certificates, enrolments and grants. The
        sandbox's own cars stay parked.
        """
        seed: dict[str, list[Any]] = json.loads(sandbox.seed.read_text(encoding="utf-8"))
        seed["vehicles"] += self.vins
        seed["grants"] += [
            {"grantId": f"load-{vin}", "principal": OWNER, "vin": vin, "role": "OWNER"} for vin in self.vins
        ]
        seed["consents"].append({"principal": OWNER, "purpose": "ACCESS_HISTORY"})
        seed["apiKeys"].append(
            {"key": self.key, "principal": OWNER, "source": "MOBILE_APP", "scopes": list(SAMPLE_KEY_SCOPES)}
        )
        write_private_json(sandbox.seed, seed)
        write_private_json(sandbox.vehicles, [])
        pki = sandbox.vehicle_pki(datetime.now(UTC))
        enrolled: list[dict[str, str]] = json.loads(sandbox.enrolment_seed.read_text(encoding="utf-8"))
        cars: list[dict[str, Any]] = []
        for number, vin in enumerate(self.vins):
            pair = pki.ensure(vehicle_identity(vin))
            public = sandbox.ceremony.make_car(vin).public
            certificate = str(pair.cert.resolve())
            enrolled.append({"vin": vin, "certificateFile": certificate, "keysFile": str(public.resolve())})
            cars.append(
                {
                    "vin": vin,
                    "awake": True,
                    "doorTimeSeconds": 0,
                    "link": "nats" if number % _MQTT_EVERY else "mqtt",
                    "certFile": certificate,
                    "keyFile": str(pair.key.resolve()),
                    **sandbox.ceremony.car_settings(vin),
                }
            )
        write_private_json(sandbox.enrolment_seed, enrolled)
        for number, start in enumerate(range(0, len(cars), CARS_PER_PROCESS)):
            write_private_json(_cars_file(sandbox, number), cars[start : start + CARS_PER_PROCESS])

    def allow_on_broker(self, ports: Ports, sandbox: Sandbox) -> None:
        """Let the broker admit them; its configuration is written by now. They are admitted like any vehicle;
        the broker's pages are read.
        """
        pair = Pair(sandbox.pki / "nats.crt", sandbox.pki / "nats.key")
        text = render_nats(ports, sandbox, pair, monitored=True)
        write_private(sandbox.folder / "nats" / "nats.conf", text.encode())

    @asynccontextmanager
    async def driving(
        self, sandbox: Sandbox, simulator: MeshComponent, most_seconds: float
    ) -> AsyncIterator[dict[str, int]]:
        """Yield the cars' processes by name, once all cars are connected and have reported.

        One process after the other: cars do not all start in the same second. Raises BenchFailedError.
        """
        driving = _Driving()
        try:
            try:
                async with asyncio.timeout(most_seconds):
                    for number in range(-(-len(self.vins) // CARS_PER_PROCESS)):
                        await driving.start(_process(sandbox, simulator, number))
            except TimeoutError:
                raise BenchFailedError(f"not all cars had reported after {most_seconds:.0f} s") from None
            yield driving.pids
            driving.require_alive()
        finally:
            await driving.stop()


class _Driving:
    """The processes that run."""

    def __init__(self) -> None:
        self._running: list[tuple[RunningComponent, asyncio.Task[int]]] = []

    @property
    def pids(self) -> dict[str, int]:
        return {each.component.name: each.pid for each, _ in self._running}

    async def start(self, component: MeshComponent) -> None:
        """Return when all its cars have reported."""
        is_ready = component.probe()
        running = await RunningComponent.start(component, ROOT)
        self._running.append((running, asyncio.create_task(running.wait())))
        while not await is_ready():
            self.require_alive()
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    def require_alive(self) -> None:
        for running, ended in self._running:
            if ended.done():
                raise BenchFailedError(running.obituary())

    async def stop(self) -> None:
        await asyncio.gather(*(running.stop() for running, _ in self._running))
        await asyncio.gather(*(ended for _, ended in self._running))


def _process(sandbox: Sandbox, simulator: MeshComponent, number: int) -> MeshComponent:
    log = sandbox.logs / f"cars-{number}.log"
    environment = {
        **simulator.environment,
        "DOORS_VEHICLES_FILE": str(_cars_file(sandbox, number).resolve()),
        "DOORS_CONTROL_PORT": "0",
    }
    return replace(
        simulator, name=f"cars-{number}", environment=environment, log=log, probe=lambda: ready_line(log)
    )


def _cars_file(sandbox: Sandbox, number: int) -> Path:
    return sandbox.folder / f"cars-{number}.json"

"""One of the two meshes of `bench.compare`: a kind of request on each line in, what one of them cost on each line out.

It is started in the checkout that it measures and imports that one's modules, so it uses of them what both have.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.fleet import Fleet
from bench.harness import MeshHarness, free_ports
from bench.measure import run_job
from bench.usage import CpuMeter
from mesh.edge_config import ROOT
from mesh.files import private_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = ("accepted command", "status read", "finished command")
_CARS = 32
_STRANGERS = 3_600
_PER_ROUND = 120
_READS_PER_ROUND = 600
_CLIENTS = 16
_ROUND_SECONDS = 20.0


class ComparedRounds:
    """Rounds of each kind against one mesh."""

    def __init__(self, harness: MeshHarness, fleet: Fleet) -> None:
        self._harness = harness
        self._fleet = fleet
        self._fresh: Iterator[str] = iter(fleet.strangers)
        self._edge = {"port": harness.ports.http, "token": fleet.key}

    async def cost(self, kind: str) -> float:
        """Return the mesh's CPU for each request of a round, in microseconds."""
        if kind == "accepted command":
            vins = list(islice(self._fresh, _PER_ROUND))
            # As an app does it: it has looked at the car before it commands it.
            await self._run("read", path="history", **self._each(vins))
            return await self._cost_of(len(vins), "accept", expect=202, **self._each(vins))
        if kind == "status read":
            vins = [self._fleet.cars[number % _CARS] for number in range(_READS_PER_ROUND)]
            return await self._cost_of(len(vins), "read", path="status", **self._each(vins))
        count = 2 * _CARS
        return await self._cost_of(count, "rounds", vins=self._fleet.cars, rounds=2)

    def _each(self, vins: list[str]) -> dict[str, Any]:
        return {"vins": vins, "repeat": False, "clients": _CLIENTS, "seconds": _ROUND_SECONDS}

    async def _cost_of(self, count: int, job: str, **details: Any) -> float:
        meter = CpuMeter(self._harness.pids)
        result = await self._run(job, **details)
        spent = meter.read(result["process_cpu_seconds"])
        self._harness.require_unharmed()
        return 1e6 * sum(spent.by_component.values()) / count

    async def _run(self, job: str, **details: Any) -> dict[str, Any]:
        return await run_job({"name": job, **self._edge, **details})


async def serve(folder: Path) -> None:
    """Answer each line until there is none."""
    fleet = Fleet.of(cars=_CARS, sleepers=0, strangers=_STRANGERS)
    async with MeshHarness(folder, free_ports(), fleet, os.environ) as harness:
        rounds = ComparedRounds(harness, fleet)
        _tell({"ready": True})
        while line := await asyncio.to_thread(sys.stdin.readline):
            _tell({"us": await rounds.cost(line.strip())})


def _tell(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    os.umask(0o077)
    with tempfile.TemporaryDirectory(prefix="compare-", dir=private_folder(ROOT / ".doors")) as place:
        asyncio.run(serve(Path(place) / "mesh"))

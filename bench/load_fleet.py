"""`python -m bench.load_fleet`: the whole mesh under a fleet of simulated cars; one table.

Every car has its own certificate, keys and connection, and reports at its normal interval. Bounded in time, on
loopback, in a data folder of its own; ends only what it started. Status 1 when something broke.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.__main__ import keep_logs
from bench.broker_monitor import connections, stored_reports
from bench.greeting import reported_since
from bench.harness import MeshHarness, free_ports
from bench.http_client import BenchFailedError
from bench.measure import run_job
from bench.report import Figure, render, spread
from bench.simulated_fleet import SimulatedFleet
from bench.usage import CpuMeter, resident_mib
from mesh.component import ComponentFailedError
from mesh.edge_config import ROOT
from mesh.files import private_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

CARS = 2_000
_REPORT_INTERVAL_SECONDS = 30
_STEADY_SECONDS = 60.0  # two of the intervals
_COMMANDS_PER_SECOND = 10.0
_COMMAND_SECONDS = 30.0
_COMMANDED_CARS = 200
_START_SECONDS = 300.0
_BACK_SECONDS = 240.0
_LONGEST_SECONDS = 900.0
_LOOK_AGAIN_SECONDS = 0.2
_FILES_PER_CAR = 6
_OTHER_FILES = 1_000


class Load:
    """What is measured of a mesh with a fleet. `cars` are the processes the cars run in."""

    def __init__(self, harness: MeshHarness, fleet: SimulatedFleet) -> None:
        self._harness = harness
        self._fleet = fleet
        self._databases = harness.sandbox.folder.resolve() / "data"
        self._empty = {name: resident_mib(pid) for name, pid in harness.pids.items()}
        self._connections = 0
        self.cars: dict[str, int] = {}
        self.figures: list[Figure] = []

    def started(self, seconds: float) -> None:
        """All cars are connected, and the services know how each stands."""
        count, mqtt = len(self._fleet.vins), len(self._fleet.over_mqtt)
        self._add(
            f"{count:,} cars connected and reported",
            f"{seconds:.0f} s",
            f"{count - mqtt:,} over NATS, {mqtt:,} over MQTT; each with a "
            f"certificate of its own, admitted by the enrolment service; {len(self.cars)} processes, one after another",
        )

    async def steady(self) -> None:
        """Nobody commands: reports at the cars' interval."""
        count = len(self._fleet.vins)
        monitor = self._harness.ports.nats_monitor
        meter = CpuMeter({**self._harness.pids, **self.cars})
        before, began = await stored_reports(monitor), time.perf_counter()
        await asyncio.sleep(_STEADY_SECONDS)
        reports, seconds = await stored_reports(monitor) - before, time.perf_counter() - began
        spent = meter.read(0.0)
        self._connections = await connections(monitor)
        self._require_unharmed()
        self._add(
            "status reports in peace",
            f"{reports / seconds:.0f}/s",
            f"every car each {_REPORT_INTERVAL_SECONDS} s, so {count / _REPORT_INTERVAL_SECONDS:.0f}/s expected",
        )
        used = spent.by_component
        of_cars = sum(used[name] for name in self.cars)
        services = {name: seconds for name, seconds in used.items() if name not in {*self.cars, "nats"}}
        self._add(
            "CPU per car, in peace",
            f"{1e6 * of_cars / count / spent.wall_seconds:.0f} us/s",
            f"vehicle side; broker {1e6 * used['nats'] / count / spent.wall_seconds:.0f} us/s; all services and Envoy "
            f"{1e6 * sum(services.values()) / count / spent.wall_seconds:.0f} us/s, of which "
            + ", ".join(
                f"{name} {100 * used / spent.wall_seconds:.1f}% of a core" for name, used in services.items()
            ),
        )
        self._memory()

    def _memory(self) -> None:
        count = len(self._fleet.vins)
        cars = sum(resident_mib(pid) for pid in self.cars.values())
        self._add(
            "memory per car, vehicle side",
            f"{1024 * cars / count:.0f} KiB",
            f"{cars:.0f} MiB in {len(self.cars)}",
        )
        now = {name: resident_mib(pid) for name, pid in self._harness.pids.items()}
        grown = now["nats"] - self._empty["nats"]
        self._add(
            "memory per connection, broker",
            f"{1024 * grown / count:.0f} KiB",
            f"NATS {self._empty['nats']:.0f} MiB before the cars, {now['nats']:.0f} MiB with them; TLS, "
            "the consumer of its queue, and what is kept of reports",
        )
        services = {name: mib for name, mib in now.items() if name not in {"nats", "vehicles"}}
        self._add(
            "memory of services and Envoy",
            f"{sum(services.values()):.0f} MiB",
            "PSS in MiB, before the cars and with them: "
            + ", ".join(f"{name} {self._empty[name]:.0f}, {mib:.0f}" for name, mib in services.items()),
        )

    async def commands(self) -> None:
        """Send commands to random cars at a modest rate."""
        vins = random.Random(1).sample(self._fleet.vins, min(_COMMANDED_CARS, len(self._fleet.vins)))  # noqa: S311  # a choice
        job = {
            "name": "paced",
            "port": self._harness.ports.http,
            "token": self._fleet.key,
            "vins": vins,
            "per_second": _COMMANDS_PER_SECOND,
            "seconds": _COMMAND_SECONDS,
        }
        result = await run_job(job)
        self._require_unharmed()
        how = f"{len(result['succeeded_ms'])} at {_COMMANDS_PER_SECOND:.0f}/s to {len(vins)} random cars"
        self._add("POST to 202 under the fleet", spread(result["accepted_ms"]), how)
        self._add(
            "POST to SSE SUCCESS under the fleet", spread(result["succeeded_ms"]), "the same; all succeeded"
        )

    async def reconnect(self) -> None:
        """Kill the broker and let it come back: every car connects, says hello and reports again."""
        count = len(self._fleet.vins)
        meter = CpuMeter(
            {name: pid for name, pid in self._harness.pids.items() if name != "nats"} | self.cars
        )
        killed_at, began = time.time(), time.perf_counter()
        os.kill(self._harness.pids["nats"], signal.SIGKILL)
        connected_seconds = 0.0
        while True:
            if (
                not connected_seconds
                and await connections(self._harness.ports.nats_monitor) >= self._connections
            ):
                connected_seconds = time.perf_counter() - began
            missing = set(self._fleet.vins) - reported_since(self._databases, killed_at)
            seconds = time.perf_counter() - began
            if (connected_seconds and not missing) or seconds > _BACK_SECONDS:
                break
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        spent = meter.read(0.0)
        self._require_unharmed()
        dearest = [
            f"{name} {used:.1f} s"
            for name, used in spent.by_component.items()
            if used >= 1 and name not in self.cars
        ]
        of_cars = sum(spent.by_component[name] for name in self.cars)
        name = "broker killed, until all are back"
        how = f"CPU of the cars {of_cars:.0f} s, {', '.join(dearest)}"
        within = f"in {_BACK_SECONDS:.0f} s"
        if missing or not connected_seconds:
            mqtt = len(missing.intersection(self._fleet.over_mqtt))
            back = f"{count - len(missing):,} of {count:,}"
            how = f"not back: {len(missing) - mqtt} over NATS, {mqtt} over MQTT; {how}"
            self.figures.append(Figure(name, back, how, f"all {within}", met=False))
            return
        how = (
            f"all {count:,} connected after {connected_seconds:.0f} s; back: its first report since is in the "
            f"database; {how}"
        )
        self.figures.append(Figure(name, f"{seconds:.0f} s", how, within, met=True))

    def _require_unharmed(self) -> None:
        self._harness.require_unharmed()

    def _add(self, name: str, reached: str, how: str) -> None:
        self.figures.append(Figure(name, reached, how))


async def load(folder: Path, environment: Mapping[str, str], cars: int) -> tuple[str, bool]:
    """Return the table of one run, and whether all cars came back.

    Raises BenchFailedError, ComponentFailedError, TimeoutError.
    """
    this = asyncio.current_task()
    if this is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    fleet = SimulatedFleet.of(cars)
    async with (
        asyncio.timeout(_LONGEST_SECONDS),
        MeshHarness(folder / "mesh", free_ports(), fleet, environment) as harness,
    ):
        run = Load(harness, fleet)
        began = time.perf_counter()
        async with fleet.driving(harness.sandbox, harness.simulator, _START_SECONDS) as processes:
            run.cars = processes
            run.started(time.perf_counter() - began)
            await run.steady()
            await run.commands()
            await run.reconnect()
    table = render(f"{cars:,} simulated cars and the mesh on {os.cpu_count()} cores, one run:", run.figures)
    return table, all(figure.met is not False for figure in run.figures)


def main(environment: Mapping[str, str], words: list[str]) -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.load_fleet", description=__doc__)
    parser.add_argument("--cars", type=int, default=CARS, help=f"how many (default {CARS})")
    cars = parser.parse_args(words).cars
    if cars < 1:
        parser.error("at least one car")
    _allow_open_files(cars)
    os.umask(0o077)
    parent = private_folder(Path(environment.get("DOORS_DATA_DIR") or ROOT / ".doors"))
    with tempfile.TemporaryDirectory(prefix="load-", dir=parent) as folder:
        try:
            table, whole = asyncio.run(load(Path(folder), environment, cars))
        except (BenchFailedError, ComponentFailedError, TimeoutError) as broken:
            kept = keep_logs(Path(folder) / "mesh" / "logs", parent / "load-logs")
            sys.stderr.write(f"load: {str(broken) or 'it took too long'}; logs: {kept}\n")
            return 1
        except (KeyboardInterrupt, asyncio.CancelledError):
            sys.stderr.write("load: stopped\n")
            return 130
    sys.stdout.write(table + "\n")
    return 0 if whole else 1


def _allow_open_files(cars: int) -> None:
    """Allow a connection of the broker for each car; what is started inherits the limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(cars, 500 * _FILES_PER_CAR) + _OTHER_FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if most == resource.RLIM_INFINITY else most, most))


if __name__ == "__main__":
    sys.exit(main(os.environ, sys.argv[1:]))

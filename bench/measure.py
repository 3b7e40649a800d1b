"""The measurements, one after the other, and the figure that each becomes."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bench.fleet import EVERY_VEHICLE, speaker_keys
from bench.http_client import ACCEPTED, OK, BenchFailedError
from bench.report import Figure, cost, percentile, spread
from bench.usage import CpuMeter, CpuUsage, resident_mib
from key_files.pem import read_public
from mesh.edge_config import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.bare import BareLimit
    from bench.fleet import Fleet
    from bench.harness import MeshHarness

CLIENTS = 64
CARS = 64
SLEEPERS = 2_000
STRANGERS = 1_800
_SERIAL_SLEEPERS = 200
_SECONDS = 5.0
_BARE_SERIAL_SECONDS = 2.0
_SERIAL_ROUNDS = 200
_PARALLEL_ROUNDS = 8
_REPORT_ROUNDS = 24
_READERS = 1_000
_READER_ROUNDS = 20
_SOCKETS = 2_000
_HALF = 0.5
_LONGEST_JOB_SECONDS = 70.0

MOST_SERIAL_MS = 4.0
MOST_ROUND_MS = 25.0
MOST_DELIVERY_MS = 100.0
LEAST_INGEST = 10_000
LEAST_READS = 1_500


async def run_job(job: dict[str, Any]) -> dict[str, Any]:
    """Run a load process to its end; its result. Raises BenchFailedError with the line it failed with."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.load", cwd=ROOT, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_LONGEST_JOB_SECONDS):
            out, err = await process.communicate(json.dumps(job).encode())
    except TimeoutError:
        raise BenchFailedError(f"{job['name']} took longer than {_LONGEST_JOB_SECONDS:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        lines = err.decode().strip().splitlines()
        raise BenchFailedError(lines[-1] if lines else f"{job['name']} ended with {process.returncode}")
    result: dict[str, Any] = json.loads(out)
    return result


async def measure_bare(bare: BareLimit) -> tuple[list[Figure], float]:
    """Return the bare limit's figures, and how many requests a second it answers at 64 clients."""
    job = {
        "name": "accept",
        "port": bare.port,
        "token": "none",
        "vins": ["BENCHBARE00000001"],
        "repeat": True,
        "expect": OK,
    }
    serial = await run_job({**job, "clients": 1, "seconds": _BARE_SERIAL_SECONDS})
    meter = CpuMeter(bare.pids)
    parallel = await run_job({**job, "clients": CLIENTS, "seconds": _SECONDS})
    spent = meter.read(parallel["process_cpu_seconds"])
    how = "Envoy + empty handler + one FULL commit each"
    return [
        Figure("bare limit, 1 client", _rate_and_spread(serial), how),
        Figure(f"bare limit, {CLIENTS} clients", _rate_and_spread(parallel), how),
        cost("bare request", spent, len(parallel["latencies_ms"]), parallel["cpu_seconds"]),
    ], _rate(parallel)


class Measurements:
    """What is measured of a running mesh."""

    def __init__(self, harness: MeshHarness, fleet: Fleet, bare_per_second: float) -> None:
        self._harness = harness
        self._fleet = fleet
        self._bare = bare_per_second
        self._edge = {"port": harness.ports.http, "token": fleet.key}
        self.figures: list[Figure] = []

    async def take_all(self) -> None:
        """Everything, in an order in which nothing of one disturbs the next."""
        await self.whole_commands()
        await self.reads()
        await self.readers()
        await self.sockets()
        await self.ingest()
        await self.acceptance()
        self._memory()

    async def whole_commands(self) -> None:
        """From POST to SUCCESS, with cars that answer."""
        # Once around first, so that every car has its queue and no cache is cold.
        await self._job("rounds", vins=self._fleet.cars, rounds=2)
        one, _ = await self._job("rounds", vins=self._fleet.cars[:1], rounds=_SERIAL_ROUNDS)
        p50 = percentile(one["accepted_ms"], 50)
        how = "POST to 202, in the rounds below"
        self._add(
            "accept, 1 client, car answers", spread(one["accepted_ms"]), how, *_most(p50, MOST_SERIAL_MS)
        )
        p50 = percentile(one["succeeded_ms"], 50)
        how = f"{_SERIAL_ROUNDS} lock/unlock rounds, instant actuator"
        self._add(
            "POST to SSE SUCCESS, 1 client", spread(one["succeeded_ms"]), how, *_most(p50, MOST_ROUND_MS)
        )
        many, spent = await self._job("rounds", vins=self._fleet.cars, rounds=_PARALLEL_ROUNDS)
        finished = len(many["succeeded_ms"])
        self._add(
            f"finished commands, {CARS} clients",
            f"{finished / many['seconds']:,.0f}/s, {spread(many['succeeded_ms'])}",
            f"POST to SSE SUCCESS; {CARS} cars simulated on the same cores",
        )
        self.figures.append(cost("finished command", spent, finished, many["cpu_seconds"]))
        self._add(
            "  of which the signer service",
            f"{1e6 * spent.by_component['signer'] / finished:.0f} us",
            "signing, and the calls on both its sides",
        )

    async def reads(self) -> None:
        """Return status reads."""
        read, spent = await self._job(
            "read", path="status", vins=self._fleet.cars, repeat=True, clients=CLIENTS, seconds=_SECONDS
        )
        _require_only(read, OK)
        how = f"of {CARS} cars, each look goes to the history as well"
        self._add(
            f"status reads, {CLIENTS} clients", _rate_and_spread(read), how, *_least(_rate(read), LEAST_READS)
        )
        self.figures.append(cost("status read", spent, len(read["latencies_ms"]), read["cpu_seconds"]))

    async def readers(self) -> None:
        """One vehicle's event to many streams."""
        result, _ = await self._job(
            "readers",
            vins=[self._fleet.watched],
            readers=_READERS,
            rounds=_READER_ROUNDS,
            **self._speaking(),
        )
        self._add(
            f"{_READERS:,} SSE clients, one event",
            spread(result["latencies_ms"]),
            f"vehicle's report published to received by each, {_READER_ROUNDS} events; "
            f"opened in {result['open_seconds']:.1f} s",
        )

    async def sockets(self) -> None:
        """One vehicle's event to many WebSockets, and what each takes of memory."""
        result, _ = await self._job(
            "sockets",
            vins=[self._fleet.watched],
            readers=_SOCKETS,
            rounds=_READER_ROUNDS,
            pids=self._harness.pids,
            **self._speaking(),
        )
        told = result["deliveries"]
        p99 = percentile(told["latencies_ms"], 99)
        self._add(
            f"{_SOCKETS:,} WebSocket clients, one event",
            spread(told["latencies_ms"]),
            f"vehicle's report published to received by each, {_READER_ROUNDS} events; "
            f"opened and subscribed in {told['open_seconds']:.1f} s",
            f"p99 <= {MOST_DELIVERY_MS:.0f} ms",
            p99 <= MOST_DELIVERY_MS,
        )
        _, began, ended = result["cpu"]
        deliveries = _SOCKETS * (_READER_ROUNDS + 1)
        used = {"load": told["cpu_seconds"], **{name: ended[name] - began[name] for name in began}}
        dearest = sorted(used.items(), key=lambda item: -item[1])[:5]
        self._add(
            "  CPU per delivery",
            f"{1e6 * sum(used.values()) / deliveries:.0f} us",
            ", ".join(f"{name} {1e6 * seconds / deliveries:.0f} us" for name, seconds in dearest),
        )
        before, _, opened = result["memory"]
        each = {name: 1_024 * (opened[name] - before[name]) / _SOCKETS for name in before}
        parts = ", ".join(f"{name} {each[name]:.0f}" for name in ("gateway", "envoy", "status", "access"))
        self._add(
            "  memory per WebSocket client",
            f"{sum(each.values()):.0f} KiB",
            f"PSS of all processes with {_SOCKETS:,} open less before, KiB each: {parts}; the client's not counted",
        )

    async def ingest(self) -> None:
        """Status reports until the database has them."""
        result, _ = await self._job(
            "reports",
            vins=self._fleet.sleepers,
            rounds=_REPORT_ROUNDS,
            pids=self._harness.pids,
            **self._speaking(),
        )
        count, seconds = result["reports"], result["greeting_seconds"]
        self._add(
            "hellos taken in by all services",
            f"{SLEEPERS / seconds:,.0f}/s",
            f"{SLEEPERS:,} vehicles at once, new epochs, four services, a queue opened for each",
        )
        rate = count / result["database_seconds"]
        how = (
            f"{count:,} sealed by {SLEEPERS:,} vehicles beforehand, first publish to last row; "
            f"the broker confirmed {count / result['broker_seconds']:,.0f}/s"
        )
        self._add("status reports kept", f"{rate:,.0f}/s", how, *_least(rate, LEAST_INGEST))
        spent = CpuUsage(**result["spent"])
        self.figures.append(cost("status report", spent, count, result["cpu_seconds"]))

    async def acceptance(self) -> None:
        """Commands accepted, each for another car, which sleeps, so that nothing answers."""
        fleet = self._fleet.sleepers
        # As an app does it: it has looked at the car before it commands it.
        how = "each for another car that was looked at before, and sleeps: signed, published, and waits"
        await self._accept(1, fleet[:_SERIAL_SLEEPERS], "", how, looked_at=True)
        await self._accept(CLIENTS, fleet[_SERIAL_SLEEPERS:], "", how, looked_at=True)
        how = "each for another car never asked of before, that never said hello: nothing can be signed yet"
        await self._accept(CLIENTS, self._fleet.strangers, ", cold", how, looked_at=False)

    async def _accept(
        self, clients: int, vins: Sequence[str], name: str, how: str, *, looked_at: bool
    ) -> None:
        job: dict[str, Any] = {"vins": vins, "clients": clients, "repeat": False}
        if looked_at:
            looks = {**job, "path": "history", "clients": CLIENTS, "seconds": 4 * _SECONDS}
            _require_only((await self._job("read", **looks))[0], OK)
        taken, spent = await self._job("accept", seconds=_SECONDS, expect=ACCEPTED, **job)
        _require_only(taken, ACCEPTED)
        if clients == 1:
            p50 = percentile(taken["latencies_ms"], 50)
            self._add(f"accept, 1 client{name}", _rate_and_spread(taken), how, *_most(p50, MOST_SERIAL_MS))
            return
        rate = _rate(taken)
        self._add(
            f"accept, {clients} clients{name}",
            _rate_and_spread(taken),
            f"{100 * rate / self._bare:.0f}% of the bare limit; {how}",
            *_least(rate, self._bare * _HALF),
        )
        self.figures.append(cost("accepted command", spent, len(taken["latencies_ms"]), taken["cpu_seconds"]))

    async def _job(self, name: str, **details: Any) -> tuple[dict[str, Any], CpuUsage]:
        """Return the result, and what it cost."""
        meter = CpuMeter(self._harness.pids)
        result = await run_job({"name": name, **self._edge, **details})
        spent = meter.read(result["process_cpu_seconds"])
        self._harness.require_unharmed()
        return result, spent

    def _memory(self) -> None:
        held = sorted(((resident_mib(pid), name) for name, pid in self._harness.pids.items()), reverse=True)
        text = ", ".join(f"{name} {mib:.0f}" for mib, name in held)
        self._add("memory at the end", f"{sum(mib for mib, _ in held):.0f} MiB", f"PSS in MiB: {text}")

    def _speaking(self) -> dict[str, Any]:
        """Return what a load needs to speak as vehicles do."""
        sandbox = self._harness.sandbox
        return {
            "broker": {
                "port": self._harness.ports.nats,
                "ca": str(sandbox.pki.resolve() / "ca.crt"),
                "user": EVERY_VEHICLE,
                "password": sandbox.nats_password(EVERY_VEHICLE).read_text(encoding="utf-8"),
            },
            "keys": {
                "file": str(speaker_keys(sandbox).resolve()),
                "root": read_public(sandbox.ceremony.root_public, Ed25519PublicKey).hex(),
                "manifest": str(sandbox.ceremony.manifest.resolve()),
            },
            "databases": str((sandbox.folder / "data").resolve()),
            "monitor": self._harness.ports.nats_monitor,
        }

    def _add(self, name: str, reached: str, how: str, target: str = "", met: bool | None = None) -> None:
        self.figures.append(Figure(name, reached, how, target, met))


def _most(reached_ms: float, target_ms: float) -> tuple[str, bool]:
    return f"p50 <= {target_ms:.0f} ms", reached_ms <= target_ms


def _least(reached: float, target: float) -> tuple[str, bool]:
    return f">= {target:,.0f}/s", reached >= target


def _rate(outcome: dict[str, Any]) -> float:
    return len(outcome["latencies_ms"]) / float(outcome["seconds"])


def _rate_and_spread(outcome: dict[str, Any]) -> str:
    return f"{_rate(outcome):,.0f}/s, {spread(outcome['latencies_ms'])}"


def _require_only(outcome: dict[str, Any], status: int) -> None:
    if set(outcome["statuses"]) != {str(status)}:
        raise BenchFailedError(f"answers other than {status}: {outcome['statuses']}")

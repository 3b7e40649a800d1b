"""`python -m bench.load`: one load, in a process of its own. A job as JSON in, its result as JSON out."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from bench.greeting import Reception
from bench.http_client import OK, BenchFailedError, command_request, drive, get_request
from bench.ingest import ingest
from bench.live import Deliveries, EventStream, command_rounds, fan_out, paced_commands
from bench.nats_wire import BrokerAccount
from bench.sockets import SocketClient
from bench.speakers import Speaker, read_speakers
from bench.usage import cpu_seconds, resident_mib

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from _typeshed import DataclassInstance


async def accept(job: dict[str, Any]) -> DataclassInstance:
    """Return each request commands the next car; with `repeat` the first follows the last."""
    requests = [command_request(vin, "unlock", job["token"]) for vin in job["vins"]]
    return await drive(
        job["port"],
        itertools.cycle(requests) if job["repeat"] else iter(requests),
        clients=job["clients"],
        seconds=job["seconds"],
        expect=job["expect"],
    )


async def read(job: dict[str, Any]) -> DataclassInstance:
    """Read of `path`, of one car after another; with `repeat` the first follows the last."""
    requests = [get_request(vin, job["path"], job["token"]) for vin in job["vins"]]
    return await drive(
        job["port"],
        itertools.cycle(requests) if job["repeat"] else iter(requests),
        clients=job["clients"],
        seconds=job["seconds"],
        expect=OK,
    )


async def rounds(job: dict[str, Any]) -> DataclassInstance:
    """Commands to their end on the stream."""
    return await command_rounds(job["port"], job["vins"], job["token"], job["rounds"])


async def paced(job: dict[str, Any]) -> DataclassInstance:
    """Commands at a rate, to their end on the stream."""
    return await paced_commands(
        job["port"], job["vins"], job["token"], per_second=job["per_second"], seconds=job["seconds"]
    )


async def readers(job: dict[str, Any]) -> DataclassInstance:
    """Return one vehicle's events to many readers."""
    (watched,) = _speakers(job)
    return await fan_out(
        partial(EventStream.open, job["port"], watched.vin, job["token"]),
        _account(job),
        _reception(job),
        watched,
        readers=job["readers"],
        rounds=job["rounds"],
    )


@dataclasses.dataclass(slots=True)
class SocketDeliveries:
    """Deliveries over WebSockets, and of each process the memory in MiB and the CPU used in seconds: before they were
    opened, when all were, and after the last event.
    """

    deliveries: Deliveries
    memory: list[dict[str, float]]
    cpu: list[dict[str, float]]


async def sockets(job: dict[str, Any]) -> DataclassInstance:
    """Return one vehicle's events to many WebSockets."""
    (watched,) = _speakers(job)
    memory: list[dict[str, float]] = []
    cpu: list[dict[str, float]] = []

    def measure() -> None:
        memory.append({name: resident_mib(pid) for name, pid in job["pids"].items()})
        cpu.append({name: cpu_seconds(pid) for name, pid in job["pids"].items()})

    measure()
    deliveries = await fan_out(
        partial(SocketClient.open, job["port"], watched.vin, job["token"]),
        _account(job),
        _reception(job),
        watched,
        readers=job["readers"],
        rounds=job["rounds"],
        note=measure,
    )
    return SocketDeliveries(deliveries, memory, cpu)


async def reports(job: dict[str, Any]) -> DataclassInstance:
    """Status reports until all are kept."""
    return await ingest(_account(job), _reception(job), _speakers(job), job["rounds"], job["pids"])


def _account(job: dict[str, Any]) -> BrokerAccount:
    broker = job["broker"]
    return BrokerAccount(broker["port"], Path(broker["ca"]), broker["user"], broker["password"])


def _reception(job: dict[str, Any]) -> Reception:
    return Reception(Path(job["databases"]), job["monitor"])


def _speakers(job: dict[str, Any]) -> list[Speaker]:
    keys = job["keys"]
    root = bytes.fromhex(keys["root"])
    return read_speakers(Path(keys["file"]), root, Path(keys["manifest"]), job["vins"])


JOBS: dict[str, Callable[[dict[str, Any]], Coroutine[Any, Any, DataclassInstance]]] = {
    "accept": accept,
    "read": read,
    "rounds": rounds,
    "paced": paced,
    "readers": readers,
    "sockets": sockets,
    "reports": reports,
}


def main() -> int:
    """Do the job on standard input. Status 3 and one line on standard error when what it measures broke."""
    job = json.load(sys.stdin)
    try:
        result = uvloop.run(JOBS[job["name"]](job))
    except (BenchFailedError, TimeoutError, OSError) as broken:
        sys.stderr.write(f"{job['name']}: {str(broken) or 'it took too long'}\n")
        return 3
    json.dump({**dataclasses.asdict(result), "process_cpu_seconds": time.process_time()}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())

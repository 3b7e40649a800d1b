"""Status reports of many vehicles, published as fast as the broker confirms them, until all are kept."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from bench.http_client import BenchFailedError
from bench.nats_wire import Publisher
from bench.usage import CpuMeter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.greeting import Reception
    from bench.nats_wire import BrokerAccount
    from bench.speakers import Speaker
    from bench.usage import CpuUsage

_LOOK_AGAIN_SECONDS = 0.02
_LONGEST_SECONDS = 45.0


@dataclass(slots=True)
class Ingestion:
    """Seconds from the first publish: until the broker had confirmed all, and until the database had.

    `greeting_seconds` passed before, from the first hello until all services had ingested all. `spent` is what the
    reports alone cost.
    """

    reports: int
    greeting_seconds: float
    broker_seconds: float
    database_seconds: float
    cpu_seconds: float
    spent: CpuUsage


async def ingest(
    account: BrokerAccount,
    reception: Reception,
    speakers: Sequence[Speaker],
    rounds: int,
    pids: Mapping[str, int],
) -> Ingestion:
    """Have each vehicle say hello, report `rounds` times, each time with another speed, and go to sleep.

    Raises BenchFailedError when the broker refuses a report or the database does not get them all in time.
    """
    publisher = await Publisher.connect(account)
    greeting_seconds = await _greet(publisher, reception, speakers)
    messages = _messages(speakers, rounds)
    meter = CpuMeter(pids)
    cpu, began = time.process_time(), time.perf_counter()
    await publisher.publish(messages)
    await publisher.confirmed()
    broker_seconds = time.perf_counter() - began
    await _until_kept(reception, speakers, rounds)
    seconds = time.perf_counter() - began
    cpu_seconds = time.process_time() - cpu
    spent = meter.read(cpu_seconds)
    now = datetime.now(UTC)
    await publisher.publish([speaker.report(now, going_to_sleep=True) for speaker in speakers])
    await publisher.confirmed()
    await _until_kept(reception, speakers, rounds + 1)
    publisher.close()
    return Ingestion(len(messages), greeting_seconds, broker_seconds, seconds, cpu_seconds, spent)


async def _greet(publisher: Publisher, reception: Reception, speakers: Sequence[Speaker]) -> float:
    now = datetime.now(UTC)
    hellos = [speaker.hello(now) for speaker in speakers]
    began = time.perf_counter()
    await publisher.publish(hellos)
    await publisher.confirmed()
    await reception.until_greeted([speaker.vin for speaker in speakers], _LONGEST_SECONDS)
    return time.perf_counter() - began


def _messages(speakers: Sequence[Speaker], rounds: int) -> list[bytes]:
    now = datetime.now(UTC) - timedelta(seconds=rounds)
    return [
        speaker.report(now + timedelta(seconds=number), speed_kmh=50.0 + (number + index) % 50)
        for number in range(1, rounds + 1)
        for index, speaker in enumerate(speakers)
    ]


async def _until_kept(reception: Reception, speakers: Sequence[Speaker], last: int) -> None:
    """Wait until the service's own file holds every vehicle's last report."""
    deadline = time.perf_counter() + _LONGEST_SECONDS
    boots = {speaker.vin: speaker.boot_id for speaker in speakers}
    connection = sqlite3.connect(f"file:{reception.databases / 'status.db'}?mode=ro", uri=True)
    query = "SELECT vin, boot_id FROM vehicle_status WHERE sequence = ?"
    try:
        while (kept := sum(boots.get(vin) == boot for vin, boot in connection.execute(query, (last,)))) < len(
            boots
        ):
            if time.perf_counter() > deadline:
                raise BenchFailedError(
                    f"only {kept} of {len(boots)} vehicles' last reports were kept in time"
                )
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    finally:
        connection.close()

"""Status reports of thousands of vehicles, published as fast as the broker confirms them, until all are kept."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from bench.http_client import BenchFailedError
from bench.nats_wire import Publisher
from bench.reports import report_message

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.live import BrokerAccount

_AT_ONCE = 250
_LOOK_AGAIN_SECONDS = 0.02
_LONGEST_SECONDS = 45.0
_BOOT_ID = "ingest"


@dataclass(slots=True)
class Ingestion:
    """Seconds from the first publish: until the broker had confirmed all, and until the database had."""

    reports: int
    broker_seconds: float
    database_seconds: float
    cpu_seconds: float


async def ingest(account: BrokerAccount, database: Path, vins: Sequence[str], rounds: int) -> Ingestion:
    """Each vehicle reports `rounds` times, each time with another speed.

    Raises BenchFailedError when the broker refuses a report or the database does not get them all in time.
    """
    messages = _messages(vins, rounds)
    publisher = await Publisher.connect(account.port, account.ca, account.user, account.password)
    cpu, began = time.process_time(), time.perf_counter()
    for start in range(0, len(messages), _AT_ONCE):
        await publisher.publish(messages[start : start + _AT_ONCE])
    await publisher.confirmed()
    broker_seconds = time.perf_counter() - began
    await _until_kept(database, len(vins), rounds, began + _LONGEST_SECONDS)
    seconds = time.perf_counter() - began
    publisher.close()
    return Ingestion(len(messages), broker_seconds, seconds, time.process_time() - cpu)


def _messages(vins: Sequence[str], rounds: int) -> list[bytes]:
    now = datetime.now(UTC) - timedelta(seconds=rounds)
    return [
        report_message(
            vin, _BOOT_ID, number, now + timedelta(seconds=number), speed_kmh=50.0 + (number + index) % 50
        )
        for number in range(1, rounds + 1)
        for index, vin in enumerate(vins)
    ]


async def _until_kept(database: Path, vehicles: int, last: int, deadline: float) -> None:
    """Wait until the room's own file holds every vehicle's last report."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    query = "SELECT count(*) FROM vehicle_status WHERE boot_id = ? AND sequence = ?"
    try:
        while (kept := connection.execute(query, (_BOOT_ID, last)).fetchone()[0]) < vehicles:
            if time.perf_counter() > deadline:
                raise BenchFailedError(f"only {kept} of {vehicles} vehicles' last reports were kept in time")
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    finally:
        connection.close()

"""Until all services have ingested the hellos of vehicles, so that their reports are accepted at once."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.broker_monitor import waiting_events
from bench.http_client import BenchFailedError
from services.registry import SERVICES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

READERS = tuple(service.name for service in SERVICES if service.opens_answers)
"""Each keeps its own sessions."""
_LOOK_AGAIN_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Reception:
    """Where to see that hellos were ingested: the services' databases and the broker's monitor."""

    databases: Path
    monitor_port: int

    def count(self, service: str, vins: Iterable[str]) -> int:
        """Return how many of these vehicles the service has a session with."""
        connection = sqlite3.connect(f"file:{self.databases / service}.db?mode=ro", uri=True)
        try:
            known = {vin for (vin,) in connection.execute("SELECT vin FROM vehicle_session")}
        finally:
            connection.close()
        return len(known.intersection(vins))

    async def until_greeted(self, vins: Sequence[str], most_seconds: float) -> None:
        """Every service has a session with each, and nothing that vehicles said waits any more.

        Raises BenchFailedError.
        """
        deadline = time.perf_counter() + most_seconds
        waiting = list(READERS)
        while waiting:
            waiting = [service for service in waiting if self.count(service, vins) < len(vins)]
            await self._look_again(deadline, f"hellos were not taken in by {', '.join(waiting)}")
        while await waiting_events(self.monitor_port):
            await self._look_again(deadline, "hellos were not all acknowledged")

    async def _look_again(self, deadline: float, complaint: str) -> None:
        if time.perf_counter() > deadline:
            raise BenchFailedError(complaint)
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)


def reported_since(databases: Path, since: float) -> set[str]:
    """Return the vehicles with a report that came after `since`, seconds since 1970."""
    connection = sqlite3.connect(f"file:{databases / 'status.db'}?mode=ro", uri=True)
    query = "SELECT vin FROM vehicle_status WHERE received_at_us > ?"
    try:
        return {vin for (vin,) in connection.execute(query, (int(since * 1_000_000),))}
    finally:
        connection.close()

"""Whether a vehicle exists must not show in how long it takes to say that it is not the caller's."""

from __future__ import annotations

import sqlite3
import statistics
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.access.access_service import CheckEdge, door, problem_in

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.alone
ROUNDS, PAIRS = 8, 60
APART = 0.1
"""A leak makes the difference in every round; a busy machine makes it in some."""


@pytest.fixture
def rates() -> dict[str, int]:
    return dict.fromkeys(("command", "cancel", "read", "refused", "unknown", "failed"), 1_000_000)


async def seconds_for(check: CheckEdge, vin: str) -> float:
    began = time.perf_counter()
    answer = await check(door("status", vin))
    took = time.perf_counter() - began
    assert problem_in(answer)["code"] == "VEHICLE_NOT_FOUND"
    return took


async def test_a_foreign_and_an_unknown_vehicle_take_as_long(
    check: CheckEdge, tmp_path: Path, access: Any
) -> None:
    """Each is asked for once: what is remembered for some seconds would show nothing of the first look."""
    assert access
    count = ROUNDS * PAIRS
    foreign = [f"KMHSH81C7LU5{n:05}" for n in range(count)]
    unknown = [f"KMHSH81C7LU7{n:05}" for n in range(count)]
    with closing(sqlite3.connect(tmp_path / "access-record.sqlite3")) as record, record:
        record.executemany(
            "INSERT INTO vehicle (vin, registered_at) VALUES (?, 1)", [(vin,) for vin in foreign]
        )
        record.executemany(
            "INSERT INTO access_grant (grant_id, principal, vin, role, actions, created_at) "
            "VALUES (?, 'user-456', ?, 'OWNER', '', 1)",
            [(f"g-{vin}", vin) for vin in foreign],
        )
    apart = []
    for n in range(ROUNDS):
        times: tuple[list[float], list[float]] = ([], [])
        for pair in range(n * PAIRS, (n + 1) * PAIRS):
            # In turns, each first as often as the other: what the machine does besides meets both alike.
            order = (0, 1) if pair % 2 else (1, 0)
            for which in order:
                times[which].append(await seconds_for(check, (foreign, unknown)[which][pair]))
        one, other = map(statistics.median, times)
        apart.append(abs(one - other) / min(one, other))
        if apart[-1] < APART:
            return
    pytest.fail(f"in every round they were apart: {apart}")


async def test_a_difference_would_show(check: CheckEdge) -> None:
    """The measure itself: a vehicle that is remembered is answered faster than one that must be looked up."""
    remembered, looked_up = "KMHSH81C7LU900000", [f"KMHSH81C7LU8{n:05}" for n in range(PAIRS)]
    await seconds_for(check, remembered)
    differences = []
    for vin in looked_up:
        known = await seconds_for(check, remembered)
        differences.append(await seconds_for(check, vin) - known)
    assert statistics.median(differences) > 0

"""Who is looked after, and when: one that came more often than it may stay, and nobody else."""

from __future__ import annotations

import asyncio

import pytest

from services.enrolment import domain
from services.enrolment.adapters.connection_bound import ConnectionBound
from services.enrolment.adapters.connections import _since
from services.enrolment.domain import MOST_CONNECTIONS, Stays
from services.enrolment.usecases import BrokerSilentError, Cut

VIN = "KMHSH81C7LU123456"
OTHER = "KMHSH81C7LU654321"


class Broker:
    """So many connections of each vehicle; `silent` answers nothing."""

    def __init__(self) -> None:
        self.open: dict[str, int] = {}
        self.asked: list[str] = []
        self.silent = False

    async def cut(self, vin: str) -> int:
        raise NotImplementedError

    async def keep_newest(self, vin: str, most: int) -> Cut:
        self.asked.append(vin)
        if self.silent:
            raise BrokerSilentError
        there = self.open.get(vin, 0)
        self.open[vin] = min(there, most)
        return Cut(there - self.open[vin], self.open[vin])


class Clock:
    """Sleeps until it is let go."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def sleep(self, _seconds: float) -> None:
        await self.go_on.wait()


@pytest.fixture
def broker() -> Broker:
    return Broker()


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_vehicle_that_comes_seldom_costs_no_question(broker: Broker) -> None:
    clock = Clock()
    clock.go_on.set()
    bound = ConnectionBound(broker, clock.sleep)
    for _ in range(MOST_CONNECTIONS):
        bound.admitted(VIN)
        bound.admitted(OTHER)
    await settled()
    assert broker.asked == []
    broker.open[VIN] = 1
    bound.admitted(VIN)
    await settled()
    assert broker.asked == [VIN]
    for _ in range(MOST_CONNECTIONS - 1):
        bound.admitted(VIN)
    await settled()
    assert broker.asked == [VIN]  # one was open, so it may come three times before it is asked about again


async def test_a_burst_is_one_question_at_a_time_and_ends_within_the_bound(broker: Broker) -> None:
    clock = Clock()
    bound = ConnectionBound(broker, clock.sleep)
    for _ in range(100):
        broker.open[VIN] = broker.open.get(VIN, 0) + 1
        bound.admitted(VIN)
    await settled()
    assert broker.asked == []
    clock.go_on.set()
    await settled()
    assert broker.open[VIN] == MOST_CONNECTIONS
    assert broker.asked == [VIN]


async def test_who_came_while_it_was_looked_at_is_looked_at_again(broker: Broker) -> None:
    clock = Clock()
    bound = ConnectionBound(broker, clock.sleep)
    for _ in range(MOST_CONNECTIONS + 1):
        bound.admitted(VIN)
    await settled()
    bound.admitted(VIN)  # not listed by the broker yet
    clock.go_on.set()
    await settled()
    broker.open[VIN] = MOST_CONNECTIONS + 1
    bound.admitted(VIN)
    bound.admitted(VIN)
    bound.admitted(VIN)
    bound.admitted(VIN)
    await settled()
    assert broker.open[VIN] == MOST_CONNECTIONS


async def test_a_broker_that_is_silent_is_asked_at_the_next_arrival(broker: Broker) -> None:
    clock = Clock()
    clock.go_on.set()
    bound = ConnectionBound(broker, clock.sleep)
    broker.silent = True
    broker.open[VIN] = 9
    for _ in range(MOST_CONNECTIONS + 1):
        bound.admitted(VIN)
    await settled()
    assert broker.open[VIN] == 9
    broker.silent = False
    bound.admitted(VIN)
    await settled()
    assert broker.open[VIN] == MOST_CONNECTIONS


def test_no_more_vehicles_are_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain, "_MOST_REMEMBERED", 3)
    stays = Stays()
    for number in range(1_000):
        stays.add(f"V{number}")
    assert len(stays._open) <= 3


def test_times_of_the_broker_sort_as_they_are() -> None:
    times = [
        "2026-01-12T14:30:01Z",
        "2026-01-12T14:30:01.05Z",
        "2026-01-12T14:30:01.5Z",
        "2026-01-12T14:30:02Z",
    ]
    assert sorted(times, key=_since) == times

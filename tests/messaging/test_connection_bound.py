"""A car's connections at a real broker at once: the oldest give way, and nobody else notices."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import nats
import pytest_asyncio

from mesh.sandbox import vehicle_identity
from protocol.streams import VEHICLE_EVENTS
from protocol.subjects import EventKind, event_subject
from services.enrolment.adapters.connections import BrokerConnections
from services.enrolment.domain import MOST_CONNECTIONS
from tests.messaging.broker_harness import OTHER, VIN, WAIT_SECONDS, BrokerHarness, free_base
from tests.messaging.vehicle_cloud import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nats.aio.client import Client

MANY = 20


@pytest_asyncio.fixture
async def harness(tmp_path: Path) -> AsyncIterator[BrokerHarness]:
    one = BrokerHarness(tmp_path / "doors", free_base())
    try:
        await one.open()
        yield one
    finally:
        await one.close()


async def one_more(harness: BrokerHarness, vin: str) -> Client:
    """A connection of the car's that does not come back when it is cut."""
    client = await nats.connect(
        harness.url, tls=harness.tls(vehicle_identity(vin).name), allow_reconnect=False
    )
    await client.flush(WAIT_SECONDS)
    return client


async def open_at_the_broker(harness: BrokerHarness, vin: str) -> int:
    assert harness.broker is not None
    return (await BrokerConnections(harness.broker.client).keep_newest(vin, MANY * 2)).left


async def test_the_oldest_connections_of_a_car_give_way(harness: BrokerHarness) -> None:
    others = await one_more(harness, OTHER)
    beside = harness.link("mqtt", vin=OTHER)
    await beside.open()
    cars = [await one_more(harness, VIN) for _ in range(MANY)]
    await until(lambda: sum(not car.is_closed for car in cars) == MOST_CONNECTIONS)
    assert [not car.is_closed for car in cars] == [False] * (MANY - MOST_CONNECTIONS) + [
        True
    ] * MOST_CONNECTIONS
    assert await open_at_the_broker(harness, VIN) == MOST_CONNECTIONS
    await cars[-1].publish(event_subject(VIN, EventKind.HELLO), b"still here")
    await cars[-1].flush(WAIT_SECONDS)
    events = await harness.observe(VEHICLE_EVENTS)
    found = await events.get_last_msg(VEHICLE_EVENTS, event_subject(VIN, EventKind.HELLO))
    assert found.data == b"still here"
    await others.flush(WAIT_SECONDS)
    assert others.is_connected
    assert beside.is_open
    await beside.publish(EventKind.HELLO, "1", b"undisturbed")
    for client in (*cars, others):
        await client.close()
    await beside.close()


async def test_it_is_never_more_for_long_however_often_it_comes(harness: BrokerHarness) -> None:
    cars: list[Client] = []

    def still_open() -> int:
        return sum(not car.is_closed for car in cars)

    for _ in range(4):
        cars += await asyncio.gather(*(one_more(harness, VIN) for _ in range(MOST_CONNECTIONS + 1)))
        await until(lambda: still_open() <= MOST_CONNECTIONS)
    assert await open_at_the_broker(harness, VIN) <= MOST_CONNECTIONS
    for client in cars:
        await client.close()


async def test_over_mqtt_there_is_one_and_it_counts_among_all(harness: BrokerHarness) -> None:
    """The client id is the VIN: the broker lets the newer take over by itself."""
    first = harness.link("mqtt")
    await first.open()
    second = harness.link("mqtt")
    await second.open()
    await until(lambda: not first.is_open)
    assert second.is_open
    assert await open_at_the_broker(harness, VIN) == 1
    cars = [await one_more(harness, VIN) for _ in range(MOST_CONNECTIONS)]
    await until(lambda: not second.is_open)
    assert all(not car.is_closed for car in cars)
    for client in cars:
        await client.close()
    await first.close()
    await second.close()

"""Who makes what at the broker, and that what is said twice is the same twice."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import nats
import pytest
import pytest_asyncio

from mesh.sandbox import vehicle_identity
from protocol.consumers import CONSUMERS, consumers_of
from protocol.streams import STREAMS, VEHICLE_EVENTS
from protocol.subjects import EventKind, event_subject, status_subject
from services import registry
from services.platform.consumer import ConsumerPlan
from services.platform.health import COMMANDS, Health
from services.status.adapters.vehicle_link import status_plan
from services.telematics.broker import connect_broker
from services.telematics.links import over_each_link
from tests.messaging.broker_harness import VIN, WAIT_SECONDS, BrokerHarness, free_base
from tests.support.service_modules import adapter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from services.platform.consumer import Delivery, Unhandled
    from tests.messaging.conftest import NatsServer


@pytest_asyncio.fixture
async def harness(tmp_path: Path) -> AsyncIterator[BrokerHarness]:
    one = BrokerHarness(tmp_path / "doors", free_base())
    try:
        await one.open()
        yield one
    finally:
        await one.close()


def plans_of(service: str) -> list[ConsumerPlan]:
    found = [status_plan(n, batch=1, max_pending=4_000) for n in range(8)] if service == "status" else []
    for module in ("vehicle_link", "right_link", "update_link"):
        try:
            names = vars(adapter(service, module))
        except ModuleNotFoundError:
            continue
        for plan in names.values():
            if isinstance(plan, ConsumerPlan):
                of_vehicles = plan.stream == VEHICLE_EVENTS
                found += [each.plan for each in over_each_link(plan, _nothing)] if of_vehicles else [plan]
    return found


async def _nothing(_deliveries: Sequence[Delivery]) -> list[Unhandled]:
    raise AssertionError


@pytest.mark.parametrize("service", [name for name in registry.PUBLIC if name != "access"])
def test_the_consumers_that_are_made_are_those_that_services_read(service: str) -> None:
    made = {
        (one.name, one.stream, one.subjects, one.shared, one.max_pending, one.ack_wait_seconds)
        for one in consumers_of(service)
    }
    assert made == {
        (one.name, one.stream, one.subjects, one.shared, one.max_pending, one.ack_wait_seconds)
        for one in plans_of(service)
    }


async def test_the_partition_is_the_broker_s(nats_server: NatsServer) -> None:
    settings = nats_server.settings()
    client = await nats.connect(
        nats_server.url, user=settings.nats_user, password=settings.nats_password_file.read_text()
    )
    received = await client.subscribe("vehicle_status.>")
    chosen = random.Random(7)  # noqa: S311  # not a secret
    for _ in range(200):
        vin = "".join(chosen.choices("ABCDEFGHJKLMNPRSTUVWXYZ0123456789", k=17))
        await client.publish(event_subject(vin, EventKind.STATUS), b"x")
        assert (await received.next_msg(WAIT_SECONDS)).subject == status_subject(vin)
    await client.close()


async def test_a_car_may_write_into_its_own_partition_only(harness: BrokerHarness) -> None:
    refused: asyncio.Queue[str] = asyncio.Queue()

    async def on_error(error: Exception) -> None:
        refused.put_nowait(str(error))

    tls = harness.tls(vehicle_identity(VIN).name)
    car = await nats.connect(harness.url, tls=tls, allow_reconnect=False, error_cb=on_error)
    for partition in range(8):
        subject = f"vehicle_status.{partition}.{VIN}"
        if subject != status_subject(VIN):
            await car.publish(subject, b"x")
            assert subject.lower() in await asyncio.wait_for(refused.get(), WAIT_SECONDS)
    await car.close()


async def test_a_service_makes_nothing_and_says_that_something_is_missing(harness: BrokerHarness) -> None:
    """The consumer is made again by the service that may: here nobody is left that does."""
    assert harness.broker is not None
    health = Health()

    def serves() -> bool:
        health.look()
        return health.serves(COMMANDS)

    broker = await connect_broker(harness.room_settings("command"), "service-command", health)
    consumer = CONSUMERS["command-events"]
    await broker.ensure_streams(STREAMS[VEHICLE_EVENTS])
    await broker.ensure_consumer(consumer)
    assert serves()
    events = await harness.observe(VEHICLE_EVENTS)
    await events.delete_consumer(VEHICLE_EVENTS, consumer.name)
    await broker._look()
    assert not serves()
    assert consumer.name not in [one.name for one in await events.consumers_info(VEHICLE_EVENTS)]
    await harness.broker._look()
    await broker._look()
    assert serves()
    assert consumer.name in [one.name for one in await events.consumers_info(VEHICLE_EVENTS)]
    await events.delete_stream(VEHICLE_EVENTS)
    await broker._look()
    assert not serves()
    await harness.broker._look()
    await broker._look()
    assert serves()
    await broker.close()

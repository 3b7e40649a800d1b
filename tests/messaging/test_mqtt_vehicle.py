"""What is particular to a car on MQTT: its session, its will, and what a confirmation is worth."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import nats
import pytest
import pytest_asyncio
from ecarus.remotecontrol.vehicle.v1 import report_pb2
from nats.js.api import AckPolicy, ConsumerConfig

from protocol import stream_config
from protocol.streams import MQTT_MESSAGES, STREAMS, VEHICLE_COMMANDS, VEHICLE_MQTT_EVENTS
from protocol.subjects import CommandKind, EventKind, event_subject, presence_subject
from services.command.adapters.mqtt_queue import MqttSessions
from services.platform.jetstream import Broker as RoomBroker
from tests.messaging.vehicle_cloud import WAIT_SECONDS, Broker, Cloud, door_command, until
from tests.support.signed_cloud import VIN
from vehicle.clock import SystemClock
from vehicle.link.mqtt_connection import LastWill, MqttConnection
from vehicle.link.mqtt_link import MqttLink
from vehicle.link.port import LinkDownError
from vehicle.simulator.simulated_car import SimulatedCar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

OTHER_VIN = "KMHSH81C7LU654321"


@pytest_asyncio.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    one = Broker(tmp_path)
    await one.start()
    yield one
    one.kill()


@pytest_asyncio.fixture
async def cloud(broker: Broker) -> AsyncIterator[Cloud]:
    one = Cloud(broker, "mqtt")
    await one.start()
    yield one
    await one.stop()
    assert one.unbelieved == []


@pytest_asyncio.fixture
async def car(broker: Broker, cloud: Cloud, tmp_path: Path) -> AsyncIterator[SimulatedCar]:
    one = SimulatedCar(
        VIN,
        tmp_path / VIN,
        lambda: broker.make_link("mqtt"),
        cloud.signed.credentials,
        SystemClock(),
        awake=True,
    )
    one.start()
    yield one
    await one.stop()


async def stored(cloud: Cloud, stream: str) -> int:
    return (await cloud.jetstream.stream_info(stream)).state.messages


async def test_a_command_waits_in_the_session_and_goes_when_its_time_is_up(
    cloud: Cloud, car: SimulatedCar
) -> None:
    await cloud.subscribes(EventKind.STATUS)
    await car.agent.sleep()
    await cloud.order(CommandKind.DOOR, door_command(), ttl_seconds=1)
    assert await stored(cloud, MQTT_MESSAGES) == 1
    async with asyncio.timeout(WAIT_SECONDS):
        while await stored(cloud, MQTT_MESSAGES) or await stored(cloud, VEHICLE_COMMANDS):  # noqa: ASYNC110 - the broker tells nobody that a message expired
            await asyncio.sleep(0.05)
    await cloud.order(CommandKind.DOOR, in_time := door_command(), ttl_seconds=30)
    car.agent.wake()
    result = await cloud.subscribes(EventKind.RESULT)
    assert (result.command_id, result.outcome) == (in_time.command_id, report_pb2.COMMAND_OUTCOME_SUCCEEDED)
    assert {r.command_id for r in cloud.received(EventKind.RECEIVED)} == {in_time.command_id}


async def test_a_command_in_the_session_survives_the_brokers_death(
    broker: Broker, cloud: Cloud, car: SimulatedCar
) -> None:
    await cloud.subscribes(EventKind.STATUS)
    await car.agent.sleep()
    command = door_command()
    await cloud.order(CommandKind.DOOR, command)
    broker.kill()
    await broker.start()
    car.agent.wake()
    assert (await cloud.subscribes(EventKind.RESULT)).command_id == command.command_id
    assert len([line for line in car.car.log.read() if line["outcome"] == "moved"]) == 5


async def test_an_unconfirmed_command_comes_again(broker: Broker, cloud: Cloud) -> None:
    link = broker.make_link("mqtt")
    await link.open()
    await cloud.order_bytes("door", b"an order")
    (first,) = await link.receive()
    (again,) = await link.receive()
    assert again.data == first.data
    await again.acknowledge()
    await cloud.queue_is_empty()
    await link.close()


async def test_what_the_queue_holds_goes_into_the_session_on_the_hello(
    cloud: Cloud, car: SimulatedCar
) -> None:
    await cloud.subscribes(EventKind.HELLO)  # and what the queue held then has been moved
    await cloud.order(CommandKind.DOOR, door_command(), ttl_seconds=30)
    await cloud.subscribes(EventKind.RESULT)
    assert await stored(cloud, VEHICLE_COMMANDS) == 1
    await car.reboot()
    await cloud.subscribes(EventKind.RESULT, 2)  # the stored result once more
    async with asyncio.timeout(WAIT_SECONDS):
        while await stored(cloud, VEHICLE_COMMANDS):  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.02)
    assert len([line for line in car.car.log.read() if line["outcome"] == "moved"]) == 5


async def test_what_is_confirmed_is_stored_whatever_happens_to_the_broker(
    broker: Broker, cloud: Cloud
) -> None:
    link = broker.make_link("mqtt")
    await link.open()
    confirmed: set[bytes] = set()

    # Of each kind so few that all are kept: the stream has a bound for each car and kind.
    kinds = [event for event in EventKind if event is not EventKind.STATUS]

    async def say(who: int) -> None:
        for number in range(10_000):
            data = f"{who}.{number}".encode()
            try:
                await link.publish(kinds[who % len(kinds)], "", data)
            except LinkDownError:
                return
            confirmed.add(data)

    await cloud.stop()
    talking = [asyncio.create_task(say(who)) for who in range(16)]
    await until(lambda: len(confirmed) > 500)
    broker.kill()
    await asyncio.gather(*talking)
    await link.close()
    await broker.start()

    assert confirmed <= await everything(broker)


async def everything(broker: Broker) -> set[bytes]:
    client = await nats.connect(broker.url, user="cloud", password="cloud")
    jetstream = client.jetstream()
    left = (await jetstream.stream_info(VEHICLE_MQTT_EVENTS)).state.messages
    config = ConsumerConfig(ack_policy=AckPolicy.NONE)
    reader = await jetstream.pull_subscribe("", stream=VEHICLE_MQTT_EVENTS, config=config)
    found: set[bytes] = set()
    while left:
        batch = await reader.fetch(min(500, left), timeout=WAIT_SECONDS)
        left -= len(batch)
        assert {message.subject for message in batch} <= {event_subject(VIN, event) for event in EventKind}
        found |= {message.data for message in batch}
    await client.close()
    return found


async def test_presence_tells_a_sleeping_car_from_a_lost_one(broker: Broker) -> None:
    client = await nats.connect(broker.url, user="cloud", password="cloud")
    received = await client.subscribe(presence_subject(VIN))
    await client.flush()
    link = MqttLink(VIN, broker.mqtt_account)
    await link.open()
    assert (await received.next_msg(WAIT_SECONDS)).data == b"online"
    await link.close()
    assert (await received.next_msg(WAIT_SECONDS)).data == b"asleep"
    await link.open()
    assert (await received.next_msg(WAIT_SECONDS)).data == b"online"
    assert link._connection is not None
    wire = link._connection._client.socket()
    assert wire is not None
    wire.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]  # a socket, as long as TLS and TCP carry it
    assert (await received.next_msg(WAIT_SECONDS)).data == b"lost"
    with pytest.raises(LinkDownError):
        await link.receive()
    assert not link.is_open
    await link.close()
    await client.close()


async def test_a_car_has_no_say_and_no_ear_for_another(broker: Broker, cloud: Cloud) -> None:
    ended = asyncio.Event()
    connection = MqttConnection(
        VIN, broker.mqtt_account, LastWill("vehicle/x/presence", b"lost"), lambda _message: None, ended.set
    )
    await connection.open()
    for topic in (f"vehicle/{OTHER_VIN}/cmd/+", "vehicle/+/cmd/+", "#", "$MQTT/sub/#", "$MQTT/msgs/#"):
        with pytest.raises(LinkDownError, match="subscription refused"):
            await connection.subscribe(topic)
    before = await stored(cloud, VEHICLE_MQTT_EVENTS)
    try:
        await connection.publish(f"vehicle/{OTHER_VIN}/evt/hello", b"x")
    except LinkDownError:  # confirmed or cut off: in neither case may it count
        await asyncio.wait_for(ended.wait(), WAIT_SECONDS)
    assert await stored(cloud, VEHICLE_MQTT_EVENTS) == before
    connection.close()


async def test_streams_that_the_broker_made_by_itself_are_set_right(broker: Broker) -> None:
    link = broker.make_link("mqtt")
    await link.open()  # before any service: the broker makes a stream for everything
    cloud = Cloud(broker, "mqtt")
    await cloud.start()
    info = await cloud.jetstream.stream_info(MQTT_MESSAGES)
    assert tuple(info.config.subjects or ()) == STREAMS[MQTT_MESSAGES].subjects
    await cloud.order_bytes("door", b"an order", ttl_seconds=30)
    assert [delivery.kind for delivery in await link.receive()] == [CommandKind.DOOR]
    await link.close()
    await cloud.stop()


@pytest.mark.parametrize("account", ["wrong password", "nobody listens"])
async def test_no_connection_is_one_clear_refusal(broker: Broker, account: str) -> None:
    right = broker.mqtt_account
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    wrong = type(right)("127.0.0.1", right.port, "car-mqtt", "no") if "password" in account else None
    link = MqttLink(VIN, wrong or type(right)("127.0.0.1", port))
    with pytest.raises(LinkDownError):
        await link.open()
    await link.close()


async def test_a_copy_that_was_lost_is_brought_to_a_car_that_stays_connected(
    broker: Broker, cloud: Cloud
) -> None:
    """As it is when the sessions' stream has no leader at that moment, because a node has died."""
    link = broker.make_link("mqtt")
    await link.open()
    config = (await cloud.jetstream.stream_info(VEHICLE_COMMANDS)).config
    await cloud.jetstream.update_stream(config.evolve(republish=None))
    await cloud.order_bytes("door", b"an order")
    await cloud.jetstream.update_stream(config)
    client = await nats.connect(broker.url, user="cloud", password="cloud")
    sessions = MqttSessions(RoomBroker(client, configs=stream_config), lambda: datetime.now(UTC))
    await sessions.pass_on(VIN)  # nothing is known of the car yet
    assert await stored(cloud, VEHICLE_COMMANDS) == 1
    sessions.received(VIN, over_mqtt=False)
    await sessions.pass_on(VIN)  # it pulls for itself
    assert await stored(cloud, VEHICLE_COMMANDS) == 1
    sessions.received(VIN, over_mqtt=True)
    await sessions.pass_on(VIN)
    (order,) = await asyncio.wait_for(link.receive(), WAIT_SECONDS)
    assert order.data == b"an order"
    await order.acknowledge()
    await cloud.queue_is_empty()
    await sessions.pass_on(VIN)
    await client.close()
    await link.close()

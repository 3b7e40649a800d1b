"""A car with its own valid certificate attacks over MQTT, byte by byte: nothing of anybody else is reached.

MQTT has no reply subjects and no headers; it has retained messages, wills, three qualities of service, patterns to
subscribe to, and client ids.
"""

from __future__ import annotations

import asyncio
import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from mesh.nats_config import MOST_SUBSCRIPTIONS
from mesh.sandbox import broker_user, vehicle_identity
from protocol.streams import MQTT_MESSAGES, MQTT_RETAINED, VEHICLE_MESSAGE_BYTES, VEHICLE_MQTT_EVENTS
from protocol.subjects import EventKind, event_subject, mqtt_topic, presence_subject, status_subject
from services.enrolment.domain import MOST_ARRIVALS
from tests.messaging.broker_harness import OTHER, VIN, WAIT_SECONDS, BrokerHarness, free_base
from tests.messaging.test_hostile_car import HARMFUL
from tests.messaging.witness import Witness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PING, PONG = (
    0x10,
    0x20,
    0x30,
    0x40,
    0x82,
    0x90,
    0xC0,
    0xD0,
)
REFUSED = 0x80
HELLO_TOPIC = mqtt_topic(event_subject(VIN, EventKind.HELLO))


def _text(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


class RawMqtt:
    """One connection, packet by packet. `closed` is set once the broker has hung up."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, harness: BrokerHarness, certificate: str = "") -> RawMqtt:
        tls = harness.tls(certificate or vehicle_identity(VIN).name)
        reader, writer = await asyncio.open_connection("127.0.0.1", harness.ports.mqtt, ssl=tls)
        return cls(reader, writer)

    async def connect(
        self,
        client_id: str = VIN,
        *,
        will: tuple[str, bytes, int] | None = None,
        user: tuple[str, str] | None = None,
        clean: bool = True,
    ) -> int | None:
        """The broker's code; None when it hung up. `will` is topic, payload and flags."""
        flags = 0x02 if clean else 0
        payload = _text(client_id.encode())
        if will is not None:
            flags |= 0x04 | will[2]
            payload += _text(will[0].encode()) + _text(will[1])
        if user is not None:
            flags |= 0xC0
            payload += _text(user[0].encode()) + _text(user[1].encode())
        self._send(CONNECT, _text(b"MQTT") + bytes((4, flags, 0, 60)) + payload)
        answer = await self.read()
        return None if answer is None else answer[1][1]

    async def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> bool:
        """Whether the broker goes on with this connection afterwards."""
        packet = _text(topic.encode()) + (struct.pack(">H", 7) if qos else b"") + payload
        self._send(PUBLISH | qos << 1 | retain, packet)
        return await self.lives()

    async def subscribe(self, topic: str, qos: int = 1) -> int | None:
        """What it granted; None when it hung up."""
        self._send(SUBSCRIBE, struct.pack(">H", 9) + _text(topic.encode()) + bytes((qos,)))
        while (answer := await self.read()) is not None:
            if answer[0] == SUBACK:
                return answer[1][2]
        return None

    async def lives(self) -> bool:
        """Everything that was sent has been dealt with; whether it still answers."""
        self._send(PING, b"")
        while (answer := await self.read()) is not None:
            if answer[0] == PONG:
                return True
        return False

    async def read(self) -> tuple[int, bytes] | None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                kind = (await self._reader.readexactly(1))[0]
                length, shift = 0, 0
                while True:
                    byte = (await self._reader.readexactly(1))[0]
                    length |= (byte & 0x7F) << shift
                    shift += 7
                    if not byte & 0x80:
                        break
                return kind, await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, OSError):  # also a handshake that was refused
            return None

    def cut(self) -> None:
        """Without a goodbye: the will is due."""
        self._writer.transport.abort()

    def _send(self, kind: int, packet: bytes) -> None:
        length, size = b"", len(packet)
        while True:
            size, byte = divmod(size, 128)
            length += bytes((byte | (0x80 if size else 0),))
            if not size:
                break
        self._writer.write(bytes((kind,)) + length + packet)


@pytest_asyncio.fixture
async def harness(tmp_path: Path) -> AsyncIterator[BrokerHarness]:
    one = BrokerHarness(tmp_path / "doors", free_base())
    try:
        await one.open()
        yield one
    finally:
        await one.close()


@pytest_asyncio.fixture
async def witness(harness: BrokerHarness) -> Witness:
    one = Witness(harness, VEHICLE_MQTT_EVENTS)
    await one.begin()
    return one


async def car(harness: BrokerHarness) -> RawMqtt:
    one = await RawMqtt.open(harness)
    assert await one.connect() == 0
    return one


FOREIGN = [
    subject.replace(".", "/")
    for subject in (
        *HARMFUL,
        f"vehicle.{VIN}.evt.more",
        f"vehicle.{VIN}.evt",
        f"vehicle.{VIN}.evt.hello.more",
        f"$MQTT.sub.{OTHER}",
        "$MQTT.sess.x",
        "$MQTT.qos2.in.x",
    )
    if subject
    not in {event_subject(VIN, EventKind.HELLO), status_subject(VIN), event_subject(OTHER, EventKind.HELLO)}
] + [mqtt_topic(event_subject(OTHER, EventKind.HELLO)), "vehicle//evt/hello", "/", f"{HELLO_TOPIC}/"]


@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("qos", [0, 1])
async def test_a_car_says_nothing_under_another_topic(
    harness: BrokerHarness, witness: Witness, qos: int, retain: bool
) -> None:
    for topic in FOREIGN:
        hostile = await car(harness)
        await hostile.publish(topic, b"x", qos=qos, retain=retain)
        hostile.cut()
    assert witness.received == []
    assert await retained(harness) == 0
    await witness.assert_nothing_came_of_it()


@pytest.mark.parametrize("retain", [0, 0x20])
async def test_no_will_speaks_under_another_topic(
    harness: BrokerHarness, witness: Witness, retain: int
) -> None:
    for topic in FOREIGN:
        hostile = await RawMqtt.open(harness)
        if await hostile.connect(will=(topic, b"x", 0x08 | retain)) == 0:
            await hostile.lives()
        hostile.cut()
    # The broker publishes a will when it sees the end: the next connection of the same id comes after that.
    last = await car(harness)
    assert await last.lives()
    last.cut()
    assert witness.received == []
    assert await retained(harness) == 0
    await witness.assert_nothing_came_of_it()


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_a_car_hears_nothing_but_its_own_commands(
    harness: BrokerHarness, witness: Witness, qos: int
) -> None:
    patterns = [
        "#",
        "+/#",
        "vehicle/#",
        "vehicle/+/cmd/+",
        f"vehicle/{OTHER}/cmd/+",
        f"vehicle/{VIN}/#",
        "+/+/+/+",
    ]
    patterns += ["$MQTT/#", "$SYS/#", "$JS/#", "_INBOX/#", "door/update/+", "room/#", f"vehicle/{VIN}/cmd/#"]
    for topic in (*patterns, *(topic for topic in FOREIGN if f"vehicle/{VIN}/cmd" not in topic)):
        hostile = await car(harness)
        assert await hostile.subscribe(topic, qos) in {None, REFUSED}, topic
        hostile.cut()
    await witness.assert_nothing_came_of_it()


@pytest.mark.parametrize("client_id", [OTHER, "", "x", f"{VIN}x", "command", "$MQTT"])
async def test_no_session_but_its_own(harness: BrokerHarness, witness: Witness, client_id: str) -> None:
    hostile = await RawMqtt.open(harness)
    assert await hostile.connect(client_id, clean=True) != 0
    await witness.assert_nothing_came_of_it()


@pytest.mark.parametrize("service", ["command", "enrolment"])
async def test_a_service_s_name_and_password_are_nothing_over_mqtt(
    harness: BrokerHarness, service: str
) -> None:
    password = harness.sandbox.nats_password(service).read_text()
    for client_id in (VIN, "x"):
        hostile = await RawMqtt.open(harness)
        if await hostile.connect(client_id, user=(broker_user(service), password)) == 0:
            # With a car's certificate one is that car.
            assert client_id == VIN
            assert await hostile.subscribe("room/#") in {None, REFUSED}
            assert await hostile.subscribe(f"vehicle/{OTHER}/cmd/+") in {None, REFUSED}
        hostile.cut()
    # The listener takes certificates of vehicles only.
    hostile = await RawMqtt.open(harness, service)
    assert await hostile.connect(VIN, user=(broker_user(service), password)) is None


async def test_a_car_is_not_let_in_without_end(harness: BrokerHarness) -> None:
    for _ in range(MOST_ARRIVALS):
        assert harness.deps.arrivals.take(VIN, datetime.now(UTC))
    hostile = await RawMqtt.open(harness)
    assert await hostile.connect() != 0
    other = harness.link("mqtt", vin=OTHER)
    await other.open()
    await other.close()


async def test_no_message_is_kept_for_whoever_subscribes(harness: BrokerHarness) -> None:
    hostile = await car(harness)
    for topic in (
        HELLO_TOPIC,
        mqtt_topic(presence_subject(VIN)),
        mqtt_topic(event_subject(VIN, EventKind.RESULT)),
    ):
        for number in range(20):
            await hostile.publish(topic, b"kept %d" % number, retain=True)
    hostile.cut()
    assert await retained(harness) == 0


async def test_quality_of_service_2_is_refused(harness: BrokerHarness, witness: Witness) -> None:
    hostile = await car(harness)
    assert not await hostile.publish(HELLO_TOPIC, b"x", qos=2)
    inbound = await harness.observe(MQTT_MESSAGES)
    for stream in await inbound.streams_info():
        assert stream.config.name == "$MQTT_sess" or stream.state.messages == 0, stream.config.name
    await witness.assert_nothing_came_of_it()


async def test_a_car_has_few_subscriptions(harness: BrokerHarness) -> None:
    """Each costs the broker a consumer that outlives the connection."""
    hostile = await RawMqtt.open(harness)
    assert await hostile.connect(clean=False) == 0
    granted = 0
    for number in range(4 * MOST_SUBSCRIPTIONS):
        if await hostile.subscribe(f"vehicle/{VIN}/cmd/c{number}") in {None, REFUSED}:
            break
        granted += 1
    hostile.cut()
    assert granted < MOST_SUBSCRIPTIONS
    sessions = await harness.observe(MQTT_MESSAGES)
    assert (await sessions.stream_info(MQTT_MESSAGES)).state.consumer_count <= MOST_SUBSCRIPTIONS


async def test_a_message_that_is_too_long_is_not_stored(harness: BrokerHarness, witness: Witness) -> None:
    hostile = await car(harness)
    await hostile.publish(HELLO_TOPIC, bytes(VEHICLE_MESSAGE_BYTES + 1))
    await hostile.publish(mqtt_topic(event_subject(VIN, EventKind.STATUS)), bytes(VEHICLE_MESSAGE_BYTES + 1))
    hostile.cut()
    await witness.assert_nothing_came_of_it()


async def test_one_car_s_flood_pushes_out_nothing_of_another_s(
    harness: BrokerHarness, witness: Witness
) -> None:
    hostile = await car(harness)
    for _ in range(300):
        assert await hostile.publish(HELLO_TOPIC, b"x" * 1_000)
    hostile.cut()
    events = await harness.observe(VEHICLE_MQTT_EVENTS)
    async with asyncio.timeout(WAIT_SECONDS):
        while (await events.stream_info(VEHICLE_MQTT_EVENTS)).state.last_seq < 300:  # noqa: ASYNC110  # the broker writes in its own time
            await asyncio.sleep(0.05)
    await witness.assert_nothing_came_of_it(allowed={event_subject(VIN, EventKind.HELLO): 256})
    assert (
        await events.get_last_msg(VEHICLE_MQTT_EVENTS, event_subject(VIN, EventKind.HELLO))
    ).data == b"x" * 1_000


async def retained(harness: BrokerHarness) -> int:
    streams = await harness.observe(MQTT_RETAINED)
    return (await streams.stream_info(MQTT_RETAINED)).state.messages

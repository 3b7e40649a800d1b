"""Who is let in at a real broker, and what a car with a valid certificate may do: over NATS and MQTT."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import nats
import nats.errors
import pytest
import pytest_asyncio
from ecarus.remotecontrol.access.v1.vehicle_keys_service_pb2 import VehicleKeysChanged
from nats.js.errors import NotFoundError
from structlog.testing import capture_logs

from mesh.pki import VEHICLE_CA, CertificateIdentity, Pki
from mesh.sandbox import OPERATOR, broker_user, vehicle_identity
from protocol.stream_config import command_queue
from protocol.streams import MQTT_QOS_HEADER, STREAMS, VEHICLE_COMMANDS, VEHICLE_EVENTS, VEHICLE_MQTT_EVENTS
from protocol.subjects import (
    VEHICLE_KEYS_CHANGED_SUBJECT,
    CommandKind,
    EventKind,
    command_subject,
    event_subject,
)
from services.enrolment.domain import MOST_TAKEOVERS
from services.platform.logs import masked_id
from tests.messaging.broker_harness import OTHER, VIN, WAIT_SECONDS, BrokerHarness, free_base
from vehicle.link.mqtt_connection import LastWill, MqttAccount, MqttConnection
from vehicle.link.mqtt_link import MqttLink
from vehicle.link.nats_link import NatsAccount, NatsLink
from vehicle.link.port import LinkDownError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


LINKS = pytest.mark.parametrize("link", ["nats", "mqtt"])


@pytest_asyncio.fixture
async def harness(tmp_path: Path) -> AsyncIterator[BrokerHarness]:
    one = BrokerHarness(tmp_path / "doors", free_base())
    try:
        await one.open()
        yield one
    finally:
        await one.close()


async def last_event(harness: BrokerHarness, vin: str) -> bytes | None:
    events, over_mqtt = await harness.observe(VEHICLE_EVENTS), await harness.observe(VEHICLE_MQTT_EVENTS)
    hello = event_subject(vin, EventKind.HELLO)
    try:
        return (await events.get_last_msg(VEHICLE_EVENTS, hello)).data
    except NotFoundError:
        return (await over_mqtt.get_last_msg(VEHICLE_MQTT_EVENTS, hello)).data


@LINKS
async def test_an_enrolled_car_speaks_for_itself(harness: BrokerHarness, link: str) -> None:
    car = harness.link(link)
    await car.open()
    await car.publish(EventKind.HELLO, "1", b"it is me")
    assert await last_event(harness, VIN) == b"it is me"
    await car.publish(EventKind.STATUS, "2", b"locked")
    await car.close()


@LINKS
@pytest.mark.parametrize(
    "certificate", ["command", OPERATOR, "edge", "team-demo", "vehicle-KMHSH81C7LU654321"]
)
async def test_nobody_gets_in_as_a_car_with_another_certificate(
    harness: BrokerHarness, link: str, certificate: str
) -> None:
    car = harness.link(link, certificate)
    if certificate.endswith(OTHER) and link == "nats":
        # NATS has no client id to compare: it gets in, as the car that its certificate names.
        await car.open()
        with pytest.raises(LinkDownError):
            await car.publish(EventKind.HELLO, "1", b"not me")
    else:
        with pytest.raises(LinkDownError):
            await car.open()
    await car.close()


@LINKS
async def test_nobody_gets_in_without_a_certificate_or_with_a_strange_one(
    harness: BrokerHarness, link: str, tmp_path: Path
) -> None:
    strange = Pki(tmp_path / "strange", datetime.now(UTC), VEHICLE_CA).ensure(vehicle_identity(VIN))
    stranger = harness.tls(None)
    stranger.load_cert_chain(strange.cert, strange.key)
    ours_but_new = harness.vehicle_pki.ensure(
        CertificateIdentity("again", uri=vehicle_identity(VIN).uri, server=False)
    )
    unknown = harness.tls(None)
    unknown.load_cert_chain(ours_but_new.cert, ours_but_new.key)
    for tls in (harness.tls(None), stranger, unknown):
        car: NatsLink | MqttLink = (
            NatsLink(VIN, NatsAccount(harness.url, tls=tls))
            if link == "nats"
            else MqttLink(VIN, MqttAccount("127.0.0.1", harness.ports.mqtt, tls=tls))
        )
        with pytest.raises(LinkDownError):
            await car.open()
        await car.close()


async def test_a_service_s_name_is_not_enough(harness: BrokerHarness) -> None:
    """With a car's certificate one is the car, whatever one calls oneself."""
    for certificate in ("command", "status"):
        account = NatsAccount(harness.url, broker_user("command"), "guess", harness.tls(certificate))
        car = NatsLink(VIN, account)
        with pytest.raises(LinkDownError):
            await car.open()
        await car.close()
    tls = harness.tls(vehicle_identity(VIN).name)
    password = harness.sandbox.nats_password("command").read_text()
    car = NatsLink(VIN, NatsAccount(harness.url, broker_user("command"), password, tls))
    await car.open()
    assert await harness.revoke(VIN) == 1
    with pytest.raises(LinkDownError):
        await asyncio.wait_for(car.receive(), WAIT_SECONDS)
    await car.close()


@pytest_asyncio.fixture
async def single(tmp_path: Path) -> AsyncIterator[BrokerHarness]:
    """As the product: one connection for each car."""
    one = BrokerHarness(tmp_path / "doors", free_base())
    try:
        await one.open(newest_only=True)
        yield one
    finally:
        await one.close()


@pytest.mark.parametrize(("before", "after"), [("nats", "nats"), ("mqtt", "nats"), ("nats", "mqtt")])
async def test_a_second_connection_of_one_car_ends_the_first_and_the_operator_reads_it(
    single: BrokerHarness, before: str, after: str
) -> None:
    first, second, bystander = single.link(before), single.link(after), single.link("nats", vin=OTHER)
    await bystander.open()
    await first.open()
    waiting = asyncio.create_task(first.receive())
    with capture_logs() as logs:
        await second.open()
        with pytest.raises(LinkDownError):
            await asyncio.wait_for(waiting, WAIT_SECONDS)
        async with asyncio.timeout(WAIT_SECONDS):
            while not (told := [one for one in logs if one["event"] == "vehicle_connected_twice"]):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert told == [
        {"event": "vehicle_connected_twice", "log_level": "warning", "vin": masked_id(VIN), "times": 1}
    ]
    await second.publish(EventKind.HELLO, "1", b"it is me")
    await bystander.publish(EventKind.HELLO, "1", b"it is somebody else")
    for car in (first, second, bystander):
        await car.close()


async def test_units_that_take_each_other_s_place_are_an_error(single: BrokerHarness) -> None:
    cars = [single.link("nats") for _ in range(MOST_TAKEOVERS + 1)]
    with capture_logs() as logs:
        for car in cars:
            await car.open()
        async with asyncio.timeout(WAIT_SECONDS):
            while not (told := [one for one in logs if one["event"] == "vehicle_has_two_units"]):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert [one["log_level"] for one in told] == ["error"]
    assert VIN not in str(logs)
    for car in cars:
        await car.close()


async def test_a_connection_that_ended_by_itself_is_nobody_s_second(single: BrokerHarness) -> None:
    with capture_logs() as logs:
        for _ in range(3):
            car = single.link("nats")
            await car.open()
            await car.close()
        replica = single.broker
        assert replica is not None
        await replica.client.flush()
    assert not [one for one in logs if one["event"].startswith("vehicle_connected_twice")]


FORBIDDEN_TO_SAY = [
    event_subject(OTHER, EventKind.HELLO),
    f"vehicle_status.0.{OTHER}",
    f"vehicle.{VIN}.cmd.door",
    f"vehicle.{OTHER}.cmd.door",
    f"vehicle.{OTHER}.presence",
    f"$MQTT.msgs.vehicle.{OTHER}.cmd.door",
    f"$JS.API.CONSUMER.MSG.NEXT.{VEHICLE_COMMANDS}.{OTHER}",
    f"$JS.API.CONSUMER.CREATE.{VEHICLE_COMMANDS}.mine",
    "$JS.API.STREAM.INFO.VEHICLE_COMMANDS",
    f"$JS.ACK.{VEHICLE_COMMANDS}.{OTHER}.1.1.1.1.1",
    "operator.vehicle.list",
    "room.access.revoked",
    VEHICLE_KEYS_CHANGED_SUBJECT,
    f"vehicle.{VIN}.cmd.session",
    f"vehicle.{VIN}.cmd.keys",
    f"door.update.{VIN}",
    f"hint.condition.{VIN}",
    "hint.shown",
    "$SYS.REQ.USER.AUTH",
    "$SYS.REQ.SERVER.PING",
]
FORBIDDEN_TO_HEAR = [
    ">",
    "vehicle.>",
    f"vehicle.{OTHER}.cmd.door",
    "vehicle.*.cmd.*",
    f"vehicle.{OTHER}.evt.>",
    f"_INBOX.{OTHER}.>",
    "_INBOX.>",
    "$MQTT.sub.>",
    "$MQTT.msgs.>",
    "door.update.>",
    "room.>",
    "operator.>",
    "$SYS.>",
]


async def test_over_nats_a_car_has_no_say_and_no_ear_beyond_its_own(harness: BrokerHarness) -> None:
    refused: asyncio.Queue[str] = asyncio.Queue()

    async def on_error(error: Exception) -> None:
        refused.put_nowait(str(error))  # in small letters

    car = await nats.connect(
        harness.url, tls=harness.tls(vehicle_identity(VIN).name), allow_reconnect=False, error_cb=on_error
    )
    for subject in FORBIDDEN_TO_SAY:
        await car.publish(subject, b"x")
        assert subject.lower() in await asyncio.wait_for(refused.get(), WAIT_SECONDS)
    for subject in FORBIDDEN_TO_HEAR:
        await car.subscribe(subject)
        assert subject.lower() in await asyncio.wait_for(refused.get(), WAIT_SECONDS)
    await car.close()


async def test_over_mqtt_a_car_has_no_say_and_no_ear_beyond_its_own(harness: BrokerHarness) -> None:
    other = harness.link("mqtt", vin=OTHER)
    await other.open()

    async def one_attempt(topic: str, *, receive: bool) -> None:
        account = MqttAccount("127.0.0.1", harness.ports.mqtt, tls=harness.tls(vehicle_identity(VIN).name))
        will = LastWill(f"vehicle/{VIN}/presence", b"lost")
        connection = MqttConnection(VIN, account, will, lambda _message: None, lambda: None)
        await connection.open()
        try:
            if receive:
                with pytest.raises(LinkDownError):
                    await connection.subscribe(topic)
            else:
                await connection.publish(topic, b"x")
        except LinkDownError:
            return  # cut off for it
        finally:
            connection.close()

    before = {name: (await harness.jetstream.stream_info(name)).state.last_seq for name in STREAMS}
    for subject in FORBIDDEN_TO_SAY:
        await one_attempt(subject.replace(".", "/"), receive=False)
    for subject in FORBIDDEN_TO_HEAR:
        topic = subject.replace(".", "/").replace("*", "+").replace(">", "#")
        await one_attempt(topic, receive=True)
    after = {name: (await harness.jetstream.stream_info(name)).state.last_seq for name in STREAMS}
    assert after[VEHICLE_EVENTS] == before[VEHICLE_EVENTS]
    assert after[VEHICLE_MQTT_EVENTS] == before[VEHICLE_MQTT_EVENTS]
    assert after[VEHICLE_COMMANDS] == before[VEHICLE_COMMANDS]
    assert other.is_open
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(other.receive(), 0.2)
    await other.close()


@LINKS
async def test_a_revocation_cuts_the_live_connection_and_an_enrolment_lets_in_again(
    harness: BrokerHarness, link: str
) -> None:
    car = harness.link(link)
    await car.open()
    assert await harness.revoke(VIN) == 1
    with pytest.raises(LinkDownError):
        await asyncio.wait_for(car.receive(), WAIT_SECONDS)
    with pytest.raises(LinkDownError):
        await car.open()
    assert (await harness.enrol(VIN)).revoked_at is None
    await car.open()
    await car.publish(EventKind.HELLO, "1", b"back")
    assert await last_event(harness, VIN) == b"back"
    await car.close()


@LINKS
async def test_after_the_broker_lost_everything_nothing_is_confirmed_that_nothing_keeps(
    harness: BrokerHarness, link: str
) -> None:
    car = harness.link(link)
    await car.open()
    await harness.lose_everything()
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            try:
                await car.open()
                await car.publish(EventKind.HELLO, "1", b"confirmed")
                break
            except LinkDownError:  # not let in before the streams are there
                await asyncio.sleep(0.02)
    assert await last_event(harness, VIN) == b"confirmed"
    await car.close()


async def test_the_operator_is_nobody_at_the_broker(harness: BrokerHarness) -> None:
    assert not harness.sandbox.nats_password(OPERATOR).exists()
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await nats.connect(
            harness.url, user=OPERATOR, password="", tls=harness.tls(OPERATOR), allow_reconnect=False
        )


async def test_every_room_hears_at_once_that_a_car_s_keys_changed(harness: BrokerHarness) -> None:
    ears = {}
    for service in ("command", "status", "config", "diagnostics"):
        client = await harness.client(service, service)
        ears[service] = await client.subscribe(VEHICLE_KEYS_CHANGED_SUBJECT)
        await client.flush()

    async def received() -> set[str]:
        return {
            VehicleKeysChanged.FromString((await ear.next_msg(WAIT_SECONDS)).data).vin
            for ear in ears.values()
        }

    await harness.revoke(VIN)
    assert await received() == {VIN}
    assert VIN not in await harness.register.valid_keys([VIN, OTHER])
    await harness.enrol(VIN)
    assert await received() == {VIN}
    assert VIN in await harness.register.valid_keys([VIN, OTHER])


@pytest.mark.parametrize("service", ["access", "command", "status", "config", "diagnostics"])
async def test_no_other_room_says_so(harness: BrokerHarness, service: str) -> None:
    refused: asyncio.Queue[str] = asyncio.Queue()

    async def on_error(error: Exception) -> None:
        refused.put_nowait(str(error))

    client = await harness.client(service, service, error_cb=on_error)
    await client.publish(VEHICLE_KEYS_CHANGED_SUBJECT, b"")
    assert VEHICLE_KEYS_CHANGED_SUBJECT in await asyncio.wait_for(refused.get(), WAIT_SECONDS)


async def test_the_signer_is_nobody_at_the_broker(harness: BrokerHarness) -> None:
    assert not harness.sandbox.nats_password("signer").exists()
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await nats.connect(
            harness.url, user="signer", password="", tls=harness.tls("signer"), allow_reconnect=False
        )


@LINKS
async def test_requests_for_a_session_and_manifests_reach_a_car(harness: BrokerHarness, link: str) -> None:
    if link == "nats":  # on MQTT the session keeps them
        await harness.jetstream.add_consumer(VEHICLE_COMMANDS, command_queue(VIN))
    car = harness.link(link)
    await car.open()
    for kind in (CommandKind.SESSION, CommandKind.KEYS):
        subject = command_subject(VIN, kind)
        await harness.jetstream.publish(subject, kind.encode(), headers={MQTT_QOS_HEADER: "1"})
    arrived: list[tuple[CommandKind | None, bytes]] = []
    async with asyncio.timeout(WAIT_SECONDS):
        while len(arrived) < 2:
            for delivery in await car.receive():
                arrived.append((delivery.kind, delivery.data))
                await delivery.acknowledge()
    assert arrived == [(CommandKind.SESSION, b"session"), (CommandKind.KEYS, b"keys")]
    await car.close()

"""A car floods a real broker: it is cut off within seconds and shut out, and no other car is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import nats
import nats.errors
import pytest
import pytest_asyncio

from mesh.sandbox import vehicle_identity
from protocol.streams import VEHICLE_COMMANDS
from protocol.subjects import EventKind, event_subject
from services.enrolment.adapters import traffic
from services.enrolment.adapters.flood_watch import LOOK_SECONDS, FloodWatch
from services.enrolment.adapters.traffic import BrokerTraffic
from services.enrolment.domain import MessageRates
from tests.messaging.broker_harness import OTHER, VIN, WAIT_SECONDS, BrokerHarness, free_base
from tests.support.raw_flood import RawFlood, cut_after, mqtt_packet, mqtt_text, open_raw, pub

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nats.aio.client import Client

PER_SECOND = 250
FLOOD_SECONDS = 40
CUT_SECONDS = 20.0
"""Two looks, and far more than that on a machine that does other things too; tests/attacks/test_floods.py looks at how
soon it is where nothing else runs. An attack lasts FLOOD_SECONDS where nothing ends it.
"""
PULL = pub(
    f"$JS.API.CONSUMER.MSG.NEXT.{VEHICLE_COMMANDS}.{VIN}", b'{"batch":1,"no_wait":true}', f"_INBOX.{VIN}.a"
)
FLOODS = {
    "pull": PULL * 500,
    "acknowledgement": pub(f"$JS.ACK.{VEHICLE_COMMANDS}.{VIN}.1.1.1.1.1", b"+ACK") * 500,
    "event": pub(event_subject(VIN, EventKind.HELLO), b"x") * 500,
    "what it may not": pub(event_subject(OTHER, EventKind.HELLO), b"x") * 500,
    "octets": pub(f"$JS.ACK.{VEHICLE_COMMANDS}.{VIN}.1.1.1.1.1", b" " * 30_000) * 2,
}


@pytest_asyncio.fixture
async def harness(tmp_path: Path) -> AsyncIterator[BrokerHarness]:
    one = BrokerHarness(tmp_path / "doors", free_base())
    try:
        await one.open()
        yield one
    finally:
        await one.close()


@pytest_asyncio.fixture
async def watch(harness: BrokerHarness) -> AsyncIterator[FloodWatch]:
    assert harness.broker is not None
    one = FloodWatch(harness.deps, BrokerTraffic(harness.broker.client), MessageRates(PER_SECOND, 1 << 20))
    await one.look()
    running = asyncio.create_task(one.run())
    yield one
    running.cancel()
    await asyncio.wait([running])


def raw(harness: BrokerHarness, vin: str = VIN) -> RawFlood:
    pair = harness.pki.pair(vehicle_identity(vin).name)
    return RawFlood(harness.ports.nats, harness.pki.ca, pair.cert, pair.key)


async def a_car(harness: BrokerHarness, vin: str) -> Client:
    client = await nats.connect(
        harness.url,
        tls=harness.tls(vehicle_identity(vin).name),
        allow_reconnect=False,
        max_reconnect_attempts=1,
    )
    await client.flush(WAIT_SECONDS)
    return client


async def let_in_again(harness: BrokerHarness) -> None:
    """As an operator does it, who may have to do it once more: the next look may still find what was sent before."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            await harness.enrol(VIN)
            try:
                again = await a_car(harness, VIN)
            except nats.errors.Error:
                await asyncio.sleep(max(LOOK_SECONDS))
            else:
                await again.close()
                return


@pytest.mark.usefixtures("watch")
@pytest.mark.parametrize("kind", FLOODS)
async def test_who_floods_is_cut_off_and_no_other_car_is(harness: BrokerHarness, kind: str) -> None:
    other = await a_car(harness, OTHER)
    flood = raw(harness).begin(FLOODS[kind], FLOOD_SECONDS)
    assert await asyncio.to_thread(cut_after, flood) < CUT_SECONDS
    assert harness.deps.shut_out.holds(VIN, harness.deps.now())
    with pytest.raises((nats.errors.Error, OSError)):
        await a_car(harness, VIN)
    await other.flush(WAIT_SECONDS)
    assert other.is_connected
    await other.close()
    await let_in_again(harness)


@pytest.mark.usefixtures("watch")
async def test_another_car_comes_meanwhile(harness: BrokerHarness) -> None:
    loop = asyncio.get_running_loop()
    flood = raw(harness).begin(FLOODS["pull"], FLOOD_SECONDS)
    longest, came = 0.0, 0
    while flood.poll() is None:
        began = loop.time()
        other = await a_car(harness, OTHER)
        longest, came = max(longest, loop.time() - began), came + 1
        await other.close()
    assert await asyncio.to_thread(cut_after, flood) < CUT_SECONDS
    assert came
    assert longest < CUT_SECONDS


@pytest.mark.usefixtures("watch")
async def test_who_sends_as_much_as_a_car_may_stays(harness: BrokerHarness) -> None:
    flood = raw(harness).begin(PULL * (PER_SECOND // 20), 6, per_second=10)
    said, _ = await asyncio.to_thread(flood.communicate)
    assert said.startswith("LEFT")
    assert not harness.deps.shut_out.holds(VIN, harness.deps.now())


async def test_who_hangs_up_before_each_look_is_seen(harness: BrokerHarness) -> None:
    assert harness.broker is not None
    watch = FloodWatch(harness.deps, BrokerTraffic(harness.broker.client), MessageRates(PER_SECOND, 1 << 20))
    await watch.look()
    pair = harness.pki.pair(vehicle_identity(VIN).name)

    def once() -> None:
        car = open_raw(harness.ports.nats, str(harness.pki.ca), str(pair.cert), str(pair.key))
        car.sendall(PULL * 3_000 + b"PING\r\n")
        while b"PONG" not in car.recv(1 << 16):
            pass
        car.close()

    await asyncio.to_thread(once)
    await watch.look()
    assert harness.deps.shut_out.holds(VIN, harness.deps.now())


async def test_a_new_flood_is_seen_beside_connections_of_long_standing(
    harness: BrokerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer are listed than there are, and all the others have sent more."""
    assert harness.broker is not None
    pair = harness.pki.pair(vehicle_identity(OTHER).name)
    pull = pub(
        f"$JS.API.CONSUMER.MSG.NEXT.{VEHICLE_COMMANDS}.{OTHER}",
        b'{"batch":1,"no_wait":true}',
        f"_INBOX.{OTHER}.a",
    )

    def of_long_standing() -> ssl.SSLSocket:
        car = open_raw(harness.ports.nats, str(harness.pki.ca), str(pair.cert), str(pair.key))
        car.sendall(pull * 50_000 + b"PING\r\n")
        while b"PONG" not in car.recv(1 << 16):
            pass
        return car

    others = [await asyncio.to_thread(of_long_standing) for _ in range(4)]
    asked, rates = BrokerTraffic(harness.broker.client), MessageRates(PER_SECOND, 1 << 20)
    rates.excessive(await asked.latest(), asyncio.get_running_loop().time())  # as if that had taken months
    monkeypatch.setattr(traffic, "MOST_LISTED", 2)
    running = asyncio.create_task(FloodWatch(harness.deps, asked, rates).run())
    flood = raw(harness).begin(PULL * 50, FLOOD_SECONDS, per_second=100)
    assert await asyncio.to_thread(cut_after, flood) < CUT_SECONDS
    running.cancel()
    await asyncio.wait([running])
    assert not harness.deps.shut_out.holds(OTHER, harness.deps.now())
    for other in others:
        other.close()


@pytest.mark.usefixtures("watch")
async def test_over_mqtt_too(harness: BrokerHarness) -> None:
    link = harness.link("mqtt")
    await link.open()

    async def publish_on(number: int) -> None:
        while link.is_open:
            await link.publish(EventKind.HELLO, str(number), b"x" * 20_000)

    await asyncio.wait(
        [asyncio.create_task(publish_on(number)) for number in range(64)], timeout=FLOOD_SECONDS
    )
    assert not link.is_open
    assert harness.deps.shut_out.holds(VIN, harness.deps.now())
    await link.close()


COMMANDS = mqtt_text(f"vehicle/{VIN}/cmd/+")
NUMBER = b"\x00\x01"
SUBSCRIBE, UNSUBSCRIBE = mqtt_packet(0x82, NUMBER + COMMANDS + b"\x01"), mqtt_packet(0xA2, NUMBER + COMMANDS)


async def test_who_subscribes_over_mqtt_without_end_is_cut_off(harness: BrokerHarness) -> None:
    """The broker counts none of it as a message, and makes and takes away a consumer for each."""
    other = harness.link("mqtt", vin=OTHER)
    await other.open()
    pair = harness.pki.pair(vehicle_identity(VIN).name)
    flood = RawFlood(harness.ports.mqtt, harness.pki.ca, pair.cert, pair.key, VIN)
    running = flood.begin((SUBSCRIBE + UNSUBSCRIBE) * 50, FLOOD_SECONDS)
    assert await asyncio.to_thread(cut_after, running) < CUT_SECONDS
    assert harness.deps.shut_out.holds(VIN, harness.deps.now())
    assert not harness.deps.shut_out.holds(OTHER, harness.deps.now())
    assert other.is_open
    await other.close()


async def test_who_comes_again_and_again_over_mqtt_is_no_flood(harness: BrokerHarness) -> None:
    """Each connection subscribes once."""
    for _ in range(8):
        link = harness.link("mqtt")
        await link.open()
        await link.close()
    assert not harness.deps.shut_out.holds(VIN, harness.deps.now())

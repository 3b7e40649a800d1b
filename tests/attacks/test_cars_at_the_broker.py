"""A car with its certificate and its keys, speaking to the broker as it likes: no other car, no stream and no service
takes notice.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from protocol.streams import DOOR_UPDATES, ROOM_EVENTS
from protocol.subjects import GRANT_REVOKED_SUBJECT, EventKind, update_subject
from services.enrolment.domain import MOST_CONNECTIONS
from tests.attacks.hostile_car import RawMqtt
from tests.attacks.sandbox import on_the_brokers_disk

if TYPE_CHECKING:
    from tests.attacks.bystander import BystanderProbe, Probe
    from tests.attacks.hostile_car import HostileCar
    from tests.support.running_mesh import Mesh

pytestmark = [pytest.mark.system, pytest.mark.untimed]

API_REPLIES = (
    "$JS.API.STREAM.DELETE.VEHICLE_EVENTS",
    "$JS.API.STREAM.PURGE.VEHICLE_EVENTS",
    "$JS.API.STREAM.DELETE.VEHICLE_COMMANDS",
    "$JS.API.STREAM.DELETE.DOOR_UPDATES",
    "$JS.API.STREAM.DELETE.ROOM_EVENTS",
    "$JS.API.CONSUMER.DELETE.VEHICLE_EVENTS.command-events",
)


def test_a_pull_that_is_answered_to_jetstreams_interface_reaches_nothing(
    bystander: BystanderProbe, hostile_car: HostileCar
) -> None:
    async def attack() -> None:
        async with await hostile_car.connect() as car:
            await car.say(EventKind.HELLO, hostile_car.hello())
            await car.orders(1)  # its queue is there now
            for reply in API_REPLIES:
                await car.pull(reply)
                await car.pull(reply, no_wait=False, expires=1_000_000)
                await car.say(EventKind.HELLO, hostile_car.hello(), reply)
            await car.flush()

    with bystander.undisturbed():
        asyncio.run(attack())


def test_a_confirmation_goes_nowhere_but_to_the_car(
    mesh: Mesh, bystander: BystanderProbe, hostile_car: HostileCar
) -> None:
    foreign = (
        update_subject(bystander.vin),
        GRANT_REVOKED_SUBJECT,
        "room.enrolment.changed",
        "room.status.verdicts",
        f"vehicle.{bystander.vin}.cmd.door",
        f"vehicle.{bystander.vin}.evt.result",
        f"hint.condition.{bystander.vin}",
        "hint.shown",
        f"_INBOX.{bystander.vin}.pull.1",
        f"_INBOX.{bystander.vin}.anything",
    )

    async def attack() -> None:
        async with await hostile_car.connect() as car:
            for _ in range(5):
                for subject in foreign:
                    await car.say(EventKind.HELLO, hostile_car.hello(), subject)
                    await car.say(EventKind.STATUS, b"\xff" * 50, subject)
            await car.flush()

    with bystander.undisturbed():
        asyncio.run(attack())
    confirmation = b'"stream":"VEHICLE_'
    for stream in (DOOR_UPDATES, ROOM_EVENTS, "VEHICLE_COMMANDS"):
        assert not on_the_brokers_disk(mesh, stream, confirmation), f"a confirmation was kept in {stream}"


def test_a_car_publishes_and_hears_nothing_but_its_own(
    bystander: BystanderProbe, hostile_car: HostileCar
) -> None:
    others = bystander.vin
    published = (
        f"vehicle.{others}.evt.result",
        f"vehicle.{others}.cmd.door",
        f"vehicle_status.0.{others}",
        f"door.update.{others}",
        "room.access.revoked",
        "room.enrolment.changed",
        "operator.vehicle.list",
        "$JS.API.STREAM.LIST",
        "$JS.API.STREAM.INFO.VEHICLE_EVENTS",
        f"$JS.API.CONSUMER.CREATE.VEHICLE_COMMANDS.{others}",
        f"$JS.API.CONSUMER.MSG.NEXT.VEHICLE_COMMANDS.{others}",
        f"$JS.ACK.VEHICLE_COMMANDS.{others}.1.1.1.1.1",
        "$SYS.REQ.SERVER.PING",
    )

    async def attack(probe: Probe) -> list[str]:
        async with await hostile_car.connect() as car:
            for subject in (
                ">",
                "_INBOX.>",
                f"_INBOX.{others}.>",
                f"vehicle.{others}.>",
                "deliver.>",
                "$SYS.>",
                "$JS.>",
            ):
                await car.listen(subject)
            for subject in published:
                await car.publish(subject, b"{}", f"_INBOX.{hostile_car.vin}.answer")
            await car.flush()
            await asyncio.to_thread(bystander.see, probe, 3)
            assert car.received == []
            return await car.not_refused(published)

    with bystander.undisturbed() as probe:
        assert asyncio.run(attack(probe)) == []


def test_mqtt_takes_exact_topics_only_and_keeps_nothing(
    mesh: Mesh, bystander: BystanderProbe, hostile_car: HostileCar
) -> None:
    own = f"vehicle/{hostile_car.vin}/evt"
    with bystander.undisturbed():
        with RawMqtt(hostile_car) as car:
            assert car.admitted
            for number in range(1, 3_001):
                if not car.publish(
                    f"{own}/kept{number}", b"MARK-OF-A-TOPIC" * 20, retain=True, number=number
                ):
                    break
            car.drain()
        for topic in (f"{own}/result", f"{own}/status", f"vehicle/{hostile_car.vin}/presence"):
            with RawMqtt(hostile_car) as car:
                car.publish(topic, b"MARK-OF-A-TOPIC", retain=True)
                car.drain()
    for stream in ("$MQTT_rmsgs", "$MQTT_msgs"):
        assert not on_the_brokers_disk(mesh, stream, b"MARK-OF-A-TOPIC"), f"kept in {stream}"


def test_mqtt_reaches_no_other_car_and_no_interface(
    bystander: BystanderProbe, hostile_car: HostileCar
) -> None:
    others = bystander.vin
    with bystander.undisturbed() as probe:
        for topic in (
            "#",
            f"vehicle/{others}/#",
            "$JS/#",
            "_INBOX/#",
            "$MQTT/#",
            "vehicle/+/cmd/+",
            "deliver/#",
        ):
            with RawMqtt(hostile_car) as car:
                answer = car.subscribe(topic)
                assert answer is None or answer[1][-1] == 0x80, f"{topic} was granted"
        for topic in (
            f"vehicle/{others}/cmd/door",
            f"vehicle/{others}/evt/result",
            "$JS/API/STREAM/DELETE/VEHICLE_EVENTS",
            "$MQTT/msgs/vehicle/x/evt/hello",
            f"door/update/{others}",
            "room/access/revoked",
        ):
            with RawMqtt(hostile_car) as car:
                car.publish(topic, b"{}")
                car.drain()
        with RawMqtt(hostile_car, client_id=others) as car:
            assert not car.admitted
        bystander.see(probe, 2)


def test_a_car_has_few_connections_at_once(bystander: BystanderProbe, hostile_car: HostileCar) -> None:
    async def attack(probe: Probe) -> int:
        async with contextlib.AsyncExitStack() as stack:
            cars = [await stack.enter_async_context(await hostile_car.connect()) for _ in range(60)]
            for _ in range(3):
                with RawMqtt(hostile_car):
                    await asyncio.to_thread(bystander.see, probe, 1)
            deadline = asyncio.get_running_loop().time() + 15
            while sum(car.alive for car in cars) > MOST_CONNECTIONS:
                assert asyncio.get_running_loop().time() < deadline, "connections are not bounded"
                await asyncio.sleep(0.1)
            return sum(car.alive for car in cars)

    with bystander.undisturbed() as probe:
        assert asyncio.run(attack(probe)) <= MOST_CONNECTIONS

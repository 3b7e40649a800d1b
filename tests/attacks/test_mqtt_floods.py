"""A car sends as much as one connection over MQTT carries; and what a flood over NATS is to a car on MQTT."""

from __future__ import annotations

import logging
import struct
import time
from typing import TYPE_CHECKING

import pytest

from protocol.subjects import CommandKind, EventKind, command_subject, event_subject, mqtt_topic
from tests.attacks.test_floods import (
    CHUNK_BYTES,
    CUT_SECONDS,
    EVENT_BYTES,
    FLOOD_SECONDS,
    control_lines,
    flood_of,
    lines,
    serves,
)
from tests.support.raw_flood import RawFlood, cut_after, mqtt_packet, mqtt_text, open_raw_mqtt

if TYPE_CHECKING:
    from tests.attacks.bystander import BystanderProbe
    from tests.attacks.hostile_car import HostileCar
    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system

CONTROL_FLOOD_SECONDS = 12


def packets(vin: str, kind: str) -> bytes:
    topic = mqtt_text(mqtt_topic(event_subject(vin, EventKind.HELLO)))
    commands = mqtt_text(mqtt_topic(command_subject(vin, CommandKind.DOOR)).removesuffix("door") + "+")
    number = struct.pack("!H", 1)
    one = {
        "QoS 1": mqtt_packet(0x32, topic + number + b"x" * EVENT_BYTES),
        "QoS 0": mqtt_packet(0x30, topic + b"x" * EVENT_BYTES),
        "PINGREQ": mqtt_packet(0xC0),
        "SUBSCRIBE": mqtt_packet(0x82, number + commands + b"\x01"),
        "SUBSCRIBE and UNSUBSCRIBE": mqtt_packet(0x82, number + commands + b"\x01")
        + mqtt_packet(0xA2, number + commands),
    }[kind]
    return one * (CHUNK_BYTES // len(one))


def mqtt_flood_of(car: HostileCar) -> RawFlood:
    cert, key = car.pair
    return RawFlood(car.mesh.ports.mqtt, car.mesh.ca, cert, key, car.vin)


def ended_connections(mesh: Mesh, vin: str) -> int:
    """How often the unit has lost its connection."""
    records = (mesh.data / "logs" / "vehicles.log").read_text(errors="replace").splitlines()
    return sum('"event": "link_down"' in line and f'"{vin[-6:]}"' in line for line in records)


def shut_out(car: HostileCar) -> bool:
    cert, key = car.pair
    try:
        open_raw_mqtt(car.mesh.ports.mqtt, str(car.mesh.ca), str(cert), str(key), car.vin).close()
    except OSError:
        return True
    return False


@pytest.mark.parametrize("kind", ["QoS 1", "QoS 0", "SUBSCRIBE and UNSUBSCRIBE"])
def test_a_flood_over_mqtt_is_cut_off(
    mesh: Mesh, mqtt_bystander: BystanderProbe, hostile_car: HostileCar, kind: str
) -> None:
    with mqtt_bystander.undisturbed():
        flood = mqtt_flood_of(hostile_car).begin(packets(hostile_car.vin, kind), FLOOD_SECONDS)
        while flood.poll() is None:
            assert serves(mesh), "the enrolment service does not serve"
            time.sleep(0.1)
        assert cut_after(flood) < CUT_SECONDS
        assert shut_out(hostile_car)
        assert serves(mesh)


@pytest.mark.parametrize("kind", ["PINGREQ", "SUBSCRIBE"])
def test_what_is_no_message_over_mqtt_slows_nobody_down(
    mesh: Mesh, mqtt_bystander: BystanderProbe, hostile_car: HostileCar, kind: str
) -> None:
    with mqtt_bystander.undisturbed():
        flood = mqtt_flood_of(hostile_car).begin(packets(hostile_car.vin, kind), CONTROL_FLOOD_SECONDS)
        while flood.poll() is None:
            assert serves(mesh), "the enrolment service does not serve"
            time.sleep(0.1)
        said, _ = flood.communicate()
    logging.getLogger(__name__).info("%s: %s", kind, said)


@pytest.mark.parametrize("kind", ["hello", "status"])
def test_a_flood_of_events_over_nats_is_nothing_to_a_car_on_mqtt(
    mesh: Mesh, mqtt_bystander: BystanderProbe, hostile_car: HostileCar, kind: str
) -> None:
    """The broker refuses what comes while too much waits, and ends a connection over MQTT of which it refuses."""
    before = ended_connections(mesh, mqtt_bystander.vin)
    with mqtt_bystander.undisturbed():
        flood = flood_of(hostile_car).begin(lines(hostile_car.vin, kind), FLOOD_SECONDS)
        assert cut_after(flood) < CUT_SECONDS
    assert ended_connections(mesh, mqtt_bystander.vin) == before


def test_who_subscribes_over_nats_without_end_slows_no_car_on_mqtt_down(
    mesh: Mesh, mqtt_bystander: BystanderProbe, hostile_car: HostileCar
) -> None:
    """The sessions of cars on MQTT are the broker's subscriptions: those of another car come and go beside them."""
    with mqtt_bystander.undisturbed():
        lines_of_it = control_lines(hostile_car.vin, "subscription")
        flood = flood_of(hostile_car).begin(lines_of_it, CONTROL_FLOOD_SECONDS)
        while flood.poll() is None:
            assert serves(mesh), "the enrolment service does not serve"
            time.sleep(0.1)
        said, _ = flood.communicate()
    logging.getLogger(__name__).info("subscription: %s", said)

"""A car sends as much as one connection carries: it is cut off in seconds, and cars come and go meanwhile."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import pytest

from mesh.pki import Pair
from mesh.probes import grpc_serving
from protocol.streams import VEHICLE_COMMANDS
from protocol.subjects import EventKind, event_subject
from tests.attacks.bystander import LONGEST_FLOOR_SECONDS
from tests.attacks.hostile_car import HostileCar
from tests.support.raw_flood import RawFlood, cut_after, open_raw, pub

if TYPE_CHECKING:
    from pathlib import Path

    from tests.attacks.bystander import BystanderProbe
    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system

FLOOD_SECONDS = 20
CONTROL_FLOOD_SECONDS = 12
CUT_SECONDS = 4.0
"""Two looks of a second, with room for a busy machine."""
COMES_FLOOR_SECONDS = 1.0
"""For so long a car may take to connect however quick it is when all is quiet."""
FACTOR = 2.0
PULLS_AGAIN_SECONDS = 11.0
"""What a car's own patience is with a pull that says nothing."""
COMMANDS_AFTER_WILDCARDS = 12
PULL_BODY = b'{"batch":1,"no_wait":true}'
KINDS = ("pull", "acknowledgement", "hello", "result", "status")
EVENT_BYTES = 600
CHUNK_BYTES = 48_000


def lines(vin: str, kind: str) -> bytes:
    pull = f"$JS.API.CONSUMER.MSG.NEXT.{VEHICLE_COMMANDS}.{vin}"
    one = {
        "pull": pub(pull, PULL_BODY, f"_INBOX.{vin}.a"),
        "acknowledgement": pub(f"$JS.ACK.{VEHICLE_COMMANDS}.{vin}.1.1.1.1.1", b"+ACK"),
        **{event: pub(event_subject(vin, event), b"x" * EVENT_BYTES) for event in EventKind},
    }[kind]
    return one * (CHUNK_BYTES // len(one))


def control_lines(vin: str, kind: str) -> bytes:
    """What the broker counts as no message: each asks it for work all the same."""
    one = {
        "ping": b"PING\r\n",
        "subscription": f"SUB _INBOX.{vin}.f 7\r\nUNSUB 7\r\n".encode(),
        "refused subscription": b"SUB vehicle.> 7\r\n",
        "refused publish": pub("vehicle.x.evt.status", b"x"),
    }[kind]
    return one * (CHUNK_BYTES // len(one))


def flood_of(car: HostileCar) -> RawFlood:
    cert, key = car.pair
    return RawFlood(car.mesh.ports.nats, car.mesh.ca, cert, key)


def serves(mesh: Mesh) -> bool:
    edge = Pair(mesh.data / "pki" / "edge.crt", mesh.data / "pki" / "edge.key")

    async def ask() -> bool:
        return await grpc_serving(mesh.ports.service("enrolment"), mesh.ca, edge)()

    return asyncio.run(ask())


def seconds_to_come(car: HostileCar) -> float:
    """How long a car takes to connect, from the first byte to the broker's answer."""
    began = time.monotonic()
    cert, key = car.pair
    open_raw(car.mesh.ports.nats, str(car.mesh.ca), str(cert), str(key)).close()
    return time.monotonic() - began


def shut_out(car: HostileCar) -> bool:
    try:
        seconds_to_come(car)
    except OSError:
        return True
    return False


@pytest.mark.parametrize("kind", KINDS)
def test_a_flood_is_cut_off_and_other_cars_come_meanwhile(
    mesh: Mesh, bystander: BystanderProbe, hostile_car: HostileCar, tmp_path: Path, kind: str
) -> None:
    other = HostileCar.enrol(mesh, tmp_path)
    quiet = max(seconds_to_come(other) for _ in range(5))
    with bystander.undisturbed():
        flood = flood_of(hostile_car).begin(lines(hostile_car.vin, kind), FLOOD_SECONDS)
        came = [seconds_to_come(other)]
        while flood.poll() is None:
            came.append(seconds_to_come(other))
            assert serves(mesh), "the enrolment service does not serve"
            time.sleep(0.1)
        assert cut_after(flood) < CUT_SECONDS
        assert shut_out(hostile_car)
        assert max(came) < max(FACTOR * quiet, COMES_FLOOR_SECONDS), f"quiet {quiet:.3f} s, then {came}"
        assert serves(mesh)


@pytest.mark.parametrize("kind", ["ping", "subscription", "refused subscription", "refused publish"])
def test_what_is_no_message_slows_nobody_down(
    mesh: Mesh, bystander: BystanderProbe, hostile_car: HostileCar, kind: str
) -> None:
    with bystander.undisturbed():
        flood = flood_of(hostile_car).begin(control_lines(hostile_car.vin, kind), CONTROL_FLOOD_SECONDS)
        while flood.poll() is None:
            assert serves(mesh), "the enrolment service does not serve"
            time.sleep(0.1)
        said, _ = flood.communicate()
    logging.getLogger(__name__).info("%s: %s", kind, said)


def test_wildcards_within_a_flood_cost_others_one_pull_at_most(
    mesh: Mesh, bystander: BystanderProbe, hostile_car: HostileCar
) -> None:
    """Others' pulls that wait may be lost once: one command of theirs is late, by the 11 s after which a car pulls
    again. It cannot be repeated.
    """
    pids = {name: mesh.pid_of(name) for name in ("enrolment", "nats")}
    vin = hostile_car.vin
    wild = pub(f"$JS.API.CONSUMER.MSG.NEXT.{VEHICLE_COMMANDS}.{vin}", PULL_BODY, ">")
    bystander.timed = False
    with bystander.undisturbed() as probe:
        flood = flood_of(hostile_car).begin(lines(vin, "pull") + wild, FLOOD_SECONDS)
        assert cut_after(flood) < CUT_SECONDS
        assert shut_out(hostile_car)
        bystander.see(probe, COMMANDS_AFTER_WILDCARDS, FLOOD_SECONDS * 3)
    late = [each.seconds for each in probe.done if each.seconds > LONGEST_FLOOR_SECONDS]
    assert len(late) <= 1, late
    assert max(late, default=0) < PULLS_AGAIN_SECONDS + LONGEST_FLOOR_SECONDS, late
    bystander.timed = True
    with bystander.undisturbed() as probe:
        bystander.see(probe, 3)
    assert shut_out(hostile_car)
    assert {name: mesh.pid_of(name) for name in pids} == pids

"""What the car accepts of what comes, and how it refuses the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.vehicle.v1 import command_pb2, session_pb2
from structlog.testing import capture_logs

from protocol.domains import Domain, subject_of
from protocol.faults import Fault
from protocol.keys import OpenKeys
from protocol.seal import Direction, seal, unseal
from protocol.subjects import CommandKind, EventKind
from tests.support import stand
from tests.support.signed_cloud import OTHER_VIN, VIN, unlock
from tests.unit.vehicle.fakes import FakeDelivery
from vehicle.budget import AT_ONCE
from vehicle.inbox import RefusedReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.vehicle.bench import Bench
    from tests.unit.vehicle.conftest import FakeClock


def unsigned(bench: Bench) -> bytes:
    """What an earlier protocol would have sent: the command and nothing around it."""
    del bench
    return unlock("c1").SerializeToString()


def sealed_only(bench: Bench) -> bytes:
    message = session_pb2.SignedOrder(vin=VIN, epoch=bench.cloud.epoch, counter=1, door=unlock("c1"))
    return bench.cloud.car.seal_to(message.SerializeToString())


def by_another(bench: Bench) -> bytes:
    return bench.cloud.forge(unlock("c1"), by=stand.signer("mallory"))


def by_the_car_itself(bench: Bench) -> bytes:
    return bench.cloud.forge(unlock("c1"), by=bench.cloud.car.signer)


class Liar:
    """Gives the cloud's key id, and signs with another key."""

    key_id = stand.CLOUD_SIGNER.key_id

    def sign(self, data: bytes) -> bytes:
        return stand.signer("mallory").sign(data)


def with_the_right_keys_id(bench: Bench) -> bytes:
    return bench.cloud.forge(unlock("c1"), by=Liar())


def for_another_vin(bench: Bench) -> bytes:
    return bench.cloud.forge(unlock("c1"), vin=OTHER_VIN)


def on_anothers_subject(bench: Bench) -> bytes:
    return bench.cloud.forge(unlock("c1"), subject=subject_of(OTHER_VIN, Domain.COMMAND))


def sealed_to_another(bench: Bench) -> bytes:
    envelope = bench.cloud.car.envelope_of(bench.cloud.sign(unlock("c1")))
    other = bench.cloud.store.cars[OTHER_VIN]
    return seal(envelope, other.seal_key, Direction.TO_VEHICLE, OTHER_VIN)


def of_another_domain(bench: Bench) -> bytes:
    cancel = command_pb2.CancelCommand(cancel_id="x1", command_id="c1")
    return bench.cloud.forge(cancel, Domain.CANCEL, subject=subject_of(VIN, Domain.COMMAND))


def of_another_epoch(bench: Bench) -> bytes:
    return bench.cloud.forge(unlock("c1"), epoch=bytes(16))


def expired(bench: Bench) -> bytes:
    data = bench.cloud.sign(unlock("c1"), valid_seconds=5)
    bench.clock.advance(5)
    return data


def valid_too_long(bench: Bench) -> bytes:
    return bench.cloud.forge(unlock("c1"), expires_at_millis=31_000 + 60_000)


def by_nobody_in_particular(bench: Bench) -> bytes:
    return bench.cloud.sign(unlock("c1"), role=session_pb2.ROLE_UNSPECIFIED)


def an_answer_of_the_cars_own(bench: Bench) -> bytes:
    return next(data for event, data in bench.link.published if event is EventKind.HELLO)


def cut_short(bench: Bench) -> bytes:
    return bench.cloud.sign(unlock("c1"))[:-1]


def one_bit_off(bench: Bench) -> bytes:
    data = bytearray(bench.cloud.sign(unlock("c1")))
    data[-20] ^= 1
    return bytes(data)


def one_bit_off_inside(bench: Bench) -> bytes:
    data = bench.cloud.sign(unlock("c1"))
    envelope = bytearray(unseal(data, OpenKeys(bench.cloud.car.seal_key), Direction.TO_VEHICLE, VIN))
    envelope[-80] ^= 1
    return bench.cloud.car.seal_to(bytes(envelope))


@pytest.mark.parametrize(
    ("attack", "fault"),
    [
        (unsigned, None),
        (sealed_only, None),
        (by_another, Fault.UNKNOWN_KEY),
        (by_the_car_itself, Fault.UNKNOWN_KEY),
        (with_the_right_keys_id, None),
        (on_anothers_subject, None),
        (sealed_to_another, None),
        (an_answer_of_the_cars_own, None),
        (cut_short, None),
        (one_bit_off, None),
        (one_bit_off_inside, None),
        (for_another_vin, Fault.WRONG_VEHICLE),
        (of_another_domain, Fault.WRONG_DOMAIN),
        (of_another_epoch, Fault.WRONG_EPOCH),
        (expired, Fault.EXPIRED),
        (valid_too_long, Fault.VALID_TOO_LONG),
        (by_nobody_in_particular, Fault.ROLE_NOT_ALLOWED),
    ],
)
async def test_what_is_not_the_clouds_word_moves_nothing(
    bench: Bench, attack: Callable[[Bench], bytes], fault: Fault | None
) -> None:
    order = FakeDelivery(CommandKind.DOOR, attack(bench))
    if fault:  # the cloud looks only at answers to what it issued
        bench.cloud.remember_as_issued(order.data, "c1")
    bench.take(order)
    await bench.settled()
    assert order.terminated
    assert bench.car.log.read() == []
    assert bench.cloud.faults == ([fault] if fault else [])
    bench.take(bench.command("c2"))
    await bench.settled()
    assert bench.moved == 5


async def test_a_replayed_order_acts_once(bench: Bench) -> None:
    lock, first = unlock("c2"), bench.command("c1")
    lock.action = command_pb2.DOOR_ACTION_LOCK
    later = bench.order(lock)
    bench.take(first)
    await bench.settled()
    bench.take(later)
    await bench.settled()
    replayed = [FakeDelivery(CommandKind.DOOR, first.data) for _ in range(3)]
    bench.take(*replayed)
    await bench.settled()
    assert all(one.is_settled for one in replayed)
    assert bench.moved == 10
    assert all(door.locked for door in bench.car.body.doors.values())


async def test_an_unlock_signed_before_a_lock_cannot_act_after_it(bench: Bench) -> None:
    early, late = bench.command("early"), bench.command("late")
    bench.take(late)
    await bench.settled()
    bench.take(early)
    await bench.settled()
    assert early.terminated
    assert bench.cloud.faults == [Fault.COUNTER_NOT_NEW]
    assert {line["command_id"] for line in bench.car.log.read()} == {"late"}


async def test_settings_are_the_owners(bench: Bench) -> None:
    message = command_pb2.ApplyConfig(version=1)
    order = bench.order(message, role=session_pb2.ROLE_SHARED_USER)
    bench.take(order)
    await bench.settled()
    assert order.terminated
    assert [(one.event, one.payload.fault) for one in bench.cloud.received if one.issued] == [
        (EventKind.CONFIG, Fault.ROLE_NOT_ALLOWED)
    ]
    assert bench.car.config_version == 0


async def test_faults_come_out_of_the_budget(bench: Bench, clock: FakeClock) -> None:
    def stale(number: int) -> FakeDelivery:
        data = bench.cloud.forge(unlock(f"c{number}"), epoch=bytes(16))
        bench.cloud.remember_as_issued(data, f"c{number}")
        return FakeDelivery(CommandKind.DOOR, data)

    noise = [stale(number) for number in range(AT_ONCE + 10)]
    bench.take(*noise)
    await bench.settled()
    assert all(one.terminated for one in noise)
    assert len(bench.cloud.faults) == AT_ONCE
    clock.advance(2)
    bench.take(*(stale(number) for number in range(100, 110)))
    await bench.settled()
    assert len(bench.cloud.faults) == AT_ONCE + 2
    bench.take(bench.command("c2"))  # an order that is right needs none of it
    await bench.settled()
    assert bench.moved == 5


async def test_a_fault_that_the_broker_did_not_take_is_made_afresh(bench: Bench) -> None:
    data = bench.cloud.forge(unlock("c1"), epoch=bytes(16))
    bench.cloud.remember_as_issued(data, "c1")
    bench.link.lose()
    order = FakeDelivery(CommandKind.DOOR, data)
    bench.take(order)
    await bench.settled()
    assert not order.is_settled
    bench.link.find()
    await bench.agent.connected.wait()
    bench.take(order)
    await bench.settled()
    assert order.terminated
    assert bench.cloud.faults == [Fault.WRONG_EPOCH]


async def test_a_challenge_is_answered_by_a_hello(bench: Bench, clock: FakeClock) -> None:
    request = FakeDelivery(CommandKind.SESSION, bench.cloud.challenge())
    clock.advance(60)
    bench.take(request)
    await bench.settled()
    assert request.acknowledged
    session = bench.cloud.store.load(VIN)
    assert session is not None
    assert session.challenge == b""  # answered
    assert bench.hellos[-1].hello.said_at.ToDatetime() == clock.now().replace(tzinfo=None)


async def test_challenges_come_out_of_the_budget(bench: Bench) -> None:
    before = sum(event is EventKind.HELLO for event, _ in bench.link.published)
    request = bench.cloud.challenge()
    noise = [FakeDelivery(CommandKind.SESSION, request) for _ in range(AT_ONCE + 10)]
    bench.take(*noise)
    await bench.settled()
    assert all(one.is_settled for one in noise)
    assert sum(event is EventKind.HELLO for event, _ in bench.link.published) == before + AT_ONCE


async def test_garbage_instead_of_a_challenge_or_a_manifest_is_dropped(bench: Bench) -> None:
    garbage = [FakeDelivery(kind, b"\xff" * 100) for kind in (CommandKind.SESSION, CommandKind.KEYS)]
    bench.take(*garbage)
    await bench.settled()
    assert all(one.terminated for one in garbage)
    assert len(bench.hellos) == 1


async def test_what_the_cloud_did_not_take_is_kept_and_the_request_answered(bench: Bench) -> None:
    told = session_pb2.RefusedReport(
        domain="evt.status", reason="CUT: accepted without doors", accepted=True, count=3
    )
    request = FakeDelivery(CommandKind.SESSION, bench.cloud.challenge(refused=[told]))
    hellos = len(bench.hellos)
    with capture_logs() as logs:
        bench.take(request)
    await bench.settled()
    assert bench.agent.refused_reports == [
        RefusedReport("evt.status", "CUT: accepted without doors", True, 3)
    ]
    assert [one["event"] for one in logs] == ["report_refused_by_cloud"]
    assert request.acknowledged
    assert len(bench.hellos) == hellos + 1

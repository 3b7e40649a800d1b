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
from tests.support import protocol_harness
from tests.support.signed_cloud import OTHER_VIN, VIN, unlock
from tests.unit.vehicle.fakes import FakeDelivery
from vehicle.messages.budget import AT_ONCE
from vehicle.messages.inbox import RefusedReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.vehicle.agent_harness import AgentHarness
    from tests.unit.vehicle.conftest import FakeClock


def unsigned(harness: AgentHarness) -> bytes:
    """What an earlier protocol would have sent: the command and nothing around it."""
    del harness
    return unlock("c1").SerializeToString()


def sealed_only(harness: AgentHarness) -> bytes:
    message = session_pb2.SignedOrder(vin=VIN, epoch=harness.cloud.epoch, counter=1, door=unlock("c1"))
    return harness.cloud.car.seal_to(message.SerializeToString())


def by_another(harness: AgentHarness) -> bytes:
    return harness.cloud.forge(unlock("c1"), by=protocol_harness.signer("mallory"))


def by_the_car_itself(harness: AgentHarness) -> bytes:
    return harness.cloud.forge(unlock("c1"), by=harness.cloud.car.signer)


class Liar:
    """Gives the cloud's key id, and signs with another key."""

    key_id = protocol_harness.CLOUD_SIGNER.key_id

    def sign(self, data: bytes) -> bytes:
        return protocol_harness.signer("mallory").sign(data)


def with_the_right_keys_id(harness: AgentHarness) -> bytes:
    return harness.cloud.forge(unlock("c1"), by=Liar())


def for_another_vin(harness: AgentHarness) -> bytes:
    return harness.cloud.forge(unlock("c1"), vin=OTHER_VIN)


def on_anothers_subject(harness: AgentHarness) -> bytes:
    return harness.cloud.forge(unlock("c1"), subject=subject_of(OTHER_VIN, Domain.COMMAND))


def sealed_to_another(harness: AgentHarness) -> bytes:
    envelope = harness.cloud.car.envelope_of(harness.cloud.sign(unlock("c1")))
    other = harness.cloud.store.cars[OTHER_VIN]
    return seal(envelope, other.seal_key, Direction.TO_VEHICLE, OTHER_VIN)


def of_another_domain(harness: AgentHarness) -> bytes:
    cancel = command_pb2.CancelCommand(cancel_id="x1", command_id="c1")
    return harness.cloud.forge(cancel, Domain.CANCEL, subject=subject_of(VIN, Domain.COMMAND))


def of_another_epoch(harness: AgentHarness) -> bytes:
    return harness.cloud.forge(unlock("c1"), epoch=bytes(16))


def expired(harness: AgentHarness) -> bytes:
    data = harness.cloud.sign(unlock("c1"), valid_seconds=5)
    harness.clock.advance(5)
    return data


def valid_too_long(harness: AgentHarness) -> bytes:
    return harness.cloud.forge(unlock("c1"), expires_at_millis=31_000 + 60_000)


def by_nobody_in_particular(harness: AgentHarness) -> bytes:
    return harness.cloud.sign(unlock("c1"), role=session_pb2.ROLE_UNSPECIFIED)


def an_answer_of_the_cars_own(harness: AgentHarness) -> bytes:
    return next(data for event, data in harness.link.published if event is EventKind.HELLO)


def cut_short(harness: AgentHarness) -> bytes:
    return harness.cloud.sign(unlock("c1"))[:-1]


def one_bit_off(harness: AgentHarness) -> bytes:
    data = bytearray(harness.cloud.sign(unlock("c1")))
    data[-20] ^= 1
    return bytes(data)


def one_bit_off_inside(harness: AgentHarness) -> bytes:
    data = harness.cloud.sign(unlock("c1"))
    envelope = bytearray(unseal(data, OpenKeys(harness.cloud.car.seal_key), Direction.TO_VEHICLE, VIN))
    envelope[-80] ^= 1
    return harness.cloud.car.seal_to(bytes(envelope))


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
    harness: AgentHarness, attack: Callable[[AgentHarness], bytes], fault: Fault | None
) -> None:
    order = FakeDelivery(CommandKind.DOOR, attack(harness))
    if fault:  # the cloud looks only at answers to what it issued
        harness.cloud.remember_as_issued(order.data, "c1")
    harness.take(order)
    await harness.settled()
    assert order.terminated
    assert harness.car.log.read() == []
    assert harness.cloud.faults == ([fault] if fault else [])
    harness.take(harness.command("c2"))
    await harness.settled()
    assert harness.moved == 5


async def test_a_replayed_order_acts_once(harness: AgentHarness) -> None:
    lock, first = unlock("c2"), harness.command("c1")
    lock.action = command_pb2.DOOR_ACTION_LOCK
    later = harness.order(lock)
    harness.take(first)
    await harness.settled()
    harness.take(later)
    await harness.settled()
    replayed = [FakeDelivery(CommandKind.DOOR, first.data) for _ in range(3)]
    harness.take(*replayed)
    await harness.settled()
    assert all(one.is_settled for one in replayed)
    assert harness.moved == 10
    assert all(door.locked for door in harness.car.body.doors.values())


async def test_an_unlock_signed_before_a_lock_cannot_act_after_it(harness: AgentHarness) -> None:
    early, late = harness.command("early"), harness.command("late")
    harness.take(late)
    await harness.settled()
    harness.take(early)
    await harness.settled()
    assert early.terminated
    assert harness.cloud.faults == [Fault.COUNTER_NOT_NEW]
    assert {line["command_id"] for line in harness.car.log.read()} == {"late"}


async def test_settings_are_the_owners(harness: AgentHarness) -> None:
    message = command_pb2.ApplyConfig(version=1)
    order = harness.order(message, role=session_pb2.ROLE_SHARED_USER)
    harness.take(order)
    await harness.settled()
    assert order.terminated
    assert [(one.event, one.payload.fault) for one in harness.cloud.received if one.issued] == [
        (EventKind.CONFIG, Fault.ROLE_NOT_ALLOWED)
    ]
    assert harness.car.config_version == 0


async def test_faults_come_out_of_the_budget(harness: AgentHarness, clock: FakeClock) -> None:
    def stale(number: int) -> FakeDelivery:
        data = harness.cloud.forge(unlock(f"c{number}"), epoch=bytes(16))
        harness.cloud.remember_as_issued(data, f"c{number}")
        return FakeDelivery(CommandKind.DOOR, data)

    noise = [stale(number) for number in range(AT_ONCE + 10)]
    harness.take(*noise)
    await harness.settled()
    assert all(one.terminated for one in noise)
    assert len(harness.cloud.faults) == AT_ONCE
    clock.advance(2)
    harness.take(*(stale(number) for number in range(100, 110)))
    await harness.settled()
    assert len(harness.cloud.faults) == AT_ONCE + 2
    harness.take(harness.command("c2"))  # an order that is right needs none of it
    await harness.settled()
    assert harness.moved == 5


async def test_a_fault_that_the_broker_did_not_take_is_made_afresh(harness: AgentHarness) -> None:
    data = harness.cloud.forge(unlock("c1"), epoch=bytes(16))
    harness.cloud.remember_as_issued(data, "c1")
    harness.link.lose()
    order = FakeDelivery(CommandKind.DOOR, data)
    harness.take(order)
    await harness.settled()
    assert not order.is_settled
    harness.link.find()
    await harness.agent.connected.wait()
    harness.take(order)
    await harness.settled()
    assert order.terminated
    assert harness.cloud.faults == [Fault.WRONG_EPOCH]


async def test_a_challenge_is_answered_by_a_hello(harness: AgentHarness, clock: FakeClock) -> None:
    request = FakeDelivery(CommandKind.SESSION, harness.cloud.challenge())
    clock.advance(60)
    harness.take(request)
    await harness.settled()
    assert request.acknowledged
    session = harness.cloud.store.load(VIN)
    assert session is not None
    assert session.challenge == b""  # answered
    assert harness.hellos[-1].hello.said_at.ToDatetime() == clock.now().replace(tzinfo=None)


async def test_challenges_come_out_of_the_budget(harness: AgentHarness) -> None:
    before = sum(event is EventKind.HELLO for event, _ in harness.link.published)
    request = harness.cloud.challenge()
    noise = [FakeDelivery(CommandKind.SESSION, request) for _ in range(AT_ONCE + 10)]
    harness.take(*noise)
    await harness.settled()
    assert all(one.is_settled for one in noise)
    assert sum(event is EventKind.HELLO for event, _ in harness.link.published) == before + AT_ONCE


async def test_garbage_instead_of_a_challenge_or_a_manifest_is_dropped(harness: AgentHarness) -> None:
    garbage = [FakeDelivery(kind, b"\xff" * 100) for kind in (CommandKind.SESSION, CommandKind.KEYS)]
    harness.take(*garbage)
    await harness.settled()
    assert all(one.terminated for one in garbage)
    assert len(harness.hellos) == 1


async def test_what_the_cloud_did_not_take_is_kept_and_the_request_answered(harness: AgentHarness) -> None:
    told = session_pb2.RefusedReport(
        domain="evt.status", reason="CUT: accepted without doors", accepted=True, count=3
    )
    request = FakeDelivery(CommandKind.SESSION, harness.cloud.challenge(refused=[told]))
    hellos = len(harness.hellos)
    with capture_logs() as logs:
        harness.take(request)
    await harness.settled()
    assert harness.agent.refused_reports == [
        RefusedReport("evt.status", "CUT: accepted without doors", True, 3)
    ]
    assert [one["event"] for one in logs] == ["report_refused_by_cloud"]
    assert request.acknowledged
    assert len(harness.hellos) == hellos + 1

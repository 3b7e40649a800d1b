"""What the car believes of what comes, how it refuses the rest, and how its keys change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.vehicle.v1 import command_pb2, report_pb2, session_pb2

from protocol.broker import Command, Event
from protocol.domains import Domain, subject_of
from protocol.faults import Fault
from protocol.keys import OpenKeys, SealKey
from protocol.seal import Direction, seal, unseal
from tests.protocol import stand
from tests.signed_cloud import FAR_SECONDS, OTHER_VIN, VIN, endorsed, manifest, unlock
from tests.unit.vehicle.fakes import FakeDelivery
from vehicle.budget import AT_ONCE
from vehicle.channel import NoReportKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.vehicle.bench import Bench
    from tests.unit.vehicle.conftest import FakeClock

NEW_SIGNER = stand.signer("the next cloud signer")
NEW_REPORT = stand.exchange_key("the next cloud report key")


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
    return next(data for event, data in bench.link.published if event is Event.HELLO)


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
    order = FakeDelivery(Command.DOOR, attack(bench))
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
    replayed = [FakeDelivery(Command.DOOR, first.data) for _ in range(3)]
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
    assert [(one.event, one.payload.fault) for one in bench.cloud.heard if one.issued] == [
        (Event.CONFIG, Fault.ROLE_NOT_ALLOWED)
    ]
    assert bench.car.config_version == 0


async def test_faults_come_out_of_the_budget(bench: Bench, clock: FakeClock) -> None:
    def stale(number: int) -> FakeDelivery:
        data = bench.cloud.forge(unlock(f"c{number}"), epoch=bytes(16))
        bench.cloud.remember_as_issued(data, f"c{number}")
        return FakeDelivery(Command.DOOR, data)

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
    order = FakeDelivery(Command.DOOR, data)
    bench.take(order)
    await bench.settled()
    assert not order.is_settled
    bench.link.find()
    await bench.agent.connected.wait()
    bench.take(order)
    await bench.settled()
    assert order.terminated
    assert bench.cloud.faults == [Fault.WRONG_EPOCH]


def hellos(bench: Bench) -> list[Any]:
    return [one.info for one in bench.cloud.heard if one.info]


async def test_a_challenge_is_answered_by_a_hello(bench: Bench, clock: FakeClock) -> None:
    request = FakeDelivery(Command.SESSION, bench.cloud.challenge())
    clock.advance(60)
    bench.take(request)
    await bench.settled()
    assert request.acknowledged
    session = bench.cloud.store.load(VIN)
    assert session is not None
    assert session.challenge == b""  # answered
    assert hellos(bench)[-1].hello.said_at.ToDatetime() == clock.now().replace(tzinfo=None)


async def test_challenges_come_out_of_the_budget(bench: Bench) -> None:
    before = sum(event is Event.HELLO for event, _ in bench.link.published)
    request = bench.cloud.challenge()
    noise = [FakeDelivery(Command.SESSION, request) for _ in range(AT_ONCE + 10)]
    bench.take(*noise)
    await bench.settled()
    assert all(one.is_settled for one in noise)
    assert sum(event is Event.HELLO for event, _ in bench.link.published) == before + AT_ONCE


async def test_garbage_instead_of_a_challenge_or_a_manifest_is_dropped(bench: Bench) -> None:
    garbage = [FakeDelivery(kind, b"\xff" * 100) for kind in (Command.SESSION, Command.KEYS)]
    bench.take(*garbage)
    await bench.settled()
    assert all(one.terminated for one in garbage)
    assert len(hellos(bench)) == 1


def keys(bench: Bench, one: session_pb2.KeyManifest) -> FakeDelivery:
    return FakeDelivery(Command.KEYS, bench.cloud.seal_manifest(one))


BOTH = {key.public_bytes: (FAR_SECONDS, False) for key in (stand.CLOUD_SIGNER, NEW_SIGNER)}
NEW_ONLY = {
    stand.CLOUD_SIGNER.public_bytes: (FAR_SECONDS, True),
    NEW_SIGNER.public_bytes: (FAR_SECONDS, False),
}


async def test_a_signer_is_rotated_while_the_car_runs_and_stays_so_after_a_reboot(bench: Bench) -> None:
    bench.take(bench.command("early", by=NEW_SIGNER))
    await bench.settled()
    assert bench.cloud.faults == [Fault.UNKNOWN_KEY]
    epoch = bench.cloud.epoch
    manifests = [keys(bench, manifest(2, sign_keys=BOTH)), keys(bench, manifest(3, sign_keys=NEW_ONLY))]
    for number, one in enumerate(manifests, start=2):
        bench.take(one)
        await bench.settled()
        assert one.acknowledged
        assert hellos(bench)[-1].manifest_version == number
    assert bench.cloud.epoch == epoch
    bench.take(bench.command("old", by=stand.CLOUD_SIGNER), bench.command("new", by=NEW_SIGNER))
    await bench.settled()
    await bench.reboot()
    assert hellos(bench)[-1].manifest_version == 3
    bench.take(bench.command("old again", by=stand.CLOUD_SIGNER), bench.command("new again", by=NEW_SIGNER))
    await bench.settled()
    assert {line["command_id"] for line in bench.car.log.read()} == {"new"}
    assert {one.payload.command_id for one in bench.results} == {"new", "new again"}
    assert bench.cloud.faults == [Fault.UNKNOWN_KEY]  # what a revoked key signed is not answered


async def test_keys_that_come_with_an_order_are_taken_first(bench: Bench) -> None:
    order, manifest_2 = bench.command(by=NEW_SIGNER), keys(bench, manifest(2, sign_keys=BOTH))
    bench.take(order, manifest_2)
    await bench.settled()
    assert bench.moved == 5


async def test_an_older_manifest_brings_nothing_back(bench: Bench) -> None:
    older = keys(bench, manifest(2, sign_keys=BOTH))
    bench.take(keys(bench, manifest(3, sign_keys=NEW_ONLY)), older)
    await bench.settled()
    assert older.terminated
    said = len(hellos(bench))
    again = keys(bench, manifest(3, sign_keys=NEW_ONLY))
    bench.take(again)
    await bench.settled()
    assert again.acknowledged
    assert len(hellos(bench)) == said  # the one in use is no news


def with_new_report_key() -> session_pb2.KeyManifest:
    """Manifest 2, in which the report key is revoked and another follows."""
    made = manifest(2)
    for key in made.keys:
        if key.use == session_pb2.KEY_USE_REPORT:
            key.revoked = True
    made.keys.add(
        use=session_pb2.KEY_USE_REPORT, public_key=stand.public(NEW_REPORT), expires_at_seconds=FAR_SECONDS
    )
    return made


async def test_a_revoked_report_key_ends_the_epoch(bench: Bench, clock: FakeClock) -> None:
    epoch = bench.cloud.epoch
    clock.advance(50)
    async with bench.car.actuators:
        waiting = bench.command("waiting")
        bench.take(waiting)
        bench.take(keys(bench, with_new_report_key()))
        await bench.until(lambda: bench.cloud.epoch != epoch)
    await bench.settled()
    info = hellos(bench)[-1]
    assert info.report_key_id == SealKey.of(stand.public(NEW_REPORT)).key_id
    assert info.clock_millis == 0
    assert waiting.terminated  # it was signed for the epoch before
    assert bench.cloud.faults == [Fault.WRONG_EPOCH]
    assert bench.car.log.read() == []
    bench.cloud.rotate_report_key(NEW_REPORT)
    reports = len(bench.cloud.said(Event.STATUS))
    bench.take(bench.command("again"))
    await bench.settled()
    assert bench.moved == 5
    await bench.until(lambda: len(bench.cloud.said(Event.STATUS)) > reports)


async def test_a_running_command_is_finished_when_the_epoch_ends(bench: Bench) -> None:
    taken: list[FakeDelivery] = []

    def after_the_first_door() -> None:
        if not taken:
            taken.append(keys(bench, with_new_report_key()))
            bench.take(*taken)

    bench.car.observe(after_the_first_door)
    bench.take(bench.command())
    await bench.settled()
    assert bench.result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED


async def test_an_adopted_manifest_is_kept_with_the_root_that_endorsed_it(bench: Bench) -> None:
    assert not (bench.folder / "adopted.manifest").exists()
    bench.take(keys(bench, manifest(2)))
    await bench.settled()
    content = (bench.folder / "adopted.manifest").read_bytes()
    assert content == stand.ROOT.public_bytes + endorsed(manifest(2))


async def test_without_a_report_key_the_car_does_not_go_on(bench: Bench) -> None:
    made = manifest(2)
    for key in made.keys:
        if key.use == session_pb2.KEY_USE_REPORT:
            key.revoked = True
    with pytest.raises(NoReportKey):
        bench.take(keys(bench, made))
    with pytest.raises(NoReportKey):
        bench.boot()


async def test_with_nobody_to_tell_the_car_waits_for_other_keys(bench: Bench) -> None:
    made = manifest(2)
    for key in made.keys:
        if key.use == session_pb2.KEY_USE_SEAL:
            key.revoked = True
    bench.take(keys(bench, made))
    bench.take(bench.command())
    await bench.finished("c1")
    assert bench.results == []
    bench.take(keys(bench, manifest(3)))
    await bench.settled()
    assert bench.result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED

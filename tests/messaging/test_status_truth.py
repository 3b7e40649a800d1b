"""What the status service accepts of vehicles, and what it holds them to, on a real broker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.door.v1 import door_command_pb2, door_update_pb2, room_event_pb2
from ecarus.remotecontrol.vehicle.v1 import body_pb2, report_pb2, session_pb2

from protocol import cose
from protocol.domains import ContentType, Domain, subject_of
from protocol.keys import SealKey
from protocol.seal import Direction, seal
from protocol.subjects import VERDICTS_SUBJECT, EventKind, presence_subject, refused_subject, update_subject
from services.platform.storage import StorageUnavailableError
from services.status.adapters import store
from tests.messaging.status_harness import (
    OTHER,
    VIN,
    Server,
    StatusHarness,
    now_us,
    report,
    running_room,
    until,
)
from tests.support.protocol_harness import CLOUD_SEAL, public, signer
from tests.support.report_harness import Fleet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nats.aio.msg import Msg

    from services.status.usecases.door_status import StatusIngestResult

CONFIRMED = door_command_pb2.Confirmation.CONFIRMED
CONTRADICTED = door_command_pb2.Confirmation.CONTRADICTED


@pytest.fixture
async def service(nats_server: Server, tmp_path: Path) -> AsyncIterator[StatusHarness]:
    async with running_room(nats_server, tmp_path, Fleet()) as service:
        for vin in (VIN, OTHER):
            await service.greet(vin)
        yield service


def unlocked_driver(command_id: str, sequence: int, at_us: int | None = None) -> report_pb2.CommandResult:
    """The driver's door was unlocked."""
    at_us = at_us or now_us()
    result = report_pb2.CommandResult(
        command_id=command_id,
        outcome=report_pb2.COMMAND_OUTCOME_SUCCEEDED,
        status=report(sequence, observed_at_us=at_us, unlocked=True),
    )
    result.doors.add(door=1, succeeded=True, locked=False)
    result.started_at.FromMicroseconds(at_us - 10_000)
    result.finished_at.FromMicroseconds(at_us)
    return result


async def verdicts(service: StatusHarness) -> list[room_event_pb2.CommandVerdict]:
    told = await service.told(VERDICTS_SUBJECT)
    return [each for data in told for each in room_event_pb2.CommandVerdicts.FromString(data).verdicts]


async def alerts(service: StatusHarness) -> list[str]:
    updates = [
        door_update_pb2.DoorUpdate.FromString(data) for data in await service.told(update_subject(VIN))
    ]
    return [each.system_alert.code for each in updates if each.HasField("system_alert")]


async def one_verdict(service: StatusHarness) -> room_event_pb2.CommandVerdict:
    async def there() -> bool:
        return bool(await verdicts(service))

    await until(there)
    [verdict] = await verdicts(service)
    return verdict


async def reported(service: StatusHarness, message: report_pb2.StatusReport, vin: str = VIN) -> None:
    """The vehicle says this, and it is ingested."""
    await service.say(message, vin)
    at_us = message.observed_at.seconds * 1_000_000 + message.observed_at.nanos // 1_000

    async def taken() -> bool:
        return await service.observed_at_us(vin) >= at_us

    await until(taken)


async def test_the_next_report_confirms(service: StatusHarness) -> None:
    await reported(service, report(1))
    await service.answer(unlocked_driver("cmd-1", 2))
    await reported(service, report(3, unlocked=True))

    verdict = await one_verdict(service)

    assert (verdict.vin, verdict.command_id, verdict.confirmation.state) == (VIN, "cmd-1", CONFIRMED)
    assert [(d.door_id, d.locked) for d in verdict.confirmation.doors] == [("driver", False)]
    assert await alerts(service) == []


async def test_the_next_report_contradicts_and_everybody_hears_of_it(service: StatusHarness) -> None:
    await service.answer(unlocked_driver("cmd-1", 2))
    await until(service.observed_at_us)
    lying = report(3)
    await reported(service, lying)
    await reported(service, report(4, unlocked=True))  # too late to make up for it

    verdict = await one_verdict(service)

    assert verdict.confirmation.state == CONTRADICTED
    assert [(d.door_id, d.locked) for d in verdict.confirmation.doors] == [("driver", True)]
    assert verdict.confirmation.time.ToMilliseconds() == lying.observed_at.ToMilliseconds()
    await until(lambda: alerts(service))
    assert await alerts(service) == ["COMMAND_CONTRADICTED"]


def moved_by(made: report_pb2.StatusReport, cause: int, after_sequence: int) -> report_pb2.StatusReport:
    """The same report, which names what moved the driver's lock last."""
    made.doors[0].lock_change.cause = cause  # type: ignore[assignment]  # the enum's numbers
    made.doors[0].lock_change.after_sequence = after_sequence
    return made


@pytest.mark.parametrize(
    "cause",
    [
        body_pb2.LOCK_CAUSE_AUTO_LOCK,
        body_pb2.LOCK_CAUSE_SPEED_LOCK,
        body_pb2.LOCK_CAUSE_PARKING_UNLOCK,
        body_pb2.LOCK_CAUSE_KEY,
        body_pb2.LOCK_CAUSE_HANDLE,
        body_pb2.LOCK_CAUSE_CRASH,
        body_pb2.LOCK_CAUSE_OTHER,
    ],
)
async def test_what_the_vehicle_did_by_itself_after_a_command_is_no_contradiction(
    service: StatusHarness, cause: int
) -> None:
    await service.answer(unlocked_driver("cmd-1", 2))
    await until(service.observed_at_us)
    await reported(service, moved_by(report(3), cause, after_sequence=2))
    await service.answer(unlocked_driver("cmd-2", 4))
    await reported(service, report(5, unlocked=True))

    verdict = await one_verdict(service)

    assert (verdict.command_id, verdict.confirmation.state) == ("cmd-2", CONFIRMED)
    assert await alerts(service) == []


@pytest.mark.parametrize(
    ("cause", "after_sequence"),
    [
        (body_pb2.LOCK_CAUSE_COMMAND, 2),
        (body_pb2.LOCK_CAUSE_UNSPECIFIED, 2),
        (99, 2),
        (body_pb2.LOCK_CAUSE_KEY, 1),
    ],
    ids=["a command", "nobody knows", "a word of tomorrow", "a key before the command"],
)
async def test_what_no_cause_explains_is_a_contradiction(
    service: StatusHarness, cause: int, after_sequence: int
) -> None:
    await service.answer(unlocked_driver("cmd-1", 2))
    await until(service.observed_at_us)
    await reported(service, moved_by(report(3), cause, after_sequence))

    assert (await one_verdict(service)).confirmation.state == CONTRADICTED


async def test_watchers_are_told_what_moved_a_lock(service: StatusHarness) -> None:
    await reported(service, report(1))
    await reported(service, moved_by(report(2, unlocked=True), body_pb2.LOCK_CAUSE_KEY, 1))
    await reported(service, report(3))
    await until(lambda: service.told(update_subject(VIN)))

    async def both() -> bool:
        return len(await service.told(update_subject(VIN))) == 2

    await until(both)
    changes = [
        door_update_pb2.DoorUpdate.FromString(data).door_status
        for data in await service.told(update_subject(VIN))
    ]
    assert changes[0].cause == door_update_pb2.LockChangeCause.KEY
    assert not changes[1].HasField("cause")


async def test_a_report_that_was_cut_is_hinted_at_for_the_vehicle(service: StatusHarness) -> None:
    received: asyncio.Queue[bytes] = asyncio.Queue()

    async def receive(message: Msg) -> None:
        received.put_nowait(message.data)

    await service.broker.client.subscribe(refused_subject(VIN), cb=receive)
    odd = report(2)
    odd.doors.add(door=1, locked=False)  # named twice, with different states
    await service.say(odd)
    hint = room_event_pb2.ReportsRefused.FromString(await asyncio.wait_for(received.get(), 20))
    assert hint.vin == VIN
    assert [(each.domain, each.reason, each.accepted) for each in hint.reports] == [
        ("evt.status", "CUT: accepted without doors", True)
    ]


async def test_a_result_that_comes_after_the_next_report_is_held_against_it(service: StatusHarness) -> None:
    at_us = now_us() - 1_000_000
    await reported(service, report(3))
    await service.answer(unlocked_driver("cmd-1", 2, at_us))

    assert (await one_verdict(service)).confirmation.state == CONTRADICTED


async def test_a_result_that_is_sent_again_raises_no_second_alert(service: StatusHarness) -> None:
    result = await service.answer(unlocked_driver("cmd-1", 2))
    await until(service.observed_at_us)
    await reported(service, report(3, unlocked=True))
    await one_verdict(service)

    await service.publish(VIN, EventKind.RESULT, result)
    await reported(service, report(4))
    await service.answer(unlocked_driver("cmd-2", 5))
    await reported(service, report(6, unlocked=True))

    async def second() -> bool:
        return len(await verdicts(service)) == 2

    await until(second)
    assert [v.command_id for v in await verdicts(service)] == ["cmd-1", "cmd-2"]
    assert await alerts(service) == []


async def test_a_report_from_before_its_hello_waits_for_it(service: StatusHarness) -> None:
    car = service.fleet.cars[VIN]
    car.boot()
    await service.say(report(1))
    await reported(service, report(1), OTHER)  # nobody else waits

    await service.greet()

    await until(service.observed_at_us)
    assert await service.dead_letters() == []


async def test_a_report_counts_as_seen_only_after_its_commit(
    service: StatusHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, refused = service.records.take_reports, []

    async def fail_once(*batch: Any) -> StatusIngestResult:
        if not refused:
            refused.append(batch)
            raise StorageUnavailableError("away")
        return await take(*batch)

    monkeypatch.setattr(service.records, "take_reports", fail_once)
    await reported(service, report(1))
    assert refused


async def test_an_ended_epoch_is_not_believed_any_more(service: StatusHarness) -> None:
    car = service.fleet.cars[VIN]
    await reported(service, report(1))
    old = car.side.seal_report(report(2)).data
    car.boot()
    await service.greet()
    at_us = await service.observed_at_us()

    await service.publish(VIN, EventKind.STATUS, old)
    await reported(service, report(1), OTHER)

    assert await service.observed_at_us() == at_us
    await reported(service, report(3))


async def locked_driver(service: StatusHarness) -> bool:
    last = await service.records.last_report(VIN)
    assert last is not None
    return report_pb2.StatusReport.FromString(last.payload).doors[0].locked


@pytest.mark.parametrize("ahead_us", [290_000_000, 3_600_000_000, -3_600_000_000])
async def test_a_clock_that_is_wrong_freezes_nothing_and_accuses_nobody(
    service: StatusHarness, ahead_us: int
) -> None:
    await reported(service, report(1, observed_at_us=now_us() - ahead_us))
    assert await locked_driver(service)

    await service.answer(unlocked_driver("cmd-1", 2, now_us() + ahead_us))

    async def unlocked() -> bool:
        return not await locked_driver(service)

    await until(unlocked)
    await service.say(report(3, observed_at_us=now_us() - ahead_us, unlocked=True))
    assert (await one_verdict(service)).confirmation.state == CONFIRMED
    await service.say(report(4))
    await until(lambda: locked_driver(service))
    assert await service.dead_letters() == []


async def test_a_result_that_is_sent_again_after_a_reboot_has_the_status_of_the_boot_before(
    service: StatusHarness,
) -> None:
    car = service.fleet.cars[VIN]
    await reported(service, report(1))
    car.boot()
    await service.greet()
    await reported(service, report(1))

    before = unlocked_driver("cmd-1", 9)
    before.status.boot_id = "boot-1"  # as the first hello says
    await service.answer(before)
    await until(lambda: service.settled_results(1))
    after = report(2, speed=1.0)
    await reported(service, after)

    last = await service.records.last_report(VIN)
    assert last is not None
    assert report_pb2.StatusReport.FromString(last.payload) == after
    assert await verdicts(service) == []


async def test_a_result_that_another_key_signed_is_poison(service: StatusHarness) -> None:
    message = session_pb2.SignedAnswer(
        vin=VIN, message_id="m", epoch=bytes(16), counter=1, request_hash=bytes(32)
    )
    message.result.CopyFrom(unlocked_driver("cmd-1", 2))
    envelope = cose.sign(
        signer("a thief"), ContentType.RESULT, subject_of(VIN, Domain.RESULT), message.SerializeToString()
    )
    data = seal(envelope, SealKey.of(public(CLOUD_SEAL)), Direction.TO_CLOUD, VIN)

    await service.publish(VIN, EventKind.RESULT, data)

    await until(service.dead_letters)
    assert await service.dead_letters() == ["UNKNOWN_KEY: not signed by the enrolled vehicle"]
    assert await service.observed_at_us() == 0


async def test_an_order_that_was_refused_carries_no_status(service: StatusHarness) -> None:
    car = service.fleet.cars[VIN]
    refusal = car.side._refusal(Domain.COMMAND, bytes(32), 12)  # type: ignore[arg-type]  # EXPIRED
    assert refusal is not None
    await service.publish(VIN, EventKind.RESULT, refusal.data)
    await service.answer(unlocked_driver("cmd-1", 2))

    await until(service.observed_at_us)
    assert await service.dead_letters() == []


async def test_sleep_and_waking_are_hinted_once_each_also_across_a_restart(
    nats_server: Server, tmp_path: Path
) -> None:
    received: list[room_event_pb2.VehicleCondition] = []

    async def receive(message: Msg) -> None:
        received.append(room_event_pb2.VehicleCondition.FromString(message.data))

    fleet = Fleet()
    async with running_room(nats_server, tmp_path, fleet) as service:
        await service.greet()
        await service.broker.client.subscribe("hint.condition.*", cb=receive)
        goodbye = report(1)
        goodbye.going_to_sleep = True
        await reported(service, goodbye)
        await until(lambda: [hint.asleep for hint in received] == [True])
    async with running_room(nats_server, tmp_path, fleet) as again:
        await again.broker.client.subscribe("hint.condition.*", cb=receive)
        await reported(again, report(2))
        await until(lambda: [hint.asleep for hint in received] == [True, False])
        await reported(again, report(3))
        await reported(again, report(4, speed=1.0))
        await until(lambda: len(received) == 3)
    assert received[-1].speed_kmh == 1.0


async def test_a_loss_is_heard_from_the_broker(service: StatusHarness) -> None:
    client = service.broker.client
    await reported(service, report(1))
    await client.publish(presence_subject(VIN), b"here")
    await client.publish(presence_subject("nobody"), b"lost")
    await client.publish(presence_subject(OTHER), b"lost")

    await until(lambda: service.lost.is_lost(OTHER, 0))
    assert not service.lost.is_lost(VIN, 0)


async def test_expectations_of_yesterday_are_forgotten(service: StatusHarness) -> None:
    await service.answer(unlocked_driver("cmd-1", 2))
    await until(service.observed_at_us)
    await service.records.purge_expectations(now_us() + 1)

    table = store.expectations.table
    assert await service.database.read(lambda c: c.execute(table.select()).all()) == []

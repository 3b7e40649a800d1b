"""Reports and results in and out of their order, across epochs and wrong clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.door.v1 import room_event_pb2
from ecarus.remotecontrol.vehicle.v1 import report_pb2, session_pb2
from sqlalchemy import false

from protocol import cose
from protocol.domains import ContentType, Domain, subject_of
from protocol.keys import SealKey
from protocol.seal import Direction, seal
from protocol.subjects import EventKind, presence_subject
from services.platform.kept_data import purge
from services.platform.storage import StorageUnavailableError
from services.status.adapters import store
from services.status.adapters.kept import kept_tables
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
    from pathlib import Path

    from nats.aio.msg import Msg

    from services.status.usecases.door_status import StatusIngestResult
from tests.messaging.status_truth.conftest import CONFIRMED, one_verdict, reported, unlocked_driver, verdicts


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
    [line] = [each for each in kept_tables(timedelta(days=30)) if each.table is store.expectations.table]
    await service.answer(unlocked_driver("cmd-1", 2))
    await until(service.observed_at_us)
    tomorrow = datetime.now(UTC) + timedelta(days=1, seconds=1)
    await service.database.write(lambda c: purge(c, line, tomorrow, false()))

    table = store.expectations.table
    assert await service.database.read(lambda c: c.execute(table.select()).all()) == []

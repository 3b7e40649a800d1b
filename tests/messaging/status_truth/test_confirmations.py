"""The next report confirms what a result said, or contradicts it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.door.v1 import door_command_pb2, door_update_pb2, room_event_pb2
from ecarus.remotecontrol.vehicle.v1 import body_pb2, report_pb2

from protocol.subjects import EventKind, refused_subject, update_subject
from tests.messaging.status_harness import (
    VIN,
    StatusHarness,
    now_us,
    report,
    until,
)

if TYPE_CHECKING:
    from nats.aio.msg import Msg

from tests.messaging.status_truth.conftest import CONFIRMED, one_verdict, reported, unlocked_driver, verdicts

CONTRADICTED = door_command_pb2.Confirmation.CONTRADICTED


async def alerts(service: StatusHarness) -> list[str]:
    updates = [
        door_update_pb2.DoorUpdate.FromString(data) for data in await service.told(update_subject(VIN))
    ]
    return [each.system_alert.code for each in updates if each.HasField("system_alert")]


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

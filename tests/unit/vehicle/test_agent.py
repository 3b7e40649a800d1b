"""What the agent says by itself, and when: the hello first, a report after each result, and one before sleep."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import vehicle.agent
from protocol.faults import Fault
from protocol.subjects import CommandKind, EventKind
from tests.unit.vehicle.fakes import FakeDelivery
from vehicle.doors.automation import ActuationCause
from vehicle.doors.body import DoorName, LockPosition
from vehicle.link.backoff import Backoff
from vehicle.link.port import LinkDownError

if TYPE_CHECKING:
    from tests.unit.vehicle.agent_harness import AgentHarness
    from tests.unit.vehicle.conftest import FakeClock


async def test_nothing_is_said_before_the_hello_is_stored(harness: AgentHarness) -> None:
    harness.link.lose()
    harness.take(harness.command())
    await harness.finished("c1")
    await harness.agent.crash()
    publish, said, stored = harness.link.publish, asyncio.Event(), asyncio.Event()

    async def slowly(event: EventKind, deduplication_id: str, data: bytes) -> None:
        if event is EventKind.HELLO:
            said.set()
            await stored.wait()
        await publish(event, deduplication_id, data)

    harness.link.publish = slowly  # type: ignore[method-assign]  # a broker that takes its time
    before = len(harness.link.published)
    harness.link.find()
    harness.boot()
    harness.agent.start(awake=True)
    await said.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(harness.link.published) == before
    stored.set()
    await harness.settled()
    await harness.agent.reported.wait()
    events = [event for event, _ in harness.link.published[before:]]
    assert events[0] is EventKind.HELLO
    assert set(events) >= {EventKind.RESULT, EventKind.STATUS}


async def test_each_boot_is_an_epoch_and_sleep_is_none(harness: AgentHarness, clock: FakeClock) -> None:
    epoch = harness.cloud.epoch
    clock.advance(10)
    await harness.agent.sleep()
    clock.advance(20)
    harness.agent.wake()
    await harness.agent.connected.wait()
    await harness.until(harness.agent.outbox._open.is_set)
    woken = next(one.info for one in reversed(harness.cloud.received) if one.info)
    assert (woken.epoch, woken.clock_millis) == (epoch, 30_000)
    assert woken.hello.said_at.ToDatetime() == clock.now().replace(tzinfo=None)
    await harness.reboot()
    assert harness.cloud.epoch != epoch


async def test_every_result_is_followed_by_a_report_even_if_nothing_changed(harness: AgentHarness) -> None:
    for number, order in enumerate(
        (
            harness.command("c1"),
            harness.command("c2"),
            harness.cancel("x3", "c3"),
        ),  # c2 finds the doors unlocked
        start=1,
    ):
        await harness.settled()
        reports = len(harness.cloud.said(EventKind.STATUS))
        harness.take(order)
        await harness.until(lambda: len(harness.results) == number)  # noqa: B023 - asked before the next round
        await harness.until(lambda: len(harness.cloud.said(EventKind.STATUS)) > reports)  # noqa: B023


@pytest.mark.parametrize("handler", ["sleep", "stop"])
async def test_the_last_word_is_that_it_sleeps(harness: AgentHarness, handler: str) -> None:
    for number in range(20):  # and it has much to say
        harness.car.change(lambda body, n=number: body.with_battery(50 + n), ActuationCause.HAND)  # type: ignore[misc]
        harness.take(harness.command(f"c{number}"))
        await asyncio.sleep(0)
    await getattr(harness.agent, handler)()
    event, _data = harness.link.published[harness.link.closed_after - 1]
    assert event is EventKind.STATUS
    said = [one.going_to_sleep for one in harness.cloud.said(EventKind.STATUS)]
    assert said[-1]
    assert not any(said[:-1])
    assert len(harness.link.published) == harness.link.closed_after
    if handler == "stop":
        harness.boot()
        await harness.start()


async def test_sleep_does_not_wait_for_a_broker_that_does_not_answer(harness: AgentHarness) -> None:
    async def never(_event: EventKind, _deduplication_id: str, _data: bytes) -> None:
        await asyncio.Event().wait()

    harness.link.publish = never  # type: ignore[assignment]  # as a connection that is dead and does not know
    async with asyncio.timeout(30):
        await harness.agent.sleep()
    assert harness.agent.is_asleep


async def test_a_crash_says_nothing(harness: AgentHarness) -> None:
    await harness.agent.crash()
    assert not any(one.going_to_sleep for one in harness.cloud.said(EventKind.STATUS))
    harness.boot()
    await harness.start()


async def test_waking_in_the_middle_of_falling_asleep_wakes(harness: AgentHarness) -> None:
    falling_asleep = asyncio.create_task(harness.agent.sleep())
    await asyncio.sleep(0)
    harness.agent.wake()
    await falling_asleep
    hellos = len(harness.cloud.said(EventKind.HELLO))
    await harness.until(lambda: len(harness.cloud.said(EventKind.HELLO)) > hellos or hellos > 1)
    await harness.agent.connected.wait()
    assert not harness.agent.is_asleep
    harness.take(harness.command())
    await harness.settled()
    assert harness.moved == 5


async def test_what_is_accepted_before_sleep_acts_and_is_answered_on_waking(harness: AgentHarness) -> None:
    await harness.car.actuators.acquire()
    order = harness.command()
    harness.take(order)
    await harness.agent.sleep()
    harness.car.actuators.release()
    await harness.finished("c1")
    assert harness.results == []
    harness.agent.wake()
    await harness.settled()
    assert harness.moved == 5
    assert len(harness.results) == 1


async def test_a_result_that_is_late_is_not_too_far_behind_the_others(harness: AgentHarness) -> None:
    publish, sent, lost = harness.link.publish, asyncio.Event(), asyncio.Event()

    async def without_the_first(event: EventKind, deduplication_id: str, data: bytes) -> None:
        if event is EventKind.RESULT and not sent.is_set():
            sent.set()
            await lost.wait()
            raise LinkDownError("not confirmed")
        await publish(event, deduplication_id, data)

    harness.link.publish = without_the_first  # type: ignore[method-assign]  # a broker that misses one event
    harness.take(harness.command("first"))
    await sent.wait()
    others = 70  # more than the cloud's window is wide
    for number in range(others):
        harness.take(harness.cancel(f"x{number}", f"c{number}"))
    await harness.until(lambda: len(harness.results) == others)
    lost.set()
    await harness.settled()
    assert harness.results[-1].payload.command_id == "first"
    assert harness.cloud.repetitions == []


async def test_a_dropped_event_is_believed_sent_and_a_duplicate_is_the_same_bytes(
    harness: AgentHarness,
) -> None:
    harness.tricks.drop_next()
    harness.car.change(lambda body: body.with_window(DoorName.DRIVER, is_open=True), ActuationCause.HAND)
    await harness.until(lambda: harness.tricks.dropped_count == 1)
    harness.tricks.duplicate_next()
    harness.car.change(lambda body: body.with_battery(50), ActuationCause.HAND)
    await harness.until(lambda: harness.cloud.repetitions == [EventKind.STATUS])
    assert harness.link.published[-1] == harness.link.published[-2]


async def test_an_order_that_cannot_be_kept_does_not_act(harness: AgentHarness) -> None:
    def disk_full(*_line: object) -> None:
        raise OSError(28, "disk full")

    harness.journal.begin = disk_full  # type: ignore[assignment]  # a disk does not fill up by itself
    order = harness.command()
    harness.take(order)
    await harness.until(lambda: not harness.agent.connected.is_set())
    assert not order.is_settled
    await harness.reboot()
    harness.take(FakeDelivery(CommandKind.DOOR, order.data))
    await harness.settled()
    assert harness.cloud.faults == [Fault.WRONG_EPOCH]
    assert harness.car.log.read() == []


async def test_what_changes_in_sleep_is_reported_and_the_car_sleeps_on(
    harness: AgentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vehicle.agent.SETTLE_SECONDS", 0.01)
    await harness.agent.sleep()
    told = len(harness.cloud.said(EventKind.STATUS))
    harness.car.change(lambda body: body.with_battery(60), ActuationCause.HAND)
    assert harness.agent._waking is None
    harness.car.change(
        lambda body: body.with_lock(DoorName.DRIVER, LockPosition.UNLOCKED), ActuationCause.HAND
    )
    harness.car.change(lambda body: body.with_open(DoorName.DRIVER, is_open=True), ActuationCause.HAND)
    await harness.until(lambda: harness.agent._waking is None)
    assert harness.agent.is_asleep
    said = harness.cloud.said(EventKind.STATUS)[told:]
    assert said[-1].going_to_sleep
    assert [one.doors[0].open for one in said] == [True] * len(said)
    assert not said[0].going_to_sleep


async def test_who_is_woken_while_it_reports_from_sleep_stays_awake(
    harness: AgentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vehicle.agent.SETTLE_SECONDS", 0.01)
    await harness.agent.sleep()
    harness.car.change(
        lambda body: body.with_lock(DoorName.DRIVER, LockPosition.UNLOCKED), ActuationCause.HAND
    )
    harness.agent.wake()
    await harness.until(lambda: harness.agent._waking is None)
    assert not harness.agent.is_asleep


async def test_a_car_that_vanished_reports_nothing_of_its_own(harness: AgentHarness) -> None:
    await harness.agent.vanish()
    harness.car.change(
        lambda body: body.with_lock(DoorName.DRIVER, LockPosition.UNLOCKED), ActuationCause.HAND
    )
    assert harness.agent._waking is None


async def test_a_check_that_was_asked_for_survives_a_link_that_drops(
    harness: AgentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vehicle.agent, "CHECK_SECONDS", 0.0)
    monkeypatch.setattr(vehicle.agent, "Backoff", lambda **_: Backoff(longest_seconds=0.01))
    await harness.start()

    def told() -> int:
        return sum(event is EventKind.DIAGNOSTICS for event, _ in harness.link.published)

    await harness.until(lambda: told() == 1)
    publish, failed = harness.link.publish, []

    async def publish_but_once(event: EventKind, deduplication_id: str, data: bytes) -> None:
        if event is EventKind.DIAGNOSTICS and not failed:
            failed.append(event)
            raise LinkDownError("not stored")
        await publish(event, deduplication_id, data)

    monkeypatch.setattr(harness.link, "publish", publish_but_once)
    harness.agent._check_now()
    await harness.until(lambda: told() == 2)
    assert failed

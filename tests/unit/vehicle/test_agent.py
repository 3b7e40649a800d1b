"""What the agent says by itself, and when: the hello first, a report after each result, and one before sleep."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from protocol.faults import Fault
from protocol.subjects import CommandKind, EventKind
from tests.unit.vehicle.fakes import FakeDelivery
from vehicle.automation import ActuationCause
from vehicle.body import DoorName, LockPosition
from vehicle.link import LinkDown

if TYPE_CHECKING:
    from tests.unit.vehicle.bench import Bench
    from tests.unit.vehicle.conftest import FakeClock


async def test_nothing_is_said_before_the_hello_is_stored(bench: Bench) -> None:
    bench.link.lose()
    bench.take(bench.command())
    await bench.finished("c1")
    await bench.agent.crash()
    publish, said, stored = bench.link.publish, asyncio.Event(), asyncio.Event()

    async def slowly(event: EventKind, deduplication_id: str, data: bytes) -> None:
        if event is EventKind.HELLO:
            said.set()
            await stored.wait()
        await publish(event, deduplication_id, data)

    bench.link.publish = slowly  # type: ignore[method-assign]  # a broker that takes its time
    before = len(bench.link.published)
    bench.link.find()
    bench.boot()
    bench.agent.start(awake=True)
    await said.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(bench.link.published) == before
    stored.set()
    await bench.settled()
    await bench.agent.reported.wait()
    events = [event for event, _ in bench.link.published[before:]]
    assert events[0] is EventKind.HELLO
    assert set(events) >= {EventKind.RESULT, EventKind.STATUS}


async def test_each_boot_is_an_epoch_and_sleep_is_none(bench: Bench, clock: FakeClock) -> None:
    epoch = bench.cloud.epoch
    clock.advance(10)
    await bench.agent.sleep()
    clock.advance(20)
    bench.agent.wake()
    await bench.agent.connected.wait()
    await bench.until(bench.agent.outbox._open.is_set)
    woken = next(one.info for one in reversed(bench.cloud.received) if one.info)
    assert (woken.epoch, woken.clock_millis) == (epoch, 30_000)
    assert woken.hello.said_at.ToDatetime() == clock.now().replace(tzinfo=None)
    await bench.reboot()
    assert bench.cloud.epoch != epoch


async def test_every_result_is_followed_by_a_report_even_if_nothing_changed(bench: Bench) -> None:
    for number, order in enumerate(
        (bench.command("c1"), bench.command("c2"), bench.cancel("x3", "c3")),  # c2 finds the doors unlocked
        start=1,
    ):
        await bench.settled()
        reports = len(bench.cloud.said(EventKind.STATUS))
        bench.take(order)
        await bench.until(lambda: len(bench.results) == number)  # noqa: B023 - asked before the next round
        await bench.until(lambda: len(bench.cloud.said(EventKind.STATUS)) > reports)  # noqa: B023


@pytest.mark.parametrize("handler", ["sleep", "stop"])
async def test_the_last_word_is_that_it_sleeps(bench: Bench, handler: str) -> None:
    for number in range(20):  # and it has much to say
        bench.car.change(lambda body, n=number: body.with_battery(50 + n), ActuationCause.HAND)  # type: ignore[misc]
        bench.take(bench.command(f"c{number}"))
        await asyncio.sleep(0)
    await getattr(bench.agent, handler)()
    event, _data = bench.link.published[bench.link.closed_after - 1]
    assert event is EventKind.STATUS
    said = [one.going_to_sleep for one in bench.cloud.said(EventKind.STATUS)]
    assert said[-1]
    assert not any(said[:-1])
    assert len(bench.link.published) == bench.link.closed_after
    if handler == "stop":
        bench.boot()
        await bench.start()


async def test_sleep_does_not_wait_for_a_broker_that_does_not_answer(bench: Bench) -> None:
    async def never(_event: EventKind, _deduplication_id: str, _data: bytes) -> None:
        await asyncio.Event().wait()

    bench.link.publish = never  # type: ignore[assignment]  # as a connection that is dead and does not know
    async with asyncio.timeout(3):
        await bench.agent.sleep()
    assert bench.agent.is_asleep


async def test_a_crash_says_nothing(bench: Bench) -> None:
    await bench.agent.crash()
    assert not any(one.going_to_sleep for one in bench.cloud.said(EventKind.STATUS))
    bench.boot()
    await bench.start()


async def test_waking_in_the_middle_of_falling_asleep_wakes(bench: Bench) -> None:
    falling_asleep = asyncio.create_task(bench.agent.sleep())
    await asyncio.sleep(0)
    bench.agent.wake()
    await falling_asleep
    hellos = len(bench.cloud.said(EventKind.HELLO))
    await bench.until(lambda: len(bench.cloud.said(EventKind.HELLO)) > hellos or hellos > 1)
    await bench.agent.connected.wait()
    assert not bench.agent.is_asleep
    bench.take(bench.command())
    await bench.settled()
    assert bench.moved == 5


async def test_what_is_accepted_before_sleep_acts_and_is_answered_on_waking(bench: Bench) -> None:
    await bench.car.actuators.acquire()
    order = bench.command()
    bench.take(order)
    await bench.agent.sleep()
    bench.car.actuators.release()
    await bench.finished("c1")
    assert bench.results == []
    bench.agent.wake()
    await bench.settled()
    assert bench.moved == 5
    assert len(bench.results) == 1


async def test_a_result_that_is_late_is_not_too_far_behind_the_others(bench: Bench) -> None:
    publish, sent, lost = bench.link.publish, asyncio.Event(), asyncio.Event()

    async def without_the_first(event: EventKind, deduplication_id: str, data: bytes) -> None:
        if event is EventKind.RESULT and not sent.is_set():
            sent.set()
            await lost.wait()
            raise LinkDown("not confirmed")
        await publish(event, deduplication_id, data)

    bench.link.publish = without_the_first  # type: ignore[method-assign]  # a broker that misses one event
    bench.take(bench.command("first"))
    await sent.wait()
    others = 70  # more than the cloud's window is wide
    for number in range(others):
        bench.take(bench.cancel(f"x{number}", f"c{number}"))
    await bench.until(lambda: len(bench.results) == others)
    lost.set()
    await bench.settled()
    assert bench.results[-1].payload.command_id == "first"
    assert bench.cloud.repetitions == []


async def test_a_dropped_event_is_believed_sent_and_a_duplicate_is_the_same_bytes(bench: Bench) -> None:
    bench.agent.outbox.drop_next()
    bench.car.change(lambda body: body.with_window(DoorName.DRIVER, is_open=True), ActuationCause.HAND)
    await bench.until(lambda: bench.agent.outbox.dropped_count == 1)
    bench.agent.outbox.duplicate_next()
    bench.car.change(lambda body: body.with_battery(50), ActuationCause.HAND)
    await bench.until(lambda: bench.cloud.repetitions == [EventKind.STATUS])
    assert bench.link.published[-1] == bench.link.published[-2]


async def test_an_order_that_cannot_be_kept_does_not_act(bench: Bench) -> None:
    def disk_full(*_line: object) -> None:
        raise OSError(28, "disk full")

    bench.journal.begin = disk_full  # type: ignore[assignment]  # a disk does not fill up by itself
    order = bench.command()
    bench.take(order)
    await bench.until(lambda: not bench.agent.connected.is_set())
    assert not order.is_settled
    await bench.reboot()
    bench.take(FakeDelivery(CommandKind.DOOR, order.data))
    await bench.settled()
    assert bench.cloud.faults == [Fault.WRONG_EPOCH]
    assert bench.car.log.read() == []


async def test_what_changes_in_sleep_is_reported_and_the_car_sleeps_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vehicle.agent.SETTLE_SECONDS", 0.01)
    await bench.agent.sleep()
    told = len(bench.cloud.said(EventKind.STATUS))
    bench.car.change(lambda body: body.with_battery(60), ActuationCause.HAND)
    assert bench.agent._waking is None
    bench.car.change(lambda body: body.with_lock(DoorName.DRIVER, LockPosition.UNLOCKED), ActuationCause.HAND)
    bench.car.change(lambda body: body.with_open(DoorName.DRIVER, is_open=True), ActuationCause.HAND)
    await bench.until(lambda: bench.agent._waking is None)
    assert bench.agent.is_asleep
    said = bench.cloud.said(EventKind.STATUS)[told:]
    assert said[-1].going_to_sleep
    assert [one.doors[0].open for one in said] == [True] * len(said)
    assert not said[0].going_to_sleep


async def test_who_is_woken_while_it_reports_from_sleep_stays_awake(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vehicle.agent.SETTLE_SECONDS", 0.01)
    await bench.agent.sleep()
    bench.car.change(lambda body: body.with_lock(DoorName.DRIVER, LockPosition.UNLOCKED), ActuationCause.HAND)
    bench.agent.wake()
    await bench.until(lambda: bench.agent._waking is None)
    assert not bench.agent.is_asleep


async def test_a_car_that_vanished_reports_nothing_of_its_own(bench: Bench) -> None:
    await bench.agent.vanish()
    bench.car.change(lambda body: body.with_lock(DoorName.DRIVER, LockPosition.UNLOCKED), ActuationCause.HAND)
    assert bench.agent._waking is None

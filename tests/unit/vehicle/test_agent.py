"""What the agent says by itself, and when: the hello first, a report after each result, and one before sleep."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from protocol.broker import Command, Event
from protocol.faults import Fault
from tests.unit.vehicle.fakes import FakeDelivery
from vehicle.body import DoorName
from vehicle.car import Cause
from vehicle.link import LinkDown

if TYPE_CHECKING:
    from tests.unit.vehicle.bench import Bench
    from tests.unit.vehicle.conftest import FakeClock


async def test_the_hello_comes_before_all_else(bench: Bench) -> None:
    bench.link.lose()
    bench.take(bench.command())
    await bench.finished("c1")
    await bench.agent.crash()
    published = len(bench.link.published)
    bench.link.find()
    bench.boot()
    await bench.start()
    await bench.settled()
    events = [event for event, _ in bench.link.published[published:]]
    assert events[0] is Event.HELLO
    assert set(events) >= {Event.RESULT, Event.STATUS}
    assert bench.results[0].issued is not None


async def test_each_boot_is_an_epoch_and_sleep_is_none(bench: Bench, clock: FakeClock) -> None:
    epoch = bench.cloud.epoch
    clock.advance(10)
    await bench.agent.sleep()
    clock.advance(20)
    bench.agent.wake()
    await bench.agent.connected.wait()
    await bench.until(bench.agent.outbox._open.is_set)
    woken = next(one.info for one in reversed(bench.cloud.heard) if one.info)
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
        reports = len(bench.cloud.said(Event.STATUS))
        bench.take(order)
        await bench.until(lambda: len(bench.results) == number)  # noqa: B023 - asked before the next round
        await bench.until(lambda: len(bench.cloud.said(Event.STATUS)) > reports)  # noqa: B023


@pytest.mark.parametrize("deed", ["sleep", "stop"])
async def test_the_last_word_is_that_it_sleeps(bench: Bench, deed: str) -> None:
    for number in range(20):  # and it has much to say
        bench.car.change(lambda body, n=number: body.with_battery(50 + n), Cause.HAND)  # type: ignore[misc]
        bench.take(bench.command(f"c{number}"))
        await asyncio.sleep(0)
    await getattr(bench.agent, deed)()
    event, _data = bench.link.published[bench.link.closed_after - 1]
    assert event is Event.STATUS
    said = [one.going_to_sleep for one in bench.cloud.said(Event.STATUS)]
    assert said[-1]
    assert not any(said[:-1])
    assert len(bench.link.published) == bench.link.closed_after
    if deed == "stop":
        bench.boot()
        await bench.start()


async def test_a_report_under_way_does_not_come_after_the_last(bench: Bench) -> None:
    publish, slow, arrived = bench.link.publish, asyncio.Event(), asyncio.Event()

    async def slowly(event: Event, deduplication_id: str, data: bytes) -> None:
        if not slow.is_set() and event is Event.STATUS:
            slow.set()
            await arrived.wait()
        await publish(event, deduplication_id, data)

    bench.link.publish = slowly  # type: ignore[method-assign]  # the network, as slow as it may be
    bench.car.change(lambda body: body.with_battery(42), Cause.HAND)
    await slow.wait()
    falling_asleep = asyncio.create_task(bench.agent.sleep())
    await asyncio.sleep(0)
    arrived.set()
    await falling_asleep
    assert [one.going_to_sleep for one in bench.cloud.said(Event.STATUS)][-2:] == [False, True]


async def test_sleep_does_not_wait_for_a_broker_that_does_not_answer(bench: Bench) -> None:
    async def never(_event: Event, _deduplication_id: str, _data: bytes) -> None:
        await asyncio.Event().wait()

    bench.link.publish = never  # type: ignore[assignment]  # as a connection that is dead and does not know
    async with asyncio.timeout(3):
        await bench.agent.sleep()
    assert bench.agent.is_asleep


async def test_a_crash_says_nothing(bench: Bench) -> None:
    await bench.agent.crash()
    assert not any(one.going_to_sleep for one in bench.cloud.said(Event.STATUS))
    bench.boot()
    await bench.start()


async def test_waking_in_the_middle_of_falling_asleep_wakes(bench: Bench) -> None:
    falling_asleep = asyncio.create_task(bench.agent.sleep())
    await asyncio.sleep(0)
    bench.agent.wake()
    await falling_asleep
    hellos = len(bench.cloud.said(Event.HELLO))
    await bench.until(lambda: len(bench.cloud.said(Event.HELLO)) > hellos or hellos > 1)
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


async def test_a_result_that_fails_again_and_again_is_looked_at_all_the_same(bench: Bench) -> None:
    publish = bench.link.publish

    async def without_results(event: Event, deduplication_id: str, data: bytes) -> None:
        if event is Event.RESULT:
            raise LinkDown("lost")
        await publish(event, deduplication_id, data)

    bench.link.publish = without_results  # type: ignore[method-assign]  # a broker that takes all else
    bench.take(bench.command("first"))
    await bench.finished("first")
    bench.link.publish = publish  # type: ignore[method-assign]
    for number in range(70):  # more than the cloud's window is wide
        bench.take(bench.cancel(f"x{number}", f"c{number}"))
    await bench.settled()
    assert "first" in {one.payload.command_id for one in bench.results}
    assert bench.cloud.repetitions == []


async def test_a_dropped_event_is_believed_sent_and_a_duplicate_is_the_same_bytes(bench: Bench) -> None:
    bench.agent.outbox.drop_next()
    bench.car.change(lambda body: body.with_window(DoorName.DRIVER, is_open=True), Cause.HAND)
    await bench.until(lambda: bench.agent.outbox.dropped_count == 1)
    bench.agent.outbox.duplicate_next()
    bench.car.change(lambda body: body.with_battery(50), Cause.HAND)
    await bench.until(lambda: bench.cloud.repetitions == [Event.STATUS])
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
    bench.take(FakeDelivery(Command.DOOR, order.data))
    await bench.settled()
    assert bench.cloud.faults == [Fault.WRONG_EPOCH]
    assert bench.car.log.read() == []

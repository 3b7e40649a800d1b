"""What becomes of commands and cancellations, whichever comes first and however often."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from ecarus.remotecontrol.vehicle.v1 import command_pb2, report_pb2

from protocol.broker import Command, Event
from protocol.envelope import unpack
from tests.unit.vehicle.fakes import VIN, FakeDelivery, FakeLink, delivery
from vehicle import translate
from vehicle.journal import Journal
from vehicle.orders import Orders
from vehicle.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.vehicle.conftest import FakeClock
    from vehicle.car import Car

WILL_NOT_ACT = report_pb2.CANCEL_OUTCOME_WILL_NOT_ACT
STOPPED = report_pb2.CANCEL_OUTCOME_STOPPED
TOO_LATE = report_pb2.CANCEL_OUTCOME_TOO_LATE


class Bench:
    """Orders at work, between a fake link and a real car."""

    def __init__(self, car: Car, clock: FakeClock, folder: Path) -> None:
        self.car = car
        self.link = FakeLink()
        self.clock = clock
        self.journal = Journal(folder / "journal.jsonl", clock.now())
        self.outbox = Outbox(VIN, self.link, clock)
        self.outbox.open()
        self.orders = Orders(car, self.journal, self.outbox, clock, self._status)
        self.worker = asyncio.get_running_loop().create_task(self.orders.work())

    def command(self, command_id: str = "c1") -> FakeDelivery:
        now = self.clock.now()
        message = command_pb2.DoorCommand(
            command_id=command_id,
            action=command_pb2.DOOR_ACTION_UNLOCK,
            mode=command_pb2.DOOR_ACTION_MODE_NORMAL,
            all_doors=True,
        )
        message.issued_at.FromDatetime(now)
        message.expires_at.FromDatetime(now + timedelta(seconds=30))
        return delivery(Command.DOOR, message, now)

    def cancel(self, cancel_id: str = "x1", command_id: str = "c1", *, force: bool = False) -> FakeDelivery:
        message = command_pb2.CancelCommand(cancel_id=cancel_id, command_id=command_id, force=force)
        return delivery(Command.CANCEL, message, self.clock.now())

    async def settled(self) -> None:
        """Waits until nothing is under way."""
        async with asyncio.timeout(5):
            while self.orders.is_busy or not await self.outbox.flush(1):  # noqa: ASYNC110 - polls two things
                await asyncio.sleep(0)

    async def finished(self, command_id: str) -> None:
        """Waits until the command has its result, sent or not."""
        async with asyncio.timeout(5):
            while self.journal.result_of(command_id) is None:  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(0)

    @property
    def result(self) -> Any:
        (one,) = self.link.said(Event.RESULT)
        return one

    @property
    def cancels(self) -> list[int]:
        return [one.outcome for one in self.link.said(Event.CANCEL)]

    def _status(self) -> report_pb2.StatusReport:
        return translate.status_report(self.car.body, self.clock.now(), "boot", 1, 30)


@pytest_asyncio.fixture
async def bench(car: Car, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Bench]:
    one = Bench(car, clock, tmp_path)
    yield one
    one.worker.cancel()
    with suppress(asyncio.CancelledError):
        await one.worker
    await one.outbox.stop()


async def test_the_acknowledgement_comes_after_the_result(bench: Bench) -> None:
    order = bench.command()
    bench.outbox.shut()
    bench.orders.take([order])
    await bench.finished("c1")
    assert not order.acknowledged
    bench.outbox.open()
    await bench.settled()
    assert order.acknowledged
    assert {kind for kind, _ in bench.link.events.values()} == {Event.RECEIVED, Event.RESULT}


async def test_the_same_command_in_one_batch_acts_once(bench: Bench) -> None:
    orders = [bench.command() for _ in range(3)]
    bench.orders.take(list(orders))
    await bench.settled()
    again = bench.command()
    bench.orders.take([again])
    await bench.settled()
    assert all(order.acknowledged for order in [*orders, again])
    assert len(bench.car.log.read()) == 10
    assert bench.result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("command_first", [False, True])
async def test_cancelled_in_the_same_batch(bench: Bench, force: bool, command_first: bool) -> None:
    order, cancel = bench.command(), bench.cancel(force=force)
    bench.orders.take([order, cancel] if command_first else [cancel, order])
    await bench.settled()
    assert bench.cancels == [WILL_NOT_ACT]
    assert bench.result.outcome == report_pb2.COMMAND_OUTCOME_CANCELLED
    assert len(bench.result.doors) == 5
    assert order.acknowledged
    assert cancel.acknowledged
    assert bench.car.log.read() == []


async def test_cancelled_before_it_comes(bench: Bench) -> None:
    bench.orders.take([bench.cancel()])
    await bench.settled()
    order = bench.command()
    bench.orders.take([order])
    await bench.settled()
    assert bench.cancels == [WILL_NOT_ACT]
    assert order.acknowledged
    assert bench.car.log.read() == []


async def test_cancelled_after_its_end(bench: Bench) -> None:
    bench.orders.take([bench.command()])
    await bench.settled()
    bench.orders.take([bench.cancel(force=True)])
    await bench.settled()
    assert bench.cancels == [TOO_LATE]


async def test_cancelled_twice(bench: Bench) -> None:
    bench.orders.take([bench.cancel("x1")])
    bench.orders.take([bench.cancel("x1")])
    bench.orders.take([bench.cancel("x2")])
    await bench.settled()
    assert bench.cancels == [WILL_NOT_ACT, WILL_NOT_ACT]


async def test_cancelled_while_it_moves(bench: Bench) -> None:
    taken: list[FakeDelivery] = []

    def after_the_first_door() -> None:
        if not taken:
            taken.extend([bench.cancel("soft"), bench.cancel("hard", force=True)])
            bench.orders.take(list(taken))

    bench.car.observe(after_the_first_door)
    bench.orders.take([bench.command()])
    await bench.settled()
    assert sorted(bench.cancels) == sorted([TOO_LATE, STOPPED])
    assert bench.result.outcome == report_pb2.COMMAND_OUTCOME_PARTIAL
    assert [door.succeeded for door in bench.result.doors] == [True, False, False, False, False]
    assert all(one.acknowledged for one in taken)


async def test_a_stop_that_came_at_the_last_door_is_too_late(bench: Bench) -> None:
    def after_the_last_door() -> None:
        if not any(door.locked for name, door in bench.car.body.doors.items() if name != "hood"):
            bench.orders.take([bench.cancel(force=True)])

    bench.car.observe(after_the_last_door)
    bench.orders.take([bench.command()])
    await bench.settled()
    assert bench.cancels == [TOO_LATE]
    assert bench.result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED


async def test_what_has_not_begun_is_left_to_the_broker(bench: Bench) -> None:
    order = bench.command()
    async with bench.car.actuators:
        bench.orders.take([order])
        bench.orders.forget_waiting()
    await bench.settled()
    assert not order.acknowledged
    assert bench.car.log.read() == []


async def test_poison_is_terminated(bench: Bench) -> None:
    poison = [FakeDelivery(Command.DOOR, b"\xff"), FakeDelivery(None, b"")]
    bench.orders.take([*poison, bench.command()])
    await bench.settled()
    assert all(one.terminated for one in poison)
    assert bench.result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED


async def test_a_reboot_recovers_what_was_not_sent(bench: Bench) -> None:
    bench.journal.begin("c1", _bytes(bench.command()), bench.clock.now())
    bench.orders.recover()
    await bench.settled()
    assert bench.result.fault == report_pb2.FAULT_CODE_INTERRUPTED
    bench.orders.take([bench.command()])
    await bench.settled()
    assert bench.car.log.read() == []


def _bytes(one: FakeDelivery) -> bytes:
    return unpack(one.data, vin=VIN).payload.SerializeToString()

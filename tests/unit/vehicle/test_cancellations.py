"""Cancellations at every moment of a command's life, from before it comes to after its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.vehicle.v1 import command_pb2, report_pb2

from protocol.domains import Domain

if TYPE_CHECKING:
    from tests.unit.vehicle.agent_harness import AgentHarness
    from tests.unit.vehicle.fakes import FakeDelivery

WILL_NOT_ACT = report_pb2.CANCEL_OUTCOME_WILL_NOT_ACT
STOPPED = report_pb2.CANCEL_OUTCOME_STOPPED
TOO_LATE = report_pb2.CANCEL_OUTCOME_TOO_LATE


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("command_first", [False, True])
async def test_cancelled_in_the_same_batch(harness: AgentHarness, force: bool, command_first: bool) -> None:
    order, cancel = harness.command(), harness.cancel(force=force)
    harness.take(*([order, cancel] if command_first else [cancel, order]))
    await harness.settled()
    assert harness.cancels == [WILL_NOT_ACT]
    assert harness.result.outcome == report_pb2.COMMAND_OUTCOME_CANCELLED
    assert len(harness.result.doors) == 5
    assert [one.issued.domain for one in harness.results if one.issued] == [Domain.COMMAND]
    assert order.acknowledged
    assert cancel.acknowledged
    assert harness.car.log.read() == []


async def test_cancelled_before_it_comes(harness: AgentHarness) -> None:
    harness.take(harness.cancel())
    await harness.settled()
    order = harness.command()
    harness.take(order)
    await harness.settled()
    assert harness.cancels == [WILL_NOT_ACT]
    assert order.acknowledged
    assert harness.car.log.read() == []
    first, second = (one.issued.domain for one in harness.results if one.issued)
    assert (first, second) == (
        Domain.CANCEL,
        Domain.COMMAND,
    )  # the cancellation's name, then the command's own
    assert harness.result.outcome == report_pb2.COMMAND_OUTCOME_CANCELLED


async def test_cancelled_before_it_comes_and_a_reboot_between(harness: AgentHarness) -> None:
    harness.take(harness.cancel())
    await harness.settled()
    await harness.reboot()
    order = harness.command()
    harness.take(order)
    await harness.settled()
    assert order.acknowledged
    assert harness.result.outcome == report_pb2.COMMAND_OUTCOME_CANCELLED
    assert harness.car.log.read() == []


async def test_a_cancellation_of_nothing_is_dropped(harness: AgentHarness) -> None:
    cancel = harness.cancel(command_id="")
    harness.take(cancel)
    await harness.settled()
    assert cancel.terminated
    assert harness.cancels == []


async def test_cancelled_after_its_end(harness: AgentHarness) -> None:
    harness.take(harness.command())
    await harness.settled()
    harness.take(harness.cancel(force=True))
    await harness.settled()
    assert harness.cancels == [TOO_LATE]


async def test_cancelled_twice(harness: AgentHarness) -> None:
    harness.take(harness.cancel("x1"))
    harness.take(harness.cancel("x1"))
    harness.take(harness.cancel("x2"))
    await harness.settled()
    assert harness.cancels == [WILL_NOT_ACT, WILL_NOT_ACT]
    harness.take(harness.cancel("x1"))
    await harness.settled()
    assert harness.cancels == [WILL_NOT_ACT] * 3


async def test_cancelled_while_it_moves(harness: AgentHarness) -> None:
    taken: list[FakeDelivery] = []

    def after_the_first_door() -> None:
        if not taken:
            taken.extend([harness.cancel("soft"), harness.cancel("hard", force=True)])
            harness.take(*taken)

    harness.car.observe(after_the_first_door)
    harness.take(harness.command())
    await harness.settled()
    assert sorted(harness.cancels) == sorted([TOO_LATE, STOPPED])
    assert harness.result.outcome == report_pb2.COMMAND_OUTCOME_PARTIAL
    assert [door.succeeded for door in harness.result.doors] == [True, False, False, False, False]
    assert all(one.acknowledged for one in taken)


async def test_a_forced_cancellation_never_leaves_a_car_half_locked(harness: AgentHarness) -> None:
    harness.take(harness.command("c0"))
    await harness.settled()
    taken: list[FakeDelivery] = []

    def after_the_first_door() -> None:
        if not taken:
            taken.append(harness.cancel(force=True))
            harness.take(*taken)

    harness.car.observe(after_the_first_door)
    lock = command_pb2.DoorCommand(
        command_id="c1",
        action=command_pb2.DOOR_ACTION_LOCK,
        mode=command_pb2.DOOR_ACTION_MODE_NORMAL,
        all_doors=True,
    )
    harness.take(harness.order(lock))
    await harness.settled()
    assert harness.cancels == [TOO_LATE]
    result = next(one.payload for one in harness.results if one.payload.command_id == "c1")
    assert result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED
    assert [door.locked for door in result.doors] == [True] * 5
    assert all(one.acknowledged for one in taken)


async def test_a_forced_cancellation_that_comes_again_is_settled_with_the_first(
    harness: AgentHarness,
) -> None:
    taken: list[FakeDelivery] = []

    def after_the_first_door() -> None:
        if not taken:
            taken.extend([harness.cancel(force=True), harness.cancel(force=True)])
            harness.take(*taken)

    harness.car.observe(after_the_first_door)
    harness.take(harness.command())
    await harness.settled()
    assert harness.cancels == [STOPPED]
    assert all(one.acknowledged for one in taken)


async def test_a_stop_that_came_at_the_last_door_is_too_late(harness: AgentHarness) -> None:
    def after_the_last_door() -> None:
        if not any(door.locked for name, door in harness.car.body.doors.items() if name != "hood"):
            harness.take(harness.cancel(force=True))

    harness.car.observe(after_the_last_door)
    harness.take(harness.command())
    await harness.settled()
    assert harness.cancels == [TOO_LATE]
    assert harness.result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED

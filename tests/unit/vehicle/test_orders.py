"""What becomes of commands and cancellations, whichever comes first and however often."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.vehicle.v1 import body_pb2, command_pb2, report_pb2

from protocol.domains import Domain
from protocol.faults import Fault
from protocol.subjects import CommandKind, EventKind
from tests.support.signed_cloud import unlock
from tests.unit.vehicle.fakes import FakeDelivery
from vehicle.body import DoorName, Equipment
from vehicle.budget import AT_ONCE

if TYPE_CHECKING:
    from tests.unit.vehicle.bench import Bench
    from tests.unit.vehicle.conftest import FakeClock
    from vehicle.journal import BegunCommand

WILL_NOT_ACT = report_pb2.CANCEL_OUTCOME_WILL_NOT_ACT
STOPPED = report_pb2.CANCEL_OUTCOME_STOPPED
TOO_LATE = report_pb2.CANCEL_OUTCOME_TOO_LATE


async def test_the_acknowledgement_comes_after_the_result(bench: Bench) -> None:
    order = bench.command()
    bench.link.lose()
    bench.take(order)
    await bench.finished("c1")
    assert not order.acknowledged
    bench.link.find()
    await bench.settled()
    assert order.acknowledged
    assert bench.cloud.said(EventKind.RECEIVED)[0].command_id == "c1"
    assert bench.result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED


async def test_the_same_bytes_again_and_again_act_once(bench: Bench) -> None:
    order = bench.command()
    again = [order, *(FakeDelivery(CommandKind.DOOR, order.data) for _ in range(3))]
    bench.take(*again[:2])
    await bench.settled()
    bench.take(*again[2:])
    await bench.settled()
    assert all(one.acknowledged for one in again)
    assert len(bench.car.log.read()) == 10
    assert len(bench.results) == 1
    assert bench.cloud.faults == []


async def test_the_same_command_signed_again_acts_once_and_is_answered_by_its_new_name(bench: Bench) -> None:
    orders = [bench.command() for _ in range(3)]
    bench.take(*orders)
    await bench.settled()
    again = bench.command()
    bench.take(again)
    await bench.settled()
    assert all(order.acknowledged for order in [*orders, again])
    assert bench.moved == 5
    assert bench.result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED
    names = [one.issued.request_hash for one in bench.results if one.issued]
    assert len(set(names)) == len(bench.results) == 2


async def test_a_lock_that_slips_was_moved_when_the_result_is_made_and_is_back_in_the_next_report(
    bench: Bench,
) -> None:
    bench.take(bench.command())
    await bench.settled()
    bench.car.set_slipping(DoorName.TRUNK, slips=True)
    order = unlock("c2")
    order.action = command_pb2.DOOR_ACTION_LOCK
    bench.take(bench.order(order))
    await bench.finished("c2")
    await bench.settled()
    result = bench.results[-1].payload
    assert (result.command_id, result.outcome) == ("c2", report_pb2.COMMAND_OUTCOME_SUCCEEDED)
    assert all(outcome.locked for outcome in result.doors)
    assert [name.value for name, door in bench.car.body.doors.items() if not door.locked] == ["trunk"]


async def test_a_command_that_comes_again_while_it_moves_is_settled_with_the_first(bench: Bench) -> None:
    taken: list[FakeDelivery] = []

    def after_the_first_door() -> None:
        if not taken:
            taken.append(bench.command())
            bench.take(*taken)

    bench.car.observe(after_the_first_door)
    order = bench.command()
    bench.take(order)
    await bench.settled()
    assert order.acknowledged
    assert taken[0].acknowledged
    assert bench.moved == 5
    assert len(bench.results) == 1


async def test_a_command_comes_again_in_the_moment_of_its_beginning(bench: Bench) -> None:
    begin = bench.journal.begin

    def begin_and_again(command_id: str, begun: BegunCommand) -> None:
        begin(command_id, begun)
        bench.take(again)

    bench.journal.begin = begin_and_again  # type: ignore[method-assign]  # the moment nobody else can meet
    order, again = bench.command(), bench.command()
    bench.take(order)
    await bench.settled()
    assert order.acknowledged
    assert again.acknowledged
    assert bench.moved == 5


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("command_first", [False, True])
async def test_cancelled_in_the_same_batch(bench: Bench, force: bool, command_first: bool) -> None:
    order, cancel = bench.command(), bench.cancel(force=force)
    bench.take(*([order, cancel] if command_first else [cancel, order]))
    await bench.settled()
    assert bench.cancels == [WILL_NOT_ACT]
    assert bench.result.outcome == report_pb2.COMMAND_OUTCOME_CANCELLED
    assert len(bench.result.doors) == 5
    assert [one.issued.domain for one in bench.results if one.issued] == [Domain.COMMAND]
    assert order.acknowledged
    assert cancel.acknowledged
    assert bench.car.log.read() == []


async def test_cancelled_before_it_comes(bench: Bench) -> None:
    bench.take(bench.cancel())
    await bench.settled()
    order = bench.command()
    bench.take(order)
    await bench.settled()
    assert bench.cancels == [WILL_NOT_ACT]
    assert order.acknowledged
    assert bench.car.log.read() == []
    first, second = (one.issued.domain for one in bench.results if one.issued)
    assert (first, second) == (
        Domain.CANCEL,
        Domain.COMMAND,
    )  # the cancellation's name, then the command's own
    assert bench.result.outcome == report_pb2.COMMAND_OUTCOME_CANCELLED


async def test_cancelled_before_it_comes_and_a_reboot_between(bench: Bench) -> None:
    bench.take(bench.cancel())
    await bench.settled()
    await bench.reboot()
    order = bench.command()
    bench.take(order)
    await bench.settled()
    assert order.acknowledged
    assert bench.result.outcome == report_pb2.COMMAND_OUTCOME_CANCELLED
    assert bench.car.log.read() == []


async def test_a_cancellation_of_nothing_is_dropped(bench: Bench) -> None:
    cancel = bench.cancel(command_id="")
    bench.take(cancel)
    await bench.settled()
    assert cancel.terminated
    assert bench.cancels == []


async def test_cancelled_after_its_end(bench: Bench) -> None:
    bench.take(bench.command())
    await bench.settled()
    bench.take(bench.cancel(force=True))
    await bench.settled()
    assert bench.cancels == [TOO_LATE]


async def test_cancelled_twice(bench: Bench) -> None:
    bench.take(bench.cancel("x1"))
    bench.take(bench.cancel("x1"))
    bench.take(bench.cancel("x2"))
    await bench.settled()
    assert bench.cancels == [WILL_NOT_ACT, WILL_NOT_ACT]
    bench.take(bench.cancel("x1"))
    await bench.settled()
    assert bench.cancels == [WILL_NOT_ACT] * 3


async def test_cancelled_while_it_moves(bench: Bench) -> None:
    taken: list[FakeDelivery] = []

    def after_the_first_door() -> None:
        if not taken:
            taken.extend([bench.cancel("soft"), bench.cancel("hard", force=True)])
            bench.take(*taken)

    bench.car.observe(after_the_first_door)
    bench.take(bench.command())
    await bench.settled()
    assert sorted(bench.cancels) == sorted([TOO_LATE, STOPPED])
    assert bench.result.outcome == report_pb2.COMMAND_OUTCOME_PARTIAL
    assert [door.succeeded for door in bench.result.doors] == [True, False, False, False, False]
    assert all(one.acknowledged for one in taken)


async def test_a_forced_cancellation_never_leaves_a_car_half_locked(bench: Bench) -> None:
    bench.take(bench.command("c0"))
    await bench.settled()
    taken: list[FakeDelivery] = []

    def after_the_first_door() -> None:
        if not taken:
            taken.append(bench.cancel(force=True))
            bench.take(*taken)

    bench.car.observe(after_the_first_door)
    lock = command_pb2.DoorCommand(
        command_id="c1",
        action=command_pb2.DOOR_ACTION_LOCK,
        mode=command_pb2.DOOR_ACTION_MODE_NORMAL,
        all_doors=True,
    )
    bench.take(bench.order(lock))
    await bench.settled()
    assert bench.cancels == [TOO_LATE]
    result = next(one.payload for one in bench.results if one.payload.command_id == "c1")
    assert result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED
    assert [door.locked for door in result.doors] == [True] * 5
    assert all(one.acknowledged for one in taken)


async def test_a_forced_cancellation_that_comes_again_is_settled_with_the_first(bench: Bench) -> None:
    taken: list[FakeDelivery] = []

    def after_the_first_door() -> None:
        if not taken:
            taken.extend([bench.cancel(force=True), bench.cancel(force=True)])
            bench.take(*taken)

    bench.car.observe(after_the_first_door)
    bench.take(bench.command())
    await bench.settled()
    assert bench.cancels == [STOPPED]
    assert all(one.acknowledged for one in taken)


async def test_a_stop_that_came_at_the_last_door_is_too_late(bench: Bench) -> None:
    def after_the_last_door() -> None:
        if not any(door.locked for name, door in bench.car.body.doors.items() if name != "hood"):
            bench.take(bench.cancel(force=True))

    bench.car.observe(after_the_last_door)
    bench.take(bench.command())
    await bench.settled()
    assert bench.cancels == [TOO_LATE]
    assert bench.result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED


async def test_what_waits_outlives_the_link_and_acts_once(bench: Bench) -> None:
    order = bench.command()
    async with bench.car.actuators:
        bench.take(order)
        bench.link.lose()
        await bench.until(lambda: not bench.agent.connected.is_set())
        bench.link.find()
        await bench.agent.connected.wait()
        again = FakeDelivery(CommandKind.DOOR, order.data)
        bench.take(again)
    await bench.settled()
    assert again.acknowledged
    assert bench.moved == 5
    assert len(bench.results) == 1


async def test_a_result_says_which_report_was_the_last_before_it_began(bench: Bench) -> None:
    before = bench.agent._sequence
    bench.take(bench.command())
    await bench.settled()
    assert before <= bench.result.began_after_sequence < bench.result.status.sequence


async def test_what_waits_too_long_never_acts(bench: Bench, clock: FakeClock) -> None:
    async with bench.car.actuators:
        bench.take(bench.command(valid_seconds=10))
        clock.advance(10)
        clock.set_wall(-3600)
    await bench.settled()
    assert bench.result.fault == report_pb2.FAULT_CODE_EXPIRED
    assert bench.car.log.read() == []


async def test_expiry_by_the_epochs_clock_is_looked_at_before_each_door(
    bench: Bench, clock: FakeClock
) -> None:
    bench.car.observe(lambda: clock.advance(12))
    bench.take(bench.command())
    await bench.settled()
    assert bench.result.outcome == report_pb2.COMMAND_OUTCOME_PARTIAL
    assert [door.succeeded for door in bench.result.doors] == [True, True, True, False, False]


async def test_what_had_not_begun_before_a_crash_is_signed_again_and_acts_once(bench: Bench) -> None:
    order = bench.command()
    await bench.car.actuators.acquire()
    bench.take(order)
    await bench.agent.crash()
    bench.car.actuators.release()
    bench.boot()
    await bench.start()
    again = FakeDelivery(CommandKind.DOOR, order.data)
    bench.take(again)
    await bench.settled()
    assert again.terminated
    assert bench.cloud.faults == [Fault.WRONG_EPOCH]
    assert bench.car.log.read() == []
    bench.take(bench.command())
    await bench.settled()
    assert bench.moved == 5
    assert bench.result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED


async def test_poison_is_terminated(bench: Bench) -> None:
    poison = [FakeDelivery(CommandKind.DOOR, b"\xff"), FakeDelivery(None, b"")]
    bench.take(*poison, bench.command())
    await bench.settled()
    assert all(one.terminated for one in poison)
    assert bench.result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED


async def test_a_command_it_cannot_carry_out_is_a_result(bench: Bench) -> None:
    order = bench.order(command_pb2.DoorCommand(command_id="no-doors"))
    bench.take(order)
    await bench.settled()
    assert bench.result.fault == report_pb2.FAULT_CODE_NOT_SUPPORTED
    assert order.acknowledged


async def test_a_crash_in_mid_command_interrupts_it_for_good(bench: Bench) -> None:
    bench.car.door_time_seconds = 30
    order = bench.command()
    bench.take(order)
    await bench.until(lambda: len(bench.car.log.read()) == 1)
    await bench.reboot()
    await bench.settled()
    assert bench.result.fault == report_pb2.FAULT_CODE_INTERRUPTED
    assert bench.results[0].issued is not None
    assert bench.results[0].issued.order_id == "c1"
    again = FakeDelivery(CommandKind.DOOR, order.data)
    bench.take(again)
    await bench.settled()
    assert again.acknowledged
    assert len(bench.car.log.read()) == 1
    assert bench.cloud.faults == []


async def test_a_result_that_was_not_sent_is_signed_anew_after_a_reboot(bench: Bench) -> None:
    bench.take(bench.command())
    bench.link.lose()
    await bench.finished("c1")
    (kept,) = bench.journal.unsent()
    bench.link.find()
    await bench.reboot()
    await bench.settled()
    assert bench.results[0].message_id == kept.message_id
    assert bench.result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED


def settings(version: int, delay_seconds: int = 30) -> command_pb2.ApplyConfig:
    return command_pb2.ApplyConfig(
        version=version,
        settings=body_pb2.DoorSettings(
            auto_lock_delay_seconds=delay_seconds,
            unlock_mode=body_pb2.UNLOCK_MODE_ALL,
            speed_lock_threshold_kmh=15,
        ),
    )


async def test_settings_are_known_by_their_version(bench: Bench) -> None:
    for version in (3, 3, 2):
        order = bench.order(settings(version))
        bench.take(order)
        await bench.settled()
        assert order.acknowledged
    assert [one.version for one in bench.cloud.said(EventKind.CONFIG)] == [3, 3, 3]
    bench.take(bench.order(settings(4, delay_seconds=1)))
    await bench.settled()
    refused = bench.cloud.said(EventKind.CONFIG)[-1]
    assert (refused.version, refused.applied) == (4, False)
    assert bench.car.config_version == 3


async def test_a_car_without_child_locks_runs_with_the_rest_and_says_what_it_left_out(bench: Bench) -> None:
    bench.car.rebuild(Equipment(child_locks=frozenset({DoorName.DRIVER})))
    wanted = settings(3, delay_seconds=45)
    wanted.settings.child_lock_enabled = True
    bench.take(bench.order(wanted))
    await bench.settled()
    [said] = bench.cloud.said(EventKind.CONFIG)
    assert said.applied
    assert said.reason == "child_lock_enabled: this car has no child locks"
    in_force = wanted.settings
    in_force.child_lock_enabled = False
    assert said.settings == in_force
    assert (bench.car.config_version, bench.car.settings.auto_lock_delay_seconds) == (3, 45)


async def test_a_car_with_child_locks_leaves_nothing_out(bench: Bench) -> None:
    wanted = settings(3)
    wanted.settings.child_lock_enabled = True
    bench.take(bench.order(wanted))
    await bench.settled()
    [said] = bench.cloud.said(EventKind.CONFIG)
    assert (said.applied, said.reason, said.settings) == (True, "", wanted.settings)


async def test_a_repeated_answer_comes_out_of_the_budget(bench: Bench, clock: FakeClock) -> None:
    bench.take(bench.command())
    await bench.settled()
    for _ in range(AT_ONCE + 1):
        order = bench.command()
        bench.take(order)
        await bench.settled()
        assert order.acknowledged
    assert len(bench.results) == 1 + AT_ONCE
    clock.advance(1)
    bench.take(bench.command())
    await bench.settled()
    assert len(bench.results) == 2 + AT_ONCE
    assert bench.moved == 5

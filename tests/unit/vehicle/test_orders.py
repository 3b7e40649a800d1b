"""What becomes of commands and cancellations, whichever comes first and however often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1 import body_pb2, command_pb2, report_pb2

from protocol.faults import Fault
from protocol.subjects import CommandKind, EventKind
from tests.support.signed_cloud import unlock
from tests.unit.vehicle.fakes import FakeDelivery
from vehicle.doors.body import DoorName, Equipment
from vehicle.messages.budget import AT_ONCE

if TYPE_CHECKING:
    from tests.unit.vehicle.agent_harness import AgentHarness
    from tests.unit.vehicle.conftest import FakeClock
    from vehicle.messages.journal import BegunCommand


async def test_the_acknowledgement_comes_after_the_result(harness: AgentHarness) -> None:
    order = harness.command()
    harness.link.lose()
    harness.take(order)
    await harness.finished("c1")
    assert not order.acknowledged
    harness.link.find()
    await harness.settled()
    assert order.acknowledged
    assert harness.cloud.said(EventKind.RECEIVED)[0].command_id == "c1"
    assert harness.result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED


async def test_the_same_bytes_again_and_again_act_once(harness: AgentHarness) -> None:
    order = harness.command()
    again = [order, *(FakeDelivery(CommandKind.DOOR, order.data) for _ in range(3))]
    harness.take(*again[:2])
    await harness.settled()
    harness.take(*again[2:])
    await harness.settled()
    assert all(one.acknowledged for one in again)
    assert len(harness.car.log.read()) == 10
    assert len(harness.results) == 1
    assert harness.cloud.faults == []


async def test_the_same_command_signed_again_acts_once_and_is_answered_by_its_new_name(
    harness: AgentHarness,
) -> None:
    orders = [harness.command() for _ in range(3)]
    harness.take(*orders)
    await harness.settled()
    again = harness.command()
    harness.take(again)
    await harness.settled()
    assert all(order.acknowledged for order in [*orders, again])
    assert harness.moved == 5
    assert harness.result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED
    names = [one.issued.request_hash for one in harness.results if one.issued]
    assert len(set(names)) == len(harness.results) == 2


async def test_a_lock_that_slips_was_moved_when_the_result_is_made_and_is_back_in_the_next_report(
    harness: AgentHarness,
) -> None:
    harness.take(harness.command())
    await harness.settled()
    harness.car.set_slipping(DoorName.TRUNK, slips=True)
    order = unlock("c2")
    order.action = command_pb2.DOOR_ACTION_LOCK
    harness.take(harness.order(order))
    await harness.finished("c2")
    await harness.settled()
    result = harness.results[-1].payload
    assert (result.command_id, result.outcome) == ("c2", report_pb2.COMMAND_OUTCOME_SUCCEEDED)
    assert all(outcome.locked for outcome in result.doors)
    assert [name.value for name, door in harness.car.body.doors.items() if not door.locked] == ["trunk"]


async def test_a_command_that_comes_again_while_it_moves_is_settled_with_the_first(
    harness: AgentHarness,
) -> None:
    taken: list[FakeDelivery] = []

    def after_the_first_door() -> None:
        if not taken:
            taken.append(harness.command())
            harness.take(*taken)

    harness.car.observe(after_the_first_door)
    order = harness.command()
    harness.take(order)
    await harness.settled()
    assert order.acknowledged
    assert taken[0].acknowledged
    assert harness.moved == 5
    assert len(harness.results) == 1


async def test_a_command_comes_again_in_the_moment_of_its_beginning(harness: AgentHarness) -> None:
    begin = harness.journal.begin

    def begin_and_again(command_id: str, begun: BegunCommand) -> None:
        begin(command_id, begun)
        harness.take(again)

    harness.journal.begin = begin_and_again  # type: ignore[method-assign]  # the moment nobody else can meet
    order, again = harness.command(), harness.command()
    harness.take(order)
    await harness.settled()
    assert order.acknowledged
    assert again.acknowledged
    assert harness.moved == 5


async def test_what_waits_outlives_the_link_and_acts_once(harness: AgentHarness) -> None:
    order = harness.command()
    async with harness.car.actuators:
        harness.take(order)
        harness.link.lose()
        await harness.until(lambda: not harness.agent.connected.is_set())
        harness.link.find()
        await harness.agent.connected.wait()
        again = FakeDelivery(CommandKind.DOOR, order.data)
        harness.take(again)
    await harness.settled()
    assert again.acknowledged
    assert harness.moved == 5
    assert len(harness.results) == 1


async def test_a_result_says_which_report_was_the_last_before_it_began(harness: AgentHarness) -> None:
    before = harness.agent._sequence
    harness.take(harness.command())
    await harness.settled()
    assert before <= harness.result.began_after_sequence < harness.result.status.sequence


async def test_what_waits_too_long_never_acts(harness: AgentHarness, clock: FakeClock) -> None:
    async with harness.car.actuators:
        harness.take(harness.command(valid_seconds=10))
        clock.advance(10)
        clock.set_wall(-3600)
    await harness.settled()
    assert harness.result.fault == report_pb2.FAULT_CODE_EXPIRED
    assert harness.car.log.read() == []


async def test_expiry_by_the_epochs_clock_is_looked_at_before_each_door(
    harness: AgentHarness, clock: FakeClock
) -> None:
    harness.car.observe(lambda: clock.advance(12))
    harness.take(harness.command())
    await harness.settled()
    assert harness.result.outcome == report_pb2.COMMAND_OUTCOME_PARTIAL
    assert [door.succeeded for door in harness.result.doors] == [True, True, True, False, False]


async def test_what_had_not_begun_before_a_crash_is_signed_again_and_acts_once(harness: AgentHarness) -> None:
    order = harness.command()
    await harness.car.actuators.acquire()
    harness.take(order)
    await harness.agent.crash()
    harness.car.actuators.release()
    harness.boot()
    await harness.start()
    again = FakeDelivery(CommandKind.DOOR, order.data)
    harness.take(again)
    await harness.settled()
    assert again.terminated
    assert harness.cloud.faults == [Fault.WRONG_EPOCH]
    assert harness.car.log.read() == []
    harness.take(harness.command())
    await harness.settled()
    assert harness.moved == 5
    assert harness.result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED


async def test_poison_is_terminated(harness: AgentHarness) -> None:
    poison = [FakeDelivery(CommandKind.DOOR, b"\xff"), FakeDelivery(None, b"")]
    harness.take(*poison, harness.command())
    await harness.settled()
    assert all(one.terminated for one in poison)
    assert harness.result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED


async def test_a_command_it_cannot_carry_out_is_a_result(harness: AgentHarness) -> None:
    order = harness.order(command_pb2.DoorCommand(command_id="no-doors"))
    harness.take(order)
    await harness.settled()
    assert harness.result.fault == report_pb2.FAULT_CODE_NOT_SUPPORTED
    assert order.acknowledged


async def test_a_crash_in_mid_command_interrupts_it_for_good(harness: AgentHarness) -> None:
    harness.car.door_time_seconds = 30
    order = harness.command()
    harness.take(order)
    await harness.until(lambda: len(harness.car.log.read()) == 1)
    await harness.reboot()
    await harness.settled()
    assert harness.result.fault == report_pb2.FAULT_CODE_INTERRUPTED
    assert harness.results[0].issued is not None
    assert harness.results[0].issued.order_id == "c1"
    again = FakeDelivery(CommandKind.DOOR, order.data)
    harness.take(again)
    await harness.settled()
    assert again.acknowledged
    assert len(harness.car.log.read()) == 1
    assert harness.cloud.faults == []


async def test_a_result_that_was_not_sent_is_signed_anew_after_a_reboot(harness: AgentHarness) -> None:
    harness.take(harness.command())
    harness.link.lose()
    await harness.finished("c1")
    (kept,) = harness.journal.unsent()
    harness.link.find()
    await harness.reboot()
    await harness.settled()
    assert harness.results[0].message_id == kept.message_id
    assert harness.result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED


def settings(version: int, delay_seconds: int = 30) -> command_pb2.ApplyConfig:
    return command_pb2.ApplyConfig(
        version=version,
        settings=body_pb2.DoorSettings(
            auto_lock_delay_seconds=delay_seconds,
            unlock_mode=body_pb2.UNLOCK_MODE_ALL,
            speed_lock_threshold_kmh=15,
        ),
    )


async def test_settings_are_known_by_their_version(harness: AgentHarness) -> None:
    for version in (3, 3, 2):
        order = harness.order(settings(version))
        harness.take(order)
        await harness.settled()
        assert order.acknowledged
    assert [one.version for one in harness.cloud.said(EventKind.CONFIG)] == [3, 3, 3]
    harness.take(harness.order(settings(4, delay_seconds=1)))
    await harness.settled()
    refused = harness.cloud.said(EventKind.CONFIG)[-1]
    assert (refused.version, refused.applied) == (4, False)
    assert harness.car.config_version == 3


async def test_a_car_without_child_locks_runs_with_the_rest_and_says_what_it_left_out(
    harness: AgentHarness,
) -> None:
    harness.car.rebuild(Equipment(child_locks=frozenset({DoorName.DRIVER})))
    wanted = settings(3, delay_seconds=45)
    wanted.settings.child_lock_enabled = True
    harness.take(harness.order(wanted))
    await harness.settled()
    [said] = harness.cloud.said(EventKind.CONFIG)
    assert said.applied
    assert said.reason == "child_lock_enabled: this car has no child locks"
    in_force = wanted.settings
    in_force.child_lock_enabled = False
    assert said.settings == in_force
    assert (harness.car.config_version, harness.car.settings.auto_lock_delay_seconds) == (3, 45)


async def test_a_car_with_child_locks_leaves_nothing_out(harness: AgentHarness) -> None:
    wanted = settings(3)
    wanted.settings.child_lock_enabled = True
    harness.take(harness.order(wanted))
    await harness.settled()
    [said] = harness.cloud.said(EventKind.CONFIG)
    assert (said.applied, said.reason, said.settings) == (True, "", wanted.settings)


async def test_a_repeated_answer_comes_out_of_the_budget(harness: AgentHarness, clock: FakeClock) -> None:
    harness.take(harness.command())
    await harness.settled()
    for _ in range(AT_ONCE + 1):
        order = harness.command()
        harness.take(order)
        await harness.settled()
        assert order.acknowledged
    assert len(harness.results) == 1 + AT_ONCE
    clock.advance(1)
    harness.take(harness.command())
    await harness.settled()
    assert len(harness.results) == 2 + AT_ONCE
    assert harness.moved == 5

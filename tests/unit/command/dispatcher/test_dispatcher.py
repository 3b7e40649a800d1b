"""How a command leaves, and what keeps it here."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.vehicle.v1 import session_pb2

from protocol import cose
from protocol.keys import OpenKeys
from protocol.order import request_hash
from protocol.seal import Direction, unseal

if TYPE_CHECKING:
    from services.command.adapters.dispatch import CommandDispatcher
from tests.unit.command.dispatcher.conftest import (
    EPOCH,
    SEAL_KEY,
    VIN,
    DispatcherHarness,
    accepted,
    cancellation,
    command,
)


async def test_a_command_leaves_signed_and_sealed_and_only_as_long_as_it_lives(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    dispatcher.committed(accepted(command()))
    harness.now += timedelta(seconds=10.5)
    assert await dispatcher.send(harness.take_held()) == [True]
    [sent] = harness.published
    envelope = unseal(sent.payload, OpenKeys(SEAL_KEY), Direction.TO_VEHICLE, VIN)
    order = session_pb2.SignedOrder.FromString(cose.decode(envelope).payload)
    assert (order.vin, order.epoch, order.counter, order.door.all_doors) == (VIN, EPOCH, 1, True)
    assert (order.expires_at_millis, sent.ttl_seconds) == (19_500, 20)
    assert sent.message_id == f"cmd-1.{request_hash(envelope).hex()[:16]}"
    assert (harness.signed, harness.taken_over) == (["capability"], [])


async def test_what_is_signed_is_recorded_before_it_leaves(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    dispatcher.committed(accepted(command()))
    harness.overtaken = True
    assert await dispatcher.send(harness.take_held()) == [False]
    assert (len(harness.issued), harness.published) == (1, [])


async def test_signed_again_it_is_another_message(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    harness.confirms = False
    assert await dispatcher.send(accepted(command())) == [False]
    assert await dispatcher.send(accepted(command())) == [False]
    first, second = (message.message_id for message in harness.published)
    assert first != second


async def test_what_has_begun_to_leave_can_not_be_withdrawn(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    dispatcher.committed(accepted(command(1), command(2)))
    assert dispatcher.surely_unsent("cmd-1")
    assert dispatcher.hold_back("cmd-1")
    assert not dispatcher.hold_back("cmd-1")
    harness.confirms = False
    assert await dispatcher.send(harness.take_held()) == [False]
    assert not dispatcher.surely_unsent("cmd-2")
    dispatcher.relay.hand_over(accepted(command(2)))
    assert not dispatcher.hold_back("cmd-2")


async def test_only_what_this_process_accepted_may_be_withdrawn(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    harness.hand_over(accepted(command()))  # as the relay's scan does
    assert not dispatcher.hold_back("cmd-1")
    assert not dispatcher.surely_unsent("cmd-1")


async def test_what_may_have_left_elsewhere_is_taken_over_and_leaves_only_alive(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    harness.ended.add("cmd-1")
    assert await dispatcher.send(accepted(command(1), command(2))) == [True, True]
    assert sorted(harness.taken_over) == ["cmd-1", "cmd-2"]
    assert harness.left() == ["cmd-2"]


async def test_a_restored_command_is_taken_over_first(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    dispatcher.committed(accepted(command()))
    assert dispatcher.hold_back("cmd-1")
    dispatcher.restore("cmd-1")
    assert await dispatcher.send(harness.take_held()) == [True]
    assert harness.taken_over == ["cmd-1"]


async def test_nothing_is_tried_while_the_broker_is_away(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    dispatcher.committed(accepted(command()))
    harness.connected = False
    assert await dispatcher.send(harness.take_held()) == [False]
    assert dispatcher.surely_unsent("cmd-1")
    assert harness.signed == []


@pytest.mark.parametrize("lacking", ["has_session", "enrolled"])
async def test_what_can_not_be_signed_yet_is_parked_and_surely_unsent(
    harness: DispatcherHarness, dispatcher: CommandDispatcher, lacking: str
) -> None:
    setattr(harness, lacking, False)
    dispatcher.committed([*accepted(command()), *cancellation()])
    assert await dispatcher.send(harness.take_held()) == [None, None]
    assert dispatcher.surely_unsent("cmd-1")
    assert (harness.signed, harness.published) == ([], [])
    assert harness.tapped == ([("unknown", "cmd-1")] if lacking == "has_session" else [])


async def test_a_vehicle_that_sleeps_is_woken_and_its_command_waits_at_the_broker(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    harness.asleep = True
    assert await dispatcher.send(accepted(command())) == [True]
    assert (harness.tapped, harness.left()) == ([("sleeps", "cmd-1")], ["cmd-1"])

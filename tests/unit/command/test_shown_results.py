"""A result waits for its doors to be shown: no longer than the patience, and no vehicle makes others wait."""

from __future__ import annotations

import asyncio

from ecarus.remotecontrol.door.v1.room_event_pb2 import ShownResult
from ecarus.remotecontrol.door.v1.room_event_pb2 import ShownResults as Told
from nats.aio.msg import Msg

from services.command.adapters.shown_results import MOST_REMEMBERED, MOST_WAITING_OF_ONE, ShownResults
from services.platform.consumer import Delivery, RetryLater

VIN = "KMHSH81C7LU123456"
OTHER = "KMHSH81C7LU654321"
NOW_US = 1_800_000_000_000_000


def result(number: int = 0, vin: str = VIN, *, ago_seconds: float = 0.0) -> Delivery:
    stored_at_ns = (NOW_US - round(ago_seconds * 1_000_000)) * 1_000 + number
    return Delivery(f"vehicle.{vin}.evt.result", b"", {}, stored_at_ns)


def shown(patience_seconds: float = 2.0) -> ShownResults:
    return ShownResults(lambda: NOW_US, patience_seconds)


def futures(waiting: list[object]) -> list[asyncio.Future[None]]:
    found = []
    for each in waiting:
        assert isinstance(each, RetryLater)
        assert each.when is not None
        found.append(each.when)
    return found


async def test_a_result_waits_until_its_doors_are_shown_and_nothing_else_does() -> None:
    harness, late = shown(), result()
    received = Delivery(f"vehicle.{VIN}.evt.received", b"", {}, late.stored_at_ns)
    ready, waiting = harness.sort([late, received])
    assert ready == [received]
    (when,) = futures(list(waiting))
    harness.note(OTHER, late.stored_at_ns)
    assert not when.done()
    harness.note(VIN, late.stored_at_ns)
    await asyncio.wait_for(when, 30)
    assert harness.sort([late]) == ([late], [])


async def test_what_was_shown_before_it_arrived_does_not_wait() -> None:
    harness = shown()
    harness.note(VIN, result().stored_at_ns)
    assert harness.sort([result()]) == ([result()], [])


async def test_it_waits_no_longer_than_the_patience_after_the_broker_stored_it() -> None:
    harness = shown(0.05)
    (when,) = futures(list(harness.sort([result()])[1]))
    await asyncio.wait_for(when, 30)
    old = [result(ago_seconds=1), Delivery(f"vehicle.{VIN}.evt.result", b"")]  # and one that is replayed
    assert harness.sort(old) == (old, [])
    none = shown(0)
    assert none.sort([result()]) == ([result()], [])


async def test_a_broker_whose_clock_is_ahead_makes_nobody_wait_for_longer() -> None:
    """The cloud's clock was set back, or the broker's is wrong: a result waits once, and passes when it comes again."""
    harness, ahead = shown(0.05), result(ago_seconds=-40)
    (when,) = futures(list(harness.sort([ahead])[1]))
    await asyncio.wait_for(when, 30)
    assert harness.sort([ahead]) == ([ahead], [])
    assert shown(0).sort([ahead]) == ([ahead], [])


async def test_one_vehicle_s_results_take_nobody_s_place_and_little_is_remembered() -> None:
    harness = shown()
    many = [result(number) for number in range(MOST_WAITING_OF_ONE + 3)]
    ready, waiting = harness.sort(many)
    assert (len(ready), len(waiting)) == (3, MOST_WAITING_OF_ONE)
    assert len(harness.sort([result(vin=OTHER)])[1]) == 1
    for number in range(MOST_REMEMBERED + 5):
        harness.note(VIN, number)
    assert len(harness._shown) == MOST_REMEMBERED  # its bound


async def test_it_hears_and_what_it_does_not_understand_changes_nothing() -> None:
    harness = shown()
    (when,) = futures(list(harness.sort([result()])[1]))
    told = Told(results=[ShownResult(vin=VIN, stored_at_nanos=result().stored_at_ns)])
    for data in (b"\xff\xff", told.SerializeToString()):
        await harness._receive(Msg(None, data=data))  # type: ignore[arg-type]  # what the broker calls
    assert when.done()

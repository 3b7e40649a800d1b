"""What the command service makes of the status service's hints of vehicles that are away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ecarus.remotecontrol.door.v1.room_event_pb2 import VehicleCondition
from nats.aio.msg import Msg

from services.command.adapters.vehicle_link import AdvisoryStateCache

VIN = "KMHSH81C7LU123456"
START = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)


async def receive(received: AdvisoryStateCache, seconds: float, **said: bool) -> None:
    condition = VehicleCondition(vin=VIN, **said)
    condition.observed_at.FromDatetime(START + timedelta(seconds=seconds))
    await received._receive(Msg(None, data=condition.SerializeToString()))  # type: ignore[arg-type]  # what the broker calls


def advisory_states() -> AdvisoryStateCache:
    return AdvisoryStateCache(None, lambda: START)  # type: ignore[arg-type]  # nothing is published here


async def test_a_lost_vehicle_is_lost_until_it_reports_or_says_hello() -> None:
    received = advisory_states()
    await receive(received, 10, lost=True)
    await receive(received, 9)  # was on its way before
    found = received.of(VIN)
    assert found is not None
    assert found.lost
    await receive(received, 11)
    found = received.of(VIN)
    assert found is not None
    assert not found.lost
    await receive(received, 12, lost=True)
    received.greeted(VIN, START + timedelta(seconds=11))
    assert received.of(VIN) is not None
    received.greeted(VIN, START + timedelta(seconds=13))
    assert received.of(VIN) is None


async def test_who_sleeps_is_not_lost_for_saying_nothing() -> None:
    received = advisory_states()
    await receive(received, 1, asleep=True)
    await receive(received, 60, lost=True)
    found = received.of(VIN)
    assert found is not None
    assert (found.asleep, found.lost) == (True, False)
    assert received.is_asleep(VIN)

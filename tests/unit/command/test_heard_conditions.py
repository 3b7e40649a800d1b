"""What the command service makes of the status service's hints of vehicles that are away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ecarus.remotecontrol.door.v1.room_event_pb2 import VehicleCondition
from nats.aio.msg import Msg

from services.command.vehicle_link import HeardConditions

VIN = "KMHSH81C7LU123456"
START = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)


async def hear(heard: HeardConditions, seconds: float, **said: bool) -> None:
    condition = VehicleCondition(vin=VIN, **said)
    condition.observed_at.FromDatetime(START + timedelta(seconds=seconds))
    await heard._hear(Msg(None, data=condition.SerializeToString()))  # type: ignore[arg-type]  # what the broker calls


def conditions() -> HeardConditions:
    return HeardConditions(None, lambda: START)  # type: ignore[arg-type]  # nothing is published here


async def test_a_lost_vehicle_is_lost_until_it_reports_or_says_hello() -> None:
    heard = conditions()
    await hear(heard, 10, lost=True)
    await hear(heard, 9)  # was on its way before
    found = heard.of(VIN)
    assert found is not None
    assert found.lost
    await hear(heard, 11)
    found = heard.of(VIN)
    assert found is not None
    assert not found.lost
    await hear(heard, 12, lost=True)
    heard.greeted(VIN, START + timedelta(seconds=11))
    assert heard.of(VIN) is not None
    heard.greeted(VIN, START + timedelta(seconds=13))
    assert heard.of(VIN) is None


async def test_who_sleeps_is_not_lost_for_saying_nothing() -> None:
    heard = conditions()
    await hear(heard, 1, asleep=True)
    await hear(heard, 60, lost=True)
    found = heard.of(VIN)
    assert found is not None
    assert (found.asleep, found.lost) == (True, False)
    assert heard.is_asleep(VIN)

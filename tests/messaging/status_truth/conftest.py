"""The status service at a real broker, and what it publishes of doubts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.door.v1 import door_command_pb2, room_event_pb2
from ecarus.remotecontrol.vehicle.v1 import report_pb2

from protocol.subjects import VERDICTS_SUBJECT
from tests.messaging.status_harness import (
    OTHER,
    VIN,
    Server,
    StatusHarness,
    now_us,
    report,
    running_room,
    until,
)
from tests.support.report_harness import Fleet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


CONFIRMED = door_command_pb2.Confirmation.CONFIRMED


@pytest.fixture
async def service(nats_server: Server, tmp_path: Path) -> AsyncIterator[StatusHarness]:
    async with running_room(nats_server, tmp_path, Fleet()) as service:
        for vin in (VIN, OTHER):
            await service.greet(vin)
        yield service


def unlocked_driver(command_id: str, sequence: int, at_us: int | None = None) -> report_pb2.CommandResult:
    """The driver's door was unlocked."""
    at_us = at_us or now_us()
    result = report_pb2.CommandResult(
        command_id=command_id,
        outcome=report_pb2.COMMAND_OUTCOME_SUCCEEDED,
        status=report(sequence, observed_at_us=at_us, unlocked=True),
    )
    result.doors.add(door=1, succeeded=True, locked=False)
    result.started_at.FromMicroseconds(at_us - 10_000)
    result.finished_at.FromMicroseconds(at_us)
    return result


async def verdicts(service: StatusHarness) -> list[room_event_pb2.CommandVerdict]:
    told = await service.told(VERDICTS_SUBJECT)
    return [each for data in told for each in room_event_pb2.CommandVerdicts.FromString(data).verdicts]


async def one_verdict(service: StatusHarness) -> room_event_pb2.CommandVerdict:
    async def there() -> bool:
        return bool(await verdicts(service))

    await until(there)
    [verdict] = await verdicts(service)
    return verdict


async def reported(service: StatusHarness, message: report_pb2.StatusReport, vin: str = VIN) -> None:
    """The vehicle says this, and it is ingested."""
    await service.say(message, vin)
    at_us = message.observed_at.seconds * 1_000_000 + message.observed_at.nanos // 1_000

    async def taken() -> bool:
        return await service.observed_at_us(vin) >= at_us

    await until(taken)

"""The cloud's own clocks are set, those of the command service and the signer together: no command fails for a reason
that is not so, and commands go on.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.door.v1.door_command_pb2 import CommandStatus, FailureReason

from services.command.usecases.epoch_watch import EpochWatch
from services.platform.capability import CapabilityVerifier
from services.platform.clock import SystemClock
from tests.messaging.command.conftest import ENDS, has_lived

if TYPE_CHECKING:
    from tests.messaging.command_harness import App, CommandHarness
    from tests.messaging.fake_vehicle import FakeVehicle

SET_BY_SECONDS = 40.0


class CloudClock:
    """The wall clock of every service of this process, before one is started. The monotonic one only goes on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead_seconds = 0.0
        clocks = {
            "now": lambda: datetime.now(UTC) + timedelta(seconds=self.ahead_seconds),
            "seconds": lambda: time.time() + self.ahead_seconds,
            "milliseconds": lambda: int((time.time() + self.ahead_seconds) * 1_000),
            "microseconds": lambda: int((time.time() + self.ahead_seconds) * 1_000_000),
        }
        for name, clock in clocks.items():
            monkeypatch.setattr(SystemClock, name, staticmethod(clock))
        # They took theirs when they were imported.
        monkeypatch.setattr(CapabilityVerifier.__init__, "__defaults__", (clocks["seconds"],))
        monkeypatch.setattr(EpochWatch.__init__, "__defaults__", (clocks["milliseconds"],))


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> CloudClock:
    return CloudClock(monkeypatch)


@pytest.mark.parametrize(
    ("by", "ends"),
    [
        (-SET_BY_SECONDS, (CommandStatus.FAILED, FailureReason.NOT_PROVEN)),
        (SET_BY_SECONDS, (CommandStatus.TIMEOUT, FailureReason.TTL_EXPIRED)),
    ],
    ids=["back", "forward"],
)
async def test_what_waits_to_be_signed_meanwhile_fails_for_no_false_reason(
    harness: CommandHarness,
    app: App,
    vehicle: FakeVehicle,
    clock: CloudClock,
    by: float,
    ends: tuple[CommandStatus.Value.ValueType, FailureReason.Value.ValueType],
) -> None:
    """The signer does not sign what was asked for in its future, nor what is too old; no right has ended."""
    await has_lived(app, vehicle)
    await harness.neighbours.go_away()
    command_id = await app.unlock()
    clock.ahead_seconds += by
    await harness.neighbours.come_back()
    await vehicle.wake()
    details = await app.reaches(command_id, *ENDS)
    assert (details.status, details.failure_reason) == ends
    assert details.may_have_succeeded is False
    assert vehicle.actuated == []


@pytest.mark.parametrize(
    ("by", "refused"),
    [(-SET_BY_SECONDS, "EXPIRED"), (SET_BY_SECONDS, "VALID_TOO_LONG")],
    ids=["back", "forward"],
)
async def test_commands_go_on_after_it(
    app: App, vehicle: FakeVehicle, clock: CloudClock, by: float, refused: str
) -> None:
    """The vehicle refuses the first copy, by its own clock, and says what that is: the next is signed by it. Nothing
    waits for the broker's clock, which was not set.
    """
    await vehicle.wake()
    await vehicle.greeted.wait()
    assert (await app.reaches(await app.unlock("c-0"), *ENDS)).status == CommandStatus.SUCCESS
    clock.ahead_seconds += by
    for number in range(1, 3):
        details = await app.reaches(await app.unlock(f"c-{number}"), *ENDS)
        assert details.status == CommandStatus.SUCCESS, details
    assert vehicle.faults == [refused]

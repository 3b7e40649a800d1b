"""A unit must write false where it means it."""

from __future__ import annotations

import pytest
from ecarus.remotecontrol.vehicle.v1 import report_pb2

from conformance.finding import RuleViolatedError
from conformance.orders import DRIVER, is_locked


def test_a_lock_that_a_report_does_not_tell_is_not_taken_for_unlocked() -> None:
    report = report_pb2.StatusReport()
    report.doors.add(door=DRIVER, locked=False)
    assert not is_locked(report, DRIVER)
    # What a unit sends whose code was generated before there was presence.
    report.doors[0].ClearField("locked")
    with pytest.raises(RuleViolatedError, match="false must be written"):
        is_locked(report, DRIVER)

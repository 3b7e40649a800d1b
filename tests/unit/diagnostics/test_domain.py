from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.diagnostics.domain import (
    Component,
    ComponentStatus,
    SelfCheck,
    Severity,
    SystemStatus,
    diagnose,
    follow,
)

T0 = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
GOOD = Component("driver_actuator_01", "Driver Door Actuator", ComponentStatus.ACTIVE, 98, None, ())
MODULE = Component("lock_module_01", "Door Lock Module", ComponentStatus.ACTIVE, 95, None, ())
FAILED = replace(GOOD, status=ComponentStatus.ERROR, health=0, error_codes=("B1A01",))


def check(*components: Component, minutes: int = 0, sequence: int = 1, boot_id: str = "boot") -> SelfCheck:
    return SelfCheck("KMHSH81C7LU123456", T0 + timedelta(minutes=minutes), boot_id, sequence, components)


@pytest.mark.parametrize(
    ("components", "status"),
    [
        ((GOOD, MODULE), SystemStatus.NORMAL),
        ((), SystemStatus.NORMAL),
        ((GOOD, replace(MODULE, status=ComponentStatus.MAINTENANCE_REQUIRED)), SystemStatus.DEGRADED),
        ((GOOD, replace(MODULE, status=ComponentStatus.INACTIVE)), SystemStatus.DEGRADED),
        ((GOOD, replace(MODULE, health=49)), SystemStatus.DEGRADED),
        ((GOOD, replace(MODULE, health=50)), SystemStatus.NORMAL),
        ((FAILED, replace(MODULE, status=ComponentStatus.INACTIVE)), SystemStatus.FAULT),
    ],
)
def test_the_worst_component_decides(components: tuple[Component, ...], status: SystemStatus) -> None:
    assert diagnose(check(*components)).system_status is status


def test_a_fault_code_is_an_alert_with_a_next_step() -> None:
    (alert,) = diagnose(check(FAILED, MODULE)).alerts

    assert (alert.code, alert.component_id, alert.severity) == (
        "B1A01",
        "driver_actuator_01",
        Severity.CRITICAL,
    )
    assert alert.message.startswith("Driver Door Actuator does not answer")
    assert "workshop" in alert.message


def test_an_unknown_code_is_told_all_the_same() -> None:
    (alert,) = diagnose(check(replace(FAILED, error_codes=("X{0}Y",)))).alerts

    assert (alert.code, alert.severity) == ("X{0}Y", Severity.WARNING)
    assert "X(0)Y" in alert.message


@pytest.mark.parametrize(
    ("component", "code"),
    [
        (replace(GOOD, status=ComponentStatus.ERROR), "COMPONENT_ERROR"),
        (replace(GOOD, status=ComponentStatus.INACTIVE), "COMPONENT_INACTIVE"),
        (replace(GOOD, status=ComponentStatus.MAINTENANCE_REQUIRED), "COMPONENT_MAINTENANCE_REQUIRED"),
        (replace(GOOD, health=10), "COMPONENT_HEALTH_LOW"),
    ],
)
def test_a_condition_without_a_code_speaks_for_itself(component: Component, code: str) -> None:
    assert [alert.code for alert in diagnose(check(component)).alerts] == [code]


def test_a_code_named_twice_is_one_alert() -> None:
    assert len(diagnose(check(replace(FAILED, error_codes=("B1A01", "B1A01")))).alerts) == 1


def test_an_alert_is_told_when_it_comes_keeps_its_time_and_is_told_when_it_goes() -> None:
    first = follow(None, check(FAILED, MODULE))
    assert first is not None
    diagnosis, changes = first
    assert [(c.alert.code, c.cleared) for c in changes] == [("B1A01", False)]

    later = follow(diagnosis, check(FAILED, MODULE, minutes=5, sequence=2))
    assert later is not None
    diagnosis, changes = later
    assert changes == []
    assert diagnosis.alerts[0].raised_at == T0

    repaired = follow(diagnosis, check(GOOD, MODULE, minutes=10, sequence=3))
    assert repaired is not None
    diagnosis, changes = repaired
    assert [(c.alert.code, c.cleared) for c in changes] == [("B1A01", True)]
    assert diagnosis.alerts == ()


@pytest.mark.parametrize(
    ("late", "newer"),
    [
        (check(minutes=-1, sequence=9), False),
        (check(), False),
        (check(sequence=2), True),
        (check(sequence=2, boot_id="other"), False),
        (check(minutes=1, sequence=1, boot_id="other"), True),
    ],
    ids=["older", "the same", "later in the same instant", "another boot in the same instant", "rebooted"],
)
def test_it_never_goes_back_in_time(late: SelfCheck, newer: bool) -> None:
    assert (follow(diagnose(check(GOOD)), late) is not None) is newer

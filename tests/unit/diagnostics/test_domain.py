from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.diagnostics.adapters.alert_budget import BURST, AlertBudget
from services.diagnostics.domain.diagnosis import (
    MOST_ALERTS,
    MOST_COMPONENTS,
    MOST_TOLD,
    SUMMARY_CODE,
    AlertChange,
    ComponentHealth,
    ComponentStatus,
    SelfCheck,
    Severity,
    SystemStatus,
    coalesced,
    diagnose,
    follow,
)

T0 = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
GOOD = ComponentHealth("driver_actuator_01", "Driver Door Actuator", ComponentStatus.ACTIVE, 98, None, ())
MODULE = ComponentHealth("lock_module_01", "Door Lock Module", ComponentStatus.ACTIVE, 95, None, ())
FAILED = replace(GOOD, status=ComponentStatus.ERROR, health=0, error_codes=("B1A01",))


def check(
    *components: ComponentHealth, minutes: int = 0, sequence: int = 1, epoch: tuple[str, int] = ("e", 7)
) -> SelfCheck:
    at = T0 + timedelta(minutes=minutes)
    place = (epoch[0].encode(), epoch[1], sequence)
    return SelfCheck("KMHSH81C7LU123456", at, "boot", sequence, components, *place)


@pytest.mark.parametrize(
    ("components", "status"),
    [
        ((GOOD, MODULE), SystemStatus.NORMAL),
        ((), SystemStatus.NORMAL),
        ((GOOD, replace(MODULE, status=ComponentStatus.MAINTENANCE_REQUIRED)), SystemStatus.DEGRADED),
        ((GOOD, replace(MODULE, status=ComponentStatus.INACTIVE)), SystemStatus.DEGRADED),
        ((GOOD, replace(MODULE, health=49)), SystemStatus.DEGRADED),
        ((GOOD, replace(MODULE, health=50)), SystemStatus.NORMAL),
        ((GOOD, replace(MODULE, health=None)), SystemStatus.NORMAL),
        ((FAILED, replace(MODULE, status=ComponentStatus.INACTIVE)), SystemStatus.FAULT),
    ],
)
def test_the_worst_component_decides(components: tuple[ComponentHealth, ...], status: SystemStatus) -> None:
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


@pytest.mark.parametrize("code", ["U0140", "B1C22-4F", "9A02F1", "X1.3"])
def test_an_unknown_code_is_told_as_unknown_with_its_number(code: str) -> None:
    (alert,) = diagnose(check(replace(FAILED, error_codes=(code,)))).alerts

    assert (alert.code, alert.severity) == (code, Severity.WARNING)
    assert f"a fault that is not known here, number {code}." in alert.message


@pytest.mark.parametrize(
    "code", ["X{0}Y", "CALL 0900-1234", "FIRE", "https://x.y/1", "b1a01", "B" * 30 + "1"]
)
def test_what_is_no_fault_s_number_is_not_spelt(code: str) -> None:
    (alert,) = diagnose(check(replace(FAILED, error_codes=(code,)))).alerts

    assert (alert.code, alert.severity) == ("UNKNOWN_FAULT", Severity.WARNING)
    assert "a fault that is not known here." in alert.message
    assert code not in alert.message


@pytest.mark.parametrize(
    ("component", "code"),
    [
        (replace(GOOD, status=ComponentStatus.ERROR), "COMPONENT_ERROR"),
        (replace(GOOD, status=ComponentStatus.INACTIVE), "COMPONENT_INACTIVE"),
        (replace(GOOD, status=ComponentStatus.MAINTENANCE_REQUIRED), "COMPONENT_MAINTENANCE_REQUIRED"),
        (replace(GOOD, health=10), "COMPONENT_HEALTH_LOW"),
    ],
)
def test_a_condition_without_a_code_speaks_for_itself(component: ComponentHealth, code: str) -> None:
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
        (check(minutes=9), False),
        (check(minutes=-9, sequence=2), True),
        (check(minutes=-9, epoch=("f", 8)), True),
        (check(minutes=9, sequence=9, epoch=("d", 6)), False),
        (check(epoch=("f", 0)), True),
    ],
    ids=[
        "the same",
        "a clock set back",
        "rebooted",
        "of an epoch that ended",
        "of an epoch of unknown order",
    ],
)
def test_the_order_is_that_of_epoch_and_counter(late: SelfCheck, newer: bool) -> None:
    assert (follow(diagnose(check(GOOD)), late) is not None) is newer
    old = diagnose(check(GOOD, epoch=("", 0), sequence=99))
    assert follow(old, late) is not None


def test_what_a_self_check_does_not_name_stays_as_it_was() -> None:
    diagnosis = diagnose(check(FAILED, MODULE))
    for sequence, named in ((2, ()), (3, (MODULE,)), (4, ())):
        followed = follow(diagnosis, check(*named, minutes=sequence, sequence=sequence))
        assert followed is not None
        diagnosis, changes = followed
        assert changes == []
        assert diagnosis.system_status is SystemStatus.FAULT
        assert [alert.code for alert in diagnosis.alerts] == ["B1A01"]
    reported = {each.component_id: each.last_reported for each in diagnosis.check.components}
    assert reported == {
        FAILED.component_id: T0,
        MODULE.component_id: T0 + timedelta(minutes=3),
    }
    repaired = follow(diagnosis, check(GOOD, sequence=9))
    assert repaired is not None
    assert [change.cleared for change in repaired[1]] == [True]


def test_what_is_kept_of_components_is_bounded_and_the_failed_stay() -> None:
    diagnosis = diagnose(check(FAILED))
    for sequence in range(2, 9):
        named = tuple(replace(GOOD, component_id=f"c{sequence}-{n}") for n in range(32))
        followed = follow(diagnosis, check(*named, minutes=sequence, sequence=sequence))
        assert followed is not None
        diagnosis = followed[0]
    assert len(diagnosis.check.components) == MOST_COMPONENTS
    assert diagnosis.system_status is SystemStatus.FAULT


def test_the_summary_is_not_better_than_a_standing_alert() -> None:
    calm = replace(FAILED, status=ComponentStatus.ACTIVE, health=100)
    assert diagnose(check(calm)).system_status is SystemStatus.FAULT
    warned = replace(calm, error_codes=("X1",))
    assert diagnose(check(warned)).system_status is SystemStatus.DEGRADED


def worst(number: int, codes: int, sequence: int = 1) -> SelfCheck:
    """As many components as a self-check may have, each with its codes."""
    components = tuple(
        replace(FAILED, component_id=f"c{n}", error_codes=tuple(f"X{number}.{code}" for code in range(codes)))
        for n in range(32)
    )
    return check(*components, minutes=sequence, sequence=sequence)


def test_so_many_alerts_stand_and_the_worst_come_first() -> None:
    mild = worst(0, 8)
    severe = replace(FAILED, component_id="last", error_codes=("B1A01",))
    alerts = diagnose(replace(mild, components=(*mild.components, severe))).alerts
    assert len(alerts) == MOST_ALERTS
    assert alerts[0].severity is Severity.CRITICAL


def test_many_changes_of_one_self_check_are_told_as_one() -> None:
    followed = follow(None, worst(0, 8))
    assert followed is not None
    (summary,) = coalesced(followed[1])
    assert (summary.alert.code, summary.cleared) == (SUMMARY_CODE, False)
    assert summary.alert.message.startswith(f"{MOST_ALERTS} alerts appeared and 0 are gone.")
    few = followed[1][:MOST_TOLD]
    assert coalesced(few) == few


def test_a_vehicle_that_changes_its_mind_is_told_of_in_measure_and_the_others_are_not_held_back() -> None:
    now = [0.0]
    budget = AlertBudget(lambda: now[0])
    diagnosis, told = None, 0
    for number in range(1, 201):
        followed = follow(diagnosis, worst(number, 1 + number % 2, sequence=number))
        assert followed is not None
        diagnosis, changes = followed
        told += len(budget.told(changes))
    assert told == BURST
    other = replace(check(FAILED), vin="KMHSH81C7LU654321")
    assert (
        len(budget.told([AlertChange(other, alert, cleared=False) for alert in diagnose(other).alerts])) == 1
    )
    now[0] += 61.0
    assert followed is not None
    assert len(budget.told(followed[1])) == 1

"""What a self-check says about the door system, and which alerts follow from it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

HEALTH_FALLING = "COMPONENT_HEALTH_FALLING"
LOW_HEALTH = 50
"""Below this score a component needs a look even where it calls itself active."""
MOST_ALERTS = 64
"""So many alerts stand at once, the most severe first: nobody reads more."""
MOST_TOLD = 8
"""So many changes of one self-check are told one by one; of more, a summary."""
MOST_COMPONENTS = 64
"""So many components are kept of a vehicle, those that a self-check leaves out among them."""
OLDEST_SHOWN = timedelta(days=1)
"""A clock that is further behind than this is not set: the time of arrival is shown instead of it."""
NEWEST_ORDER = 0
"""The order of an epoch of which it is only known that it is the vehicle's current one."""


class Severity(StrEnum):
    """How soon somebody should act."""

    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"


@dataclass(frozen=True, slots=True)
class DiagnosticFinding:
    """A code, and what to say about it; `{component}` in the message stands for the component's name."""

    code: str
    severity: Severity
    message: str


_ACTUATOR_SILENT = (
    "{component} does not answer, so its door may not lock or unlock. "
    "Check the door by hand and have the actuator replaced in a workshop."
)

# The codes are the vehicle's (vehicle/README.md, docs/api.md). One that is not listed is told all the same, because
# cars in the field are older and newer than this table, but as unknown and with its number alone.
_KNOWN = {
    each.code: each
    for each in (
        *(DiagnosticFinding(f"B1A0{door}", Severity.CRITICAL, _ACTUATOR_SILENT) for door in range(1, 6)),
        DiagnosticFinding(
            "B1A10",
            Severity.WARNING,
            "{component} is short of voltage: the vehicle's battery is low. Remote commands may be refused; "
            "drive or charge the vehicle.",
        ),
        DiagnosticFinding(
            "COMPONENT_ERROR",
            Severity.CRITICAL,
            "{component} reports an error without a fault code. Have it read out in a workshop.",
        ),
        DiagnosticFinding(
            "COMPONENT_INACTIVE",
            Severity.WARNING,
            "{component} is switched off. If it stays so after the next drive, have it checked in a workshop.",
        ),
        DiagnosticFinding(
            "COMPONENT_MAINTENANCE_REQUIRED",
            Severity.WARNING,
            "{component} needs maintenance. Arrange a visit to a workshop.",
        ),
        DiagnosticFinding(
            "COMPONENT_HEALTH_LOW",
            Severity.WARNING,
            "{component} is worn and may fail. Have it checked at the next service.",
        ),
        DiagnosticFinding(
            HEALTH_FALLING,
            Severity.WARNING,
            "The health of {component} is falling. It still works; have it checked at the next service.",
        ),
    )
}


UNKNOWN_FAULT = "UNKNOWN_FAULT"
_NUMBER = re.compile(r"(?=.*[0-9])[0-9A-Z]{1,8}(?:[.-][0-9A-F]{1,4})?")
"""What a fault's number looks like (SAE J2012 and makers' own): what else a vehicle says is its own words."""


def finding(code: str) -> DiagnosticFinding:
    """Return what is known of `code`; a plain warning when nothing is, with its number if it is one."""
    known = _KNOWN.get(code)
    if known is not None:
        return known
    numbered = _NUMBER.fullmatch(code) is not None
    number = f", number {code}" if numbered else ""
    return DiagnosticFinding(
        code if numbered else UNKNOWN_FAULT,
        Severity.WARNING,
        f"{{component}} reports a fault that is not known here{number}. Have it read out in a workshop.",
    )


class ComponentStatus(StrEnum):
    """A component's condition."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    ERROR = "ERROR"
    MAINTENANCE_REQUIRED = "MAINTENANCE_REQUIRED"


class SystemStatus(StrEnum):
    """The door system as a whole."""

    NORMAL = "NORMAL"
    DEGRADED = "DEGRADED"
    FAULT = "FAULT"


@dataclass(frozen=True, slots=True)
class ComponentHealth:
    """One component. `health` is a score, 0-100, None where the vehicle tells none; `error_codes` are newest first.
    `last_reported` is the time of the self-check that named it, where that is not the last one.
    """

    component_id: str
    name: str
    status: ComponentStatus
    health: int | None
    last_maintenance: datetime | None
    error_codes: tuple[str, ...]
    last_reported: datetime | None = None

    @property
    def is_worn(self) -> bool:
        """Return whether its health is known, and low."""
        return self.health is not None and self.health < LOW_HEALTH


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """A vehicle's report on itself: number `counter` of its `epoch`; `epoch_order` puts the epochs in order. Its time
    is shown and decides nothing. `cut` names what was not understood and is left out or put right.
    """

    vin: str
    observed_at: datetime
    boot_id: str
    sequence: int
    components: tuple[ComponentHealth, ...]
    epoch: bytes = b""
    epoch_order: int = NEWEST_ORDER
    counter: int = 0
    cut: tuple[str, ...] = ()

    def is_newer_than(self, other: SelfCheck) -> bool:
        """Return whether the vehicle said it later: no clock has a part in it."""
        if self.epoch == other.epoch:
            return (self.counter, self.sequence) > (other.counter, other.sequence)
        if not other.epoch or NEWEST_ORDER in {self.epoch_order, other.epoch_order}:
            return True
        return self.epoch_order > other.epoch_order

    def with_rest_of(self, previous: SelfCheck) -> SelfCheck:
        """With the components that it does not name, as they were: silence is no repair."""
        named = {each.component_id for each in self.components}
        rest = [
            replace(each, last_reported=each.last_reported or previous.observed_at)
            for each in previous.components
            if each.component_id not in named
        ]
        # What is in order is given up first, and of that what was not heard of for longest.
        rest.sort(key=lambda each: (each.status is ComponentStatus.ACTIVE, -_seconds(each.last_reported)))
        service = max(0, MOST_COMPONENTS - len(self.components))
        return replace(self, components=(*self.components, *rest[:service]))


def _seconds(at: datetime | None) -> float:
    return at.timestamp() if at is not None else 0.0


SUMMARY_CODE = "ALERTS_CHANGED"
_SEVERITIES = list(Severity)

AlertKey = tuple[str, str]
"""Component id and code: what makes an alert the same one in the next report."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A condition that needs attention; `raised_at` is when it was first reported."""

    component_id: str
    code: str
    severity: Severity
    message: str
    raised_at: datetime

    @property
    def key(self) -> AlertKey:
        """Return what tells this alert from others of its vehicle."""
        return self.component_id, self.code


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A self-check and the alerts that stand with it."""

    check: SelfCheck
    alerts: tuple[Alert, ...]

    @property
    def system_status(self) -> SystemStatus:
        """The worst of the components and of what stands decides."""
        components = self.check.components
        severities = {each.severity for each in self.alerts}
        if Severity.CRITICAL in severities or any(
            each.status is ComponentStatus.ERROR for each in components
        ):
            return SystemStatus.FAULT
        if Severity.WARNING in severities or any(
            each.status is not ComponentStatus.ACTIVE or each.is_worn for each in components
        ):
            return SystemStatus.DEGRADED
        return SystemStatus.NORMAL


@dataclass(frozen=True, slots=True)
class AlertChange:
    """An alert that appeared with this check, or with `cleared` one that is gone.

    `flips` is set for one that comes and goes over and over: how often it changed since it was told of.
    `deferred`: it is reported later than its check was ingested.
    """

    check: SelfCheck
    alert: Alert
    cleared: bool
    flips: int = 0
    deferred: bool = False


class DiagnosisNotYetReportedError(Exception):
    """The vehicle has never reported a self-check."""


def diagnose(
    check: SelfCheck, standing: Sequence[Alert] = (), falling: frozenset[str] = frozenset()
) -> Diagnosis:
    """Return the diagnosis of `check`; alerts that were `standing` keep the time they were raised. `falling` are the
    components whose health is.
    """
    since = {alert.key: alert.raised_at for alert in standing}
    found: dict[AlertKey, Alert] = {}
    for component in check.components:
        key = (component.component_id, HEALTH_FALLING)
        is_new = component.component_id in falling and key not in since
        findings = list(_findings(component))
        # A fault explains why health fell; what was told before stays until it is over.
        if component.component_id in falling and not (is_new and component.error_codes):
            findings.append(finding(HEALTH_FALLING))
        for each in findings:
            alert = _alert(component, each, since, check.observed_at)
            found.setdefault(alert.key, alert)
    alerts = list(found.values())
    if len(alerts) > MOST_ALERTS:
        alerts = sorted(alerts, key=_severity, reverse=True)[:MOST_ALERTS]
    return Diagnosis(check, tuple(alerts))


def follow(
    previous: Diagnosis | None, check: SelfCheck, falling: frozenset[str] = frozenset()
) -> tuple[Diagnosis, list[AlertChange]] | None:
    """Return the diagnosis after `check` and what changed; None when it is not newer than what is known."""
    if previous is None:
        current = diagnose(check, falling=falling)
        return current, list(_changes(check, (), current.alerts))
    if not check.is_newer_than(previous.check):
        return None
    check = check.with_rest_of(previous.check)
    current = diagnose(check, previous.alerts, falling)
    return current, list(_changes(check, previous.alerts, current.alerts))


def coalesced(changes: Sequence[AlertChange], most: int = MOST_TOLD) -> list[AlertChange]:
    """Return what is told of the changes of one self-check: all of them, if they are at most `most`; else a
    summary.
    """
    if len(changes) <= most:
        return list(changes)
    came = sum(not change.cleared for change in changes)
    worst = max(changes, key=lambda change: _severity(change.alert))
    summary = Alert(
        "",
        SUMMARY_CODE,
        worst.alert.severity,
        f"{came} alerts appeared and {len(changes) - came} are gone. Read the vehicle's diagnostics.",
        worst.check.observed_at,
    )
    return [AlertChange(worst.check, summary, cleared=False, deferred=worst.deferred)]


def _severity(alert: Alert) -> int:
    return _SEVERITIES.index(alert.severity)


def _findings(component: ComponentHealth) -> Iterator[DiagnosticFinding]:
    """Yield a fault code explains its component's condition; without one, the condition speaks for itself."""
    if component.error_codes:
        yield from (finding(code) for code in component.error_codes)
    elif component.status is not ComponentStatus.ACTIVE:
        yield finding(f"COMPONENT_{component.status}")
    elif component.is_worn:
        yield finding("COMPONENT_HEALTH_LOW")


def _alert(
    component: ComponentHealth, each: DiagnosticFinding, since: Mapping[AlertKey, datetime], at: datetime
) -> Alert:
    raised_at = since.get((component.component_id, each.code), at)
    message = each.message.format(component=component.name or component.component_id)
    return Alert(component.component_id, each.code, each.severity, message, raised_at)


def _changes(check: SelfCheck, before: Sequence[Alert], after: Sequence[Alert]) -> Iterator[AlertChange]:
    known, standing = {alert.key for alert in before}, {alert.key for alert in after}
    for alert in after:
        if alert.key not in known:
            yield AlertChange(check, alert, cleared=False)
    for alert in before:
        if alert.key not in standing:
            yield AlertChange(check, alert, cleared=True)

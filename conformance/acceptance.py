"""What a cloud takes of what a unit says, once it is believed: times, ids, ranges, and parts that fit together.

The same as the product takes, and not a whit more (tests/unit/conformance/test_acceptance.py). What the product
cuts or leaves out of a message is unacceptable here: a unit is certified for what all of it is worth.
"""

from __future__ import annotations

import time
from collections import Counter
from math import isfinite
from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.vehicle.v1 import body_pb2, report_pb2, session_pb2

from protocol.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from google.protobuf.timestamp_pb2 import Timestamp

MAX_LETTERS = 64
"""Of boot ids, and of a component's words."""
MAX_SEQUENCE = 2**63 - 1
MAX_COMPONENTS = 64
MAX_CODES = 32
MAX_SPEED_KMH = 1_000
MAX_INTERVAL_SECONDS = 86_400
MAX_CONFIG_VERSION = 1_000_000_000
LONGEST_LEAD_SECONDS = 300
"""How far the clock that dates a report may be ahead."""

_MAX_HEALTH = 100
_LAST_SECOND = 253_402_300_799
_FIRST_SECOND = -62_135_596_800
_SECOND_NANOS = 1_000_000_000
_CONDITIONS = {
    report_pb2.COMPONENT_CONDITION_ACTIVE,
    report_pb2.COMPONENT_CONDITION_INACTIVE,
    report_pb2.COMPONENT_CONDITION_ERROR,
    report_pb2.COMPONENT_CONDITION_MAINTENANCE_REQUIRED,
}
_DOORS = set(body_pb2.DoorId.values()) - {body_pb2.DOOR_ID_UNSPECIFIED}
_COMMANDED = _DOORS - {body_pb2.DOOR_ID_HOOD}
_CANCEL_OUTCOMES = set(report_pb2.CancelOutcome.values()) - {report_pb2.CANCEL_OUTCOME_UNSPECIFIED}
_PROTOCOL_FAULTS = {int(fault) for fault in Fault}
_FAULTS = set(report_pb2.FaultCode.values()) - {report_pb2.FAULT_CODE_UNSPECIFIED}


def unacceptable(message: Any) -> list[str]:
    """What a cloud would not take of it; empty where it takes all."""
    found: Iterable[str] = ()
    match message:
        case report_pb2.StatusReport():
            found = _status(message)
        case report_pb2.DiagnosticsReport():
            found = _diagnostics(message)
        case report_pb2.CommandResult():
            found = _result(message)
        case report_pb2.CancelResult():
            found = [] if message.outcome in _CANCEL_OUTCOMES else ["a cancellation without an outcome"]
        case report_pb2.ConfigReport():
            found = [*_version(message.version), *_optional_time(message, "applied_at")]
        case report_pb2.Hello():
            found = [*_version(message.config_version), *_optional_time(message, "said_at")]
        case session_pb2.OrderRefused():
            found = [] if message.fault in _PROTOCOL_FAULTS else [f"fault number {message.fault}"]
    return list(found)


def _status(report: report_pb2.StatusReport) -> Iterator[str]:
    yield from _observed(report.observed_at)
    if not 1 <= len(report.boot_id) <= MAX_LETTERS:
        yield f"boot_id: 1 to {MAX_LETTERS} characters"
    if report.sequence > MAX_SEQUENCE:
        yield "sequence too large"
    if not (isfinite(report.speed_kmh) and 0 <= report.speed_kmh <= MAX_SPEED_KMH):
        yield f"speed_kmh: 0 to {MAX_SPEED_KMH}"
    if not 0 <= report.reporting_interval_seconds <= MAX_INTERVAL_SECONDS:
        yield f"reporting_interval_seconds: 0 to {MAX_INTERVAL_SECONDS}"
    if report.ignition not in body_pb2.Ignition.values() or report.gear not in body_pb2.Gear.values():
        yield "ignition or gear unknown"
    doors = Counter(one.door for one in report.doors)
    if not doors:
        yield "no doors"
    if not doors.keys() <= _DOORS:
        yield "a door that is none"
    if any(times > 1 for times in doors.values()):
        yield "a door twice"


def _diagnostics(report: report_pb2.DiagnosticsReport) -> Iterator[str]:
    yield from _observed(report.observed_at)
    yield from _word(report.boot_id, "boot_id")
    if report.sequence > MAX_SEQUENCE:
        yield "sequence too large"
    if len(report.components) > MAX_COMPONENTS:
        yield f"{len(report.components)} components; at most {MAX_COMPONENTS}"
    if any(times > 1 for times in Counter(one.component_id for one in report.components).values()):
        yield "two components with one id"
    for component in report.components:
        yield from _component(component)


def _component(component: report_pb2.Component) -> Iterator[str]:
    yield from _word(component.component_id, "component_id")
    yield from _word(component.name, "a component's name")
    if component.condition not in _CONDITIONS:
        yield f"component condition {component.condition}"
    if not 0 <= component.health <= _MAX_HEALTH:
        yield f"health {component.health}"
    if len(component.error_codes) > MAX_CODES:
        yield f"{len(component.error_codes)} error codes; at most {MAX_CODES}"
    for code in component.error_codes:
        yield from _word(code, "an error code")
    yield from _optional_time(component, "last_maintenance")


def _result(result: report_pb2.CommandResult) -> Iterator[str]:
    if result.HasField("status"):
        yield from _status(result.status)
    for name in ("started_at", "finished_at"):
        yield from _optional_time(result, name)
    if any(one.door not in _COMMANDED for one in result.doors):
        yield "a door that no command can name"
    if any(not one.succeeded and one.fault not in _FAULTS for one in result.doors):
        yield "a door that failed without a fault"
    yield from _outcome(result)


def _outcome(result: report_pb2.CommandResult) -> Iterator[str]:
    succeeded = [one.succeeded for one in result.doors]
    match result.outcome:
        case report_pb2.COMMAND_OUTCOME_SUCCEEDED:
            if not succeeded or not all(succeeded):
                yield "a success without every door's success"
        case report_pb2.COMMAND_OUTCOME_PARTIAL:
            if all(succeeded) or not any(succeeded):
                yield "a partial success that is not one"
        case report_pb2.COMMAND_OUTCOME_FAILED | report_pb2.COMMAND_OUTCOME_REFUSED:
            if result.fault not in _FAULTS:
                yield "a failure without a fault"
        case report_pb2.COMMAND_OUTCOME_CANCELLED:
            return
        case _:
            yield "a result without an outcome"


def _observed(at: Timestamp) -> Iterator[str]:
    if not (0 < at.seconds <= _LAST_SECOND and 0 <= at.nanos < _SECOND_NANOS):
        yield "observed_at missing, or no time"
    elif at.seconds > time.time() + LONGEST_LEAD_SECONDS:
        yield "observed_at in the future"


def _optional_time(message: Any, name: str) -> Iterator[str]:
    if not message.HasField(name):
        return
    at = getattr(message, name)
    if not (_FIRST_SECOND <= at.seconds <= _LAST_SECOND and 0 <= at.nanos < _SECOND_NANOS):
        yield f"{name} is no time"


def _version(version: int) -> Iterator[str]:
    if not 0 <= version <= MAX_CONFIG_VERSION:
        yield f"settings of version {version}"


def _word(text: str, what: str) -> Iterator[str]:
    if not (1 <= len(text) <= MAX_LETTERS and text.isprintable()):
        yield f"{what}: 1 to {MAX_LETTERS} printable characters"

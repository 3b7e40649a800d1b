"""Between what vehicles say and this room's words."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from ecarus.remotecontrol.door.v1 import room_event_pb2
from ecarus.remotecontrol.vehicle.v1 import body_pb2, report_pb2

from services.runtime.public_values import amount, set_microseconds
from services.status import domain
from services.status.domain import (
    DOOR_NAMES,
    FUTURE_TOLERANCE_MICROSECONDS,
    HAS_WINDOW,
    LOCK_UNKNOWN,
    LOCKED,
    LONGEST_WAIT_MICROSECONDS,
    OPEN,
    OPEN_UNKNOWN,
    PRESENT,
    WINDOW_OPEN,
    ImpossibleReport,
    Moved,
    Report,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.timestamp_pb2 import Timestamp

_MAX_SEQUENCE = 2**63 - 1
_MAX_BOOT_ID = 64
_MAX_SPEED_KMH = 1_000
_MAX_INTERVAL_SECONDS = 86_400
_MAX_NANOS = 999_999_999
_MAX_COMMAND_ID = 128
_MOVING_OUTCOMES = frozenset(
    {
        report_pb2.COMMAND_OUTCOME_SUCCEEDED,
        report_pb2.COMMAND_OUTCOME_PARTIAL,
        report_pb2.COMMAND_OUTCOME_FAILED,
    }
)


def report_of(vin: str, report: report_pb2.StatusReport, payload: bytes, now_us: int) -> Report:
    """A vehicle's report, when it can be true; `payload` is its serialized form. Raises ImpossibleReport."""
    seconds, nanos = report.observed_at.seconds, report.observed_at.nanos
    observed_at_us = seconds * 1_000_000 + nanos // 1_000
    if seconds <= 0 or not 0 <= nanos <= _MAX_NANOS:
        raise ImpossibleReport("observed_at missing or no time")
    if observed_at_us > now_us + FUTURE_TOLERANCE_MICROSECONDS:
        raise ImpossibleReport("observed_at in the future")
    boot_id, sequence, speed_kmh = report.boot_id, report.sequence, report.speed_kmh
    if not (1 <= len(boot_id) <= _MAX_BOOT_ID and boot_id.isascii() and boot_id.isprintable()):
        raise ImpossibleReport("boot_id missing or too long, or no name")
    if sequence > _MAX_SEQUENCE:
        raise ImpossibleReport("sequence too large")
    if not (isfinite(speed_kmh) and 0 <= speed_kmh <= _MAX_SPEED_KMH):
        raise ImpossibleReport("speed impossible")
    if not 0 <= report.reporting_interval_seconds <= _MAX_INTERVAL_SECONDS:
        raise ImpossibleReport("reporting interval impossible")
    if (
        report.ignition > body_pb2.IGNITION_ON
        or report.gear > body_pb2.GEAR_D
        or report.ignition < 0
        or report.gear < 0
    ):
        raise ImpossibleReport("ignition or gear unknown")
    return Report(
        vin,
        observed_at_us,
        boot_id,
        sequence,
        _flags_of(report.doors),
        report.ignition,
        amount(speed_kmh),
        payload,
        report.going_to_sleep,
    )


def _flags_of(doors: Iterable[body_pb2.DoorObservation]) -> bytes:
    flags = bytearray(len(DOOR_NAMES))
    for observation in doors:
        index = observation.door - 1
        if not 0 <= index < len(DOOR_NAMES):
            raise ImpossibleReport("a door that is none")
        if flags[index]:
            raise ImpossibleReport("a door twice")
        bits = PRESENT
        if not observation.HasField("locked"):
            bits |= LOCK_UNKNOWN
        elif observation.locked:
            bits |= LOCKED
        if not observation.HasField("open"):
            bits |= OPEN_UNKNOWN
        elif observation.open:
            bits |= OPEN
        if observation.HasField("window_open"):
            bits |= HAS_WINDOW | WINDOW_OPEN if observation.window_open else HAS_WINDOW
        flags[index] = bits
    if not any(flags):
        raise ImpossibleReport("no doors")
    return bytes(flags)


def moved_of(result: report_pb2.CommandResult, status: Report, now_us: int) -> Moved | None:
    """What the vehicle says it moved, or tried to; None when it tried nothing, or too long ago to matter."""
    finished_at_us = _microseconds(result.finished_at)
    if result.outcome not in _MOVING_OUTCOMES or not 1 <= len(result.command_id) <= _MAX_COMMAND_ID:
        return None
    if not -FUTURE_TOLERANCE_MICROSECONDS <= now_us - finished_at_us <= LONGEST_WAIT_MICROSECONDS:
        return None
    started_at_us = _microseconds(result.started_at) if result.HasField("started_at") else finished_at_us
    if not 0 <= finished_at_us - started_at_us <= LONGEST_WAIT_MICROSECONDS:
        started_at_us = finished_at_us  # a clock that jumped, or no time at all
    return Moved(result.command_id, started_at_us, status, _promised(result))


def _promised(result: report_pb2.CommandResult) -> bytes | None:
    if result.outcome != report_pb2.COMMAND_OUTCOME_SUCCEEDED:
        return None
    flags = bytearray(len(DOOR_NAMES))
    for outcome in result.doors:
        index = outcome.door - 1
        if not 0 <= index < len(DOOR_NAMES):
            return None
        if not outcome.HasField("locked"):
            continue  # nothing that a report could contradict
        flags[index] = PRESENT | LOCKED if outcome.locked else PRESENT
    return bytes(flags) if any(flags) else None


def _microseconds(timestamp: Timestamp) -> int:
    return timestamp.seconds * 1_000_000 + timestamp.nanos // 1_000


def condition_payload(report: Report, *, ended: bool) -> bytes:
    """The hint of what stands in a command's way; with `ended`, that nothing does. Who sleeps is told of either way."""
    condition = room_event_pb2.VehicleCondition(
        vin=report.vin,
        open_doors=() if ended else domain.open_doors(report.doors),
        ignition_status=report.ignition,  # type: ignore[arg-type]  # the two enums share their numbers
        speed_kmh=report.speed_kmh,
        asleep=report.asleep,
    )
    set_microseconds(condition.observed_at, report.observed_at_us)
    return condition.SerializeToString()

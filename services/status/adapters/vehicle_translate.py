"""Between what vehicles say and this service's words."""

from __future__ import annotations

import json
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from ecarus.remotecontrol.door.v1 import room_event_pb2
from ecarus.remotecontrol.vehicle.v1 import body_pb2, report_pb2

from services.platform.public_values import amount
from services.platform.times import set_microseconds
from services.status.domain import doors as domain
from services.status.domain.doors import (
    DOOR_NAMES,
    HAS_WINDOW,
    LOCK_UNKNOWN,
    LOCKED,
    OPEN,
    OPEN_UNKNOWN,
    PRESENT,
    WINDOW_OPEN,
    LockMoved,
    Report,
    shown_at_us,
    stale_at_us,
)
from services.status.domain.judgement import ReportedActuation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from google.protobuf.timestamp_pb2 import Timestamp

_MAX_SEQUENCE = 2**63 - 1
_MAX_BOOT_ID = 64
_MAX_SPEED_KMH = 1_000
_MAX_INTERVAL_SECONDS = 86_400
_END_OF_TIME = 4_102_444_800
"""The year 2100, seconds since 1970."""
_MAX_NANOS = 999_999_999
_MAX_COMMAND_ID = 128
_NOT_ITS_OWN = frozenset({body_pb2.LOCK_CAUSE_UNSPECIFIED, body_pb2.LOCK_CAUSE_COMMAND})
"""Causes that leave it open whether a command did what it said."""
_MOVING_OUTCOMES = frozenset(
    {
        report_pb2.COMMAND_OUTCOME_SUCCEEDED,
        report_pb2.COMMAND_OUTCOME_PARTIAL,
        report_pb2.COMMAND_OUTCOME_FAILED,
    }
)


_WORDS = {
    "ignition": body_pb2.IGNITION_ON,
    "gear": body_pb2.GEAR_D,
    "remote_access": body_pb2.REMOTE_ACCESS_PRIVACY_MODE,
}
"""Members of a report that are words, and the last word that there is."""

_Kept = list[Any]
"""A door as it was named earlier: when that arrived, microseconds since 1970, and the serialized observation in hex."""


class ReportOrigin(NamedTuple):
    """Where the vehicle said something among all that it says (domain.VehicleOrdered), and when that arrived,
    microseconds since 1970.
    """

    epoch: bytes
    epoch_order: int
    counter: int
    received_at_us: int


def report_of(
    vin: str,
    report: report_pb2.StatusReport,
    payload: bytes,
    said: ReportOrigin,
    beyond: Sequence[str] = (),
) -> Report:
    """Return what a vehicle's report says; `payload` is its serialized form. `beyond` names what was left out of
    `report` since, because the vehicle's model does not have it.

    What is not understood in it is left out or put right, and named in `cut`; `report` is changed so. The rules are
    those of the contract (proto/.../vehicle/v1/report.proto).
    """
    cut: list[str] = list(beyond)
    unsaid: list[str] = []
    received_at_us = said.received_at_us
    observed_at_us = _observed_at_us(report.observed_at)
    if observed_at_us is None:
        cut.append("observed_at")
        set_microseconds(report.observed_at, received_at_us)
    boot_id, sequence, speed_kmh = report.boot_id, report.sequence, report.speed_kmh
    if not (1 <= len(boot_id) <= _MAX_BOOT_ID and boot_id.isascii() and boot_id.isprintable()):
        cut.append("boot_id")
        report.boot_id = "".join(filter(_printable, boot_id))[:_MAX_BOOT_ID] or "unknown"
    if sequence > _MAX_SEQUENCE:
        cut.append("sequence")
        report.sequence = 0
    unclear: list[str] = []
    if not (isfinite(speed_kmh) and 0 <= speed_kmh <= _MAX_SPEED_KMH):
        unclear.append("speed_kmh")
    if not 0 <= report.reporting_interval_seconds <= _MAX_INTERVAL_SECONDS:
        unclear.append("reporting_interval_seconds")
        unsaid.append("reporting_interval_seconds")
    unclear += [name for name, last in _WORDS.items() if not 0 <= getattr(report, name) <= last]
    for name in unclear:
        report.ClearField(name)  # type: ignore[arg-type]  # the names of its fields
    doors = _flags_of(report.doors)
    if doors is None:
        cut.append("doors")
        _cut_doors(report)
        doors = _flags_of(report.doors) or bytes(len(DOOR_NAMES))
    cut += unclear
    return Report(
        vin,
        shown_at_us(observed_at_us, received_at_us),
        report.boot_id,
        report.sequence,
        doors,
        report.ignition,
        amount(report.speed_kmh),
        report.SerializeToString() if cut else payload,
        report.going_to_sleep,
        said.epoch,
        said.epoch_order,
        said.counter,
        received_at_us,
        tuple(unsaid),
        tuple(cut),
        lock_moves=partial(_lock_moves, report),
        stale_at_us=stale_at_us(received_at_us, report.reporting_interval_seconds),
        remote_access_disabled=report.remote_access > body_pb2.REMOTE_ACCESS_ENABLED,
    )


def _observed_at_us(at: Timestamp) -> int | None:
    """Return the time in microseconds since 1970; None when it is none."""
    if not (1 <= at.seconds < _END_OF_TIME and 0 <= at.nanos <= _MAX_NANOS):
        return None
    return at.seconds * 1_000_000 + at.nanos // 1_000


def _printable(character: str) -> bool:
    return character.isascii() and character.isprintable()


def _flags_of(doors: Iterable[body_pb2.DoorObservation]) -> bytes | None:
    """Return the flags of these doors; None when there is one that is none, or one twice."""
    flags = bytearray(len(DOOR_NAMES))
    for observation in doors:
        index = observation.door - 1
        if not 0 <= index < len(DOOR_NAMES) or flags[index]:
            return None
        # What is true was said; only of what is false it is asked whether it was.
        if observation.locked:
            bits = PRESENT | LOCKED
        elif observation.HasField("locked"):
            bits = PRESENT
        else:
            bits = PRESENT | LOCK_UNKNOWN
        if observation.open:
            bits |= OPEN
        elif not observation.HasField("open"):
            bits |= OPEN_UNKNOWN
        if observation.window_open:
            bits |= HAS_WINDOW | WINDOW_OPEN
        elif observation.HasField("window_open"):
            bits |= HAS_WINDOW
        flags[index] = bits
    return bytes(flags)


def _cut_doors(report: report_pb2.StatusReport) -> None:
    """Leave out doors that are none, and those that are named twice with different states."""
    said: dict[int, set[bytes]] = {}
    for each in report.doors:
        said.setdefault(each.door, set()).add(each.SerializeToString(deterministic=True))
    kept = [
        body_pb2.DoorObservation.FromString(states.pop())
        for door, states in said.items()
        if 1 <= door <= len(DOOR_NAMES) and len(states) == 1
    ]
    report.ClearField("doors")
    report.doors.extend(kept)


def inherit(report: Report, known_doors: bytes, payload: bytes, received_at_us: int, kept: str) -> None:
    """Put what `report` does not say into it, as it was known: from the report before it (serialized, and when it
    arrived) and what that had `kept`. Doors that the vehicle says it has not are left out.
    """
    before = report_pb2.StatusReport.FromString(payload)
    named = {each.door - 1: each for each in before.doors}
    kept_before: dict[str, _Kept] = json.loads(kept) if kept else {}
    still: dict[str, _Kept] = {}
    flags = bytearray(report.doors)
    own = report_pb2.StatusReport.FromString(report.payload)
    fitted = {door - 1 for door in own.fitted_doors}
    for index in domain.missing_doors(known_doors, report.doors):
        name = DOOR_NAMES[index]
        if fitted and index not in fitted:
            continue
        if name in kept_before:
            still[name] = kept_before[name]
        elif index in named:
            still[name] = [received_at_us, named[index].SerializeToString().hex()]
        else:
            continue
        if report.received_at_us - still[name][0] > domain.KEPT_AT_MOST_MICROSECONDS:
            del still[name]  # nobody has named it for so long: it may be another's, or none at all
            continue
        flags[index] = known_doors[index]
        if index in report.commanded:
            flags[index] = _without_lock(flags[index])
            still[name] = _kept_without_lock(still[name])
    report.doors = bytes(flags)
    report.kept = json.dumps(still) if still else ""
    if report.unsaid:
        for member in report.unsaid:
            setattr(own, member, getattr(before, member))
        report.payload = own.SerializeToString()


def without_commanded(said: Report, doors: bytes, kept: str) -> tuple[bytes, str] | None:
    """Return `doors` and `kept`, of a state that is newer than `said`, without the locks that were `commanded` before
    `said`, and which nothing has named since; None where there are none.
    """
    if not kept:
        return None
    still: dict[str, _Kept] = json.loads(kept)
    flags = bytearray(doors)
    for index in said.commanded:
        name = DOOR_NAMES[index]
        # What was named at a later time was seen after it; the same vehicle's messages arrive as they were sent.
        if name in still and still[name][0] <= said.received_at_us:
            flags[index] = _without_lock(flags[index])
            still[name] = _kept_without_lock(still[name])
    after = bytes(flags), json.dumps(still)
    return None if after == (doors, kept) else after


def _without_lock(flags: int) -> int:
    return flags & ~LOCKED | LOCK_UNKNOWN


def _kept_without_lock(kept: _Kept) -> _Kept:
    named_at_us, serialized = kept
    observation = body_pb2.DoorObservation.FromString(bytes.fromhex(serialized))
    observation.ClearField("locked")
    observation.ClearField("lock_change")
    return [named_at_us, observation.SerializeToString().hex()]


def kept_lock_moves(payload: bytes, sequence: int) -> dict[int, LockMoved]:
    """Return what the report that is kept, serialized, says of how its locks came to stand as they do, by the doors'
    places; nothing where it is not the one of this sequence.
    """
    report = report_pb2.StatusReport.FromString(payload)
    return _lock_moves(report) if report.sequence == sequence else {}


def _lock_moves(report: report_pb2.StatusReport) -> dict[int, LockMoved]:
    found = {}
    for each in report.doors:
        if each.HasField("lock_change"):
            change = each.lock_change
            cause = change.cause if change.cause in body_pb2.LockCause.values() else 0
            found[each.door - 1] = LockMoved(cause, cause in _NOT_ITS_OWN, change.after_sequence)
    return found


def reported_actuation_of(result: report_pb2.CommandResult, status: Report) -> ReportedActuation | None:
    """Return what the vehicle says it moved, or tried to; None when it tried nothing. `status` is the state in the
    result, and learns which doors were `commanded`.
    """
    if result.outcome not in _MOVING_OUTCOMES or not 1 <= len(result.command_id) <= _MAX_COMMAND_ID:
        return None
    status.commanded = frozenset(each.door - 1 for each in result.doors if 0 < each.door <= len(DOOR_NAMES))
    began_after = result.began_after_sequence if result.HasField("began_after_sequence") else None
    if began_after is not None and began_after >= status.sequence:
        began_after = None  # it began after it had ended
    return ReportedActuation(result.command_id, began_after, status, _expected_locks(result))


def _expected_locks(result: report_pb2.CommandResult) -> bytes | None:
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


def shown_payload(shown: Iterable[tuple[str, int]]) -> bytes:
    """Return what tells of results (VIN, and when the broker stored it, nanoseconds since 1970) that they are shown."""
    return room_event_pb2.ShownResults(
        results=[room_event_pb2.ShownResult(vin=vin, stored_at_nanos=at) for vin, at in shown]
    ).SerializeToString()


def lost_payload(vin: str, at_us: int) -> bytes:
    """Return the advisory state that the vehicle may not be reached, since this time in microseconds since 1970."""
    condition = room_event_pb2.VehicleCondition(vin=vin, lost=True)
    set_microseconds(condition.observed_at, at_us)
    return condition.SerializeToString()


def advisory_payload(report: Report, *, ended: bool) -> bytes:
    """Return the advisory state of what stands in a command's way; with `ended`, that nothing does. Who sleeps is
    reported either way.
    """
    condition = room_event_pb2.VehicleCondition(
        vin=report.vin,
        open_doors=() if ended else domain.open_doors(report.doors),
        ignition_status=report.ignition,  # type: ignore[arg-type]  # the two enums share their numbers
        speed_kmh=report.speed_kmh,
        asleep=report.asleep,
        remote_access_disabled=report.remote_access_disabled,
    )
    set_microseconds(condition.observed_at, report.received_at_us)
    return condition.SerializeToString()

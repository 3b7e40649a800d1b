"""What is believed of a report, and the bytes of the event stream."""

from __future__ import annotations

import pytest
from ecarus.remotecontrol.door.v1 import door_update_pb2, room_event_pb2
from ecarus.remotecontrol.door.v1.door_status_pb2 import Connectivity
from ecarus.remotecontrol.vehicle.v1 import body_pb2, report_pb2

from services.status.adapters.event_ids import EventIds
from services.status.adapters.model_limits import ModelLimits
from services.status.adapters.translate import (
    messages_of,
    outcome_messages,
    reset_message,
    status_of,
    update_body,
    update_message,
)
from services.status.adapters.vehicle_translate import ReportOrigin, report_of, reported_actuation_of
from services.status.domain.doors import (
    HAS_WINDOW,
    LOCK_UNKNOWN,
    LOCKED,
    OPEN,
    OPEN_UNKNOWN,
    PRESENT,
    Report,
    fold,
)
from services.status.domain.judgement import ActuationOutcome
from services.status.domain.updates import LogPosition, Update
from services.status.usecases.door_status import LastReport
from services.vehicle_models.catalogue import VehicleModels

IDS = EventIds(bytes(32))
VIN = "KMHSH81C7LU123456"
LIMITS = ModelLimits(VehicleModels())
NOW_US = 1_768_228_218_000_000  # 2026-01-12T14:30:18Z


def report() -> report_pb2.StatusReport:
    made = report_pb2.StatusReport(
        boot_id="b",
        sequence=7,
        ignition=body_pb2.IGNITION_OFF,
        gear=body_pb2.GEAR_P,
        reporting_interval_seconds=30,
    )
    made.observed_at.FromMicroseconds(NOW_US)
    made.doors.add(door=1, locked=True, window_open=False)
    return made


def taken() -> Report:
    return report_of(VIN, report(), report().SerializeToString(), ReportOrigin(b"epoch", 3, 5, NOW_US))


def test_what_a_report_does_not_say_of_a_door_is_unknown() -> None:
    made = report()
    made.doors.add(door=2, open=True)
    made.doors.add(door=5)
    made.speed_kmh = -0.0
    flags = report_of(VIN, made, b"", ReportOrigin(b"epoch", 3, 5, NOW_US))
    assert flags.doors == bytes(
        [
            PRESENT | LOCKED | OPEN_UNKNOWN | HAS_WINDOW,
            PRESENT | LOCK_UNKNOWN | OPEN,
            0,
            0,
            PRESENT | LOCK_UNKNOWN | OPEN_UNKNOWN,
            0,
        ]
    )
    assert str(flags.speed_kmh) == "0.0"


def test_a_change_tells_only_what_is_known_on_either_side() -> None:
    before = PRESENT | LOCKED | OPEN_UNKNOWN
    known = {VIN: Report(VIN, 1, "b", 1, bytes([before, 0, 0, 0, 0, 0]), 1, 0.0, b"")}
    _, steps = fold(known, [Report(VIN, 2, "b", 2, bytes([PRESENT | OPEN_UNKNOWN] + [0] * 5), 1, 0.0, b"")])
    [message] = messages_of(steps, NOW_US)
    change = door_update_pb2.DoorUpdate.FromString(message.payload).door_status
    assert (change.HasField("locked"), change.locked, change.HasField("open")) == (True, False, False)
    previous = change.previous_state
    assert (previous.locked, previous.HasField("open")) == (True, False)


def test_updates_have_the_same_ids_whenever_they_are_made() -> None:
    known = {VIN: Report(VIN, 1, "b", 1, bytes([PRESENT, 0, 0, 0, 0, 0]), 1, 0.0, b"")}
    _, steps = fold(known, [taken()])
    first, second = messages_of(steps, NOW_US), messages_of(steps, NOW_US + 5_000_000)
    assert (
        [m.message_id for m in first]
        == [m.message_id for m in second]
        == [f"door-{VIN}-{b'epoch'.hex()}-7-5-0"]
    )
    assert first[0].subject == f"door.update.{VIN}"


def test_the_specifications_event_byte_for_byte() -> None:
    update = door_update_pb2.DoorUpdate(
        type=door_update_pb2.DoorUpdateType.Value.DOOR_STATUS_UPDATE,
        vin=VIN,
        door_status=door_update_pb2.DoorStatusChange(
            door_id="driver",
            locked=True,
            open=False,
            window_open=False,
            change_type=door_update_pb2.DoorChangeType.Value.LOCKED,
            previous_state=door_update_pb2.PreviousDoorState(locked=False, open=False),
        ),
    )
    update.timestamp.FromMicroseconds(NOW_US)
    event = Update(LogPosition("k3", 12), update.SerializeToString(), f"door.status.{VIN}")
    body = update_body(IDS, event)
    assert body.content_type == "text/event-stream"
    assert body.data == (
        b"id: " + IDS.id_of(event.position).encode() + b"\nevent: DOOR_STATUS_UPDATE\n"
        b'data: {"type":"DOOR_STATUS_UPDATE","vin":"KMHSH81C7LU123456","timestamp":"2026-01-12T14:30:18.000Z",'
        b'"data":{"doorId":"driver","locked":true,"open":false,"windowOpen":false,"changeType":"LOCKED",'
        b'"previousState":{"locked":false,"open":false}}}\n\n'
    )
    assert update_body(IDS, event) is body  # made once for all readers
    assert update_message(IDS, event).id == IDS.id_of(event.position)


def test_text_can_not_break_out_of_its_line() -> None:
    alert = reset_message(VIN, IDS.id_of(LogPosition("e", 1)), NOW_US)
    alert.system_alert.code = "P1"
    alert.system_alert.message = "a\n\nevent: X\r\ndata: \u2028é"
    data = update_body(
        IDS, Update(LogPosition("e", 1), alert.SerializeToString(), f"door.diagnostics.{VIN}")
    ).data
    assert data.count(b"\n") == 4
    assert data.endswith(b"\n\n")
    assert data.isascii()


@pytest.mark.parametrize(
    ("asleep", "seconds", "lost", "expected"),
    [
        (False, 65, False, "ONLINE"),
        (False, 65, True, "LOST"),
        (False, 66, False, "LOST"),
        (True, 1, False, "ASLEEP"),
        (True, 9_999, True, "ASLEEP"),
    ],
)
def test_connectivity(*, asleep: bool, seconds: int, lost: bool, expected: str) -> None:
    made = report()
    made.going_to_sleep = asleep
    now_us = NOW_US + seconds * 1_000_000
    made.observed_at.FromMicroseconds(NOW_US - 3_600_000_000)  # its clock is an hour slow
    status = status_of(VIN, LastReport(made.SerializeToString(), NOW_US), now_us, LIMITS, lost=lost)
    assert Connectivity.Value.Name(status.connectivity) == expected
    assert status.stale is (seconds > 65)


def result(
    outcome: int = report_pb2.COMMAND_OUTCOME_SUCCEEDED, at_us: int = NOW_US
) -> report_pb2.CommandResult:
    made = report_pb2.CommandResult(command_id="cmd-1", outcome=outcome)  # type: ignore[arg-type]  # a number is one
    made.finished_at.FromMicroseconds(at_us)
    made.started_at.FromMicroseconds(at_us - 500_000)
    made.doors.add(door=1, succeeded=True, locked=True)
    made.doors.add(door=5, succeeded=True, locked=False)
    return made


def test_what_a_result_promises() -> None:
    moved = reported_actuation_of(result(), taken())
    assert moved is not None
    assert moved.expected_locks == bytes([PRESENT | LOCKED, 0, 0, 0, PRESENT, 0])
    without_switches = result()
    without_switches.doors[0].ClearField("locked")
    moved = reported_actuation_of(without_switches, taken())
    assert moved is not None
    assert moved.expected_locks == bytes([0, 0, 0, 0, PRESENT, 0])
    without_switches.doors[1].ClearField("locked")
    moved = reported_actuation_of(without_switches, taken())
    assert moved is not None
    assert moved.expected_locks is None
    partial = reported_actuation_of(result(report_pb2.COMMAND_OUTCOME_PARTIAL), taken())
    assert partial is not None
    assert partial.expected_locks is None


@pytest.mark.parametrize(
    "made",
    [
        result(report_pb2.COMMAND_OUTCOME_REFUSED),
        result(report_pb2.COMMAND_OUTCOME_CANCELLED),
    ],
    ids=["refused", "cancelled"],
)
def test_what_promises_nothing(made: report_pb2.CommandResult) -> None:
    assert reported_actuation_of(made, taken()) is None


@pytest.mark.parametrize("hours", [-2, 0, 2])
def test_what_a_result_promises_does_not_depend_on_a_clock(hours: int) -> None:
    assert reported_actuation_of(result(at_us=NOW_US + hours * 3_600_000_000), taken()) is not None


def test_a_contradiction_says_what_to_do() -> None:
    expected_locks = bytes([PRESENT | LOCKED, PRESENT | LOCKED, 0, 0, 0, 0])
    found = bytes([PRESENT, PRESENT | LOCKED, PRESENT, 0, 0, 0])
    verdicts, alert = outcome_messages(
        [ActuationOutcome(VIN, "cmd-1", False, NOW_US, found, expected_locks)], NOW_US
    )
    [told] = room_event_pb2.CommandVerdicts.FromString(verdicts.payload).verdicts
    assert [(d.door_id, d.locked) for d in told.confirmation.doors] == [
        ("driver", False),
        ("passenger", True),
    ]
    update = door_update_pb2.DoorUpdate.FromString(alert.payload)
    assert alert.subject == f"door.update.{VIN}"
    assert (update.vin, update.system_alert.code) == (VIN, "COMMAND_CONTRADICTED")
    assert update.system_alert.severity == door_update_pb2.AlertSeverity.Value.CRITICAL
    assert "driver is unlocked. Look at the vehicle" in update.system_alert.message


def test_a_contradiction_is_dated_when_it_is_known() -> None:
    shut = bytes([PRESENT | LOCKED, 0, 0, 0, 0, 0])
    found = ActuationOutcome(VIN, "c1", False, NOW_US - 60_000_000, shut, bytes([PRESENT, 0, 0, 0, 0, 0]))
    [_, alert] = outcome_messages([found], NOW_US)
    update = door_update_pb2.DoorUpdate.FromString(alert.payload)
    assert update.system_alert.code == "COMMAND_CONTRADICTED"
    assert update.timestamp.ToMicroseconds() == NOW_US


def test_what_a_report_does_not_tell_of_the_drive_is_absent() -> None:
    made = report()
    for name in ("speed_kmh", "ignition", "gear"):
        made.ClearField(name)
    status = status_of(VIN, LastReport(made.SerializeToString(), NOW_US), NOW_US, LIMITS, lost=False)
    assert not any(map(status.HasField, ("vehicle_speed", "ignition_status", "gear_position")))
    made.speed_kmh = 0.0
    status = status_of(VIN, LastReport(made.SerializeToString(), NOW_US), NOW_US, LIMITS, lost=False)
    assert status.HasField("vehicle_speed")

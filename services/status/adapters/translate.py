"""Between the contract's messages and this service's words."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

from ecarus.remotecontrol.door.v1 import door_command_pb2, door_status_pb2, door_update_pb2, room_event_pb2
from ecarus.remotecontrol.door.v1.door_command_pb2 import CommandSource
from ecarus.remotecontrol.vehicle.v1 import body_pb2, report_pb2
from google.api.httpbody_pb2 import HttpBody

from protocol.subjects import (
    STATUS_CHECKS_SUBJECT,
    VERDICTS_SUBJECT,
    origin_of_update,
    update_subject,
)
from services.live_updates.documents import accepted_update, document_text
from services.live_updates.origins import COMMAND_CONTRADICTED, UPDATES_COALESCED, UPDATES_RESET
from services.platform.outbox import OutgoingMessage
from services.platform.public_values import amount, seconds
from services.platform.times import moment, set_microseconds
from services.status.adapters.refusals import refusal_of
from services.status.domain import doors as domain
from services.status.domain import updates
from services.status.domain.doors import DOOR_NAMES, LOCKED, Report
from services.status.domain.event_stream import GAVE_WAY_RETRY_MILLISECONDS, RETRY_MILLISECONDS
from services.status.domain.judgement import broken_doors
from services.status.domain.lock_moves import cause_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.status.adapters.event_ids import EventIds
    from services.status.adapters.model_limits import ModelLimits
    from services.status.domain.doors import StatusRead, Step
    from services.status.domain.judgement import ActuationOutcome
    from services.status.domain.updates import Update
    from services.status.usecases.door_status import LastReport

QUEUE = "status"
SSE_CONTENT_TYPE = "text/event-stream"

_DOOR_FIELDS = ("driver", "passenger", "rear_left", "rear_right", "trunk", "hood")
_CHANGES = door_update_pb2.DoorChangeType.Value
_TYPES = door_update_pb2.DoorUpdateType.Value
_SOURCES = CommandSource.Value
_CONNECTIVITIES = door_status_pb2.Connectivity.Value
_STATES = door_command_pb2.Confirmation
_TIMEOUT = door_command_pb2.CommandStatus.TIMEOUT
_SAYS_TIMEOUT = door_update_pb2.CommandStatusChange(status=_TIMEOUT).SerializeToString()
"""Stands in every update that tells of a timeout: the others, which are most, need not be read for it."""


def status_of(
    vin: str, last: LastReport, now_us: int, limits: ModelLimits, *, lost: bool, unanswering: bool = False
) -> door_status_pb2.DoorStatus:
    """Return the answer to a look at the status, from the last report; `lost`: the broker has said since that
    the vehicle's connection broke, or a command of it was not answered (`unanswering`), which may have moved doors.
    What the vehicle's model does not have is left out, also where it was known before the model was.
    """
    report = report_pb2.StatusReport.FromString(last.payload)
    limits.leave_out(vin, report)
    received_at_us = last.received_at_us
    observed_at_us = domain.shown_at_us(
        report.observed_at.seconds * 1_000_000 + report.observed_at.nanos // 1_000, received_at_us
    )
    stale = unanswering or domain.is_stale(now_us, received_at_us, report.reporting_interval_seconds)
    connectivity = domain.connectivity_of(asleep=report.going_to_sleep, stale=stale, lost=lost)
    status = door_status_pb2.DoorStatus(
        vin=vin,
        # What it does not tell is absent: a standing vehicle is a statement too.
        ignition_status=report.ignition or None,  # type: ignore[arg-type]  # the two enums share their numbers
        vehicle_speed=amount(report.speed_kmh) if report.HasField("speed_kmh") else None,
        gear_position=report.gear or None,  # type: ignore[arg-type]  # the two enums share their numbers
        stale=stale,
        connectivity=_CONNECTIVITIES.Value(connectivity.value),
    )
    for observation in report.doors:
        _show_door(status.doors, observation)
    if last.kept:
        for named_at_us, observed in json.loads(last.kept).values():
            observation = body_pb2.DoorObservation.FromString(bytes.fromhex(observed))
            if limits.has(vin, observation):
                set_microseconds(_show_door(status.doors, observation).received_at, named_at_us)
    set_microseconds(status.timestamp, observed_at_us)
    set_microseconds(status.received_at, received_at_us)
    return status


def _show_door(
    doors: door_status_pb2.Doors, observation: body_pb2.DoorObservation
) -> door_status_pb2.DoorState:
    door: door_status_pb2.DoorState = getattr(doors, _DOOR_FIELDS[observation.door - 1])
    door.SetInParent()
    if observation.HasField("locked"):
        door.locked = observation.locked
    if observation.HasField("open"):
        door.open = observation.open
    if observation.HasField("window_open"):
        door.window_open = observation.window_open
    if observation.HasField("child_lock"):
        door.child_lock = observation.child_lock
    return door


def messages_of(steps: Sequence[Step], now_us: int) -> list[OutgoingMessage]:
    """Return the updates that tell of these changes. The same step always has the same message ids."""
    created_at = moment(now_us)
    return [
        OutgoingMessage(
            message_id=f"door-{step.report.vin}-{step.report.place}-{number}",
            queue=QUEUE,
            subject=update_subject(step.report.vin),
            payload=_update_of(step.report, change).SerializeToString(),
            created_at=created_at,
        )
        for step in steps
        for number, change in enumerate(step.changes)
    ]


def missed_message(report: Report, now_us: int) -> OutgoingMessage:
    """Return what tells those who watch that more changed than they are told."""
    update = door_update_pb2.DoorUpdate(
        type=_TYPES.SYSTEM_ALERT,
        vin=report.vin,
        system_alert=door_update_pb2.SystemAlert(
            code=UPDATES_COALESCED,
            severity=door_update_pb2.AlertSeverity.Value.WARNING,
            message="The vehicle reports more changes than are told one by one; read the door status.",
        ),
    )
    set_microseconds(update.timestamp, report.observed_at_us)
    return OutgoingMessage(
        message_id=f"missed-{report.vin}-{report.place}",
        queue=QUEUE,
        subject=update_subject(report.vin),
        payload=update.SerializeToString(),
        created_at=moment(now_us),
    )


def _update_of(report: Report, change: domain.DoorChange) -> door_update_pb2.DoorUpdate:
    update = door_update_pb2.DoorUpdate(
        type=_TYPES.DOOR_STATUS_UPDATE,
        vin=report.vin,
        door_status=door_update_pb2.DoorStatusChange(
            door_id=change.door,
            locked=domain.is_locked(change.flags),
            open=domain.is_open(change.flags),
            window_open=change.window_open,
            change_type=_CHANGES.Value(change.kind),
            previous_state=door_update_pb2.PreviousDoorState(
                locked=domain.is_locked(change.previous_flags),
                open=domain.is_open(change.previous_flags),
                window_open=change.window_was_open,
            ),
            cause=cause_of(report, change),  # type: ignore[arg-type]  # the two enums share their numbers
        ),
    )
    set_microseconds(update.timestamp, report.observed_at_us)
    return update


def unanswered_at_us(payload: bytes) -> int | None:
    """Return when the time was over of the command that this update tells of, microseconds since 1970, where its
    vehicle had not answered; None where the update tells of anything else. Raise DecodeError when it is none.
    """
    if _SAYS_TIMEOUT not in payload:
        return None
    update = door_update_pb2.DoorUpdate.FromString(payload)
    change = update.command_status
    unanswered = change.status == _TIMEOUT and change.may_have_succeeded and not change.late
    return update.timestamp.ToMicroseconds() if unanswered else None


def update_message(ids: EventIds, update: Update) -> door_update_pb2.DoorUpdate:
    """Return the update as the typed stream sends it.

    Raise DecodeError or ValueError when it is none, ForeignUpdateError when it is not its publisher's to tell.
    """
    message = accepted_update(update.payload, update.subject)
    if message is None:
        raise updates.ForeignUpdateError(origin_of_update(update.subject))
    message.id = ids.id_of(update.position)
    return message


def update_body(ids: EventIds, update: Update) -> HttpBody:
    """Return the update as Server-Sent Events send it, made once for all its readers. Raises what
    `update_message` raises.
    """
    if update.rendered is None:
        update.rendered = event_body(update_message(ids, update))
    return update.rendered


def event_body(message: door_update_pb2.DoorUpdate) -> HttpBody:
    """Return one Server-Sent Event: `id`, `event`, and `data` as one line of the specification's JSON."""
    kind = _TYPES.Name(message.type)
    return _body(f"id: {message.id}\nevent: {kind}\ndata: {document_text(message)}\n\n")


def opening_body(vin: str, event_id: str, now_us: int) -> HttpBody:
    """Return what a stream that starts now begins with: its place, so that its reader can come back to it before
    its first update.

    It is an event with data. Readers may ignore an id in a block without (the WHATWG's own text keeps it, common
    libraries do not), and would lose the first gap.
    """
    opened = door_update_pb2.DoorUpdate(id=event_id, type=_TYPES.STREAM_OPENED, vin=vin)
    set_microseconds(opened.timestamp, now_us)
    return HttpBody(
        content_type=SSE_CONTENT_TYPE,
        data=f"retry: {RETRY_MILLISECONDS}\n".encode() + event_body(opened).data,
    )


def resumed_body() -> HttpBody:
    """Return what a stream that is resumed begins with, so that its headers leave at once. Its reader has a place."""
    return _body(f"retry: {RETRY_MILLISECONDS}\n: updates follow as they happen\n")


def comment_body(text: str) -> HttpBody:
    """Return a comment, which readers do not see: a heartbeat, or why the stream ends.

    No blank line follows: it ends a block, and some readers (httpx-sse) show every block once they have an id.
    """
    return _body(f": {text}\n")


def ending_body(error: Exception) -> HttpBody:
    """Return the last comment of a stream that ends for `error`, one that `refusal_of` knows."""
    refusal = refusal_of(error)
    again = f"retry: {GAVE_WAY_RETRY_MILLISECONDS}\n" if isinstance(error, updates.StreamEvictedError) else ""
    return _body(f"{again}: the stream ends: {refusal}\n")


def _body(text: str) -> HttpBody:
    return HttpBody(content_type=SSE_CONTENT_TYPE, data=text.encode())


def reset_message(vin: str, event_id: str, now_us: int) -> door_update_pb2.DoorUpdate:
    """Tell a reader that what it missed is not kept any more."""
    message = door_update_pb2.DoorUpdate(
        id=event_id,
        type=_TYPES.SYSTEM_ALERT,
        vin=vin,
        system_alert=door_update_pb2.SystemAlert(
            code=UPDATES_RESET,
            severity=door_update_pb2.AlertSeverity.Value.WARNING,
            message="What happened since the last id cannot be shown; read the door status anew.",
        ),
    )
    set_microseconds(message.timestamp, now_us)
    return message


def checks_message(checks: Sequence[StatusRead], now_us: int) -> OutgoingMessage:
    """Look at statuses, for the history."""
    message = room_event_pb2.StatusChecks()
    for check in checks:
        added = message.checks.add(
            check_id=check.check_id,
            vin=check.vin,
            user_id=check.user_id,
            actor_id=check.actor_id,
            source=_SOURCES.Value(check.source) if check.source in _SOURCES.keys() else _SOURCES.UNSPECIFIED,  # noqa: SIM118  # an enum wrapper is no dict
            correlation_id=check.correlation_id,
            execution_time=seconds(check.execution_time_seconds),
        )
        set_microseconds(added.time, check.time_us)
    return OutgoingMessage(
        message_id=f"checks-{uuid.uuid4()}",
        queue=QUEUE,
        subject=STATUS_CHECKS_SUBJECT,
        payload=message.SerializeToString(),
        created_at=moment(now_us),
    )


def outcome_messages(verdicts: Sequence[ActuationOutcome], now_us: int) -> list[OutgoingMessage]:
    """Return what is reported commands: all of it to the command service, and each contradiction to those who watch."""
    told = room_event_pb2.CommandVerdicts(verdicts=[_verdict(each) for each in verdicts])
    created_at = moment(now_us)
    message_id = str(uuid.uuid4())
    alerts = [
        OutgoingMessage(
            message_id=f"contradicted-{message_id}-{number}",
            queue=QUEUE,
            subject=update_subject(each.vin),
            payload=_contradiction(each, now_us).SerializeToString(),
            created_at=created_at,
        )
        for number, each in enumerate(verdicts)
        if not each.confirmed
    ]
    payload = told.SerializeToString()
    return [OutgoingMessage(f"verdicts-{message_id}", QUEUE, VERDICTS_SUBJECT, payload, created_at), *alerts]


def _verdict(verdict: ActuationOutcome) -> room_event_pb2.CommandVerdict:
    confirmation = door_command_pb2.Confirmation(
        state=_STATES.CONFIRMED if verdict.confirmed else _STATES.CONTRADICTED,
        doors=[
            door_command_pb2.ObservedDoor(door_id=name, locked=bool(now & LOCKED))
            for name, now, expected_locks in zip(
                DOOR_NAMES, verdict.doors, verdict.expected_locks, strict=True
            )
            if expected_locks
        ],
    )
    set_microseconds(confirmation.time, verdict.observed_at_us)
    return room_event_pb2.CommandVerdict(
        vin=verdict.vin, command_id=verdict.command_id, confirmation=confirmation
    )


def _contradiction(verdict: ActuationOutcome, now_us: int) -> door_update_pb2.DoorUpdate:
    """Return the alert, of the time at which it is known: the vehicle's clock may be behind the command's end."""
    found = ", ".join(
        f"{name} is {'locked' if locked else 'unlocked'}" for name, locked in broken_doors(verdict)
    )
    update = door_update_pb2.DoorUpdate(
        type=_TYPES.SYSTEM_ALERT,
        vin=verdict.vin,
        system_alert=door_update_pb2.SystemAlert(
            code=COMMAND_CONTRADICTED,
            severity=door_update_pb2.AlertSeverity.Value.CRITICAL,
            message=f"The vehicle said that command {verdict.command_id} was done, but its next report says that "
            f"{found}. Look at the vehicle, and use the key if the door does not obey; unless somebody moved it "
            "by hand, have the lock checked in a workshop.",
        ),
    )
    set_microseconds(update.timestamp, now_us)
    return update

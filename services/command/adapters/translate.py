"""Between the contract's messages and this service's own words, both ways."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypeVar

from ecarus.remotecontrol.door.v1 import door_command_pb2 as door_pb2
from ecarus.remotecontrol.door.v1 import door_update_pb2 as update_pb2
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import NULL_VALUE, Value

from services.command.adapters import page_tokens
from services.command.domain.commands import (
    FIRST_ANSWER,
    CancelRequest,
    Command,
    CommandAction,
    Confirmation,
    DoorAction,
    DoorResult,
    FailureReason,
    HistoryEntry,
    LateResult,
    Mode,
    PersonRole,
    Requester,
    Status,
    Viewer,
)
from services.command.domain.history import HistoryPage, HistoryQuery
from services.command.usecases.waiting import WaitRight
from services.platform.audit_entry import factors_of
from services.platform.capability import METADATA_KEY
from services.platform.public_values import seconds
from services.platform.times import set_time

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ecarus.remotecontrol.door.v1 import door_command_service_pb2 as service_pb2

    from services.platform.call import Call
    from services.platform.capability import Capability

_PERIODS = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
DEFAULT_PERIOD = "24h"
DEFAULT_LIMIT = 50

_PROGRESS = {
    Status.IN_PROGRESS: "The vehicle has the command and is carrying it out.",
    Status.SUCCESS: "Done: every requested door reached its position.",
}

ASLEEP = "Command received; the vehicle sleeps and is sent a wake-up first."
LOST = (
    "Command received; the vehicle has not been heard of lately. It gets the command if it can be reached before the "
    "command's time is up."
)
NEVER_CONNECTED = (
    "Command received; the vehicle is not known to be reachable: nothing has been heard of it yet. It gets the command "
    "if it connects before the command's time is up."
)
NOT_COLLECTED = (
    "Your own requests are not collected for the history, because you have not agreed to it or have withdrawn that: "
    "see GET /api/v1/remotecontrol/consents/ACCESS_HISTORY. A command itself is kept for 24 hours, so that it is "
    "carried out once."
)
WAKING = "Command queued; the vehicle sleeps or is out of reach, and was sent a wake-up."

Sent = TypeVar("Sent", door_pb2.DoorCommand, door_pb2.DoorCommandDetails)


def requester_of(call: Call) -> Requester:
    """Return who asks, and what proves it to the signer."""
    capability = call.granted()
    return Requester(
        principal=capability.actor,
        subject=capability.subject,
        source=capability.source,
        proof=call.metadata[METADATA_KEY],
        role=_role(capability),
        factors=factors_of(capability),
        case=capability.case,
        recorded=capability.unrecorded_since is None,
    )


def viewer_of(call: Call) -> Viewer:
    """Return who reads."""
    capability = call.granted()
    return Viewer(capability.subject, _role(capability), datetime.fromtimestamp(capability.since, UTC))


def wait_right_of(call: Call) -> WaitRight:
    """Return what somebody who waits may look at their command by."""
    capability = call.granted()
    return WaitRight(
        capability.subject, capability.actor, capability.resource, capability.credential, capability.case
    )


def _role(capability: Capability) -> PersonRole | None:
    return PersonRole(capability.role) if capability.role in set(PersonRole) else None


def unlock_order(unlock: door_pb2.DoorUnlock) -> DoorAction:
    """Return the order in an unlock request."""
    emergency = unlock.unlock_mode == door_pb2.UnlockMode.EMERGENCY
    return DoorAction(
        CommandAction.UNLOCK, tuple(unlock.target_doors), Mode.EMERGENCY if emergency else Mode.NORMAL
    )


def lock_order(lock: door_pb2.DoorLock) -> DoorAction:
    """Return the order in a lock request."""
    secure = lock.lock_mode == door_pb2.LockMode.SECURE
    return DoorAction(CommandAction.LOCK, tuple(lock.target_doors), Mode.SECURE if secure else Mode.NORMAL)


def cancel_request(cancellation: door_pb2.DoorCancellation) -> CancelRequest:
    """Return what a cancellation asks for."""
    return CancelRequest(cancellation.correlation_id, cancellation.reason, cancellation.force)


def history_query(
    request: service_pb2.ListCommandHistoryRequest,
    viewer: Viewer,
    now: datetime,
    *,
    checks_listed: bool = True,
) -> HistoryQuery:
    """Return which page of the history is asked for, of what this reader may see. Raises Refusal.

    `checks_listed` says whether status reads are listed where no action is named or left out.
    """
    place = page_tokens.place_of(request)
    told = request.as_of.ToDatetime(tzinfo=now.tzinfo) if request.HasField("as_of") else None
    excluded = _action(request, "exclude_action")
    action = _action(request, "action")
    if not checks_listed and action is None and excluded is None:
        excluded = CommandAction.STATUS_CHECK
    return HistoryQuery(
        now=now,
        period=_PERIODS[request.period if request.HasField("period") else DEFAULT_PERIOD],
        limit=request.limit if request.HasField("limit") else DEFAULT_LIMIT,
        offset=request.offset,
        as_of=place.as_of if place else told,
        after=place.after if place else None,
        not_before=viewer.since,
        of_subject=None if viewer.role is PersonRole.OWNER else viewer.subject,
        action=action,
        excluded_action=excluded,
        status=Status(door_pb2.CommandStatus.Value.Name(request.status))
        if request.HasField("status")
        else None,
        source=door_pb2.CommandSource.Value.Name(request.source) if request.HasField("source") else None,
    )


def _action(
    request: service_pb2.ListCommandHistoryRequest, name: Literal["action", "exclude_action"]
) -> CommandAction | None:
    if not request.HasField(name):
        return None
    return CommandAction(door_pb2.CommandAction.Value.Name(getattr(request, name)))


def first_answer(command: Command) -> door_pb2.DoorCommand:
    """Return what the caller is told when a command is accepted, and told again for the same request."""
    answer = _filled(door_pb2.DoorCommand(), command, Status.PENDING, _first_message(command))
    answer.correlation_id = command.correlation_id
    return answer


def current_answer(command: Command) -> door_pb2.DoorCommand:
    """Return a command as it stands, in the short form."""
    message = message_of(command)
    if not command.status.final:
        message = "The vehicle has been asked to cancel; the command's status will tell what it decided."
    answer = _filled(door_pb2.DoorCommand(), command, command.status, message)
    answer.correlation_id = command.correlation_id
    return answer


def final_answer(command: Command) -> door_pb2.DoorCommand:
    """Return a command that has ended, in the short form, to who waited for that."""
    answer = _filled(door_pb2.DoorCommand(), command, command.status, message_of(command))
    answer.correlation_id = command.correlation_id
    return answer


def location_of(vin: str, command_id: str) -> str:
    """Return where a command's life can be followed."""
    return f"/api/v1/remotecontrol/vehicles/{vin}/door/commands/{command_id}"


def details_text(command: Command) -> str:
    """Return what GET of the command answers, as one line of ASCII JSON."""
    return MessageToJson(details(command), always_print_fields_with_no_presence=True, indent=None)


def message_of(command: Command) -> str:
    """For people: where it stands."""
    if command.ending is not None:
        return command.ending.message
    if command.status is Status.PENDING:
        return WAKING if command.waking_at is not None else _first_message(command)
    return _PROGRESS[command.status]


def _first_message(command: Command) -> str:
    """Return what is said of a command before anything has become of it."""
    if command.asleep:
        return ASLEEP
    if command.never_connected:
        return NEVER_CONNECTED
    return LOST if command.lost else FIRST_ANSWER


def _filled(answer: Sent, command: Command, status: Status, message: str) -> Sent:
    answer.command_id = command.command_id
    answer.vin = command.vin
    answer.status = door_pb2.CommandStatus.Value.Value(status.value)
    answer.message = message
    answer.estimated_duration = command.estimated_seconds
    set_time(answer.timestamp, command.accepted_at)
    return answer


def details(command: Command) -> door_pb2.DoorCommandDetails:
    """Return a command with its life so far."""
    answer = _filled(door_pb2.DoorCommandDetails(), command, command.status, message_of(command))
    answer.action = door_pb2.CommandAction.Value.Value(command.door_action.action.value)
    answer.target_doors.extend(command.door_action.target_doors)
    answer.correlation_id = command.correlation_id
    answer.source = door_pb2.CommandSource.Value.Value(command.requester.source)
    set_time(answer.expires_at, command.expires_at)
    _add_stages(answer, command)
    ending = command.ending
    if ending is not None:
        answer.door_results.extend(map(door_result, ending.door_results))
        if ending.failure_reason:
            answer.failure_reason = failure_reason(ending.failure_reason)
        if ending.guidance:
            answer.guidance = ending.guidance
        if ending.may_have_succeeded is not None:
            answer.may_have_succeeded = ending.may_have_succeeded
        if command.received_at is not None and command.status is not Status.TIMEOUT:
            answer.execution_time = seconds((ending.finished_at - command.accepted_at).total_seconds())
    if command.late_result is not None:
        answer.late_result.CopyFrom(_late(command.late_result))
    if command.confirmation is not None and command.status is Status.SUCCESS:
        _add_confirmation(answer, command.confirmation)
    return answer


def _late(late: LateResult) -> door_pb2.LateResult:
    message = door_pb2.LateResult(
        status=door_pb2.CommandStatus.Value.Value(late.status.value),
        door_results=map(door_result, late.door_results),
    )
    set_time(message.received_at, late.received_at)
    if late.failure_reason:
        message.failure_reason = failure_reason(late.failure_reason)
    return message


def _add_confirmation(answer: door_pb2.DoorCommandDetails, confirmation: Confirmation) -> None:
    states = door_pb2.Confirmation
    answer.confirmation.state = states.CONFIRMED if confirmation.confirmed else states.CONTRADICTED
    set_time(answer.confirmation.time, confirmation.observed_at)
    for door, locked in confirmation.doors:
        answer.confirmation.doors.add(door_id=door, locked=locked)


def _add_stages(answer: door_pb2.DoorCommandDetails, command: Command) -> None:
    names = door_pb2.CommandStage.Name
    times: Iterable[tuple[door_pb2.CommandStage.Name.Value.ValueType, datetime | None]] = (
        (names.ACCEPTED, command.accepted_at),
        (names.QUEUED, command.accepted_at),  # the outbox row is of the same commit
        (names.WAKING, command.waking_at),
        (names.SENT, command.sent_at),
        (names.RECEIVED, command.received_at),
        (names.FINISHED, command.ending.finished_at if command.ending else None),
    )
    happened = [(at, name) for name, at in times if at is not None]
    for at, name in sorted(happened, key=lambda stage: stage[0]):
        set_time(answer.stages.add(name=name).time, at)


def door_result(result: DoorResult) -> door_pb2.DoorResult:
    """Return what one door did."""
    message = door_pb2.DoorResult(door_id=result.door_id, success=result.success, locked=result.locked)
    if result.failure_reason:
        message.failure_reason = failure_reason(result.failure_reason)
    return message


def failure_reason(reason: FailureReason) -> door_pb2.FailureReason.Value.ValueType:
    """Return the contract's word for it."""
    return door_pb2.FailureReason.Value.Value(reason.value)


def history_page(
    page: HistoryPage,
    request: service_pb2.ListCommandHistoryRequest,
    unrecorded_since: float | None = None,
) -> door_pb2.DoorHistory:
    """Return a page of the history. `unrecorded_since` says of who reads it what a capability does."""
    message = door_pb2.DoorHistory(
        vin=request.vin,
        total=page.total,
        has_more=page.has_more,
        history=map(_entry, page.entries),
        next_page_token=page_tokens.token_for(page, request),
    )
    set_time(message.as_of, page.as_of)
    if unrecorded_since is not None:
        message.collection.collected = False
        message.collection.detail = NOT_COLLECTED
        if unrecorded_since > 0:
            set_time(message.collection.since, datetime.fromtimestamp(unrecorded_since, UTC))
    return message


def _entry(entry: HistoryEntry) -> door_pb2.DoorHistoryEntry:
    reason = entry.failure_reason
    message = door_pb2.DoorHistoryEntry(
        command_id=entry.command_id,
        action=door_pb2.CommandAction.Value.Value(entry.action.value),
        target_doors=entry.target_doors,
        status=door_pb2.CommandStatus.Value.Value(entry.status.value),
        execution_time=seconds(entry.execution_seconds),
        user_id=entry.user_id,
        source=door_pb2.CommandSource.Value.Value(entry.source),
        failure_reason=Value(string_value=reason.value) if reason else Value(null_value=NULL_VALUE),
        correlation_id=entry.correlation_id,
        door_results=map(door_result, entry.door_results),
    )
    if entry.actor_id != entry.user_id:
        message.actor_id = entry.actor_id
    if entry.late_result is not None:
        message.late_result.CopyFrom(_late(entry.late_result))
    set_time(message.timestamp, entry.requested_at)
    return message


def update(command: Command, *, late: bool = False) -> update_pb2.DoorUpdate:
    """Return what watchers are told of a command's change, or of its late result."""
    change = update_pb2.CommandStatusChange(
        command_id=command.command_id,
        correlation_id=command.correlation_id,
        action=door_pb2.CommandAction.Value.Value(command.door_action.action.value),
        status=door_pb2.CommandStatus.Value.Value(command.status.value),
        message=message_of(command),
    )
    at, ending = command.received_at or command.accepted_at, command.ending
    if ending is not None:
        at = ending.finished_at
        change.door_results.extend(map(door_result, ending.door_results))
        if ending.failure_reason:
            change.failure_reason = failure_reason(ending.failure_reason)
        if ending.guidance:
            change.guidance = ending.guidance
        if ending.may_have_succeeded is not None:
            change.may_have_succeeded = ending.may_have_succeeded
    if late and command.late_result is not None:
        at = command.late_result.received_at
        change.late = True
        change.message = f"The vehicle answered after the time was up: {command.late_result.status.value}."
        del change.door_results[:]
        change.door_results.extend(map(door_result, command.late_result.door_results))
    message = update_pb2.DoorUpdate(
        type=update_pb2.DoorUpdateType.COMMAND_STATUS_UPDATE, vin=command.vin, command_status=change
    )
    set_time(message.timestamp, at)
    return message


def correlation_ids_in(update: bytes) -> list[str]:
    """Return the correlation id that a live update has; none where it has none, or is no live update."""
    try:
        message = update_pb2.DoorUpdate.FromString(update)
    except DecodeError:
        return []
    return [message.command_status.correlation_id] if message.HasField("command_status") else []

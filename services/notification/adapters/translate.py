"""Between this service's words and the contract's messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecarus.remotecontrol.door.v1 import door_command_pb2, door_update_pb2, push_device_pb2

from services.notification.adapters.webhook_translate import webhook_refusal_of
from services.notification.domain.devices import (
    DeviceRefusedError,
    FieldFault,
    NewDevice,
    TooManyDevicesError,
)
from services.notification.domain.doors import DoorNews, DoorState
from services.notification.domain.messages import PushKind
from services.notification.domain.notices import NoticeKind
from services.notification.domain.preferences import (
    IgnoredPlace,
    Preferences,
    PreferencesRefusedError,
    QuietHours,
)
from services.notification.domain.updates import AlertUpdate, CommandUpdate
from services.platform import errors
from services.platform.errors import REASONS, Refusal, Violation
from services.platform.free_text import readable
from services.platform.times import set_time, time_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from services.notification.domain.devices import RegisteredDevice

TOO_MANY_DEVICES = REASONS["TOO_MANY_DEVICES"]
MOST_PLACE_NAME = 40
_KINDS = push_device_pb2.PushKind.Value
_CAUSES = door_update_pb2.LockChangeCause


def command_update(event_id: str, update: door_update_pb2.DoorUpdate, at: datetime) -> CommandUpdate:
    """Return what a live update says of a command. Raises ValueError for a word that is none."""
    change = update.command_status
    results = change.door_results
    return CommandUpdate(
        event_id,
        update.vin,
        change.command_id,
        door_command_pb2.CommandAction.Value.Name(change.action),
        door_command_pb2.CommandStatus.Value.Name(change.status),
        at,
        failure_reason=_reason(change.failure_reason) if change.HasField("failure_reason") else "",
        may_have_succeeded=change.may_have_succeeded if change.HasField("may_have_succeeded") else True,
        moved=[each.door_id for each in results if each.success],
        not_moved=[each.door_id for each in results if not each.success],
        late=change.late,
    )


def _reason(value: door_command_pb2.FailureReason.Value.ValueType) -> str:
    """Return its word; a newer one is unspecified."""
    known = door_command_pb2.FailureReason.Value.values()
    return door_command_pb2.FailureReason.Value.Name(value) if value in known else "UNSPECIFIED"


def alert_update(event_id: str, origin: str, update: door_update_pb2.DoorUpdate, at: datetime) -> AlertUpdate:
    """Return what a live update says of an alert. Raises ValueError for a severity that is none."""
    alert = update.system_alert
    severity = door_update_pb2.AlertSeverity.Value.Name(alert.severity)
    return AlertUpdate(
        event_id, update.vin, origin, alert.code[:64], severity, at, alert.component_id[:64], alert.cleared
    )


def door_change(update: door_update_pb2.DoorUpdate, at: datetime, order: int) -> DoorNews:
    """Return what a live update says of a door."""
    change = update.door_status
    state = DoorState(
        change.locked if change.HasField("locked") else None,
        change.open if change.HasField("open") else None,
        change.window_open if change.HasField("window_open") else None,
        order,
    )
    return DoorNews(update.vin, change.door_id, state, at, drives=change.cause == _CAUSES.Value.SPEED_LOCK)


def new_device(device_id: str, device: push_device_pb2.NewPushDevice) -> NewDevice:
    """Return the device that is to be registered."""
    kind = PushKind(_KINDS.Name(device.kind))
    return NewDevice(device_id, kind, device.token, device.keys.p256dh, device.keys.auth, device.app)


def device_message(device: RegisteredDevice) -> push_device_pb2.PushDevice:
    """Return the public resource: its token is never shown."""
    message = push_device_pb2.PushDevice(
        device_id=device.device_id, kind=_KINDS.Value(device.push.kind.value), app=device.push.app or None
    )
    set_time(message.registered_at, device.registered_at)
    set_time(message.confirmed_at, device.confirmed_at)
    return message


def device_list(
    devices: Sequence[RegisteredDevice], application_server_key: str | None
) -> push_device_pb2.PushDeviceList:
    """Return the public resource."""
    return push_device_pb2.PushDeviceList(
        devices=map(device_message, devices), application_server_key=application_server_key
    )


def preferences(wanted: push_device_pb2.NotificationPreferences) -> Preferences:
    """Return what is wanted, with defaults for what is absent. Raises PreferencesRefusedError."""
    default = Preferences()
    switches = (
        (NoticeKind.DOOR_RESULT, wanted.HasField("door_results"), wanted.door_results),
        (NoticeKind.LEFT_OPEN, wanted.HasField("left_open"), wanted.left_open),
        (NoticeKind.LEFT_UNLOCKED, wanted.HasField("left_unlocked"), wanted.left_unlocked),
        (NoticeKind.DIAGNOSTICS, wanted.HasField("diagnostics"), wanted.diagnostics),
    )
    off = frozenset(kind for kind, is_said, on in switches if is_said and not on)
    quiet = None
    if wanted.HasField("quiet_hours"):
        hours = wanted.quiet_hours
        quiet = QuietHours(_minutes(getattr(hours, "from")), _minutes(hours.until))
    return Preferences(
        off,
        wanted.language if wanted.HasField("language") else default.language,
        wanted.time_zone if wanted.HasField("time_zone") else default.time_zone,
        quiet,
        wanted.reminder_minutes if wanted.HasField("reminder_minutes") else None,
        tuple(_place(at, each) for at, each in enumerate(wanted.ignored_places)),
    )


def _place(at: int, place: push_device_pb2.IgnoredPlace) -> IgnoredPlace:
    if readable(place.name, MOST_PLACE_NAME) != place.name:
        raise PreferencesRefusedError(f"ignoredPlaces[{at}].name", "has characters that cannot be shown")
    try:
        until = time_of(place.until) if place.HasField("until") else None
    except ValueError as error:
        raise PreferencesRefusedError(f"ignoredPlaces[{at}].until", "is no time") from error
    return IgnoredPlace(place.name, place.vehicle.upper(), until)


def _minutes(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)


def preferences_message(wanted: Preferences, usual_minutes: int) -> push_device_pb2.NotificationPreferences:
    """Return the public resource, every default filled in."""
    message = push_device_pb2.NotificationPreferences(
        language=wanted.language,
        time_zone=wanted.time_zone,
        reminder_minutes=usual_minutes if wanted.reminder_minutes is None else wanted.reminder_minutes,
        door_results=wanted.wants(NoticeKind.DOOR_RESULT),
        left_open=wanted.wants(NoticeKind.LEFT_OPEN),
        left_unlocked=wanted.wants(NoticeKind.LEFT_UNLOCKED),
        diagnostics=wanted.wants(NoticeKind.DIAGNOSTICS),
    )
    if wanted.quiet is not None:
        begins, until = _clock_text(wanted.quiet.begins), _clock_text(wanted.quiet.until)
        message.quiet_hours.CopyFrom(push_device_pb2.QuietHours(until=until, **{"from": begins}))
    for each in wanted.places:
        place = message.ignored_places.add(name=each.name, vehicle=each.vin)
        if each.until is not None:
            set_time(place.until, each.until)
    return message


def _clock_text(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def refusal_of(error: Exception) -> Refusal | None:
    """Return how this service's own exceptions are told."""
    if (refused := webhook_refusal_of(error)) is not None:
        return refused
    if isinstance(error, DeviceRefusedError):
        return _wrong(*error.faults)
    if isinstance(error, PreferencesRefusedError):
        return _wrong(FieldFault(error.field, error.reason))
    if isinstance(error, TooManyDevicesError):
        return Refusal(
            TOO_MANY_DEVICES,
            f"You have registered {error.most} devices, as many as one may. Delete one first.",
        )
    return None


def _wrong(*faults: FieldFault) -> Refusal:
    return Refusal(
        errors.INVALID_REQUEST,
        "The request is wrong; `errors` says where. Correct it and send it again.",
        violations=[Violation(each.field, each.reason) for each in faults],
    )

"""Between this room's words and the contract's messages, public and vehicle."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from ecarus.remotecontrol.door.v1 import door_config_pb2
from ecarus.remotecontrol.door.v1.door_config_pb2 import DoorUnlockMode
from ecarus.remotecontrol.vehicle.v1 import body_pb2, command_pb2, report_pb2

from services.config.domain import (
    HIGHEST_VERSION,
    Answer,
    ApplicationState,
    ChangeRequest,
    CorrelationIdReused,
    DoorSettings,
    Hello,
    SettingsChange,
    UnlockMode,
)
from services.runtime import errors
from services.runtime.errors import Refusal

if TYPE_CHECKING:
    from datetime import datetime

    from google.protobuf.timestamp_pb2 import Timestamp

    from protocol.envelope import Unpacked
    from services.config.domain import DoorConfig, News, Push
    from services.runtime.call import Call

_LONGEST_REASON = 300

_STATES = {
    ApplicationState.PENDING: door_config_pb2.ConfigApplication.State.PENDING,
    ApplicationState.APPLIED: door_config_pb2.ConfigApplication.State.APPLIED,
    ApplicationState.REJECTED: door_config_pb2.ConfigApplication.State.REJECTED,
}
_VEHICLE_UNLOCK_MODES = {
    UnlockMode.ALL: body_pb2.UNLOCK_MODE_ALL,
    UnlockMode.DRIVER_ONLY: body_pb2.UNLOCK_MODE_DRIVER_ONLY,
    UnlockMode.SEQUENCE: body_pb2.UNLOCK_MODE_SEQUENCE,
}


class NewsRefused(ValueError):
    """A vehicle's message that means nothing; the text says why."""


def change_request(vin: str, update: door_config_pb2.DoorConfigUpdate, call: Call) -> ChangeRequest:
    """The change that a valid request asks for, on behalf of the call's capability."""
    granted = call.granted()
    return ChangeRequest(
        vin=vin,
        change=settings_change(update),
        subject=granted.subject,
        actor=granted.actor,
        source=granted.source,
        correlation_id=call.correlation_id,
    )


def settings_change(update: door_config_pb2.DoorConfigUpdate) -> SettingsChange:
    """The settings that `update` names."""

    def given(name: str) -> bool:
        return update.HasField(name)  # type: ignore[arg-type]  # the stub lists the names one by one

    return SettingsChange(
        auto_lock_enabled=update.auto_lock_enabled if given("auto_lock_enabled") else None,
        auto_lock_delay_seconds=update.auto_lock_delay if given("auto_lock_delay") else None,
        unlock_mode=UnlockMode(DoorUnlockMode.Value.Name(update.unlock_mode))
        if given("unlock_mode")
        else None,
        child_lock_enabled=update.child_lock_enabled if given("child_lock_enabled") else None,
        speed_based_lock_enabled=update.speed_based_lock_enabled
        if given("speed_based_lock_enabled")
        else None,
        speed_lock_threshold_kmh=update.speed_lock_threshold if given("speed_lock_threshold") else None,
        parking_auto_unlock=update.parking_auto_unlock if given("parking_auto_unlock") else None,
    )


def door_config(config: DoorConfig) -> door_config_pb2.DoorConfig:
    """The public resource."""
    settings = config.settings
    message = door_config_pb2.DoorConfig(
        vin=config.vin,
        auto_lock_enabled=settings.auto_lock_enabled,
        auto_lock_delay=settings.auto_lock_delay_seconds,
        unlock_mode=DoorUnlockMode.Value.Value(settings.unlock_mode.value),
        child_lock_enabled=settings.child_lock_enabled,
        speed_based_lock_enabled=settings.speed_based_lock_enabled,
        speed_lock_threshold=settings.speed_lock_threshold_kmh,
        parking_auto_unlock=settings.parking_auto_unlock,
        application=_application(config),
    )
    message.updated_time.FromDatetime(config.updated_at)
    return message


def _application(config: DoorConfig) -> door_config_pb2.ConfigApplication:
    state = config.state
    message = door_config_pb2.ConfigApplication(
        state=_STATES[state],
        desired_version=config.desired_version,
        applied_version=config.applied_version,
        reason=config.rejection if state is ApplicationState.REJECTED else None,
    )
    if config.applied_at is not None:
        message.applied_time.FromDatetime(config.applied_at)
    return message


def apply_config(push: Push) -> command_pb2.ApplyConfig:
    """What the vehicle is told."""
    return command_pb2.ApplyConfig(version=push.version, settings=_vehicle_settings(push.settings))


def _vehicle_settings(settings: DoorSettings) -> body_pb2.DoorSettings:
    return body_pb2.DoorSettings(
        auto_lock_enabled=settings.auto_lock_enabled,
        auto_lock_delay_seconds=settings.auto_lock_delay_seconds,
        unlock_mode=_VEHICLE_UNLOCK_MODES[settings.unlock_mode],
        child_lock_enabled=settings.child_lock_enabled,
        speed_based_lock_enabled=settings.speed_based_lock_enabled,
        speed_lock_threshold_kmh=settings.speed_lock_threshold_kmh,
        parking_auto_unlock=settings.parking_auto_unlock,
    )


def news_of(unpacked: Unpacked) -> News:
    """What a Hello or a ConfigReport says. Raises NewsRefused."""
    if not unpacked.message_id.isprintable():
        raise NewsRefused("message id with control characters")
    if isinstance(unpacked.payload, report_pb2.Hello):
        version = _version(unpacked.payload.config_version)
        return Hello(unpacked.vin, unpacked.message_id, unpacked.sent_at, version)
    if isinstance(unpacked.payload, report_pb2.ConfigReport):
        return _answer(unpacked, unpacked.payload)
    raise NewsRefused(f"a {unpacked.payload.DESCRIPTOR.name} is not for this room")


def _answer(unpacked: Unpacked, report: report_pb2.ConfigReport) -> Answer:
    answered_at = _time(report.applied_at) if report.HasField("applied_at") else unpacked.sent_at
    reason = "".join(letter if letter.isprintable() else " " for letter in report.reason[:_LONGEST_REASON])
    return Answer(
        unpacked.vin,
        unpacked.message_id,
        answered_at,
        _version(report.version),
        report.applied,
        reason.strip() or "The vehicle gave no reason.",
    )


def _version(version: int) -> int:
    if not 0 <= version <= HIGHEST_VERSION:
        raise NewsRefused(f"config version {version}")
    return version


def _time(timestamp: Timestamp) -> datetime:
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise NewsRefused("a time that is none") from error


def refusal_of(error: Exception) -> Refusal | None:
    """How this room's own exceptions are told."""
    if isinstance(error, CorrelationIdReused):
        return Refusal(
            errors.CORRELATION_ID_REUSED,
            "This correlation id was used before with another body; send this change under a new one.",
            may_have_succeeded=False,
        )
    return None

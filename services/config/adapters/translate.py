"""Between this service's words and the contract's messages, public and vehicle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as signing
from ecarus.remotecontrol.door.v1 import door_config_pb2
from ecarus.remotecontrol.door.v1.door_config_pb2 import DoorUnlockMode
from ecarus.remotecontrol.vehicle.v1 import body_pb2, command_pb2

from protocol import faults
from services.config.domain.config import (
    HIGHEST_VERSION,
    ApplicationState,
    ChangeRequest,
    ConfigAnswer,
    ConfigCorrelationIdReusedError,
    ConfigFault,
    Hello,
    ReadBack,
    ReadOnlyChangedError,
    WeakeningNotAllowedError,
)
from services.config.domain.models import SettingNotAvailableError, shown
from services.config.domain.settings import DoorSettings, LeftOutSettings, SettingsChange, UnlockMode
from services.platform import errors
from services.platform.call import current_call
from services.platform.capability import METADATA_KEY
from services.platform.errors import Refusal, Violation
from services.platform.free_text import readable
from services.platform.step_up import StepUpState, WeakeningRules
from services.platform.times import set_time, time_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ecarus.remotecontrol.vehicle.v1 import report_pb2, session_pb2
    from google.protobuf.timestamp_pb2 import Timestamp

    from protocol.cloud_side import IssuedOrder
    from services.config.domain.config import DoorConfig, Push
    from services.config.domain.models import SettableModel
    from services.platform.call import Call
    from services.platform.capability import Capability
    from services.telematics.order_mac import OrderMac

_KNOWN_FAULTS = frozenset(int(fault) for fault in faults.Fault)
_OUT_OF_STEP = frozenset(int(fault) for fault in faults.SYNCHRONISATION)
_STATES = {
    ApplicationState.PENDING: door_config_pb2.ConfigApplication.State.PENDING,
    ApplicationState.APPLIED: door_config_pb2.ConfigApplication.State.APPLIED,
    ApplicationState.REJECTED: door_config_pb2.ConfigApplication.State.REJECTED,
}
_STATE_OF = {number: state for state, number in _STATES.items()}
_VEHICLE_UNLOCK_MODES = {
    UnlockMode.ALL: body_pb2.UNLOCK_MODE_ALL,
    UnlockMode.DRIVER_ONLY: body_pb2.UNLOCK_MODE_DRIVER_ONLY,
    UnlockMode.SEQUENCE: body_pb2.UNLOCK_MODE_SEQUENCE,
}

_UNLOCK_MODES = {number: mode for mode, number in _VEHICLE_UNLOCK_MODES.items()}
_FIELDS = {
    "auto_lock_enabled": "auto_lock_enabled",
    "auto_lock_delay_seconds": "auto_lock_delay",
    "unlock_mode": "unlock_mode",
    "child_lock_enabled": "child_lock_enabled",
    "speed_based_lock_enabled": "speed_based_lock_enabled",
    "speed_lock_threshold_kmh": "speed_lock_threshold",
    "parking_auto_unlock": "parking_auto_unlock",
}
_MEMBERS = {
    name: door_config_pb2.DoorConfig.DESCRIPTOR.fields_by_name[field].json_name
    for name, field in _FIELDS.items()
}
_WEAKENING = WeakeningRules(door_config_pb2.DoorConfigUpdate.DESCRIPTOR)
_NAMES = {member: name for name, member in _MEMBERS.items()}
AUTO_LOCK_DELAY = range(5, 601)
SPEED_LOCK = range(5, 61)
"""Seconds and km/h, as the contract bounds them."""


class NewsError(ValueError):
    """A vehicle's message that means nothing; the text says why."""


def change_request(
    vin: str, update: door_config_pb2.DoorConfigUpdate, call: Call, now: datetime
) -> ChangeRequest:
    """Return the change that a valid request asks for, on behalf of the call's capability."""
    granted = call.granted()
    return ChangeRequest(
        vin=vin,
        change=settings_change(update),
        subject=granted.subject,
        actor=granted.actor,
        source=granted.source,
        correlation_id=call.correlation_id,
        capability=call.metadata[METADATA_KEY],
        read_back=read_back(update),
        may_weaken=_step_up(granted).is_met(now.timestamp()),
    )


def _step_up(granted: Capability) -> StepUpState:
    """Return how far the sign-in behind a capability is enough; one that does not say was made by an access service
    that is older than this one, and is enough for nothing.
    """
    return granted.step_up or StepUpState(until=0.0)


def weakened(before: DoorSettings, after: DoorSettings) -> list[str]:
    """Return the members in which `after` is less secure than `before`, as the contract's fields say."""
    names = _WEAKENING.weakened(_by_field(before), _by_field(after))
    return [door_config_pb2.DoorConfigUpdate.DESCRIPTOR.fields_by_name[name].json_name for name in names]


def _by_field(settings: DoorSettings) -> dict[str, object]:
    return {field: getattr(settings, name) for name, field in _FIELDS.items()}


def read_back(update: door_config_pb2.DoorConfigUpdate) -> ReadBack:
    """Return what `update` says of what is not to be changed."""
    told = update.application if update.HasField("application") else None
    return ReadBack(
        updated_at=time_of(update.updated_time) if update.HasField("updated_time") else None,
        desired_version=told.desired_version if told else None,
        state=_STATE_OF.get(told.state) if told else None,
        applied_version=told.applied_version if told and told.HasField("applied_version") else None,
        reason=told.reason if told and told.HasField("reason") else None,
        left_out=_left_out(told.left_out) if told and told.HasField("left_out") else None,
    )


def _left_out(told: door_config_pb2.LeftOutSettings) -> LeftOutSettings:
    return LeftOutSettings(tuple(_NAMES.get(member, member) for member in told.settings), told.reason)


def settings_change(update: door_config_pb2.DoorConfigUpdate) -> SettingsChange:
    """Return the settings that `update` names."""

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


def door_config(config: DoorConfig, model: SettableModel) -> door_config_pb2.DoorConfig:
    """Return the public resource, of a vehicle of this model."""
    settings = shown(config.settings, model)
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
    set_time(message.updated_time, config.updated_at)
    return message


def _application(config: DoorConfig) -> door_config_pb2.ConfigApplication:
    state = config.state
    message = door_config_pb2.ConfigApplication(
        state=_STATES[state],
        desired_version=config.desired_version,
        applied_version=config.applied_version,
        reason=config.rejection if state is ApplicationState.REJECTED else None,
    )
    if config.left_out is not None and state is ApplicationState.APPLIED:
        message.left_out.settings.extend(_MEMBERS[name] for name in config.left_out.settings)
        message.left_out.reason = config.left_out.reason
    if config.applied_at is not None:
        set_time(message.applied_time, config.applied_at)
    return message


def requested_order(push: Push) -> signing.RequestedOrder:
    """Return what the signer is asked to sign, but for its slot in the vehicle's session."""
    requested = signing.RequestedOrder(
        vin=push.vin, capability=push.proof.capability, config=apply_config(push), mac=push.proof.mac
    )
    requested.asked_at.FromDatetime(push.proof.asked_at)
    return requested


def stamp(mac: OrderMac, push: Push) -> bytes:
    """Return this service's stamp under the order of `push`."""
    return mac.of(requested_order(push))


def apply_config(push: Push) -> command_pb2.ApplyConfig:
    """Return what the vehicle is told."""
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


def hello_of(info: session_pb2.SessionInfo, at: datetime) -> Hello:
    """Return what a hello says that arrived at `at`, and was said before that whatever the vehicle's clock says. Raises
    NewsError.
    """
    _check_id(info.message_id)
    hello = info.hello
    said_at = min(_time(hello.said_at), at) if hello.HasField("said_at") else at
    return Hello(info.vin, info.message_id, said_at, _version(hello.config_version))


def answer_reader(
    message: session_pb2.SignedAnswer, at: datetime
) -> Callable[[IssuedOrder], ConfigAnswer | ConfigFault]:
    """Return what an answer says that arrived at `at`, once it is known which order it answers. Raises NewsError
    here, and nothing afterwards.
    """
    _check_id(message.message_id)
    if message.HasField("refused"):
        return _fault_reader(message)
    answer = _answer(message, message.config, at)
    return lambda _issued: answer


def fault_name(number: int) -> str:
    """Return the fault's name; one that is not known here is unspecified."""
    return faults.Fault(number).name if number in _KNOWN_FAULTS else "UNSPECIFIED"


def _fault_reader(message: session_pb2.SignedAnswer) -> Callable[[IssuedOrder], ConfigFault]:
    name = fault_name(message.refused.fault)
    out_of_step = int(message.refused.fault) in _OUT_OF_STEP
    return lambda issued: ConfigFault(
        message.vin, message.message_id, int(issued.order_id), name, out_of_step
    )


def _answer(message: session_pb2.SignedAnswer, report: report_pb2.ConfigReport, at: datetime) -> ConfigAnswer:
    answered_at = min(_time(report.applied_at), at) if report.HasField("applied_at") else at
    return ConfigAnswer(
        message.vin,
        message.message_id,
        answered_at,
        _version(report.version),
        report.applied,
        readable(report.reason) or "The vehicle gave no reason.",
        _running(report),
    )


def _running(report: report_pb2.ConfigReport) -> DoorSettings | None:
    """Return what the vehicle says it runs with; None where it does not say, or says what no settings are."""
    told = report.settings
    mode = _UNLOCK_MODES.get(told.unlock_mode)
    if not report.HasField("settings") or mode is None:
        return None
    if told.auto_lock_delay_seconds not in AUTO_LOCK_DELAY or told.speed_lock_threshold_kmh not in SPEED_LOCK:
        return None
    return DoorSettings(
        auto_lock_enabled=told.auto_lock_enabled,
        auto_lock_delay_seconds=told.auto_lock_delay_seconds,
        unlock_mode=mode,
        child_lock_enabled=told.child_lock_enabled,
        speed_based_lock_enabled=told.speed_based_lock_enabled,
        speed_lock_threshold_kmh=told.speed_lock_threshold_kmh,
        parking_auto_unlock=told.parking_auto_unlock,
    )


def _check_id(message_id: str) -> None:
    if not message_id.isprintable():
        raise NewsError("message id with control characters")


def _version(version: int) -> int:
    if not 0 <= version <= HIGHEST_VERSION:
        raise NewsError(f"config version {version}")
    return version


def _time(timestamp: Timestamp) -> datetime:
    try:
        return time_of(timestamp)
    except ValueError as error:
        raise NewsError("a time that is none") from error


def refusal_of(error: Exception) -> Refusal | None:
    """Return how this service's own exceptions are told."""
    if isinstance(error, ConfigCorrelationIdReusedError):
        return Refusal(
            errors.CORRELATION_ID_REUSED,
            "This correlation id was used before with another body; send this change under a new one.",
            may_have_succeeded=False,
        )
    if isinstance(error, ReadOnlyChangedError):
        return Refusal(
            errors.INVALID_REQUEST,
            "The settings are not as the request says that they were read; read them again and go on from that.",
            violations=[Violation(error.member, "is read-only, and differs from what it is now")],
            may_have_succeeded=False,
        )
    if isinstance(error, SettingNotAvailableError):
        setting = _MEMBERS[error.setting]
        there_are = f" It has {', '.join(error.there_are)}." if error.there_are else ""
        return Refusal(
            errors.REASONS["FUNCTION_NOT_AVAILABLE"],
            f"This vehicle's model does not have what {setting} asks for.{there_are} Nothing was changed; "
            "GET .../door/capabilities says what it has.",
            may_have_succeeded=False,
            facts={"function": error.function, "settings": [setting]},
        )
    if isinstance(error, WeakeningNotAllowedError):
        refusal = _step_up(current_call().granted()).refusal(f"To weaken {', '.join(error.settings)}")
        refusal.facts = {**refusal.facts, "settings": error.settings}
        refusal.may_have_succeeded = False
        return refusal
    return None

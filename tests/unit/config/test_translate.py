import json
from datetime import UTC, datetime, timedelta

import pytest
from ecarus.remotecontrol.door.v1 import door_config_pb2
from ecarus.remotecontrol.vehicle.v1 import report_pb2, session_pb2
from google.protobuf import json_format

from protocol.cloud_side import IssuedOrder
from protocol.domains import Domain
from services.config.adapters import translate
from services.config.domain.config import ConfigAnswer, ConfigFault, DoorConfig, Hello, RequestEvidence, push
from services.config.domain.settings import DoorSettings, LeftOutSettings, SettingsChange, UnlockMode
from services.vehicle_models.model import DEFAULT_MODEL

VIN = "KMHSH81C7LU123456"
AT = datetime(2026, 1, 12, 10, 0, tzinfo=UTC)
ARRIVED = AT + timedelta(seconds=1)
ISSUED = IssuedOrder(VIN, Domain.CONFIG, "3", "", bytes(32), 0)

RESPONSE = """{
"vin": "KMHSH81C7LU123456",
"autoLockEnabled": true,
"autoLockDelay": 30,
"unlockMode": "DRIVER_ONLY",
"childLockEnabled": false,
"speedBasedLockEnabled": true,
"speedLockThreshold": 15,
"parkingAutoUnlock": true,
"updatedTime": "2026-01-12T10:00:00Z"
}"""
"""The specification's Door Settings Response."""

UPDATE = (
    '{"autoLockEnabled": true, "autoLockDelay": 30, "unlockMode": "DRIVER_ONLY", "childLockEnabled": false}'
)
"""The specification's Door Settings Update."""


def as_rest(message: door_config_pb2.DoorConfig) -> dict[str, object]:
    document: dict[str, object] = json.loads(
        json_format.MessageToJson(
            message, preserving_proto_field_name=False, always_print_fields_with_no_presence=True
        )
    )
    return document


def test_the_specifications_response_reads_and_prints_exactly() -> None:
    message = json_format.Parse(RESPONSE, door_config_pb2.DoorConfig())

    assert as_rest(message) == json.loads(RESPONSE)


def test_what_this_room_answers_is_the_specifications_response_and_its_application() -> None:
    config = DoorConfig(VIN, DoorSettings(unlock_mode=UnlockMode.DRIVER_ONLY), AT, desired_version=1)

    document = as_rest(translate.door_config(config, DEFAULT_MODEL))

    assert document.pop("application") == {"state": "PENDING", "desiredVersion": 1}
    assert document == json.loads(RESPONSE)


def test_the_specifications_update_is_read_exactly() -> None:
    update = json_format.Parse(UPDATE, door_config_pb2.DoorConfigUpdate())

    assert translate.settings_change(update) == SettingsChange(
        auto_lock_enabled=True,
        auto_lock_delay_seconds=30,
        unlock_mode=UnlockMode.DRIVER_ONLY,
        child_lock_enabled=False,
    )
    assert json.loads(json_format.MessageToJson(update)) == json.loads(UPDATE)


def test_the_application_says_why_and_since_when() -> None:
    rejected = DoorConfig(
        VIN, DoorSettings(), AT, 2, applied_version=1, applied_at=AT, rejected_version=2, rejection="too old"
    )

    assert as_rest(translate.door_config(rejected, DEFAULT_MODEL))["application"] == {
        "state": "REJECTED",
        "desiredVersion": 2,
        "appliedVersion": 1,
        "appliedTime": "2026-01-12T10:00:00Z",
        "reason": "too old",
    }


def test_the_vehicle_is_told_all_settings() -> None:
    wanted = DoorConfig(VIN, DoorSettings(unlock_mode=UnlockMode.SEQUENCE), AT, 4)

    told = translate.apply_config(push(wanted, RequestEvidence("token", AT), "x"))

    assert told.version == 4
    assert json_format.MessageToDict(told.settings, always_print_fields_with_no_presence=True) == {
        "autoLockEnabled": True,
        "autoLockDelaySeconds": 30,
        "unlockMode": "UNLOCK_MODE_SEQUENCE",
        "childLockEnabled": False,
        "speedBasedLockEnabled": True,
        "speedLockThresholdKmh": 15,
        "parkingAutoUnlock": True,
    }


def test_the_signer_is_asked_with_the_proof() -> None:
    wanted = DoorConfig(VIN, DoorSettings(), AT, 4)

    requested = translate.requested_order(push(wanted, RequestEvidence("token", AT), "x"))

    assert (requested.vin, requested.capability, requested.config.version) == (VIN, "token", 4)
    assert requested.asked_at.ToDatetime(tzinfo=UTC) == AT


def info(message_id: str = "m1", **hello: object) -> session_pb2.SessionInfo:
    words = report_pb2.Hello(**hello)  # type: ignore[arg-type]  # the tests name real fields
    return session_pb2.SessionInfo(vin=VIN, message_id=message_id, hello=words)


def report(message_id: str = "m1", **config: object) -> session_pb2.SignedAnswer:
    words = report_pb2.ConfigReport(**config)  # type: ignore[arg-type]  # the tests name real fields
    return session_pb2.SignedAnswer(vin=VIN, message_id=message_id, config=words)


def refusal(fault: int) -> session_pb2.SignedAnswer:
    words = session_pb2.OrderRefused(fault=fault)  # type: ignore[arg-type]  # also what is no fault
    return session_pb2.SignedAnswer(vin=VIN, message_id="m1", refused=words)


def test_hellos_and_reports_are_news() -> None:
    answer = translate.answer_reader(report(version=3, applied=False, reason="no\x00pe"), ARRIVED)

    assert translate.hello_of(info(config_version=3), ARRIVED) == Hello(VIN, "m1", ARRIVED, 3)
    assert answer(ISSUED) == ConfigAnswer(VIN, "m1", ARRIVED, 3, applied=False, reason="no pe")


def test_the_vehicles_clock_dates_its_words_where_it_says_so() -> None:
    greeting, answer = info(), report(version=3, applied=True)
    greeting.hello.said_at.FromDatetime(AT)
    answer.config.applied_at.FromDatetime(AT)

    news = translate.answer_reader(answer, ARRIVED)(ISSUED)

    assert translate.hello_of(greeting, ARRIVED).sent_at == AT
    assert isinstance(news, ConfigAnswer)
    assert news.answered_at == AT


@pytest.mark.parametrize(
    ("number", "name", "out_of_step"),
    [
        (session_pb2.PROTOCOL_FAULT_WRONG_EPOCH, "WRONG_EPOCH", True),
        (session_pb2.PROTOCOL_FAULT_ROLE_NOT_ALLOWED, "ROLE_NOT_ALLOWED", False),
    ],
)
def test_a_fault_is_of_the_version_that_was_issued(number: int, name: str, out_of_step: bool) -> None:
    news = translate.answer_reader(refusal(number), ARRIVED)(ISSUED)

    assert news == ConfigFault(VIN, "m1", 3, name, out_of_step)


@pytest.mark.parametrize("version", [-1, 2**31 - 1])
def test_a_version_that_is_none_is_refused(version: int) -> None:
    with pytest.raises(translate.NewsError):
        translate.hello_of(info(config_version=version), ARRIVED)
    with pytest.raises(translate.NewsError):
        translate.answer_reader(report(version=version), ARRIVED)


@pytest.mark.parametrize("number", [0, 99, -1])
def test_a_fault_whose_number_is_not_known_is_an_unspecified_one(number: int) -> None:
    issued = IssuedOrder(VIN, Domain.CONFIG, "3", "", bytes(32), 0)
    fault = translate.answer_reader(refusal(number), ARRIVED)(issued)
    assert isinstance(fault, ConfigFault)
    assert (fault.name, fault.version, fault.out_of_step) == ("UNSPECIFIED", 3, False)


def test_a_time_that_is_none_and_an_id_with_control_characters_are_refused() -> None:
    answer, greeting = report(version=1), info()
    answer.config.applied_at.seconds = 2**62
    greeting.hello.said_at.seconds = 2**62
    with pytest.raises(translate.NewsError):
        translate.answer_reader(answer, ARRIVED)
    with pytest.raises(translate.NewsError):
        translate.answer_reader(report("m\x00", version=1), ARRIVED)
    for said in (greeting, info("m\x00")):
        with pytest.raises(translate.NewsError):
            translate.hello_of(said, ARRIVED)


def test_what_the_vehicle_left_out_is_named_as_the_config_names_it() -> None:
    left_out = LeftOutSettings(("child_lock_enabled", "auto_lock_delay_seconds"), "none fitted")
    config = DoorConfig(VIN, DoorSettings(), AT, desired_version=2, applied_version=2, left_out=left_out)
    shown = translate.door_config(config, DEFAULT_MODEL)
    assert json_format.MessageToDict(shown.application) == {
        "state": "APPLIED",
        "desiredVersion": 2,
        "appliedVersion": 2,
        "leftOut": {"settings": ["childLockEnabled", "autoLockDelay"], "reason": "none fitted"},
    }
    update = door_config_pb2.DoorConfigUpdate(application=shown.application)
    assert translate.read_back(update).left_out == left_out
    assert translate.read_back(update).differing(config) is None


def test_a_clock_that_is_ahead_dates_nothing_after_its_arrival() -> None:
    info = session_pb2.SessionInfo(vin=VIN, message_id="m-1")
    info.hello.said_at.FromDatetime(ARRIVED + timedelta(hours=2))
    assert translate.hello_of(info, ARRIVED).sent_at == ARRIVED
    message = session_pb2.SignedAnswer(vin=VIN, message_id="m-2")
    message.config.applied = True
    message.config.applied_at.FromDatetime(ARRIVED + timedelta(hours=2))
    answer = translate.answer_reader(message, ARRIVED)(ISSUED)
    assert isinstance(answer, ConfigAnswer)
    assert answer.answered_at == ARRIVED

import json
from datetime import UTC, datetime

import pytest
from ecarus.remotecontrol.door.v1 import door_config_pb2
from ecarus.remotecontrol.vehicle.v1 import command_pb2, report_pb2
from google.protobuf import json_format

from protocol.envelope import Unpacked
from services.config import translate
from services.config.domain import Answer, DoorConfig, DoorSettings, Hello, SettingsChange, UnlockMode, push

VIN = "KMHSH81C7LU123456"
AT = datetime(2026, 1, 12, 10, 0, tzinfo=UTC)

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

    document = as_rest(translate.door_config(config))

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

    assert as_rest(translate.door_config(rejected))["application"] == {
        "state": "REJECTED",
        "desiredVersion": 2,
        "appliedVersion": 1,
        "appliedTime": "2026-01-12T10:00:00Z",
        "reason": "too old",
    }


def test_the_vehicle_is_told_all_settings() -> None:
    wanted = DoorConfig(VIN, DoorSettings(unlock_mode=UnlockMode.SEQUENCE), AT, 4)

    told = translate.apply_config(push(wanted, "x"))

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


def test_hellos_and_reports_are_news() -> None:
    greeting = Unpacked(VIN, "m1", AT, report_pb2.Hello(boot_id="b", config_version=3))
    report = Unpacked(VIN, "m2", AT, report_pb2.ConfigReport(version=3, applied=False, reason="no\x00pe"))

    assert translate.news_of(greeting) == Hello(VIN, "m1", AT, 3)
    assert translate.news_of(report) == Answer(VIN, "m2", AT, 3, applied=False, reason="no pe")


@pytest.mark.parametrize(
    "payload",
    [
        report_pb2.Hello(config_version=-1),
        report_pb2.Hello(config_version=2**31 - 1),
        report_pb2.ConfigReport(version=-5),
        command_pb2.ApplyConfig(version=1),
    ],
    ids=["negative", "absurd", "negative report", "not news"],
)
def test_what_means_nothing_is_refused(payload: report_pb2.Hello) -> None:
    with pytest.raises(translate.NewsRefused):
        translate.news_of(Unpacked(VIN, "m1", AT, payload))


def test_a_time_that_is_none_and_an_id_with_control_characters_are_refused() -> None:
    report = report_pb2.ConfigReport(version=1)
    report.applied_at.seconds = 2**62
    for unpacked in (Unpacked(VIN, "m1", AT, report), Unpacked(VIN, "m\x00", AT, report_pb2.Hello())):
        with pytest.raises(translate.NewsRefused):
            translate.news_of(unpacked)

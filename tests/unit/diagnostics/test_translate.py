import json
from datetime import UTC, datetime, timedelta

import pytest
from ecarus.remotecontrol.door.v1 import door_diagnostics_pb2
from ecarus.remotecontrol.vehicle.v1 import report_pb2
from google.protobuf import json_format

from services.diagnostics import translate
from services.diagnostics.domain import AlertChange, diagnose

VIN = "KMHSH81C7LU123456"
AT = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
ACTIVE = report_pb2.COMPONENT_CONDITION_ACTIVE
ERROR = report_pb2.COMPONENT_CONDITION_ERROR

RESPONSE = """{
"vin": "KMHSH81C7LU123456",
"systemStatus": "NORMAL",
"components": [
{
"id": "driver_actuator_01",
"name": "Driver Door Actuator",
"status": "ACTIVE",
"health": 98,
"lastMaintenance": "2025-06-15T00:00:00Z",
"errorCodes": []
},
{
"id": "lock_module_01",
"name": "Door Lock Module",
"status": "ACTIVE",
"health": 95,
"lastMaintenance": "2025-06-15T00:00:00Z",
"errorCodes": []
}
],
"alerts": [],
"lastCheck": "2026-01-12T14:30:00Z"
}"""
"""The specification's Door Diagnostics Response."""


def component(
    component_id: str = "driver_actuator_01",
    name: str = "Driver Door Actuator",
    condition: report_pb2.ComponentCondition.ValueType = ACTIVE,
    health: int = 98,
    error_codes: tuple[str, ...] = (),
) -> report_pb2.Component:
    made = report_pb2.Component(
        component_id=component_id, name=name, condition=condition, health=health, error_codes=error_codes
    )
    made.last_maintenance.FromDatetime(datetime(2025, 6, 15, tzinfo=UTC))
    return made


def payload(
    *components: report_pb2.Component, at: datetime = AT, boot_id: str = "boot", sequence: int = 1
) -> bytes:
    report = report_pb2.DiagnosticsReport(boot_id=boot_id, sequence=sequence, components=components)
    report.observed_at.FromDatetime(at)
    return report.SerializeToString()


def as_rest(message: door_diagnostics_pb2.DoorDiagnostics) -> str:
    return json_format.MessageToJson(
        message, preserving_proto_field_name=False, always_print_fields_with_no_presence=True
    )


def test_the_specifications_response_reads_and_prints_exactly() -> None:
    message = json_format.Parse(RESPONSE, door_diagnostics_pb2.DoorDiagnostics())

    printed = as_rest(message)

    assert json.loads(printed) == json.loads(RESPONSE)


def test_what_this_room_answers_is_the_specifications_response() -> None:
    module = component("lock_module_01", "Door Lock Module", health=95)

    diagnosis = diagnose(translate.self_check(VIN, payload(component(), module), AT))

    assert json.loads(as_rest(translate.door_diagnostics(diagnosis))) == json.loads(RESPONSE)


def test_an_alert_in_the_response_and_as_an_update() -> None:
    failed = component(condition=ERROR, health=0, error_codes=("B1A01",))
    diagnosis = diagnose(translate.self_check(VIN, payload(failed), AT))
    (alert,) = diagnosis.alerts

    document = json.loads(as_rest(translate.door_diagnostics(diagnosis)))
    came = translate.door_update(AlertChange(diagnosis.check, alert, cleared=False))
    went = translate.door_update(AlertChange(diagnosis.check, alert, cleared=True))

    assert document["systemStatus"] == "FAULT"
    assert document["alerts"] == [
        {
            "code": "B1A01",
            "severity": "CRITICAL",
            "message": alert.message,
            "componentId": "driver_actuator_01",
            "raisedAt": "2026-01-12T14:30:00Z",
        }
    ]
    assert json_format.MessageToDict(came) == {
        "type": "SYSTEM_ALERT",
        "vin": VIN,
        "timestamp": "2026-01-12T14:30:00Z",
        "systemAlert": {
            "code": "B1A01",
            "severity": "CRITICAL",
            "message": alert.message,
            "componentId": "driver_actuator_01",
        },
    }
    assert went.system_alert.cleared


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff",
        payload(component(), at=AT + timedelta(hours=1)),
        payload(component(), boot_id=""),
        payload(component(), boot_id="b\x00"),
        payload(component(), boot_id="b" * 65),
        payload(component(), sequence=2**63),
        payload(component(), component()),
        payload(component(health=101)),
        payload(component(health=-1)),
        payload(component(component_id="")),
        payload(component(name="x" * 65)),
        payload(component(error_codes=("",))),
        payload(component(error_codes=tuple(f"E{n}" for n in range(33)))),
        payload(component(condition=report_pb2.COMPONENT_CONDITION_UNSPECIFIED)),
        payload(*(component(component_id=f"c{n}") for n in range(65))),
    ],
)
def test_what_means_nothing_is_refused(garbage: bytes) -> None:
    with pytest.raises(translate.ReportRefused):
        translate.self_check(VIN, garbage, AT)


def test_a_time_that_is_none_is_refused() -> None:
    report = report_pb2.DiagnosticsReport(boot_id="b", sequence=1)
    report.observed_at.seconds = 2**62
    with pytest.raises(translate.ReportRefused):
        translate.self_check(VIN, report.SerializeToString(), AT)

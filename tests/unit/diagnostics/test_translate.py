import json
from datetime import UTC, datetime, timedelta

import pytest
from ecarus.remotecontrol.door.v1 import door_diagnostics_pb2
from ecarus.remotecontrol.vehicle.v1 import report_pb2
from google.protobuf import json_format

from protocol.domains import Domain
from protocol.reports import OpenedReport
from services.diagnostics.adapters import translate
from services.diagnostics.domain.diagnosis import AlertChange, SelfCheck, SystemStatus, diagnose
from services.telematics.rules import broken_rule
from tests.support.nonsense import source, spoil

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


def said(data: bytes) -> SelfCheck:
    return translate.self_check(OpenedReport(VIN, Domain.DIAGNOSTICS, b"epoch", 1, data, 7), AT)


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

    diagnosis = diagnose(said(payload(component(), module)))

    assert json.loads(as_rest(translate.door_diagnostics(diagnosis))) == json.loads(RESPONSE)


def test_a_health_that_is_not_told_is_absent_and_alarms_nobody() -> None:
    untold = component()
    untold.ClearField("health")
    diagnosis = diagnose(said(payload(untold)))
    assert (diagnosis.check.cut, diagnosis.alerts) == ((), ())
    [shown] = translate.door_diagnostics(diagnosis).components
    assert not shown.HasField("health")
    untold.health = 0
    [alert] = diagnose(said(payload(untold))).alerts
    assert alert.code == "COMPONENT_HEALTH_LOW"


def test_an_alert_in_the_response_and_as_an_update() -> None:
    failed = component(condition=ERROR, health=0, error_codes=("B1A01",))
    diagnosis = diagnose(said(payload(failed)))
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


def test_what_is_no_report_is_refused() -> None:
    with pytest.raises(translate.ReportError):
        said(b"\xff")


DEAD = component("dead", condition=ERROR, health=0, error_codes=("B1A01",))


@pytest.mark.parametrize(
    ("data", "cut", "components"),
    [
        (payload(DEAD), (), 1),
        (payload(DEAD, at=AT + timedelta(hours=1)), (), 1),
        (payload(DEAD, at=AT - timedelta(hours=30)), (), 1),
        (payload(DEAD, boot_id=""), ("boot_id",), 1),
        (payload(DEAD, boot_id="b\x00"), ("boot_id",), 1),
        (payload(DEAD, boot_id="b" * 65), ("boot_id",), 1),
        (payload(DEAD, sequence=2**63), ("sequence",), 1),
        (payload(component("dead"), DEAD), ("components",), 1),
        (payload(DEAD, component("dead")), ("components",), 1),
        (payload(DEAD, component(health=101)), ("components",), 2),
        (payload(DEAD, component(health=-1)), ("components",), 2),
        (payload(DEAD, component(component_id="")), ("components",), 1),
        (payload(DEAD, component(name="x" * 65)), ("components",), 2),
        (payload(DEAD, component(error_codes=("",))), ("components",), 2),
        (payload(DEAD, component(error_codes=tuple(f"E{n}" for n in range(33)))), ("components",), 2),
        (payload(DEAD, component(condition=report_pb2.COMPONENT_CONDITION_UNSPECIFIED)), ("components",), 1),
        (payload(DEAD, component(condition=99, error_codes=("X",))), ("components",), 2),  # type: ignore[arg-type]  # of a newer vehicle
        (payload(*(component(f"c{n}") for n in range(65)), DEAD), ("components",), 32),
    ],
)
def test_one_bad_member_never_costs_the_news_of_a_dead_actuator(
    data: bytes, cut: tuple[str, ...], components: int
) -> None:
    check = said(data)
    assert (check.cut, len(check.components)) == (cut, components)
    assert [each.error_codes for each in check.components if each.component_id == "dead"] == [("B1A01",)]
    assert diagnose(check).system_status is SystemStatus.FAULT


@pytest.mark.parametrize("seconds", [0, 2**62, -5])
def test_a_time_that_is_none_is_that_of_arrival(seconds: int) -> None:
    report = report_pb2.DiagnosticsReport(boot_id="b", sequence=1)
    report.observed_at.seconds = seconds
    assert said(report.SerializeToString()).observed_at == AT


def test_what_breaks_a_rule_is_cut_and_nothing_else_is() -> None:
    rnd = source(5)
    whole = cut = 0
    for _ in range(2_000):
        report = report_pb2.DiagnosticsReport.FromString(payload(DEAD, component()))
        spoil(report, rnd)
        rule = broken_rule(report)
        check = said(report.SerializeToString())
        assert rule is None or check.cut, rule
        whole, cut = whole + (not check.cut), cut + bool(check.cut)
    assert whole > 200
    assert cut > 200

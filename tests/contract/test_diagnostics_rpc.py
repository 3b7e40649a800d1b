import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from ecarus.remotecontrol.door.v1.door_diagnostics_service_pb2 import (
    GetDoorDiagnosticsRequest,
    GetDoorDiagnosticsTrendRequest,
    RequestSelfTestRequest,
)
from ecarus.remotecontrol.door.v1.door_diagnostics_service_pb2_grpc import DoorDiagnosticsServiceStub
from google.protobuf import json_format

import services.diagnostics
from services.diagnostics.adapters import server, store, translate, vehicle_link
from services.diagnostics.adapters.check_requests import CheckSchedule
from services.diagnostics.domain.diagnosis import ComponentHealth, ComponentStatus, SelfCheck
from services.diagnostics.usecases import CheckDependencies
from services.platform.capability import CapabilityVerifier
from services.platform.database import open_database
from services.platform.outbox import OutboxRelay
from services.platform.server import GrpcServer
from services.platform.settings import ServiceSettings
from tests.support.databases import migrated

VIN = "KMHSH81C7LU123456"
T0 = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
MIGRATIONS = Path(services.diagnostics.__file__).with_name("migrations")


async def send_nothing(messages: object) -> list[bool]:
    raise AssertionError(f"no relay runs here: {messages}")


@pytest.fixture
async def record(tmp_path: Path) -> AsyncIterator[store.DiagnosisStore]:
    url = f"sqlite:///{tmp_path}/diagnostics.sqlite3"
    await asyncio.to_thread(migrated, url, MIGRATIONS, store.HEAD)
    database = await open_database(url)
    relay = OutboxRelay(database, store.outbox, vehicle_link.QUEUE, send_nothing, lambda: T0)
    yield store.DiagnosisStore(database, relay, vehicle_link.outgoing, lambda: T0)
    await database.close()


class AskedVehicles(list[str]):
    """What vehicles were asked; none is reached with `is_away`."""

    is_away = False

    async def ask(self, vin: str) -> bool:
        self.append(vin)
        return not self.is_away


@pytest.fixture
def asked() -> AskedVehicles:
    return AskedVehicles()


@pytest.fixture
def checks(record: store.DiagnosisStore, asked: AskedVehicles) -> CheckDependencies:
    database = record._database
    schedule = CheckSchedule(database, store.check_requests, store.last_checks, timedelta(days=30))
    return CheckDependencies(schedule, asked.ask, lambda: T0 + timedelta(days=20))


@pytest.fixture
def room_name() -> str:
    return "diagnostics"


@pytest.fixture
def build_room(record: store.DiagnosisStore, checks: CheckDependencies) -> Any:
    def build(settings: ServiceSettings, verifier: CapabilityVerifier) -> GrpcServer:
        servicer = server.DoorDiagnosticsServicer(record, checks)
        return GrpcServer(
            settings, [server.SERVICE], servicer.register, server.POLICY, verifier, translate.refusal_of
        )

    return build


@pytest.fixture
def grpc_stub_cls() -> type[DoorDiagnosticsServiceStub]:
    return DoorDiagnosticsServiceStub


@pytest.fixture
def service(grpc_stub: Any) -> Any:
    return grpc_stub


def metadata(signer: Any, *actions: str) -> Any:
    return (("x-ecarus-capability", signer.capability(VIN, *actions)), ("x-envoy-original-path", "/d"))


async def test_a_vehicle_that_never_reported_is_503_with_a_time_to_return(
    service: Any, signer: Any, problem: Any
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.GetDoorDiagnostics(
            GetDoorDiagnosticsRequest(vin=VIN), metadata=metadata(signer, "door.diagnostics.read")
        )

    document = problem(refused.value)
    assert (document["status"], document["code"], document["retryable"]) == (503, "NOT_YET_REPORTED", True)
    assert dict(refused.value.trailing_metadata())["retry-after"] == "5"


async def test_the_last_self_check_is_answered(
    service: Any, record: store.DiagnosisStore, signer: Any
) -> None:
    component = ComponentHealth(
        "trunk_actuator_01", "Trunk Actuator", ComponentStatus.ERROR, 0, None, ("B1A05",)
    )
    await record.ingest([SelfCheck(VIN, T0, "boot", 1, (component,))])

    answer = await service.GetDoorDiagnostics(
        GetDoorDiagnosticsRequest(vin=VIN), metadata=metadata(signer, "door.diagnostics.read")
    )

    document = json_format.MessageToDict(answer, always_print_fields_with_no_presence=True)
    (alert,) = document.pop("alerts")
    assert (alert["code"], alert["severity"], alert["raisedAt"]) == (
        "B1A05",
        "CRITICAL",
        "2026-01-12T14:30:00Z",
    )
    assert document == {
        "vin": VIN,
        "systemStatus": "FAULT",
        "components": [
            {
                "id": "trunk_actuator_01",
                "name": "Trunk Actuator",
                "status": "ERROR",
                "health": 0,
                "errorCodes": ["B1A05"],
            }
        ],
        "lastCheck": "2026-01-12T14:30:00Z",
    }


async def test_it_takes_the_right_to_read_diagnostics(service: Any, signer: Any, problem: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.GetDoorDiagnostics(
            GetDoorDiagnosticsRequest(vin=VIN), metadata=metadata(signer, "door.status.read")
        )

    assert problem(refused.value)["code"] == "ACTION_NOT_GRANTED"


async def trend(service: Any, signer: Any, **query: Any) -> dict[str, Any]:
    request = GetDoorDiagnosticsTrendRequest(vin=VIN, **query)
    answer = await service.GetDoorDiagnosticsTrend(
        request, metadata=metadata(signer, "door.diagnostics.read")
    )
    return json_format.MessageToDict(answer, always_print_fields_with_no_presence=True)


async def test_the_trend_shows_points_change_and_what_falls(
    service: Any, signer: Any, record: store.DiagnosisStore
) -> None:
    module = ComponentHealth("lock_module_01", "Door Lock Module", ComponentStatus.ACTIVE, None, None, ())
    for day in range(11):
        actuator = ComponentHealth("a_01", "Actuator", ComponentStatus.ACTIVE, 98 - 2 * day, None, ())
        at = T0 + timedelta(days=day)
        await record.ingest([SelfCheck(VIN, at, "boot", day, (actuator, module), b"e", 1, day)])
    told = await trend(service, signer)
    assert (told["vin"], told["period"]) == (VIN, "30d")
    falling, unknown = told["components"]
    assert (falling["id"], falling["name"], falling["change"], falling["falling"]) == (
        "a_01",
        "Actuator",
        -20,
        True,
    )
    assert falling["changePerMonth"] == -60.0
    assert [each["health"] for each in falling["points"]] == list(range(98, 77, -2))
    assert falling["points"][0]["time"] == "2026-01-12T14:30:00Z"
    assert "health" not in unknown["points"][0]
    assert "change" not in unknown
    one = await trend(service, signer, component="a_01", points=3, period="90d")
    assert [each["id"] for each in one["components"]] == ["a_01"]
    assert [each["health"] for each in one["components"][0]["points"]] == [92, 86, 78]
    assert (await trend(service, signer, component="nothing"))["components"] == []
    alerts = json_format.MessageToDict(
        await service.GetDoorDiagnostics(
            GetDoorDiagnosticsRequest(vin=VIN), metadata=metadata(signer, "door.diagnostics.read")
        )
    )["alerts"]
    assert [(each["code"], each["componentId"]) for each in alerts] == [("COMPONENT_HEALTH_FALLING", "a_01")]


async def test_a_vehicle_that_never_reported_has_no_trend(service: Any, signer: Any, problem: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await trend(service, signer)
    assert problem(refused.value)["code"] == "NOT_YET_REPORTED"


@pytest.mark.parametrize(
    "query", [{"period": "1h"}, {"points": 1}, {"points": 201}, {"component": ""}, {"component": "a b"}]
)
async def test_another_period_or_number_of_points_is_a_field_violation(
    service: Any, signer: Any, problem: Any, query: dict[str, Any]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await trend(service, signer, **query)
    assert [each["field"] for each in problem(refused.value)["errors"]] == list(query)


def check_now(service: Any, signer: Any) -> Any:
    request = RequestSelfTestRequest(vin=VIN)
    return service.RequestSelfTest(request, metadata=metadata(signer, "door.diagnostics.check"))


async def shown_checks(service: Any, signer: Any) -> dict[str, Any]:
    answer = await service.GetDoorDiagnostics(
        GetDoorDiagnosticsRequest(vin=VIN), metadata=metadata(signer, "door.diagnostics.read")
    )
    return json_format.MessageToDict(answer.checks, always_print_fields_with_no_presence=True)


async def test_a_check_is_asked_for_once_in_a_minute_and_answered_by_the_next(
    service: Any, signer: Any, record: store.DiagnosisStore, asked: AskedVehicles
) -> None:
    await record.ingest([SelfCheck(VIN, T0, "boot", 1, (), b"e", 1, 1)])
    call = check_now(service, signer)
    sent = dict(await call.initial_metadata())
    answer = json_format.MessageToDict(await call)
    assert answer == {"vin": VIN, "state": "REQUESTED", "requestedAt": "2026-02-01T14:30:00Z"}
    assert (sent["x-http-code"], sent["location"]) == (
        "202",
        f"/api/v1/remotecontrol/vehicles/{VIN}/door/diagnostics",
    )
    assert json_format.MessageToDict(await check_now(service, signer)) == answer
    assert asked == [VIN]
    assert (await shown_checks(service, signer))["state"] == "REQUESTED"
    await record.ingest([SelfCheck(VIN, T0, "boot", 2, (), b"e", 1, 2)])
    shown = await shown_checks(service, signer)
    assert (shown["state"], shown["missed"], shown["dueAt"]) == ("ANSWERED", 0, "2026-03-03T14:30:00Z")


async def test_a_vehicle_that_cannot_be_asked_is_503_and_may_be_asked_at_once(
    service: Any, signer: Any, asked: AskedVehicles, problem: Any
) -> None:
    asked.is_away = True
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await check_now(service, signer)
    assert problem(refused.value)["code"] == "DEPENDENCY_UNAVAILABLE"
    asked.is_away = False
    assert json_format.MessageToDict(await check_now(service, signer))["state"] == "REQUESTED"
    assert asked == [VIN, VIN]

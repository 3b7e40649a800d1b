"""An agent of the call centre does for a customer what the specification asks for, over REST and over gRPC."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest
from ecarus.remotecontrol.access.v1 import customer_case_service_pb2 as cases
from ecarus.remotecontrol.access.v1.customer_case_service_pb2_grpc import CustomerCaseServiceStub
from ecarus.remotecontrol.door.v1 import (
    case_service_pb2,
    case_service_pb2_grpc,
    door_command_service_pb2,
    door_command_service_pb2_grpc,
    door_config_service_pb2,
    door_config_service_pb2_grpc,
    door_diagnostics_service_pb2,
    door_diagnostics_service_pb2_grpc,
    door_status_service_pb2,
    door_status_service_pb2_grpc,
    security_case_service_pb2,
    security_case_service_pb2_grpc,
)
from google.protobuf.json_format import MessageToDict, ParseDict

from mesh.tokens import ONE_FACTOR
from tests.support.app import FINAL, PLAINLY, App, Car, eventually
from tests.support.vehicle_models import COUPE, SEDAN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system

DOOR = "/vehicles/{vin}/door/"
RPCS: dict[str, tuple[Any, Any, str]] = {
    "unlock": (door_command_service_pb2_grpc.DoorCommandServiceStub, door_command_service_pb2, "UnlockDoors"),
    "lock": (door_command_service_pb2_grpc.DoorCommandServiceStub, door_command_service_pb2, "LockDoors"),
    "cancel": (
        door_command_service_pb2_grpc.DoorCommandServiceStub,
        door_command_service_pb2,
        "CancelCommand",
    ),
    "command": (door_command_service_pb2_grpc.DoorCommandServiceStub, door_command_service_pb2, "GetCommand"),
    "history": (
        door_command_service_pb2_grpc.DoorCommandServiceStub,
        door_command_service_pb2,
        "ListCommandHistory",
    ),
    "config": (door_config_service_pb2_grpc.DoorConfigServiceStub, door_config_service_pb2, "GetDoorConfig"),
    "update": (
        door_config_service_pb2_grpc.DoorConfigServiceStub,
        door_config_service_pb2,
        "UpdateDoorConfig",
    ),
    "diagnostics": (
        door_diagnostics_service_pb2_grpc.DoorDiagnosticsServiceStub,
        door_diagnostics_service_pb2,
        "GetDoorDiagnostics",
    ),
    "status": (door_status_service_pb2_grpc.DoorStatusServiceStub, door_status_service_pb2, "GetDoorStatus"),
    "capabilities": (
        door_status_service_pb2_grpc.DoorStatusServiceStub,
        door_status_service_pb2,
        "GetDoorCapabilities",
    ),
    "case": (case_service_pb2_grpc.CaseServiceStub, case_service_pb2, "GetCase"),
    "security": (
        security_case_service_pb2_grpc.SecurityCaseServiceStub,
        security_case_service_pb2,
        "ListSecurityCases",
    ),
}
"""What an agent does, by the RPC that does it."""
REST: dict[str, tuple[str, str, str]] = {
    "unlock": ("POST", DOOR + "unlock", "unlock"),
    "lock": ("POST", DOOR + "lock", "lock"),
    "cancel": ("POST", DOOR + "cancel", "cancellation"),
    "command": ("GET", DOOR + "commands/{commandId}", ""),
    "history": ("GET", DOOR + "history", ""),
    "config": ("GET", DOOR + "config", ""),
    "update": ("PUT", DOOR + "config", "config"),
    "diagnostics": ("GET", DOOR + "diagnostics", ""),
    "status": ("GET", DOOR + "status", ""),
    "capabilities": ("GET", DOOR + "capabilities", ""),
    "case": ("GET", "/cases/{caseNumber}", ""),
    "security": ("GET", "/security/cases", ""),
}
"""And by its path; the last is the member of the RPC's request that is REST's body."""


class Desk:
    """Where an agent sits, with a token for this customer, vehicle and case. `over` says how they ask."""

    def __init__(self, mesh: Mesh, over: str, case: str, vin: str = SEDAN, *, bearer: str = "") -> None:
        self._mesh = mesh
        self._over = over
        self.case = case
        self.vin = vin
        self.agent = f"agent-{uuid.uuid4()}"
        scope = "door security.watch security.act"
        self.bearer = bearer or mesh.token("user-123", vin=vin, actor=self.agent, case=case, scope=scope)

    def ask(self, what: str, correlation_id: str = "", **members: Any) -> dict[str, Any]:
        """Return the answer, as JSON; of what is refused the code."""
        asked = {**({} if what in {"case", "security"} else {"vin": self.vin}), **members}
        named = correlation_id or f"proxy-{uuid.uuid4()}"
        return (self._over_rest if self._over == "REST" else self._over_grpc)(what, named, asked)

    def end_of(self, command_id: str) -> dict[str, Any]:
        return eventually(
            lambda: (c := self.ask("command", commandId=command_id)).get("status") in FINAL and c
        )

    def _over_rest(self, what: str, correlation_id: str, asked: dict[str, Any]) -> dict[str, Any]:
        method, path, body = REST[what]
        query = {
            name: each
            for name, each in asked.items()
            if f"{{{name}}}" not in path and name not in {body, "vin"}
        }
        answer = httpx.request(
            method,
            self._mesh.base_url + path.format(**asked),
            headers={"Authorization": f"Bearer {self.bearer}", "X-Correlation-ID": correlation_id},
            params=query,
            json=asked[body] if body else None,
            **PLAINLY,
        )
        document: dict[str, Any] = answer.json()
        return document if answer.is_success else {"code": document["code"]}

    def _over_grpc(self, what: str, correlation_id: str, asked: dict[str, Any]) -> dict[str, Any]:
        stub_class, module, rpc = RPCS[what]
        request = ParseDict(asked, getattr(module, f"{rpc}Request")())
        with channel_of(self._mesh, "team-demo", self._mesh.ports.mtls) as channel:
            metadata = (("authorization", f"Bearer {self.bearer}"), ("x-correlation-id", correlation_id))
            try:
                answer = getattr(stub_class(channel), rpc)(request, metadata=metadata, timeout=30)
            except grpc.RpcError as error:
                return {"code": _code_in(error)}
        return MessageToDict(answer, always_print_fields_with_no_presence=True)


def _code_in(error: Any) -> str:
    details = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
    known = ("ACTION_NOT_GRANTED", "STEP_UP_REQUIRED", "TOKEN_INVALID", "VEHICLE_NOT_FOUND", "CASE_NOT_FOUND")
    return next((word for word in (*known, "APPROVAL_REQUIRED") if word.encode() in details), str(details))


@contextmanager
def channel_of(mesh: Mesh, name: str, port: int) -> Iterator[grpc.Channel]:
    pki = mesh.data / "pki"
    identity = grpc.ssl_channel_credentials(
        *((pki / file).read_bytes() for file in ("ca.crt", f"{name}.key", f"{name}.crt"))
    )
    with grpc.secure_channel(f"localhost:{port}", identity) as channel:
        yield channel


def close(mesh: Mesh, number: str) -> None:
    """Close a case, as an operator does."""
    with channel_of(mesh, "operator", mesh.ports.service("access")) as channel:
        CustomerCaseServiceStub(channel).CloseCase(cases.CloseCaseRequest(case_number=number), timeout=30)


@pytest.fixture(params=["REST", "gRPC"])
def over(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def case(mesh: Mesh) -> Iterator[str]:
    """A case of user-123's, opened as the call centre's system does, and closed afterwards."""
    number = f"C-{uuid.uuid4()}"
    with channel_of(mesh, "team-operator", mesh.ports.service("access")) as channel:
        request = cases.OpenCaseRequest(case_number=number, customer="user-123")
        CustomerCaseServiceStub(channel).OpenCase(request, timeout=30)
    yield number
    close(mesh, number)


def test_an_agent_unlocks_locks_and_cancels_and_the_history_names_both(
    mesh: Mesh, over: str, case: str
) -> None:
    car, desk = Car(mesh), Desk(mesh, over, case)
    car.meet()
    car.do("park")
    car.do("door-time", seconds=0)
    unlocked = desk.ask("unlock", unlock={"targetDoors": ["driver"]})
    assert desk.end_of(unlocked["commandId"])["status"] == "SUCCESS"
    locked = desk.ask("lock", lock={"targetDoors": ["all"], "lockMode": "NORMAL"})
    assert desk.end_of(locked["commandId"])["status"] == "SUCCESS"
    car.do("door-time", seconds=1.5)
    named = f"proxy-{uuid.uuid4()}"
    begun = desk.ask("unlock", named, unlock={"targetDoors": ["all"], "unlockMode": "NORMAL"})
    eventually(lambda: car.actuations(begun["commandId"]))
    desk.ask("cancel", cancellation={"correlationId": named, "reason": "Emergency stop", "force": True})
    assert desk.end_of(begun["commandId"])["failureReason"] == "PARTIAL_SUCCESS"
    car.do("door-time", seconds=0)
    history = desk.ask("history", period="1h", limit=50)["history"]
    ours = {entry["commandId"]: entry for entry in history if entry.get("actorId") == desk.agent}
    assert {unlocked["commandId"], locked["commandId"], begun["commandId"]} <= set(ours)
    assert {(entry["source"], entry["userId"]) for entry in ours.values()} == {("CALL_CENTER", "user-123")}


def test_an_agent_finds_the_customers_vehicles_by_the_case_and_reads_their_histories_with_a_token_for_each(
    mesh: Mesh, over: str, case: str
) -> None:
    desk = Desk(mesh, over, case)
    seen = desk.ask("case", caseNumber=case)
    assert (seen["caseNumber"], seen["customer"], seen["account"]) == (case, "user-123", "ACTIVE")
    found = {each["vin"]: each for each in seen["vehicles"]}
    assert {found[SEDAN]["model"], found[COUPE]["model"]} == {"Sedan", "Coupe"}
    assert [vin for vin, each in found.items() if each["accessible"]] == [SEDAN]
    assert desk.ask("capabilities")["model"] == "Sedan"
    other = Desk(mesh, over, case, COUPE)
    assert other.ask("history", period="24h")["vin"] == COUPE
    # Never more than the one vehicle of the token.
    desk.vin = COUPE
    assert desk.ask("history", period="24h") == {"code": "VEHICLE_NOT_FOUND"}
    assert desk.ask("case", caseNumber=f"{case}x") == {"code": "CASE_NOT_FOUND"}


def test_an_agent_reads_failures_status_and_diagnostics_and_helps_with_settings(
    mesh: Mesh, over: str, case: str
) -> None:
    car, desk = Car(mesh), Desk(mesh, over, case)
    car.meet()
    assert desk.ask("status")["connectivity"] == "ONLINE"
    assert {each["id"] for each in desk.ask("diagnostics")["components"]} >= {"driver_actuator_01"}
    failures = desk.ask("history", period="24h", status="FAILED")
    assert {entry["status"] for entry in failures["history"]} <= {"FAILED"}
    before = desk.ask("config")
    changed = desk.ask("update", config={"autoLockDelay": 45})
    assert changed["autoLockDelay"] == 45
    assert eventually(lambda: (c := desk.ask("config"))["application"]["state"] == "APPLIED" and c)
    desk.ask("update", config={"autoLockDelay": before["autoLockDelay"]})


def test_an_agent_watches_over_the_customers_security_and_nobody_elses(
    mesh: Mesh, over: str, case: str
) -> None:
    desk = Desk(mesh, over, case)
    assert all(each["principal"] == "user-123" for each in desk.ask("security").get("cases", []))
    narrow = mesh.token("user-123", vin=SEDAN, actor="agent-7", case=case, scope="door")
    assert Desk(mesh, over, case, bearer=narrow).ask("security") == {"code": "ACTION_NOT_GRANTED"}


def test_an_agent_is_held_to_the_step_up_table_and_to_the_open_case(mesh: Mesh, over: str) -> None:
    number = f"C-{uuid.uuid4()}"
    weak = mesh.token("user-123", vin=SEDAN, actor="agent-7", case=number, acr=ONE_FACTOR)
    desk = Desk(mesh, over, number, bearer=weak)
    assert desk.ask("unlock", unlock={"targetDoors": ["driver"]}) == {"code": "STEP_UP_REQUIRED"}
    emergency = Desk(mesh, over, number).ask(
        "unlock", unlock={"targetDoors": ["driver"], "unlockMode": "EMERGENCY"}
    )
    assert emergency == {"code": "APPROVAL_REQUIRED"}
    close(mesh, number)
    for what in ("status", "history"):
        assert desk.ask(what) == {"code": "TOKEN_INVALID"}


def test_an_employee_finds_the_vehicle_by_the_case_before_anybody_has_a_token_for_it(
    mesh: Mesh, over: str, case: str
) -> None:
    bearer = mesh.token("employee-1", client="operations", scope="case.read")
    desk = Desk(mesh, over, case, bearer=bearer)
    assert SEDAN in {each["vin"] for each in desk.ask("case", caseNumber=case)["vehicles"]}
    assert desk.ask("status") == {"code": "VEHICLE_NOT_FOUND"}
    assert App(mesh, bearer=bearer).get("history").status_code == 404

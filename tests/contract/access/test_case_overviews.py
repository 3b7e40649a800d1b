"""A case of the call centre as its agents and employees see it: the customer, and their vehicles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2, grant_pb2
from ecarus.remotecontrol.access.v1 import customer_case_service_pb2 as cases
from ecarus.remotecontrol.access.v1.customer_case_service_pb2_grpc import CustomerCaseServiceStub
from ecarus.remotecontrol.door.v1 import case_service_pb2 as rpc
from ecarus.remotecontrol.door.v1.case_pb2 import CaseOverview, VehicleRole
from ecarus.remotecontrol.door.v1.case_service_pb2_grpc import CaseServiceStub
from ecarus.remotecontrol.door.v1.security_case_pb2 import PrincipalState

from services.access.domain.customer_cases import CaseRule
from services.platform.capability import METADATA_KEY
from tests.contract.access.access_service import (
    FOREIGN,
    VIN,
    CheckEdge,
    TokenIssuer,
    acting,
    headers_of,
    problem_in,
)
from tests.contract.access.door_of_rights import RefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ecarus.remotecontrol.access.v1.access_service_pb2_grpc import AccessServiceStub

COUPE = "KMHSC21C7LU123459"
EMPLOYEE = {"client_id": "operations", "roles": ["employee"], "scope": "case.read"}


class CaseDoor:
    """REST as Envoy does it: asks whether it may, then calls with the capability."""

    def __init__(self, check: CheckEdge, issuer: TokenIssuer, stub: CaseServiceStub) -> None:
        self._check = check
        self._issuer = issuer
        self._stub = stub

    async def see(self, number: str, who: str = "user-123", **claims: Any) -> CaseOverview:
        headers = {"authorization": f"Bearer {self._issuer.token(who, **claims)}"}
        answer = await self._check(f"/api/v1/remotecontrol/cases/{number}", headers=headers)
        if not answer.HasField("ok_response"):
            raise RefusedError(problem_in(answer))
        capability = headers_of(answer.ok_response.headers)[METADATA_KEY]
        request = rpc.GetCaseRequest(case_number=number)
        return await self._stub.GetCase(request, metadata=((METADATA_KEY, capability),), timeout=5)

    async def code(self, number: str, who: str = "user-123", **claims: Any) -> str:
        try:
            await self.see(number, who, **claims)
        except RefusedError as refused:
            return str(refused.problem["code"])
        except grpc.aio.AioRpcError as refused:
            details = dict(refused.trailing_metadata() or ())["grpc-status-details-bin"]
            return next(word for word in ("CASE_NOT_FOUND", "INVALID_REQUEST") if word.encode() in details)
        return "OK"


@pytest.fixture
async def case_door(access: Any, check: CheckEdge, token_issuer: TokenIssuer) -> AsyncIterator[CaseDoor]:
    service, _ = access
    async with service.channel("edge") as channel:
        yield CaseDoor(check, token_issuer, CaseServiceStub(channel))


@pytest.fixture
async def call_centre(access: Any) -> AsyncIterator[CustomerCaseServiceStub]:
    service, _ = access
    async with service.channel("team/call-center") as channel:
        yield CustomerCaseServiceStub(channel)


async def opened(stub: CustomerCaseServiceStub, number: str = "case-1", **more: Any) -> None:
    asked = {"customer": "user-123", **more}
    await stub.OpenCase(cases.OpenCaseRequest(case_number=number, **asked), timeout=5)


async def granted(
    operators: tuple[AccessServiceStub, AccessServiceStub], vin: str, role: int, who: str = "user-123"
) -> None:
    request = access_service_pb2.CreateGrantRequest(
        grant_id=f"g-{vin}-{role}", principal=who, vin=vin, role=role
    )
    await operators[0].CreateGrant(request, timeout=5)


def seen(overview: CaseOverview) -> list[tuple[str, str, str, bool]]:
    role = VehicleRole.Value.Name
    return [(each.vin, each.model, role(each.role), each.accessible) for each in overview.vehicles]


async def test_an_agent_sees_their_customer_and_all_the_vehicles_that_the_case_is_about(
    case_door: CaseDoor, call_centre: CustomerCaseServiceStub, operators: Any
) -> None:
    await granted(operators, COUPE, grant_pb2.GRANT_ROLE_SHARED_USER)
    await opened(call_centre)
    overview = await case_door.see("case-1", **acting("agent-7"))
    assert (overview.case_number, overview.customer) == ("case-1", "user-123")
    assert overview.account == PrincipalState.ACTIVE
    assert overview.opened_by == "spiffe://ecarus/team/call-center"
    assert overview.HasField("opened_at")
    assert (COUPE, "Coupe", "SHARED_USER", False) in seen(overview)
    assert (VIN, "Sedan", "OWNER", True) in seen(overview)
    assert FOREIGN not in {each.vin for each in overview.vehicles}
    assert [each.vin for each in overview.vehicles] == sorted(each.vin for each in overview.vehicles)
    paths = {each.capabilities for each in overview.vehicles if each.vin == VIN}
    assert paths == {f"/api/v1/remotecontrol/vehicles/{VIN}/door/capabilities"}


async def test_a_case_about_one_vehicle_shows_that_one_and_no_other(
    case_door: CaseDoor, call_centre: CustomerCaseServiceStub, operators: Any
) -> None:
    await granted(operators, COUPE, grant_pb2.GRANT_ROLE_OWNER)
    await opened(call_centre, vin=VIN)
    assert seen(await case_door.see("case-1", **acting("agent-7"))) == [(VIN, "Sedan", "OWNER", True)]


async def test_a_case_that_was_not_opened_here_is_about_the_tokens_vehicle(
    case_door: CaseDoor, operators: Any
) -> None:
    await granted(operators, COUPE, grant_pb2.GRANT_ROLE_OWNER)
    overview = await case_door.see("case-1", **acting("agent-7"))
    assert [overview.HasField(name) for name in ("opened_by", "opened_at")] == [False, False]
    assert seen(overview) == [(VIN, "Sedan", "OWNER", True)]


async def test_an_employee_finds_the_customers_vehicles_before_they_ask_for_a_token_for_one(
    case_door: CaseDoor, call_centre: CustomerCaseServiceStub
) -> None:
    assert await case_door.code("case-1", "eve", **EMPLOYEE) == "CASE_NOT_FOUND"  # nobody vouches for it
    await opened(call_centre)
    overview = await case_door.see("case-1", "eve", **EMPLOYEE)
    assert overview.customer == "user-123"
    assert (VIN, "Sedan", "OWNER", False) in seen(overview)
    await call_centre.CloseCase(cases.CloseCaseRequest(case_number="case-1"), timeout=5)
    assert await case_door.code("case-1", "eve", **EMPLOYEE) == "CASE_NOT_FOUND"


async def test_nobody_sees_a_case_that_is_none_of_theirs(
    case_door: CaseDoor, call_centre: CustomerCaseServiceStub
) -> None:
    await opened(call_centre)
    await opened(call_centre, "case-2", customer="user-456")
    for number in ("case-2", "case-3"):  # another customer's, and one that there is not: the same answer
        assert await case_door.code(number, **acting("agent-7")) == "CASE_NOT_FOUND"
    assert await case_door.code("case-1") == "ACTION_NOT_GRANTED"  # the customer themselves
    assert await case_door.code("case-1", "user-456") == "ACTION_NOT_GRANTED"
    watcher = {**EMPLOYEE, "scope": "security.watch"}
    assert await case_door.code("case-1", "eve", **watcher) == "ACTION_NOT_GRANTED"
    assert await case_door.code("case-1", **acting("agent-7"), scope="door.lock") == "ACTION_NOT_GRANTED"
    assert await case_door.code("case-1", **acting("agent-7"), scope="door.read") == "OK"
    await call_centre.CloseCase(cases.CloseCaseRequest(case_number="case-1"), timeout=5)
    assert await case_door.code("case-1", **acting("agent-7")) == "TOKEN_INVALID"


@pytest.mark.parametrize("case_rule", [CaseRule.KEPT])
async def test_where_cases_are_kept_one_that_was_not_opened_is_none(case_door: CaseDoor) -> None:
    assert await case_door.code("case-1", **acting("agent-7")) == "TOKEN_INVALID"


async def test_the_customers_account_and_ended_rights_show(
    case_door: CaseDoor, call_centre: CustomerCaseServiceStub, operators: Any, clerk: AccessServiceStub
) -> None:
    await opened(call_centre)
    await granted(operators, COUPE, grant_pb2.GRANT_ROLE_SHARED_USER)
    ended = access_service_pb2.RevokeGrantRequest(grant_id=f"g-{COUPE}-{grant_pb2.GRANT_ROLE_SHARED_USER}")
    await operators[0].RevokeGrant(ended, timeout=5)
    restricting = access_service_pb2.RestrictAccountRequest(principal="user-123", reason="odd")
    await clerk.RestrictAccount(restricting, timeout=5)
    overview = await case_door.see("case-1", "eve", **EMPLOYEE)
    assert overview.account == PrincipalState.RESTRICTED
    assert COUPE not in {each.vin for each in overview.vehicles}


@pytest.mark.parametrize("number", ["x" * 65, "a%20b"])
async def test_what_is_no_number_is_refused(case_door: CaseDoor, number: str) -> None:
    assert await case_door.code(number, "eve", **EMPLOYEE) == "INVALID_REQUEST"

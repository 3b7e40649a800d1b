"""Watching over people's access over the public contract: employees, and agents about their customer."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2
from ecarus.remotecontrol.door.v1 import security_case_service_pb2 as rpc
from ecarus.remotecontrol.door.v1.security_case_pb2 import PrincipalState
from ecarus.remotecontrol.door.v1.security_case_service_pb2_grpc import SecurityCaseServiceStub
from google.protobuf.json_format import MessageToJson

from services.access.domain.abnormal import AbnormalKind, AbnormalRule, Consequence
from services.platform.capability import METADATA_KEY
from tests.contract.access.access_service import (
    FOREIGN,
    VIN,
    CheckEdge,
    TokenIssuer,
    acting,
    door,
    headers_of,
    problem_in,
)
from tests.contract.access.door_of_rights import DoorOfRights, RefusedError, reason_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SECURITY = "/api/v1/remotecontrol/security"
SCOPE = "security.watch security.act"


@pytest.fixture
def rules() -> dict[AbnormalKind, AbnormalRule]:
    return {AbnormalKind.VIN_ENUMERATION: AbnormalRule(0, 600, Consequence.RESTRICT)}


@pytest.fixture
def rates() -> dict[str, int]:
    return dict.fromkeys(("command", "cancel", "read", "refused", "unknown", "failed"), 1_000)


class SecurityDoor:
    """REST as Envoy does it: asks whether it may, then calls with the capability."""

    def __init__(self, check: CheckEdge, issuer: TokenIssuer, stub: SecurityCaseServiceStub) -> None:
        self._check = check
        self._issuer = issuer
        self._stub = stub

    def employee(self, name: str = "eve", **claims: Any) -> str:
        return self._issuer.token(
            name, **{"client_id": "operations", "roles": ["employee"], "scope": SCOPE, **claims}
        )

    def agent(
        self, agent: str = "agent-7", *, customer: str = "user-123", vin: str = VIN, **claims: Any
    ) -> str:
        return self._issuer.token(customer, **{**acting(agent, vin), "scope": SCOPE, **claims})

    async def ask(self, token: str, method: str, path: str, request: Any, body: Any = None) -> Any:
        headers = {"authorization": f"Bearer {token}", "x-correlation-id": f"c-{id(request)}"}
        raw = b""
        if body is not None:
            headers["content-type"] = "application/json"
            raw = MessageToJson(body).encode()
        answer = await self._check(f"{SECURITY}/{path}", method=method, headers=headers, raw_body=raw)
        if not answer.HasField("ok_response"):
            raise RefusedError(problem_in(answer))
        capability = headers_of(answer.ok_response.headers)[METADATA_KEY]
        name = type(request).__name__.removesuffix("Request")
        return await getattr(self._stub, name)(request, metadata=((METADATA_KEY, capability),), timeout=5)

    async def cases(self, token: str, *, open_only: bool = False) -> list[Any]:
        query = "?openOnly=true" if open_only else ""
        request = rpc.ListSecurityCasesRequest(open_only=open_only)
        return list((await self.ask(token, "GET", f"cases{query}", request)).cases)

    async def acknowledge(self, token: str, case_id: str) -> Any:
        request = rpc.AcknowledgeSecurityCaseRequest(case_id=case_id)
        return await self.ask(token, "POST", f"cases/{case_id}/acknowledge", request)

    async def stop(self, token: str, how: str, principal: str, reason: str = "reported by phone") -> Any:
        request = {"restrict": rpc.RestrictPrincipalRequest, "lock": rpc.LockPrincipalRequest}[how](
            stop={"principal": principal, "reason": reason}
        )
        return await self.ask(token, "POST", f"accounts/{how}", request, request.stop)

    async def restore(self, token: str, principal: str) -> Any:
        request = rpc.RestorePrincipalRequest(restoration={"principal": principal})
        return await self.ask(token, "POST", "accounts/restore", request, request.restoration)


@pytest.fixture
async def security(access: Any, check: CheckEdge, token_issuer: TokenIssuer) -> AsyncIterator[SecurityDoor]:
    service, _ = access
    async with service.channel("edge") as channel:
        yield SecurityDoor(check, token_issuer, SecurityCaseServiceStub(channel))


async def enumerate_vin(check: CheckEdge, issuer: TokenIssuer, watched: list[Any], who: str) -> None:
    headers = {"authorization": f"Bearer {issuer.token(who)}"}
    answer = await check(door("status", "KMHSH81C7LU000001"), headers=headers)
    assert problem_in(answer)["code"] == "VEHICLE_NOT_FOUND"
    await watched[0]()


async def test_an_employee_lists_acknowledges_stops_and_two_restore(
    security: SecurityDoor,
    rights: DoorOfRights,
    check: CheckEdge,
    token_issuer: TokenIssuer,
    watched: list[Any],
) -> None:
    await enumerate_vin(check, token_issuer, watched, "user-123")
    (case,) = await security.cases(security.employee(), open_only=True)
    assert (case.kind, case.principal, case.restricted, case.times) == (
        "VIN_ENUMERATION",
        "user-123",
        True,
        1,
    )
    seen = await security.acknowledge(security.employee(), case.case_id)
    assert seen.acknowledged_by == "employee/eve"
    assert await security.cases(security.employee(), open_only=True) == []
    standing = await security.stop(security.employee(), "lock", "user-123")
    assert (standing.state, standing.lock_reason) == (PrincipalState.LOCKED, "reported by phone")
    refused = await rights.may("user-123", "lock")
    assert refused is not None
    assert refused["code"] == "ACCOUNT_LOCKED"
    for _ in range(2):  # one employee does not do it, however often
        standing = await security.restore(security.employee(), "user-123")
        assert (standing.state, standing.restore_requested_by) == (PrincipalState.LOCKED, "employee/eve")
    standing = await security.restore(security.employee("oscar"), "user-123")
    assert (standing.state, standing.restore_requested_by) == (PrincipalState.ACTIVE, "")
    assert await rights.may("user-123") is None


async def test_an_operator_and_an_employee_may_be_one_person(
    security: SecurityDoor, rights: DoorOfRights, operators: Any
) -> None:
    await security.stop(security.employee(), "restrict", "user-123")
    request = access_service_pb2.RestoreAccountRequest(principal="user-123")
    alice, bob = operators
    await alice.RestoreAccount(request, timeout=5)
    assert (await security.restore(security.employee("alice"), "user-123")).state == PrincipalState.RESTRICTED
    assert (await rights.may("user-123")) is not None
    assert not (await bob.RestoreAccount(request, timeout=5)).HasField("restricted_at")
    await security.stop(security.employee(), "restrict", "user-123")
    await alice.RestoreAccount(request, timeout=5)
    for employee in ("bob", "00u1a2b3", "oscar"):
        standing = await security.restore(security.employee(employee), "user-123")
        assert standing.state == PrincipalState.RESTRICTED
    assert not (await bob.RestoreAccount(request, timeout=5)).HasField("restricted_at")


async def test_an_agent_sees_and_restricts_their_customer_and_nobody_else(
    security: SecurityDoor,
    rights: DoorOfRights,
    check: CheckEdge,
    token_issuer: TokenIssuer,
    watched: list[Any],
    sent: list[Any],
    tmp_path: Path,
) -> None:
    for who in ("user-123", "user-456", "stranger"):
        await enumerate_vin(check, token_issuer, watched, who)
    of = {case.principal: case.case_id for case in await security.cases(security.employee())}
    assert of.keys() == {"user-123", "user-456", "stranger"}
    (case,) = await security.cases(security.agent())
    assert case.principal == "user-123"
    seen = await security.acknowledge(security.agent(), case.case_id)
    assert seen.acknowledged_by == "agent/agent-7"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await security.acknowledge(security.agent(), of["user-456"])
    assert reason_of(caught) == "GRANT_NOT_FOUND"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await security.stop(security.agent(), "restrict", "user-456")
    assert reason_of(caught) == "ACTION_NOT_GRANTED"
    customer = security.agent(customer="user-456", vin=FOREIGN)
    assert (await security.stop(customer, "restrict", "user-456")).state == PrincipalState.RESTRICTED
    with pytest.raises(RefusedError, match="ACTION_NOT_GRANTED"):
        await security.stop(security.agent(), "lock", "user-123")
    with pytest.raises(RefusedError, match="ACTION_NOT_GRANTED"):
        await security.restore(security.agent(), "user-123")
    refused = await rights.may("user-123")
    assert refused is not None
    assert refused["code"] == "ACCOUNT_RESTRICTED"  # by the rule, and no agent's doing lifts it
    assert any(
        "security.act" in str(message.payload) for message in sent
    )  # owners are told what agents ask for
    with closing(sqlite3.connect(tmp_path / "access-record.sqlite3")) as record:
        acts = record.execute(
            "SELECT actor FROM audit_entry WHERE act = 'AGENT_ACTED' AND vin = ?", (FOREIGN,)
        )
        assert acts.fetchall() == [("agent-7",)]


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"scope": "security.watch"}, "ACTION_NOT_GRANTED"),  # it sees, and does nothing
        ({"scope": "door"}, "ACTION_NOT_GRANTED"),
        ({"scope": None}, "ACTION_NOT_GRANTED"),  # what is not narrowed is not widened to this
        ({"vin": VIN}, "ACTION_NOT_GRANTED"),  # and what is good for a vehicle is not for people
        ({"roles": ["cleaner"]}, "TOKEN_INVALID"),
        ({"roles": "employee"}, "TOKEN_INVALID"),
        ({"roles": None}, "TOKEN_INVALID"),
        ({"roles": ["employee", "a\n"]}, "TOKEN_INVALID"),
        ({"roles": ["employee"] * 40}, "TOKEN_INVALID"),
        ({"client_id": "mobile-app"}, "ACTION_NOT_GRANTED"),  # a customer who says that they are an employee
        ({"sub": "e" * 65}, "TOKEN_INVALID"),
        ({"act": {"sub": "agent-7"}, "vin": VIN, "case": "case-1"}, "TOKEN_INVALID"),
        ({"acr": "urn:ecarus:acr:1fa"}, "STEP_UP_REQUIRED"),
        ({"auth_time": 1_700_000_000}, "STEP_UP_REQUIRED"),
    ],
    ids=str,
)
async def test_nobody_but_an_employee_with_the_right_acts(
    security: SecurityDoor, rights: DoorOfRights, claims: dict[str, Any], code: str
) -> None:
    removed = [name for name, value in claims.items() if value is None]
    token = security.employee(
        **{name: value for name, value in claims.items() if name not in removed and name != "sub"}
    )
    if removed or "sub" in claims:
        whole = {"client_id": "operations", "roles": ["employee"], "scope": SCOPE}
        token = rights.issuer.token(
            claims.get("sub", "eve"), **{n: v for n, v in whole.items() if n not in removed}
        )
    with pytest.raises(RefusedError, match=code):
        await security.stop(token, "lock", "user-123")
    assert await rights.may("user-123") is None


async def test_an_employee_opens_no_vehicle_and_one_who_is_stopped_stops_nobody(
    security: SecurityDoor, check: CheckEdge, clerk: Any
) -> None:
    own = security.employee("user-123", scope=f"door {SCOPE}")
    answer = await check(door("status"), headers={"authorization": f"Bearer {own}"})
    assert problem_in(answer)["code"] == "ACTION_NOT_GRANTED"
    restrict = access_service_pb2.RestrictAccountRequest(principal="eve", reason="odd")
    await clerk.RestrictAccount(restrict, timeout=5)
    assert await security.cases(security.employee()) == []
    with pytest.raises(RefusedError, match="ACCOUNT_RESTRICTED"):
        await security.stop(security.employee(), "lock", "user-123")
    await clerk.LockAccount(access_service_pb2.LockAccountRequest(principal="eve", reason="odd"), timeout=5)
    with pytest.raises(RefusedError, match="ACCOUNT_LOCKED"):
        await security.cases(security.employee())


async def test_what_is_no_reason_or_no_name_is_refused(security: SecurityDoor) -> None:
    for principal, reason in (("user-123", "a\x1b[2J"), ("user-123", "a\r\nb"), ("user-123", "")):
        with pytest.raises((RefusedError, grpc.aio.AioRpcError)) as caught:
            await security.stop(security.employee(), "lock", principal, reason)
        told = str(caught.value) if isinstance(caught.value, RefusedError) else reason_of(caught)
        assert told == "INVALID_REQUEST"
    for principal in ("", "a b", "x" * 129, "a\n"):
        with pytest.raises(RefusedError, match="INVALID_REQUEST"):
            await security.stop(security.employee(), "lock", principal)


async def test_a_capability_for_a_vehicle_opens_nothing_here(
    access: Any, check: CheckEdge, token_issuer: TokenIssuer
) -> None:
    answer = await check(door("grants"), headers={"authorization": f"Bearer {token_issuer.token()}"})
    capability = headers_of(answer.ok_response.headers)[METADATA_KEY]
    service, _ = access
    async with service.channel("edge") as channel:
        stub = SecurityCaseServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListSecurityCases(
                rpc.ListSecurityCasesRequest(), metadata=((METADATA_KEY, capability),), timeout=5
            )
    assert reason_of(caught) == "VEHICLE_NOT_FOUND"

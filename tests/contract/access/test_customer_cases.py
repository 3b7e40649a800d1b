"""The call centre's cases: opened and closed by its system, and what that means to agents."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import customer_case_service_pb2 as contract
from ecarus.remotecontrol.access.v1 import grant_pb2
from ecarus.remotecontrol.access.v1.customer_case_service_pb2_grpc import CustomerCaseServiceStub
from sqlalchemy import update

from services.access.adapters.store.tables import customer_cases
from services.access.domain.customer_cases import CaseRule
from services.platform.capability import METADATA_KEY
from tests.contract.access.access_service import (
    ALICE,
    FOREIGN,
    VIN,
    CheckEdge,
    TokenIssuer,
    acting,
    door,
    headers_of,
    problem_in,
    revocations,
)
from tests.contract.access.door_of_rights import reason_of
from tests.contract.access.operator_calls import code_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.access.other_services import OtherServices


@pytest.fixture
async def call_centre(access: Any) -> AsyncIterator[CustomerCaseServiceStub]:
    service, _ = access
    async with service.channel("team/call-center") as channel:
        yield CustomerCaseServiceStub(channel)


async def code_for(check: CheckEdge, issuer: TokenIssuer, **claims: Any) -> str:
    """OK, or why an agent is refused the status of the vehicle that their token is for."""
    whole = {**acting("agent-7"), **claims}
    token = issuer.token(whole.pop("sub", "user-123"), **whole)
    answer = await check(door("status", whole["vin"]), headers={"authorization": f"Bearer {token}"})
    if answer.HasField("ok_response"):
        return "OK"
    problem = problem_in(answer)
    if problem["code"] == "TOKEN_INVALID":
        assert "case" in problem["detail"]
        assert 'error="invalid_token"' in headers_of(answer.denied_response.headers)["www-authenticate"]
    return str(problem["code"])


async def opened(stub: CustomerCaseServiceStub, number: str = "case-1", **more: Any) -> Any:
    request = contract.OpenCaseRequest(case_number=number, **{"customer": "user-123", **more})
    return await stub.OpenCase(request, timeout=5)


async def closed(stub: CustomerCaseServiceStub, number: str = "case-1") -> Any:
    return await stub.CloseCase(contract.CloseCaseRequest(case_number=number), timeout=5)


async def test_a_case_that_is_closed_ends_its_agents_tokens_and_streams(
    check: CheckEdge, token_issuer: TokenIssuer, call_centre: CustomerCaseServiceStub, sent: list[Any]
) -> None:
    assert await code_for(check, token_issuer) == "OK"  # the provider vouches for it
    case = await opened(call_centre)
    assert (case.opened_by, case.HasField("closed_at")) == ("spiffe://ecarus/team/call-center", False)
    assert await opened(call_centre) == case
    assert await code_for(check, token_issuer) == "OK"
    done = await closed(call_centre)
    assert done.HasField("closed_at")
    assert await code_for(check, token_issuer) == "TOKEN_INVALID"
    assert await code_for(check, token_issuer, case="case-2") == "OK"
    (told,) = revocations(sent)
    assert (told.kind, told.principal, told.case_number) == (grant_pb2.ENDED_RIGHT_CASE, "user-123", "case-1")
    assert await closed(call_centre) == done
    assert len(revocations(sent)) == 1
    with pytest.raises(grpc.aio.AioRpcError) as caught:  # a number is used once
        await opened(call_centre, customer="user-456")
    assert reason_of(caught) == "CORRELATION_ID_REUSED"
    assert (await opened(call_centre)).HasField("closed_at")
    assert await code_for(check, token_issuer) == "TOKEN_INVALID"


async def test_a_case_that_was_never_opened_here_can_be_closed(
    check: CheckEdge, token_issuer: TokenIssuer, call_centre: CustomerCaseServiceStub, sent: list[Any]
) -> None:
    assert await code_for(check, token_issuer) == "OK"
    assert (await closed(call_centre)).customer == ""
    assert await code_for(check, token_issuer) == "TOKEN_INVALID"
    (told,) = revocations(sent)
    assert (told.principal, told.case_number) == ("", "case-1")


async def test_a_case_that_is_closed_costs_those_nothing_whom_it_is_not_about(
    check: CheckEdge, token_issuer: TokenIssuer, call_centre: CustomerCaseServiceStub
) -> None:
    customer = {"authorization": f"Bearer {token_issuer.token()}"}

    async def capability() -> str:
        answer = await check(door("status"), headers=customer)
        return headers_of(answer.ok_response.headers)[METADATA_KEY]

    known = await capability()
    await closed(call_centre)  # never opened here: it names no customer
    assert await capability() == known
    await opened(call_centre, "case-2")
    assert await capability() == known


async def test_a_case_is_of_one_customer_and_where_it_says_so_of_one_vehicle(
    check: CheckEdge, token_issuer: TokenIssuer, call_centre: CustomerCaseServiceStub
) -> None:
    await opened(call_centre, customer="user-456")
    assert await code_for(check, token_issuer) == "TOKEN_INVALID"
    assert await code_for(check, token_issuer, sub="user-456", vin=FOREIGN) == "OK"
    await opened(call_centre, "case-2", vin=FOREIGN)
    assert await code_for(check, token_issuer, case="case-2") == "TOKEN_INVALID"
    await opened(call_centre, "case-3", vin=VIN)
    assert await code_for(check, token_issuer, case="case-3") == "OK"


@pytest.mark.parametrize("case_rule", [CaseRule.KEPT])
async def test_where_cases_are_kept_one_that_was_not_opened_is_none(
    check: CheckEdge, token_issuer: TokenIssuer, call_centre: CustomerCaseServiceStub
) -> None:
    assert await code_for(check, token_issuer) == "TOKEN_INVALID"
    await opened(call_centre)
    assert await code_for(check, token_issuer) == "OK"
    customer = {"authorization": f"Bearer {token_issuer.token()}"}
    assert (await check(door("status"), headers=customer)).HasField("ok_response")


async def test_cases_are_listed_and_are_nobody_elses_business(
    access: Any, call_centre: CustomerCaseServiceStub
) -> None:
    await opened(call_centre, "case-1")
    await opened(call_centre, "case-2", customer="user-456")
    await closed(call_centre, "case-2")
    listed = await call_centre.ListCases(contract.ListCasesRequest(), timeout=5)
    assert [case.case_number for case in listed.cases] == ["case-2", "case-1"]
    listed = await call_centre.ListCases(contract.ListCasesRequest(open_only=True), timeout=5)
    assert [case.case_number for case in listed.cases] == ["case-1"]
    listed = await call_centre.ListCases(contract.ListCasesRequest(customer="user-456"), timeout=5)
    assert [case.case_number for case in listed.cases] == ["case-2"]
    service, _ = access
    for peer in ("edge", "team/fleet", "room/command", "team/operator/alice"):
        async with service.channel(peer) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await closed(CustomerCaseServiceStub(channel))
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_the_operators_shared_certificate_closes_cases_and_opens_and_lists_none(access: Any) -> None:
    service, _ = access
    async with service.channel("operator") as shared, service.channel(ALICE) as named:
        clerk, alice = CustomerCaseServiceStub(shared), CustomerCaseServiceStub(named)
        assert await code_of(opened(clerk)) is grpc.StatusCode.PERMISSION_DENIED
        listing = contract.ListCasesRequest()
        assert await code_of(clerk.ListCases(listing, timeout=5)) is grpc.StatusCode.PERMISSION_DENIED
        assert (await opened(alice)).opened_by == "spiffe://ecarus/" + ALICE
        assert (await closed(clerk)).HasField("closed_at")
        assert [each.case_number for each in (await alice.ListCases(listing, timeout=5)).cases] == ["case-1"]


async def test_a_new_case_deletes_no_old_one_that_may_be_held(
    call_centre: CustomerCaseServiceStub, others: OtherServices
) -> None:
    await opened(call_centre)
    await closed(call_centre)
    long_ago = update(customer_cases).values(closed_at=datetime(2020, 1, 1, tzinfo=UTC))
    await others.database.write(lambda connection: connection.execute(long_ago) and None)
    await opened(call_centre, "case-2")
    listed = await call_centre.ListCases(contract.ListCasesRequest(), timeout=5)
    assert {each.case_number for each in listed.cases} == {"case-1", "case-2"}


async def test_of_two_who_open_a_case_at_once_both_are_told_the_same(
    call_centre: CustomerCaseServiceStub,
) -> None:
    first, *others = await asyncio.gather(*(opened(call_centre) for _ in range(6)))
    assert all(other == first for other in others)


@pytest.mark.parametrize("number", ["", "a b", "x" * 65, "a\n", "case/1"])
async def test_what_is_no_number_is_refused(call_centre: CustomerCaseServiceStub, number: str) -> None:
    for ask in (opened, closed):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(call_centre, number)
        assert reason_of(caught) == "INVALID_REQUEST"

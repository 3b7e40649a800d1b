"""What people and operators change about rights is one entry of the audit each, in the commit that changes it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2, grant_pb2
from ecarus.remotecontrol.audit.v1.audit_entry_pb2 import AUDIT_DECISION_NONE, AuditDecision, AuditEntry
from ecarus.remotecontrol.door.v1 import door_grant_service_pb2 as rpc

from services.access.domain.step_up import TWO_FACTORS
from tests.contract.access.access_service import ALICE, VIN, acting
from tests.contract.access.door_of_rights import KINDS, DoorOfRights, RefusedError

if TYPE_CHECKING:
    from tests.contract.access.access_service import CheckEdge, TokenIssuer

OPERATOR = f"spiffe://ecarus/{ALICE}"


@pytest.fixture
def rates() -> dict[str, int]:
    return dict.fromkeys(("command", "cancel", "read", "refused", "unknown", "failed"), 1_000)


async def all_of(audit: list[Any]) -> list[AuditEntry]:
    (entries,) = audit
    found: list[AuditEntry] = await entries()
    return found


async def decided(audit: list[Any]) -> list[tuple[str, str, str, str]]:
    """Kind, decision, subject and actor of each, in order."""
    return [
        (
            each.kind,
            AuditDecision.Name(each.decision).removeprefix("AUDIT_DECISION_"),
            each.subject,
            each.actor,
        )
        for each in await all_of(audit)
    ]


async def test_what_people_do_to_rights_names_who_did_it_how_they_signed_in_and_for_whom(
    rights: DoorOfRights, audit: list[Any]
) -> None:
    given = await rights.give(principal="user-789", name="give-1")
    await rights.give(principal="user-789", name="give-1")
    await rights.do("accept", given, "user-789")
    await rights.do("suspend", given)
    await rights.do("end", given)
    assert await decided(audit) == [
        ("GRANT_OFFERED", "ALLOWED", "user-789", "user-123"),
        ("GRANT_BEGUN", "ALLOWED", "user-789", "user-789"),
        ("GRANT_SUSPENDED", "ALLOWED", "user-789", "user-123"),
        ("GRANT_ENDED", "ALLOWED", "user-789", "user-123"),
        ("NOTHING_CHANGED", "ALLOWED", "user-123", "user-123"),  # written behind: the repetition
    ]
    entry = (await all_of(audit))[0]
    assert (entry.vin, entry.correlation_id, entry.source, entry.rule) == (VIN, "give-1", "WEB", "OWNER")
    assert entry.action == "door.grants.write"
    assert f"acr:{TWO_FACTORS}" in entry.factors
    assert entry.detail["named"] == given.grant_id


async def test_what_is_refused_is_one_entry_whether_access_or_the_rules_of_rights_refuse_it(
    rights: DoorOfRights, audit: list[Any]
) -> None:
    with pytest.raises(RefusedError):
        await rights.give("user-456", name="no-right")
    request = rpc.AcceptGrantRequest(vin=VIN, grant_id="grant-unknown")
    with pytest.raises(grpc.aio.AioRpcError):
        await rights.ask("user-123", "POST", "grants/grant-unknown/accept", request, id="no-grant")
    entries = {each.correlation_id: each for each in await all_of(audit)}
    assert len(entries) == 2
    first, second = entries["no-right"], entries["no-grant"]
    assert (first.kind, first.rule, first.subject) == ("ACCESS_REFUSED", "VEHICLE_NOT_FOUND", "user-456")
    assert (second.kind, second.rule, second.subject) == ("RIGHTS_REFUSED", "GRANT_NOT_FOUND", "user-123")


async def test_a_severance_is_nothing_of_the_persons_whose_access_it_ends(
    rights: DoorOfRights, audit: list[Any]
) -> None:
    await rights.accepted(principal="survivor", kind=KINDS.SHARED_USER, name="first")
    before = len(await all_of(audit))
    request = rpc.SeverAccessRequest(vin=VIN)
    request.severance.person, request.severance.evidence = "user-123", "court file 17/2026"
    await rights.ask("survivor", "POST", "access/sever", request, body=request.severance, id="sever-1")
    entries = (await all_of(audit))[before:]
    assert [each.kind for each in entries] == ["GRANT_SEVERED", "ACCESS_SEVERED"]
    assert {(each.subject, each.actor) for each in entries} == {("survivor", "survivor")}
    assert entries[0].decision == AUDIT_DECISION_NONE  # of one request one entry is the decision
    assert entries[1].detail["named"]
    # It would be under the survivor's key, and outlive the person's own.
    assert not any(b"user-123" in each.SerializeToString() for each in entries)


async def test_operators_acts_name_the_operator(operators: Any, clerk: Any, audit: list[Any]) -> None:
    alice, _ = operators
    request = access_service_pb2.CreateGrantRequest(
        grant_id="g-1", principal="user-900", vin=VIN, role=grant_pb2.GRANT_ROLE_DIGITAL_KEY
    )
    await alice.CreateGrant(request, timeout=5)
    lock = access_service_pb2.LockAccountRequest(principal="user-900", reason="stolen phone")
    await clerk.LockAccount(lock, timeout=5)
    await clerk.LockAccount(lock, timeout=5)
    revoke = access_service_pb2.RevokeGrantRequest(grant_id="unknown")
    with pytest.raises(grpc.aio.AioRpcError):
        await alice.RevokeGrant(revoke, timeout=5)
    operator = "spiffe://ecarus/operator"
    assert sorted(await decided(audit)) == [
        ("ACCOUNT_LOCKED", "ALLOWED", "user-900", operator),
        ("GRANT_CREATED", "ALLOWED", "user-900", OPERATOR),
        ("NOTHING_CHANGED", "ALLOWED", operator, operator),
        ("RIGHTS_REFUSED", "REFUSED", OPERATOR, OPERATOR),
    ]


async def test_an_agents_look_names_the_case(
    check: CheckEdge, token_issuer: TokenIssuer, audit: list[Any]
) -> None:
    headers = {"authorization": f"Bearer {token_issuer.token(**acting('agent-7'))}"}
    answer = await check(f"/api/v1/remotecontrol/vehicles/{VIN}/door/status", headers=headers)
    assert answer.HasField("ok_response")
    (entry,) = await all_of(audit)
    assert (entry.kind, entry.subject, entry.actor) == ("ACCESS_ALLOWED", "user-123", "agent-7")
    assert (entry.action, entry.rule, entry.detail["case"]) == ("door.status.read", "OWNER", "case-1")


async def test_many_looks_at_once_are_one_entry_and_one_with_how_many_more(
    check: CheckEdge, audit: list[Any]
) -> None:
    path = f"/api/v1/remotecontrol/vehicles/{VIN}/door/status"
    await asyncio.gather(*(check(path, headers={"x-correlation-id": f"look-{n}"}) for n in range(50)))
    first, others = await all_of(audit)
    assert {each.kind for each in (first, others)} == {"ACCESS_ALLOWED"}
    assert (first.detail["count"], others.detail["count"]) == ("", "49")
    assert first.correlation_id != others.correlation_id


async def test_many_refusals_at_once_are_many_entries(
    check: CheckEdge, token_issuer: TokenIssuer, audit: list[Any]
) -> None:
    path = f"/api/v1/remotecontrol/vehicles/{VIN}/door/status"
    bearer = {"authorization": f"Bearer {token_issuer.token('user-456')}"}
    asked = [check(path, headers={**bearer, "x-correlation-id": f"look-{n}"}) for n in range(50)]
    await asyncio.gather(*asked)
    entries = await all_of(audit)
    assert {each.correlation_id for each in entries} == {f"look-{n}" for n in range(50)}
    assert len({each.entry_id for each in entries}) == len(entries) == 50

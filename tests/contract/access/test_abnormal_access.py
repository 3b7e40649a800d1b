"""Abnormal access: accounts that are restricted, what they still do, who is told, and the way back."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2
from ecarus.remotecontrol.access.v1.access_service_pb2_grpc import AccessServiceStub
from ecarus.remotecontrol.door.v1 import door_grant_service_pb2 as rpc
from ecarus.remotecontrol.door.v1.door_grant_pb2 import AccountState

from services.access.domain.abnormal import AbnormalKind, AbnormalRule, Consequence
from tests.contract.access.access_service import FOREIGN, VIN, CheckEdge, door, problem_in
from tests.contract.access.door_of_rights import DoorOfRights, RefusedError, alerts, reason_of


@pytest.fixture
def rules() -> dict[AbnormalKind, AbnormalRule]:
    return {
        AbnormalKind.VIN_ENUMERATION: AbnormalRule(3, 600, Consequence.RESTRICT),
        AbnormalKind.FAILED_SIGN_INS: AbnormalRule(3, 600),
        AbnormalKind.UNLOCK_BURST: AbnormalRule(3, 600),
    }


@pytest.fixture
def rates() -> dict[str, int]:
    return dict.fromkeys(("command", "cancel", "read", "refused", "unknown", "failed"), 1_000)


async def enumerate_vins(rights: DoorOfRights, watched: list[Any], who: str = "user-123") -> None:
    for n in range(4):
        headers = {"authorization": f"Bearer {rights.issuer.token(who)}"}
        answer = await rights.check(door("status", f"KMHSH81C7LU00000{n}"), headers=headers)
        assert problem_in(answer)["code"] == "VEHICLE_NOT_FOUND"
    await watched[0]()


async def test_who_tries_vehicles_is_restricted_and_restores_the_account(
    rights: DoorOfRights, watched: list[Any], sent: list[Any], access: Any
) -> None:
    await enumerate_vins(rights, watched)
    refused = await rights.may("user-123")
    assert refused is not None
    assert (refused["code"], "restore" in refused["detail"]) == ("ACCOUNT_RESTRICTED", True)
    assert await rights.may("user-123", "lock") is None
    assert await rights.may("user-123", "status") is None
    codes = [update.system_alert.code for update in alerts(sent)]
    assert codes == ["ACCESS_RESTRICTED"]
    told = alerts(sent)[0].system_alert.message
    assert "because its use was abnormal." in told
    assert "600" not in told
    service, _ = access
    questions = [
        access_service_pb2.GrantQuestion(subject="user-123", vin=VIN, action=action)
        for action in ("door.unlock", "door.lock")
    ]
    async with service.channel("room/signer") as channel:  # a queued unlock is not signed, a lock is
        asked = access_service_pb2.CheckGrantsRequest(questions=questions)
        answer = await AccessServiceStub(channel).CheckGrants(asked, timeout=5)
    assert list(answer.allowed) == [False, True]
    request = rpc.RestoreAccountRequest(vin=VIN)
    with pytest.raises(RefusedError, match="STEP_UP_REQUIRED"):
        await rights.ask("user-123", "POST", "account/restore", request, acr="urn:ecarus:acr:1fa")
    standing = await rights.ask("user-123", "POST", "account/restore", request)
    assert standing.state == AccountState.ACTIVE
    assert await rights.may("user-123") is None
    assert [update.system_alert.code for update in alerts(sent)] == ["ACCESS_RESTRICTED", "ACCESS_RESTORED"]
    (case,) = (await _cases(access)).cases
    assert (case.kind, case.principal, case.restricted) == ("VIN_ENUMERATION", "user-123", True)
    assert "more than 3 within 600 s" in case.evidence


async def _cases(access: Any, *, open_only: bool = False) -> Any:
    service, _ = access
    async with service.channel("operator") as channel:
        request = access_service_pb2.ListAbnormalAccessRequest(open_only=open_only)
        return await AccessServiceStub(channel).ListAbnormalAccess(request, timeout=5)


async def test_two_operators_restore_an_account(rights: DoorOfRights, operators: Any, clerk: Any) -> None:
    alice, bob = operators
    restrict = access_service_pb2.RestrictAccountRequest(principal="user-123", reason="reported by phone")
    for _ in range(2):
        account = await clerk.RestrictAccount(restrict, timeout=5)
        assert account.HasField("restricted_at")
    restore = access_service_pb2.RestoreAccountRequest(principal="user-123")
    for _ in range(2):
        account = await alice.RestoreAccount(restore, timeout=5)
        assert account.HasField("restricted_at")
    assert (await rights.may("user-123")) is not None
    account = await bob.RestoreAccount(restore, timeout=5)
    assert not account.HasField("restricted_at")
    assert await rights.may("user-123") is None


async def test_failures_of_others_restrict_nobody(
    rights: DoorOfRights, check: CheckEdge, watched: list[Any], access: Any
) -> None:
    for n in range(10):
        bad = await check(door("unlock"), method="POST", headers={"authorization": f"Bearer bad{n}"})
        assert problem_in(bad)["code"] == "TOKEN_INVALID"
    # Somebody else's tries, also on the owner's vehicle, are their own.
    await enumerate_vins(rights, watched, who="stranger")
    assert await rights.may("user-123") is None
    principals = [case.principal for case in (await _cases(access)).cases]
    assert "user-123" not in principals
    assert "stranger" in principals


async def test_a_found_key_does_not_shut_its_owner_out(
    rights: DoorOfRights, check: CheckEdge, watched: list[Any], operators: Any, access: Any
) -> None:
    asked = {"principal": "user-123", "name": "meter", "valid_seconds": 600, "source": "WEB"}
    made = await operators[0].IssueApiKey(
        access_service_pb2.IssueApiKeyRequest(scopes=["door.read"], vins=[VIN], **asked), timeout=5
    )
    headers = {"authorization": f"Bearer {made.key}"}
    for n in range(12):
        answer = await check(door("status", f"KMHSH81C7LU0000{n:02}"), headers=headers)
        assert problem_in(answer)["code"] == "VEHICLE_NOT_FOUND"
    await watched[0]()
    assert await rights.may("user-123") is None
    (case,) = (await _cases(access)).cases
    assert (case.principal, case.restricted) == ("user-123", False)


async def test_vehicles_of_ones_own_outside_of_a_bearer_are_not_tried(
    check: CheckEdge, watched: list[Any], operators: Any, access: Any, rules: dict[AbnormalKind, AbnormalRule]
) -> None:
    rules[AbnormalKind.VIN_ENUMERATION] = AbnormalRule(0, 600)
    asked = {"principal": "user-123", "name": "meter", "valid_seconds": 600, "source": "WEB"}
    made = await operators[0].IssueApiKey(
        access_service_pb2.IssueApiKeyRequest(scopes=["door.read"], vins=[FOREIGN], **asked), timeout=5
    )
    answer = await check(door("status", VIN), headers={"authorization": f"Bearer {made.key}"})
    assert problem_in(answer)["code"] == "VEHICLE_NOT_FOUND"
    await watched[0]()
    assert not (await _cases(access)).cases


async def test_a_burst_is_told_and_acknowledged(
    rights: DoorOfRights, watched: list[Any], sent: list[Any], access: Any, clerk: Any
) -> None:
    for _ in range(4):
        assert await rights.may("user-123") is None
    await watched[0]()
    assert [update.system_alert.code for update in alerts(sent)] == ["ACCESS_ABNORMAL"]
    assert await rights.may("user-123") is None  # an alert only
    (case,) = (await _cases(access, open_only=True)).cases
    asked = access_service_pb2.AcknowledgeAbnormalAccessRequest(case_id=case.case_id)
    seen = await clerk.AcknowledgeAbnormalAccess(asked, timeout=5)
    assert seen.acknowledged_by == "spiffe://ecarus/operator"
    assert await clerk.AcknowledgeAbnormalAccess(asked, timeout=5) == seen
    assert not (await _cases(access, open_only=True)).cases
    asked.case_id = "ab-none"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await clerk.AcknowledgeAbnormalAccess(asked, timeout=5)
    assert reason_of(caught) == "GRANT_NOT_FOUND"


async def test_owners_are_told_what_became_of_an_account_and_not_why(clerk: Any, sent: list[Any]) -> None:
    restrict = access_service_pb2.RestrictAccountRequest(principal="user-123", reason="lives at 5 Elm St")
    assert (await clerk.RestrictAccount(restrict, timeout=5)).restriction_reason == "lives at 5 Elm St"
    lock = access_service_pb2.LockAccountRequest(principal="user-123", reason="stolen phone")
    assert (await clerk.LockAccount(lock, timeout=5)).reason == "stolen phone"
    told = {update.system_alert.code: update.system_alert.message for update in alerts(sent)}
    assert told == {
        "ACCESS_RESTRICTED": "The account user-123 reads and locks only. It is restored by signing in anew with a "
        "second factor, or by customer support.",
        "ACCESS_LOCKED": "The account user-123 is locked.",
    }


async def test_the_owner_of_a_shared_vehicle_is_not_told_where_a_person_is(
    rights: DoorOfRights, watched: list[Any], sent: list[Any], access: Any
) -> None:
    await rights.accepted()
    sent.clear()
    await enumerate_vins(rights, watched, who="user-789")
    told = alerts(sent)
    assert [(update.vin, update.system_alert.code) for update in told] == [(VIN, "ACCESS_RESTRICTED")]
    (case,) = (await _cases(access)).cases
    assert case.evidence not in told[0].system_alert.message
    assert "within" not in told[0].system_alert.message

"""API keys that operators issue: approved, narrowed, ended; and the accounts that they are for."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2, grant_pb2
from ecarus.remotecontrol.access.v1.access_service_pb2_grpc import (
    AccessServiceStub,
)

from services.access.adapters.identity import key_hash
from services.access.domain.accounts import key_id_of
from services.access.domain.key_scopes import UNLESS_NAMED
from tests.contract.access.access_service import (
    ALICE,
    BOB,
    FOREIGN,
    PEPPER,
    VIN,
    CheckEdge,
    door,
    problem_in,
)
from tests.contract.access.operator_calls import code_of, owner

if TYPE_CHECKING:
    from pathlib import Path


def key_for(**changed: Any) -> access_service_pb2.IssueApiKeyRequest:
    form = {"principal": "user-456", "name": "garage robot", "valid_seconds": 600, "source": "WEB"}
    return access_service_pb2.IssueApiKeyRequest(**{**form, **changed})


async def keys_of(stub: Any, principal: str = "user-456") -> list[Any]:
    answer = await stub.ListApiKeys(access_service_pb2.ListApiKeysRequest(principal=principal), timeout=5)
    return list(answer.keys)


async def test_an_issued_key_opens_what_its_account_may_until_it_is_revoked(
    operators: Any, clerk: Any, check: CheckEdge, tmp_path: Path
) -> None:
    alice, _ = operators
    made = await alice.IssueApiKey(key_for(), timeout=5)
    assert made.key.startswith("sk_")
    assert len(made.key) == 67
    assert (made.api_key.key_id, made.api_key.pending) == (key_id_of(key_hash(PEPPER, made.key)), False)
    assert made.api_key.expires_at.seconds == made.api_key.created_at.seconds + 600
    assert await keys_of(clerk) == [made.api_key]
    as_it = {"headers": {"authorization": f"Bearer {made.key}"}}
    assert (await check(door("config", FOREIGN), **as_it)).HasField("ok_response")
    record = (tmp_path / "access-record.sqlite3").read_bytes()
    record += (tmp_path / "access-record.sqlite3-wal").read_bytes()
    assert made.key.encode() not in record
    assert bytes.fromhex(made.key.removeprefix("sk_")) not in record

    revoked = await clerk.RevokeApiKey(
        access_service_pb2.RevokeApiKeyRequest(key_id=made.api_key.key_id), timeout=5
    )
    assert revoked.HasField("revoked_at")
    assert problem_in(await check(door("config", FOREIGN), **as_it))["code"] == "TOKEN_INVALID"
    with closing(sqlite3.connect(tmp_path / "access-record.sqlite3")) as database:
        rows = database.execute(
            "SELECT act, actor FROM audit_entry WHERE grant_id = ? ORDER BY sequence", (revoked.key_id,)
        )
        assert rows.fetchall() == [
            ("API_KEY_ISSUED", f"spiffe://ecarus/{ALICE}"),
            ("API_KEY_REVOKED", "spiffe://ecarus/operator"),
        ]


async def test_a_key_is_given_an_earlier_end_by_any_operator(operators: Any, clerk: Any) -> None:
    alice, _ = operators
    made = await alice.IssueApiKey(key_for(), timeout=5)
    request = access_service_pb2.ExpireApiKeyRequest(key_id=made.api_key.key_id, valid_seconds=5)
    shortened = await clerk.ExpireApiKey(request, timeout=5)
    assert shortened.expires_at.seconds < made.api_key.expires_at.seconds
    later = access_service_pb2.ExpireApiKeyRequest(key_id=made.api_key.key_id, valid_seconds=500)
    assert await clerk.ExpireApiKey(later, timeout=5) == shortened
    unknown = access_service_pb2.ExpireApiKeyRequest(key_id="key_" + "0" * 32, valid_seconds=5)
    assert await code_of(clerk.ExpireApiKey(unknown, timeout=5)) is grpc.StatusCode.NOT_FOUND
    for seconds in (0, -1, 31_622_401):
        wrong = access_service_pb2.ExpireApiKeyRequest(key_id=made.api_key.key_id, valid_seconds=seconds)
        assert await code_of(clerk.ExpireApiKey(wrong, timeout=5)) is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_key_is_for_its_scope_and_its_vehicles(operators: Any, check: CheckEdge) -> None:
    alice, _ = operators
    unlock = {"method": "POST", "body": b'{"targetDoors":["all"]}'}
    for scopes, vins, answer in (
        ([], [], "ACTION_NOT_GRANTED"),  # unlocking is in no key that was not created for it
        (["door.read", "door.lock"], [], "ACTION_NOT_GRANTED"),
        (["door.unlock"], [VIN], "VEHICLE_NOT_FOUND"),
        (["door.unlock"], [FOREIGN], None),
    ):
        made = await alice.IssueApiKey(key_for(scopes=scopes, vins=vins), timeout=5)
        assert list(made.api_key.vins) == vins
        assert list(made.api_key.scopes) == ((scopes and sorted(scopes)) or list(UNLESS_NAMED))
        headers = {"authorization": f"Bearer {made.key}", "content-type": "application/json"}
        decided = await check(door("unlock", FOREIGN), headers=headers, **unlock)
        assert (None if decided.HasField("ok_response") else problem_in(decided)["code"]) == answer


@pytest.mark.parametrize("production", [True])
async def test_an_issued_key_opens_nothing_before_a_second_operator_has_approved(
    operators: Any, clerk: Any, check: CheckEdge, tmp_path: Path
) -> None:
    alice, bob = operators
    made = await alice.IssueApiKey(key_for(), timeout=5)
    as_it = {"headers": {"authorization": f"Bearer {made.key}"}}
    assert (made.api_key.pending, made.api_key.requested_by) == (True, f"spiffe://ecarus/{ALICE}")
    assert await keys_of(clerk) == [made.api_key]
    assert problem_in(await check(door("status", FOREIGN), **as_it))["code"] == "TOKEN_INVALID"
    approval = access_service_pb2.ApproveApiKeyRequest(key_id=made.api_key.key_id)
    assert await code_of(alice.ApproveApiKey(approval, timeout=5)) is grpc.StatusCode.PERMISSION_DENIED
    assert problem_in(await check(door("status", FOREIGN), **as_it))["code"] == "TOKEN_INVALID"

    approved = await bob.ApproveApiKey(approval, timeout=5)
    assert (approved.pending, approved.approved_by) == (False, f"spiffe://ecarus/{BOB}")
    assert approved.expires_at.seconds == approved.created_at.seconds + 600
    assert (await check(door("status", FOREIGN), **as_it)).HasField("ok_response")
    assert await bob.ApproveApiKey(approval, timeout=5) == approved
    assert await keys_of(clerk) == [approved]
    with closing(sqlite3.connect(tmp_path / "access-record.sqlite3")) as database:
        rows = database.execute(
            "SELECT act, actor FROM audit_entry WHERE grant_id = ? ORDER BY sequence", (approved.key_id,)
        )
        assert rows.fetchall() == [
            ("API_KEY_REQUESTED", f"spiffe://ecarus/{ALICE}"),
            ("API_KEY_APPROVED", f"spiffe://ecarus/{BOB}"),
            ("API_KEY_ISSUED", f"spiffe://ecarus/{ALICE}"),
        ]
    await clerk.RevokeApiKey(access_service_pb2.RevokeApiKeyRequest(key=made.key), timeout=5)
    assert (await bob.ApproveApiKey(approval, timeout=5)).HasField("revoked_at")  # which brings nothing back
    assert problem_in(await check(door("status", FOREIGN), **as_it))["code"] == "TOKEN_INVALID"


@pytest.mark.parametrize("production", [True])
async def test_a_pending_key_can_be_revoked_and_then_not_approved(operators: Any, clerk: Any) -> None:
    alice, bob = operators
    made = await alice.IssueApiKey(key_for(), timeout=5)
    for which in ({"key_id": made.api_key.key_id}, {"key": made.key}):
        revoked = await clerk.RevokeApiKey(access_service_pb2.RevokeApiKeyRequest(**which), timeout=5)
        assert (revoked.pending, revoked.HasField("revoked_at")) == (False, True)
    for key_id in (made.api_key.key_id, "key_" + "0" * 32):
        approval = bob.ApproveApiKey(access_service_pb2.ApproveApiKeyRequest(key_id=key_id), timeout=5)
        assert await code_of(approval) is grpc.StatusCode.NOT_FOUND
    assert await keys_of(clerk) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"principal": ""},
        {"name": ""},
        {"name": " garage"},
        {"name": "garage\x1b[2J"},
        {"name": "two\nlines"},
        {"name": "x" * 65},
        {"valid_seconds": 0},
        {"valid_seconds": 59},
        {"valid_seconds": 31_622_401},
        {"source": "TOASTER"},
        {"source": ""},
        {"scopes": ["door"]},
        {"scopes": ["door.read", "door.read"]},
        {"scopes": ["door.unlock\r\n"]},
        {"vins": ["short"]},
        {"vins": [FOREIGN.lower()]},
    ],
)
async def test_a_wrong_key_is_not_issued(operators: Any, clerk: Any, changed: dict[str, Any]) -> None:
    alice, _ = operators
    answer = alice.IssueApiKey(key_for(**changed), timeout=5)
    assert await code_of(answer) is grpc.StatusCode.INVALID_ARGUMENT
    assert await keys_of(clerk) == []


@pytest.mark.parametrize("peer", ["operator", "operator/alice", "team/operators", "team/demo", "edge"])
async def test_nobody_but_a_person_issues_and_approves_keys(access: Any, peer: str) -> None:
    service, _ = access
    async with service.channel(peer) as channel:
        stub = AccessServiceStub(channel)
        approval = access_service_pb2.ApproveApiKeyRequest(key_id="key_" + "0" * 32)
        for answer in (stub.IssueApiKey(key_for(), timeout=5), stub.ApproveApiKey(approval, timeout=5)):
            assert await code_of(answer) is grpc.StatusCode.PERMISSION_DENIED


async def test_accounts_are_shown_with_what_they_may(operators: Any, clerk: Any) -> None:
    alice, _ = operators
    await alice.CreateGrant(owner(principal="guest", role=grant_pb2.GRANT_ROLE_DIGITAL_KEY), timeout=5)
    made = await alice.IssueApiKey(key_for(principal="guest"), timeout=5)
    await alice.CreateGrant(owner(principal="guest", grant_id="g-8"), timeout=5)
    await alice.RevokeGrant(access_service_pb2.RevokeGrantRequest(grant_id="g-8"), timeout=5)
    lock = access_service_pb2.LockAccountRequest(principal="nobody-yet", reason="announced itself")
    await clerk.LockAccount(lock, timeout=5)

    guest = await clerk.GetAccount(access_service_pb2.GetAccountRequest(principal="guest"), timeout=5)
    assert ([grant.grant_id for grant in guest.grants], list(guest.api_keys)) == (["g-9"], [made.api_key])
    assert not guest.account.HasField("locked_at")
    unknown = await clerk.GetAccount(access_service_pb2.GetAccountRequest(principal="who"), timeout=5)
    assert (unknown.account.principal, len(unknown.grants), len(unknown.api_keys)) == ("who", 0, 0)

    seen: list[tuple[str, int, int, bool]] = []
    token = ""
    while True:
        request = access_service_pb2.ListAccountsRequest(page_size=2, page_token=token)
        page = await clerk.ListAccounts(request, timeout=5)
        assert len(page.accounts) <= 2
        seen += [
            (each.account.principal, each.grants, each.api_keys, each.account.HasField("locked_at"))
            for each in page.accounts
        ]
        token = page.next_page_token
        if not token:
            break
    assert seen == [
        ("guest", 1, 1, False),
        ("nobody-yet", 0, 0, True),
        ("user-123", 1, 1, False),
        ("user-456", 1, 0, False),
    ]
    locked = access_service_pb2.ListAccountsRequest(locked_only=True)
    (only,) = (await clerk.ListAccounts(locked, timeout=5)).accounts
    assert (only.account.principal, only.account.reason) == ("nobody-yet", "announced itself")

"""The door of the access service for operators and services: grants, accounts, keys, and the ends of rights."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import grpc
import jwt
import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2, grant_pb2
from ecarus.remotecontrol.access.v1.access_service_pb2_grpc import (
    AccessServiceStub,
)
from envoy_ext_authz import external_auth_pb2
from envoy_ext_authz.external_auth_pb2_grpc import AuthorizationStub

from services.access.adapters.published_key import PUBLISHED_KEY
from tests.contract.access.access_service import (
    ALICE,
    BOB,
    FOREIGN,
    VIN,
    CheckEdge,
    TokenIssuer,
    door,
    headers_of,
    problem_in,
    revocations,
)
from tests.contract.access.operator_calls import code_of, owner

if TYPE_CHECKING:
    from pathlib import Path


async def test_only_their_own_peers_may_ask(access: Any) -> None:
    service, _ = access
    question = access_service_pb2.GrantQuestion(subject="user-123", vin=VIN, action="door.unlock")
    questions = access_service_pb2.CheckGrantsRequest(questions=[question])
    listing = access_service_pb2.ListGrantsRequest(vin=VIN)
    denied = grpc.StatusCode.PERMISSION_DENIED
    for peer in ("edge", "room/status", "room/command", "team/fleet"):
        async with service.channel(peer) as channel:
            stub = AccessServiceStub(channel)
            assert await code_of(stub.CheckGrants(questions, timeout=5)) is denied
            assert await code_of(stub.ListGrants(listing, timeout=5)) is denied
            lock = access_service_pb2.LockAccountRequest(principal="user-123", reason="mischief")
            assert await code_of(stub.LockAccount(lock, timeout=5)) is denied
            leaked = access_service_pb2.RevokeApiKeyRequest(key=PUBLISHED_KEY)
            assert await code_of(stub.RevokeApiKey(leaked, timeout=5)) is denied
            revoke = access_service_pb2.RevokeGrantRequest(grant_id="sandbox-1")
            assert await code_of(stub.RevokeGrant(revoke, timeout=5)) is denied
    async with service.channel("room/command") as channel:
        authorize = AuthorizationStub(channel)
        assert await code_of(authorize.Check(external_auth_pb2.CheckRequest(), timeout=5)) is denied


async def test_a_grant_lives_and_ends(access: Any, check: CheckEdge) -> None:
    service, sent = access
    asked = access_service_pb2.CreateGrantRequest(
        grant_id="g-9",
        principal="user-123",
        vin=FOREIGN,
        role=grant_pb2.GRANT_ROLE_DIGITAL_KEY,
        valid_seconds=600,
    )
    assert problem_in(await check(door("status", FOREIGN)))["code"] == "VEHICLE_NOT_FOUND"
    async with service.channel("team/operator") as channel, service.channel("room/signer") as services:
        operator, signer = AccessServiceStub(channel), AccessServiceStub(services)
        created = await operator.CreateGrant(asked, timeout=5)
        assert "door.unlock" in created.actions
        assert created.expires_at.seconds == created.created_at.seconds + 600
        assert (await check(door("status", FOREIGN))).HasField("ok_response")
        assert problem_in(await check(door("history", FOREIGN)))["code"] == "ACTION_NOT_GRANTED"
        question = access_service_pb2.GrantQuestion(subject="user-123", vin=FOREIGN, action="door.unlock")
        questions = access_service_pb2.CheckGrantsRequest(questions=[question])
        answer = await signer.CheckGrants(questions, timeout=5)
        assert (list(answer.allowed), list(answer.roles)) == ([True], [grant_pb2.GRANT_ROLE_DIGITAL_KEY])

        revoked = await operator.RevokeGrant(access_service_pb2.RevokeGrantRequest(grant_id="g-9"), timeout=5)
        assert revoked.HasField("revoked_at")
        assert problem_in(await check(door("status", FOREIGN)))["code"] == "VEHICLE_NOT_FOUND"
        answer = await signer.CheckGrants(questions, timeout=5)
        assert (list(answer.allowed), list(answer.roles)) == ([False], [grant_pb2.GRANT_ROLE_UNSPECIFIED])
        listed = await operator.ListGrants(access_service_pb2.ListGrantsRequest(vin=FOREIGN), timeout=5)
        assert [grant.grant_id for grant in listed.grants] == ["sandbox-2", "g-9"]
    (told,) = revocations(sent)
    assert (told.grant_id, told.principal, told.vin) == ("g-9", "user-123", FOREIGN)
    assert (told.kind, list(told.remaining)) == (grant_pb2.ENDED_RIGHT_GRANT, [])


async def test_what_another_grant_still_allows_is_told_with_the_end_of_one(access: Any) -> None:
    service, sent = access
    second = access_service_pb2.CreateGrantRequest(
        grant_id="g-2",
        principal="user-123",
        vin=VIN,
        role=grant_pb2.GRANT_ROLE_DIGITAL_KEY,
        actions=["door.updates.read"],
        valid_seconds=600,
    )
    async with service.channel("team/operator") as channel:
        operator = AccessServiceStub(channel)
        kept = await operator.CreateGrant(second, timeout=5)
        await operator.RevokeGrant(access_service_pb2.RevokeGrantRequest(grant_id="sandbox-1"), timeout=5)
    (told,) = revocations(sent)
    assert [(each.action, each.until.seconds) for each in told.remaining] == [
        ("door.updates.read", kept.expires_at.seconds)
    ]


async def test_an_account_is_locked_and_unlocked(access: Any, check: CheckEdge) -> None:
    service, sent = access
    lock = access_service_pb2.LockAccountRequest(principal="user-123", reason="the phone was stolen")
    unlock = access_service_pb2.UnlockAccountRequest(principal="user-123")
    of_an_agent = access_service_pb2.GrantQuestion(
        subject="user-456", actor="user-123", vin=FOREIGN, action="door.lock"
    )
    questions = access_service_pb2.CheckGrantsRequest(questions=[of_an_agent])
    async with service.channel("operator") as channel, service.channel("room/signer") as services:
        operator, signer = AccessServiceStub(channel), AccessServiceStub(services)
        assert (await check(door("status"))).HasField("ok_response")
        assert list((await signer.CheckGrants(questions, timeout=5)).allowed) == [True]
        for _ in range(2):
            locked = await operator.LockAccount(lock, timeout=5)
            assert (locked.reason, locked.HasField("locked_at")) == ("the phone was stolen", True)
        assert problem_in(await check(door("status")))["code"] == "ACCOUNT_LOCKED"
        assert list((await signer.CheckGrants(questions, timeout=5)).allowed) == [False]
        async with service.channel(ALICE) as named:  # in the sandbox one is enough
            for _ in range(2):
                assert not (await AccessServiceStub(named).UnlockAccount(unlock, timeout=5)).HasField(
                    "locked_at"
                )
        assert (await check(door("status"))).HasField("ok_response")
        assert list((await signer.CheckGrants(questions, timeout=5)).allowed) == [True]
    (told,) = revocations(sent)
    assert (told.kind, told.principal, told.vin) == (grant_pb2.ENDED_RIGHT_ACCOUNT, "user-123", "")


@pytest.mark.parametrize("by", ["id", "the key itself"])
async def test_an_api_key_is_revoked(access: Any, check: CheckEdge, by: str) -> None:
    service, sent = access
    async with service.channel("operator") as channel, service.channel("room/signer") as services:
        operator, signer = AccessServiceStub(channel), AccessServiceStub(services)
        listing = access_service_pb2.ListApiKeysRequest(principal="user-123")
        (key,) = (await operator.ListApiKeys(listing, timeout=5)).keys
        question = access_service_pb2.GrantQuestion(
            subject="user-123", vin=VIN, action="door.lock", credential=key.key_id
        )
        questions = access_service_pb2.CheckGrantsRequest(questions=[question])
        assert list((await signer.CheckGrants(questions, timeout=5)).allowed) == [True]
        assert (await check(door("status"))).HasField("ok_response")
        which = {"key_id": key.key_id} if by == "id" else {"key": PUBLISHED_KEY}
        for _ in range(2):
            revoked = await operator.RevokeApiKey(access_service_pb2.RevokeApiKeyRequest(**which), timeout=5)
            assert (revoked.key_id, revoked.HasField("revoked_at")) == (key.key_id, True)
        assert list((await signer.CheckGrants(questions, timeout=5)).allowed) == [False]
        assert problem_in(await check(door("status")))["code"] == "TOKEN_INVALID"
        unknown = access_service_pb2.RevokeApiKeyRequest(key_id="key_" + "0" * 32)
        assert await code_of(operator.RevokeApiKey(unknown, timeout=5)) is grpc.StatusCode.NOT_FOUND
    (told,) = revocations(sent)
    assert (told.kind, told.credential) == (grant_pb2.ENDED_RIGHT_CREDENTIAL, key.key_id)


async def test_a_withdrawn_key_of_the_issuer_ends_all_that_rests_on_it(
    access: Any, check: CheckEdge, token_issuer: TokenIssuer
) -> None:
    service, sent = access
    await token_issuer.watch.look()
    bearer = {"authorization": f"Bearer {token_issuer.token()}"}
    answer = await check(door("status"), headers=bearer)
    token = headers_of(answer.ok_response.headers)["x-ecarus-capability"]
    credential = jwt.decode(token, options={"verify_signature": False})["cred"]
    question = access_service_pb2.GrantQuestion(
        subject="user-123", vin=VIN, action="door.lock", credential=credential
    )
    questions = access_service_pb2.CheckGrantsRequest(questions=[question])
    async with service.channel("room/signer") as services:
        signer = AccessServiceStub(services)
        assert list((await signer.CheckGrants(questions, timeout=5)).allowed) == [True]
        token_issuer.jwks.write_text('{"keys": []}')
        await token_issuer.watch.look()
        assert list((await signer.CheckGrants(questions, timeout=5)).allowed) == [False]
    assert problem_in(await check(door("status"), headers=bearer))["code"] == "TOKEN_INVALID"
    (told,) = revocations(sent)
    assert (told.kind, told.credential, told.principal, told.vin) == (
        grant_pb2.ENDED_RIGHT_CREDENTIAL,
        credential,
        "",
        "",
    )
    await token_issuer.watch.look()
    assert len(sent) == 1


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"vin": "short"}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"role": 0}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"actions": ["door.config.write"]}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"grant_id": "sandbox-1"}, grpc.StatusCode.ALREADY_EXISTS),
    ],
)
async def test_a_wrong_grant_is_refused(access: Any, changed: dict[str, Any], code: grpc.StatusCode) -> None:
    service, _ = access
    form = {
        "grant_id": "g-9",
        "principal": "friend",
        "vin": VIN,
        "role": grant_pb2.GRANT_ROLE_DIGITAL_KEY,
        **changed,
    }
    async with service.channel("team/operator") as channel:
        asked = access_service_pb2.CreateGrantRequest(**form)
        assert await code_of(AccessServiceStub(channel).CreateGrant(asked, timeout=5)) is code
        unknown = access_service_pb2.RevokeGrantRequest(grant_id="nobody")
        answer = AccessServiceStub(channel).RevokeGrant(unknown, timeout=5)
        assert await code_of(answer) is grpc.StatusCode.NOT_FOUND


async def listed_by(stub: Any, vin: str = FOREIGN) -> dict[str, Any]:
    answer = await stub.ListGrants(access_service_pb2.ListGrantsRequest(vin=vin), timeout=5)
    return {grant.grant_id: grant for grant in answer.grants}


@pytest.mark.parametrize("production", [True])
async def test_an_owner_s_grant_counts_once_a_second_operator_has_approved(
    operators: Any, check: CheckEdge, tmp_path: Path
) -> None:
    alice, bob = operators
    asked = await alice.CreateGrant(owner(valid_seconds=600), timeout=5)
    assert (asked.pending, asked.requested_by, asked.approved_by) == (True, f"spiffe://ecarus/{ALICE}", "")
    assert await alice.CreateGrant(owner(valid_seconds=600), timeout=5) == asked
    assert (await listed_by(bob))["g-9"] == asked
    assert problem_in(await check(door("status", FOREIGN)))["code"] == "VEHICLE_NOT_FOUND"
    approval = access_service_pb2.ApproveGrantRequest(grant_id="g-9")
    assert await code_of(alice.ApproveGrant(approval, timeout=5)) is grpc.StatusCode.PERMISSION_DENIED
    assert problem_in(await check(door("status", FOREIGN)))["code"] == "VEHICLE_NOT_FOUND"

    approved = await bob.ApproveGrant(approval, timeout=5)
    assert (approved.pending, approved.approved_by) == (False, f"spiffe://ecarus/{BOB}")
    assert approved.expires_at.seconds == approved.created_at.seconds + 600
    assert (await check(door("config", FOREIGN))).HasField("ok_response")
    assert await bob.ApproveGrant(approval, timeout=5) == approved
    assert (await listed_by(alice))["g-9"] == approved
    assert (await alice.CreateGrant(owner(valid_seconds=600), timeout=5)).pending is False
    with closing(sqlite3.connect(tmp_path / "access-record.sqlite3")) as database:
        rows = database.execute("SELECT act, actor FROM audit_entry WHERE grant_id = 'g-9' ORDER BY sequence")
        assert rows.fetchall() == [
            ("GRANT_REQUESTED", f"spiffe://ecarus/{ALICE}"),
            ("GRANT_APPROVED", f"spiffe://ecarus/{BOB}"),
            ("GRANT_CREATED", f"spiffe://ecarus/{ALICE}"),
        ]

    revoked = await alice.RevokeGrant(access_service_pb2.RevokeGrantRequest(grant_id="g-9"), timeout=5)
    assert revoked.HasField("revoked_at")
    assert problem_in(await check(door("status", FOREIGN)))["code"] == "VEHICLE_NOT_FOUND"
    await bob.ApproveGrant(approval, timeout=5)  # which brings nothing back
    assert problem_in(await check(door("status", FOREIGN)))["code"] == "VEHICLE_NOT_FOUND"


@pytest.mark.parametrize("production", [True])
async def test_a_pending_grant_can_be_revoked_and_then_not_approved(operators: Any) -> None:
    alice, bob = operators
    await alice.CreateGrant(owner(), timeout=5)
    revoke = access_service_pb2.RevokeGrantRequest(grant_id="g-9")
    revoked = await bob.RevokeGrant(revoke, timeout=5)
    assert (revoked.pending, revoked.HasField("revoked_at")) == (False, True)
    assert await alice.RevokeGrant(revoke, timeout=5) == revoked
    for grant_id in ("g-9", "nobody"):
        approval = bob.ApproveGrant(access_service_pb2.ApproveGrantRequest(grant_id=grant_id), timeout=5)
        assert await code_of(approval) is grpc.StatusCode.NOT_FOUND
    assert "g-9" not in await listed_by(bob)


@pytest.mark.parametrize("production", [True])
async def test_only_an_owner_s_grant_needs_two_and_an_id_says_one_thing(operators: Any) -> None:
    alice, bob = operators
    key = await alice.CreateGrant(owner(role=grant_pb2.GRANT_ROLE_DIGITAL_KEY), timeout=5)
    assert (key.pending, key.requested_by) == (False, "")
    conflict = grpc.StatusCode.ALREADY_EXISTS
    assert await code_of(bob.CreateGrant(owner(), timeout=5)) is conflict
    await alice.CreateGrant(owner(grant_id="g-10"), timeout=5)
    assert await code_of(bob.CreateGrant(owner(grant_id="g-10", vin=VIN), timeout=5)) is conflict
    beyond = owner(grant_id="g-11", actions=["door.fly"])
    assert await code_of(alice.CreateGrant(beyond, timeout=5)) is grpc.StatusCode.INVALID_ARGUMENT


async def test_in_the_sandbox_one_operator_is_enough(operators: Any, check: CheckEdge) -> None:
    alice, bob = operators
    granted = await alice.CreateGrant(owner(), timeout=5)
    assert (granted.pending, granted.requested_by) == (False, "")
    assert (await check(door("config", FOREIGN))).HasField("ok_response")
    approval = bob.ApproveGrant(access_service_pb2.ApproveGrantRequest(grant_id="g-9"), timeout=5)
    assert await code_of(approval) is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("peer", ["operator", "operator/alice", "team/operators", "team/demo", "edge"])
async def test_nobody_but_operators_approves(access: Any, peer: str) -> None:
    service, _ = access
    async with service.channel(peer) as channel:
        approval = access_service_pb2.ApproveGrantRequest(grant_id="g-9")
        answer = AccessServiceStub(channel).ApproveGrant(approval, timeout=5)
        assert await code_of(answer) is grpc.StatusCode.PERMISSION_DENIED

"""The access room over real mTLS: Envoy's question, and grants for rooms and operators."""

from __future__ import annotations

import asyncio
import base64
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import grpc
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ecarus.remotecontrol.access.v1 import access_service_pb2, grant_pb2
from ecarus.remotecontrol.access.v1.access_service_pb2_grpc import (
    AccessServiceStub,
    add_AccessServiceServicer_to_server,
)
from ecarus.remotecontrol.door.v1 import door_command_service_pb2
from envoy_ext_authz import external_auth_pb2
from envoy_ext_authz.external_auth_pb2_grpc import AuthorizationStub, add_AuthorizationServicer_to_server
from google.rpc import error_details_pb2, status_pb2

import services.access
from services.access import seed, store, translate
from services.access.admission import Admission
from services.access.capability_issuer import CapabilityIssuer, SigningKey
from services.access.domain import SANDBOX_CLIENTS, key_id_of
from services.access.identity import Identity, key_hash
from services.access.key_watch import KeyWatch
from services.access.limits import CountedRequests, RateLimits
from services.access.pending_grants import SqlPendingGrants
from services.access.pending_keys import SqlPendingApiKeys
from services.access.published_key import PUBLISHED_KEY
from services.access.routes import Routes
from services.access.server import POLICY, SERVICES, AccessServicer, AuthorizationServicer
from services.access.standings import Standings
from services.access.team_certificates import TeamCertificates
from services.access.tokens import TokenVerifier
from services.runtime.capability import CapabilityVerifier
from services.runtime.database import open_database
from services.runtime.migration import migrate
from services.runtime.server import RoomServer
from services.runtime.workload import Workloads, workload_of

if TYPE_CHECKING:
    from services.runtime.settings import RoomSettings

VIN, FOREIGN, UNKNOWN = "KMHSH81C7LU123456", "KMHSH81C7LU654321", "KMHSH81C7LU999999"
PEPPER = b"pepper-of-the-contract-tests"
SEED = {
    "vehicles": [VIN, FOREIGN],
    "grants": [
        {"grantId": "sandbox-1", "principal": "user-123", "vin": VIN, "role": "OWNER"},
        {"grantId": "sandbox-2", "principal": "user-456", "vin": FOREIGN, "role": "OWNER"},
    ],
    "apiKeys": [{"key": PUBLISHED_KEY, "principal": "user-123", "source": "MOBILE_APP"}],
}

RATES = {"command": 3, "read": 100, "refused": 30, "unknown": 20, "failed": 60}

CheckEdge = Callable[..., Awaitable[external_auth_pb2.CheckResponse]]


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class TokenIssuer:
    """The issuer of tokens, and what looks at its keys."""

    jwks: Path
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    watch: Any = None

    def publish(self) -> None:
        public = jwt.algorithms.OKPAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        self.jwks.write_text(json.dumps({"keys": [{**public, "kid": "i", "alg": "EdDSA"}]}))

    def token(self) -> str:
        now = int(time.time())
        claims = {
            "iss": "i",
            "aud": "a",
            "sub": "user-123",
            "client_id": "web",
            "iat": now,
            "exp": now + 600,
        }
        return jwt.encode(claims, self.key, algorithm="EdDSA", headers={"typ": "at+jwt", "kid": "i"})


@pytest.fixture
def token_issuer(tmp_path: Path) -> TokenIssuer:
    issuer = TokenIssuer(tmp_path / "issuer.jwks.json")
    issuer.publish()
    return issuer


@pytest.fixture
def production() -> bool:
    """Whether owners need two operators; a test that wants it overrides this."""
    return False


@pytest.fixture
async def access(
    start_room: Any, signer: Any, tmp_path: Path, token_issuer: TokenIssuer, *, production: bool
) -> AsyncIterator[Any]:
    """The running room, with the sandbox's seed and a token issuer of its own; `sent` is what it announced."""
    url = f"sqlite:///{tmp_path}/access-record.sqlite3"
    await asyncio.to_thread(migrate, url, Path(services.access.__file__).with_name("migrations"), store.HEAD)
    database = await open_database(url)
    planted = seed.Seed.model_validate(SEED)
    await database.write(lambda c: seed.plant(c, planted, PEPPER, utc_now()))
    sent: list[Any] = []
    standings = Standings(
        lambda s, a, v: database.read(lambda c: store.standing(c, s, a, v, utc_now())), time.time
    )

    def withdrawn(credentials: frozenset[str]) -> None:
        for credential in credentials:
            admission.forget(credential=credential)
        watch.hurry()

    tokens = TokenVerifier(
        issuer="i",
        audience="a",
        jwks=token_issuer.jwks,
        clients=SANDBOX_CLIENTS,
        now=time.time,
        changed=withdrawn,
    )
    issuer = CapabilityIssuer(SigningKey(signer.key, "test"), time.time)
    workloads = Workloads()
    admission = Admission(
        routes=Routes(),
        identity=Identity(
            tokens=tokens,
            find_key=lambda digest: database.read(lambda c: store.find_key(c, digest, utc_now())),
            pepper=PEPPER,
            sandbox=True,
            now=time.time,
        ),
        standings=standings,
        limits=RateLimits(RATES, time.monotonic),
        counted=CountedRequests(time.monotonic),
        issuer=issuer,
        team_certificate=TeamCertificates(workloads).name_of,
    )
    pending = SqlPendingGrants(database) if production else None
    pending_keys = SqlPendingApiKeys(database) if production else None
    record = store.SqlGrantRecord(database, translate.revocation, sent.extend)
    watch = KeyWatch(tokens, issuer, lambda: SigningKey(signer.key, "test"), record, utc_now, seconds=60)
    token_issuer.watch = watch

    def build(settings: RoomSettings, verifier: CapabilityVerifier) -> RoomServer:
        def register(server: grpc.aio.Server) -> None:
            add_AuthorizationServicer_to_server(AuthorizationServicer(admission), server)
            servicer = AccessServicer(
                record,
                admission.forget,
                utc_now,
                pending,
                pending_keys,
                trusts=tokens.trusts,
                hash_key=partial(key_hash, PEPPER),
            )
            add_AccessServiceServicer_to_server(servicer, server)

        return RoomServer(
            settings, SERVICES, register, POLICY, verifier, translate.refusal_of, workloads=workloads
        )

    room = await start_room("access", build)
    yield room, sent
    await database.close()


@pytest.fixture
async def check(access: Any) -> AsyncIterator[CheckEdge]:
    """Asks as Envoy does."""
    room, _ = access
    async with room.channel("edge") as channel:
        stub = AuthorizationStub(channel)

        async def ask(
            path: str, *, listener: str = "public", certificate: bytes = b"", **http: Any
        ) -> external_auth_pb2.CheckResponse:
            headers = {"authorization": f"Bearer {PUBLISHED_KEY}", "x-correlation-id": "test-1"}
            headers |= http.pop("headers", {})
            request = external_auth_pb2.CheckRequest()
            request.attributes.context_extensions["listener"] = listener
            form = external_auth_pb2.AttributeContext.HttpRequest(
                method=http.pop("method", "GET"), path=path, headers=headers, **http
            )
            request.attributes.request.http.CopyFrom(form)
            request.attributes.source.certificate = quote(certificate)
            answer: external_auth_pb2.CheckResponse = await stub.Check(request, timeout=5)
            return answer

        yield ask


def door(path: str, vin: str = VIN) -> str:
    return f"/api/v1/remotecontrol/vehicles/{vin}/door/{path}"


def headers_of(options: Any) -> dict[str, str]:
    assert all(option.HasField("append") and not option.append.value for option in options)
    return {option.header.key: option.header.value for option in options}


def problem_in(answer: external_auth_pb2.CheckResponse) -> dict[str, Any]:
    denied = answer.denied_response
    document: dict[str, Any] = json.loads(denied.body)
    assert document["status"] == denied.status.code
    assert headers_of(denied.headers)["content-type"] == "application/problem+json"
    assert headers_of(denied.headers)["x-correlation-id"] == document["correlationId"]
    assert answer.status.code != 0
    return document


async def test_the_samples_of_the_specification_are_let_through(check: CheckEdge, signer: Any) -> None:
    answer = await check(
        door("unlock"),
        method="POST",
        headers={"content-type": "application/json"},
        raw_body=b'{"targetDoors": ["all"], "unlockMode": "NORMAL"}',
    )
    ok = answer.ok_response
    upstream = headers_of(ok.headers)
    assert upstream["x-correlation-id"] == "test-1"
    assert headers_of(ok.response_headers_to_add) == {"x-correlation-id": "test-1"}
    assert "authorization" in ok.headers_to_remove
    capability = CapabilityVerifier(signer.jwks).verify(upstream["x-ecarus-capability"])
    assert (capability.subject, capability.vin) == ("user-123", VIN)
    assert capability.role == "OWNER"
    assert 0 < time.time() - capability.since < 60


async def test_a_denial_is_a_finished_problem_document(check: CheckEdge) -> None:
    path = door("unlock") + "?vin=KMHSH81C7LU654321"
    document = problem_in(
        await check(
            path,
            method="POST",
            headers={"content-type": "application/json"},
            raw_body=b'{"targetDoors": "all"}',
        )
    )
    assert document == {
        "type": "https://docs.ecarus.example/problems/invalid-request",
        "title": "Invalid request",
        "status": 400,
        "detail": "The request has parts that are not valid; correct them and send it again.",
        "instance": door("unlock"),
        "code": "INVALID_REQUEST",
        "correlationId": "test-1",
        "retryable": False,
        "mayHaveSucceeded": False,
        "errors": [
            {"field": "vin", "reason": "is not a query parameter of this method"},
            {"field": "targetDoors", "reason": "must be a list"},
        ],
    }


async def test_401_challenges(check: CheckEdge) -> None:
    answer = await check(door("status"), headers={"authorization": "Bearer sk_unknown"})
    assert problem_in(answer)["code"] == "TOKEN_INVALID"
    challenge = headers_of(answer.denied_response.headers)["www-authenticate"]
    assert challenge.startswith("Bearer ")
    assert 'error="invalid_token"' in challenge


async def test_unknown_and_foreign_vehicles_look_the_same(check: CheckEdge) -> None:
    answers = [
        problem_in(await check(door("status", vin), headers={"x-correlation-id": "same"}))
        for vin in (FOREIGN, UNKNOWN)
    ]
    instances = [answer.pop("instance") for answer in answers]
    assert instances == [door("status", FOREIGN), door("status", UNKNOWN)]
    assert answers[0] == answers[1]
    assert answers[0]["code"] == "VEHICLE_NOT_FOUND"


async def test_429_says_when_to_come_back(check: CheckEdge) -> None:
    command = {
        "method": "POST",
        "headers": {"content-type": "application/json", "x-correlation-id": "made", "x-request-id": "made"},
        "raw_body": b'{"targetDoors": ["all"]}',
    }
    answers = [await check(door("unlock"), **command) for _ in range(4)]
    assert [a.WhichOneof("http_response") for a in answers] == ["ok_response"] * 3 + ["denied_response"]
    assert problem_in(answers[3])["retryable"] is True
    headers = headers_of(answers[3].denied_response.headers)
    assert headers["retry-after"] == "20"
    assert headers["ratelimit-policy"] == '"command";q=3;w=60'
    assert headers["ratelimit"] == '"command";r=0;t=20'
    locks = [await check(door("lock"), **command) for _ in range(20)]
    assert {a.WhichOneof("http_response") for a in locks} == {"ok_response"}


async def test_neither_what_is_refused_nor_what_is_repeated_spends_the_rate(check: CheckEdge) -> None:
    def order(doors: str, correlation_id: str) -> dict[str, Any]:
        body = f'{{"targetDoors":{doors}}}'.encode()
        headers = {
            "content-type": "application/json",
            "x-correlation-id": correlation_id,
            "x-request-id": "r",
        }
        return {"method": "POST", "raw_body": body, "headers": headers}

    for number in range(5):
        for doors in ("[]", '["all","driver"]', '["boot"]'):
            refused = await check(door("unlock"), **order(doors, f"bad-{number}"))
            assert problem_in(refused)["code"] == "INVALID_REQUEST"
        assert (await check(door("unlock"), **order('["all"]', "mine"))).HasField("ok_response")
    for correlation_id in ("b", "c"):
        assert (await check(door("unlock"), **order('["all"]', correlation_id))).HasField("ok_response")
    spent = await check(door("unlock"), **order('["all"]', "d"))
    assert problem_in(spent)["code"] == "RATE_LIMITED"
    assert (await check(door("unlock"), **order('["all"]', "mine"))).HasField("ok_response")


async def native(check: CheckEdge, vin: str, certificate: bytes) -> external_auth_pb2.CheckResponse:
    asked = door_command_service_pb2.UnlockDoorsRequest(vin=vin, unlock={"target_doors": ["all"]})
    message = asked.SerializeToString()
    return await check(
        "/ecarus.remotecontrol.door.v1.DoorCommandService/UnlockDoors",
        listener="team",
        certificate=certificate,
        method="POST",
        headers={"content-type": "application/grpc"},
        raw_body=b"\0" + len(message).to_bytes(4, "big") + message,
    )


@pytest.mark.parametrize(
    "names",
    [
        [x509.DNSName("spiffe://ecarus/team/demo")],
        [x509.UniformResourceIdentifier("spiffe://ecarus/team/" + name) for name in ("demo", "operator")],
        [x509.UniformResourceIdentifier("spiffe://ecarus/edge")],
        [x509.UniformResourceIdentifier(f"spiffe://ecarus/vehicle/{VIN}")],
    ],
)
async def test_envoy_s_word_for_a_team_is_not_enough(check: CheckEdge, pki: Any, names: Any) -> None:
    answer = await native(check, VIN, pki.signed(names).cert.read_bytes())
    assert headers_of(answer.denied_response.headers)["grpc-status"] == "7"


async def test_a_team_s_certificate_ends_with_its_revocation_on_a_live_connection(
    access: Any, check: CheckEdge, pki: Any
) -> None:
    revoked, other = (pki.of(f"team/{name}").cert.read_bytes() for name in ("revoked", "demo"))
    assert (await native(check, VIN, revoked)).HasField("ok_response")
    workload = workload_of(revoked)
    access[0].server.revoke(frozenset({workload.certificate}))
    answer = await native(check, VIN, revoked)
    assert headers_of(answer.denied_response.headers)["grpc-status"] == "7"
    assert (await native(check, VIN, other)).HasField("ok_response")


async def test_a_native_denial_is_a_grpc_status(check: CheckEdge, pki: Any) -> None:
    answer = await native(check, FOREIGN, pki.of("team/demo").cert.read_bytes())
    denied = answer.denied_response
    headers = headers_of(denied.headers)
    assert headers["grpc-status"] == str(grpc.StatusCode.NOT_FOUND.value[0])
    encoded = headers["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(base64.b64decode(encoded + "=" * (-len(encoded) % 4)))
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, denied.body) == ("VEHICLE_NOT_FOUND", status.message)


async def code_of(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    code: grpc.StatusCode = caught.value.code()
    return code


async def test_only_their_own_peers_may_ask(access: Any) -> None:
    room, _ = access
    question = access_service_pb2.GrantQuestion(subject="user-123", vin=VIN, action="door.unlock")
    questions = access_service_pb2.CheckGrantsRequest(questions=[question])
    listing = access_service_pb2.ListGrantsRequest(vin=VIN)
    denied = grpc.StatusCode.PERMISSION_DENIED
    for peer in ("edge", "room/status", "room/command", "team/fleet"):
        async with room.channel(peer) as channel:
            stub = AccessServiceStub(channel)
            assert await code_of(stub.CheckGrants(questions, timeout=5)) is denied
            assert await code_of(stub.ListGrants(listing, timeout=5)) is denied
            lock = access_service_pb2.LockAccountRequest(principal="user-123", reason="mischief")
            assert await code_of(stub.LockAccount(lock, timeout=5)) is denied
            leaked = access_service_pb2.RevokeApiKeyRequest(key=PUBLISHED_KEY)
            assert await code_of(stub.RevokeApiKey(leaked, timeout=5)) is denied
            revoke = access_service_pb2.RevokeGrantRequest(grant_id="sandbox-1")
            assert await code_of(stub.RevokeGrant(revoke, timeout=5)) is denied
    async with room.channel("room/command") as channel:
        authorize = AuthorizationStub(channel)
        assert await code_of(authorize.Check(external_auth_pb2.CheckRequest(), timeout=5)) is denied


async def test_a_grant_lives_and_ends(access: Any, check: CheckEdge) -> None:
    room, sent = access
    asked = access_service_pb2.CreateGrantRequest(
        grant_id="g-9",
        principal="user-123",
        vin=FOREIGN,
        role=grant_pb2.GRANT_ROLE_DIGITAL_KEY,
        valid_seconds=600,
    )
    assert problem_in(await check(door("status", FOREIGN)))["code"] == "VEHICLE_NOT_FOUND"
    async with room.channel("team/operator") as channel, room.channel("room/signer") as rooms:
        operator, signer = AccessServiceStub(channel), AccessServiceStub(rooms)
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
    (told,) = (grant_pb2.GrantRevoked.FromString(message.payload) for message in sent)
    assert (told.grant_id, told.principal, told.vin) == ("g-9", "user-123", FOREIGN)
    assert (told.kind, list(told.remaining)) == (grant_pb2.ENDED_RIGHT_GRANT, [])


async def test_what_another_grant_still_allows_is_told_with_the_end_of_one(access: Any) -> None:
    room, sent = access
    second = access_service_pb2.CreateGrantRequest(
        grant_id="g-2",
        principal="user-123",
        vin=VIN,
        role=grant_pb2.GRANT_ROLE_DIGITAL_KEY,
        actions=["door.updates.read"],
        valid_seconds=600,
    )
    async with room.channel("team/operator") as channel:
        operator = AccessServiceStub(channel)
        kept = await operator.CreateGrant(second, timeout=5)
        await operator.RevokeGrant(access_service_pb2.RevokeGrantRequest(grant_id="sandbox-1"), timeout=5)
    (told,) = (grant_pb2.GrantRevoked.FromString(message.payload) for message in sent)
    assert [(each.action, each.until.seconds) for each in told.remaining] == [
        ("door.updates.read", kept.expires_at.seconds)
    ]


async def test_an_account_is_locked_and_unlocked(access: Any, check: CheckEdge) -> None:
    room, sent = access
    lock = access_service_pb2.LockAccountRequest(principal="user-123", reason="the phone was stolen")
    unlock = access_service_pb2.UnlockAccountRequest(principal="user-123")
    of_an_agent = access_service_pb2.GrantQuestion(
        subject="user-456", actor="user-123", vin=FOREIGN, action="door.lock"
    )
    questions = access_service_pb2.CheckGrantsRequest(questions=[of_an_agent])
    async with room.channel("operator") as channel, room.channel("room/signer") as rooms:
        operator, signer = AccessServiceStub(channel), AccessServiceStub(rooms)
        assert (await check(door("status"))).HasField("ok_response")
        assert list((await signer.CheckGrants(questions, timeout=5)).allowed) == [True]
        for _ in range(2):
            locked = await operator.LockAccount(lock, timeout=5)
            assert (locked.reason, locked.HasField("locked_at")) == ("the phone was stolen", True)
        assert problem_in(await check(door("status")))["code"] == "ACCOUNT_LOCKED"
        assert list((await signer.CheckGrants(questions, timeout=5)).allowed) == [False]
        for _ in range(2):
            assert not (await operator.UnlockAccount(unlock, timeout=5)).HasField("locked_at")
        assert (await check(door("status"))).HasField("ok_response")
        assert list((await signer.CheckGrants(questions, timeout=5)).allowed) == [True]
    (told,) = (grant_pb2.GrantRevoked.FromString(message.payload) for message in sent)
    assert (told.kind, told.principal, told.vin) == (grant_pb2.ENDED_RIGHT_ACCOUNT, "user-123", "")


@pytest.mark.parametrize("by", ["id", "the key itself"])
async def test_an_api_key_is_revoked(access: Any, check: CheckEdge, by: str) -> None:
    room, sent = access
    async with room.channel("operator") as channel, room.channel("room/signer") as rooms:
        operator, signer = AccessServiceStub(channel), AccessServiceStub(rooms)
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
    (told,) = (grant_pb2.GrantRevoked.FromString(message.payload) for message in sent)
    assert (told.kind, told.credential) == (grant_pb2.ENDED_RIGHT_CREDENTIAL, key.key_id)


async def test_a_withdrawn_key_of_the_issuer_ends_all_that_rests_on_it(
    access: Any, check: CheckEdge, token_issuer: TokenIssuer
) -> None:
    room, sent = access
    await token_issuer.watch.look()
    bearer = {"authorization": f"Bearer {token_issuer.token()}"}
    answer = await check(door("status"), headers=bearer)
    token = headers_of(answer.ok_response.headers)["x-ecarus-capability"]
    credential = jwt.decode(token, options={"verify_signature": False})["cred"]
    question = access_service_pb2.GrantQuestion(
        subject="user-123", vin=VIN, action="door.lock", credential=credential
    )
    questions = access_service_pb2.CheckGrantsRequest(questions=[question])
    async with room.channel("room/signer") as rooms:
        signer = AccessServiceStub(rooms)
        assert list((await signer.CheckGrants(questions, timeout=5)).allowed) == [True]
        token_issuer.jwks.write_text('{"keys": []}')
        await token_issuer.watch.look()
        assert list((await signer.CheckGrants(questions, timeout=5)).allowed) == [False]
    assert problem_in(await check(door("status"), headers=bearer))["code"] == "TOKEN_INVALID"
    (told,) = (grant_pb2.GrantRevoked.FromString(message.payload) for message in sent)
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
    room, _ = access
    form = {
        "grant_id": "g-9",
        "principal": "friend",
        "vin": VIN,
        "role": grant_pb2.GRANT_ROLE_DIGITAL_KEY,
        **changed,
    }
    async with room.channel("team/operator") as channel:
        asked = access_service_pb2.CreateGrantRequest(**form)
        assert await code_of(AccessServiceStub(channel).CreateGrant(asked, timeout=5)) is code
        unknown = access_service_pb2.RevokeGrantRequest(grant_id="nobody")
        answer = AccessServiceStub(channel).RevokeGrant(unknown, timeout=5)
        assert await code_of(answer) is grpc.StatusCode.NOT_FOUND


# Two operators for an owner's grant.

ALICE, BOB = "team/operator/alice", "team/operator/bob"


def owner(**changed: Any) -> access_service_pb2.CreateGrantRequest:
    form = {"grant_id": "g-9", "principal": "user-123", "vin": FOREIGN, "role": grant_pb2.GRANT_ROLE_OWNER}
    return access_service_pb2.CreateGrantRequest(**{**form, **changed})


@pytest.fixture
async def operators(access: Any) -> AsyncIterator[tuple[AccessServiceStub, AccessServiceStub]]:
    room, _ = access
    async with room.channel(ALICE) as one, room.channel(BOB) as other:
        yield AccessServiceStub(one), AccessServiceStub(other)


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
    room, _ = access
    async with room.channel(peer) as channel:
        approval = access_service_pb2.ApproveGrantRequest(grant_id="g-9")
        answer = AccessServiceStub(channel).ApproveGrant(approval, timeout=5)
        assert await code_of(answer) is grpc.StatusCode.PERMISSION_DENIED


# API keys that operators issue.


def key_for(**changed: Any) -> access_service_pb2.IssueApiKeyRequest:
    form = {"principal": "user-456", "name": "garage robot", "valid_seconds": 600, "source": "WEB"}
    return access_service_pb2.IssueApiKeyRequest(**{**form, **changed})


@pytest.fixture
async def clerk(access: Any) -> AsyncIterator[AccessServiceStub]:
    """The operators' certificate, which gives no rights."""
    room, _ = access
    async with room.channel("operator") as channel:
        yield AccessServiceStub(channel)


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
    ],
)
async def test_a_wrong_key_is_not_issued(operators: Any, clerk: Any, changed: dict[str, Any]) -> None:
    alice, _ = operators
    answer = alice.IssueApiKey(key_for(**changed), timeout=5)
    assert await code_of(answer) is grpc.StatusCode.INVALID_ARGUMENT
    assert await keys_of(clerk) == []


@pytest.mark.parametrize("peer", ["operator", "operator/alice", "team/operators", "team/demo", "edge"])
async def test_nobody_but_a_person_issues_and_approves_keys(access: Any, peer: str) -> None:
    room, _ = access
    async with room.channel(peer) as channel:
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

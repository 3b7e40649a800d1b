"""An admission with everything real but the clock, the disk and the record."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.access.adapters.authorizer import EdgeAuthorizer
from services.access.adapters.capability_issuer import CapabilityIssuer, SigningKey
from services.access.adapters.dpop import ProofVerifier
from services.access.adapters.edge_requests import EdgeRequest
from services.access.adapters.identity import CallerIdentifier, key_hash
from services.access.adapters.issuer_keys import KeyFile, KeyRing
from services.access.adapters.limits import CountedRequests, RateLimits
from services.access.adapters.permission_cache import PermissionCache
from services.access.adapters.routes import Routes
from services.access.adapters.session_gate import SessionCallers, SessionGate
from services.access.adapters.session_issuer import SessionIssuer
from services.access.adapters.tokens import TokenVerifier
from services.access.domain.accounts import SANDBOX_CLIENTS, Caller, Source
from services.access.domain.customer_cases import CaseRule
from services.access.domain.grants import ROLE_ACTIONS, GrantRole
from services.access.domain.permissions import EffectivePermissions
from services.access.domain.step_up import STRICT, TWO_FACTORS
from services.access.domain.tickets import TICKET_SECONDS, EventTicketUnknownError, digest_of
from services.access.usecases.agents import AgentSupervision
from services.access.usecases.authorization import RequestAuthorizer
from services.access.usecases.customer_cases import CaseCheck
from services.platform.capability import CapabilityVerifier
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from services.access.domain.agents import AgentAct, EmergencyApproval
    from services.access.domain.decisions import AccessDecision

VIN = "KMHSH81C7LU123456"
KEY = "sk_0123456789abcdef0123456789abcdef"
PEPPER = b"pepper-of-the-unit-tests"
ISSUER = "https://issuer.test"
AUDIENCE = "remote-door-control"
RATES = {
    "command": 10,
    "user": 30,
    "agent": 15,
    "client": 40,
    "address": 50,
    "cancel": 60,
    "read": 120,
    "refused": 30,
    "unknown": 20,
    "failed": 60,
}


def acting(agent: str, vin: str = VIN) -> dict[str, Any]:
    """The claims of a token with which an agent acts."""
    return {
        "client_id": "call-center",
        "act": {"sub": agent},
        "vin": vin,
        "case": "case-1",
        "exp": 1_800_000_300,
    }


@dataclass(slots=True)
class Clock:
    """Seconds since 1970, moved by hand."""

    at: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.at


@dataclass(slots=True)
class TokenIssuer:
    """An identity provider: an Ed25519 and a P-256 key, and the file with their public halves."""

    jwks: Path
    clock: Clock
    ed25519: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    p256: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def publish(self, ed25519_id: str = "ed", p256_id: str = "ec") -> None:
        ed = jwt.algorithms.OKPAlgorithm.to_jwk(self.ed25519.public_key(), as_dict=True)
        p256 = jwt.algorithms.ECAlgorithm.to_jwk(self.p256.public_key(), as_dict=True)
        keys = [{**ed, "kid": ed25519_id, "alg": "EdDSA"}, {**p256, "kid": p256_id, "alg": "ES256"}]
        self.jwks.write_text(json.dumps({"keys": keys}))

    def claims(self, **changed: Any) -> dict[str, Any]:
        now = int(self.clock())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "user-123",
            "client_id": "mobile-app",
            "iat": now,
            "nbf": now,
            "exp": now + 600,
            "jti": "1",
            "acr": TWO_FACTORS,
            "auth_time": now,
            **changed,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, *, kid: str = "ed", typ: str = "at+jwt", **changed: Any) -> str:
        headers = {"kid": kid, "typ": typ}
        return jwt.encode(self.claims(**changed), self.ed25519, algorithm="EdDSA", headers=headers)


@dataclass(slots=True)
class Record:
    """Where grants, accounts and keys are kept; it counts how often it is asked."""

    permission_cache: dict[tuple[str, str], EffectivePermissions] = field(default_factory=dict)
    keys: dict[bytes, Caller] = field(default_factory=dict)
    locked: set[str] = field(default_factory=set)
    away: bool = False
    asked: list[str] = field(default_factory=list)

    def grant(self, subject: str, vin: str, role: GrantRole = GrantRole.OWNER) -> None:
        self.permission_cache[subject, vin] = EffectivePermissions(ROLE_ACTIONS[role])

    async def load_permissions(self, subject: str, actor: str, vin: str) -> EffectivePermissions:
        self._ask(f"standing {vin}")
        known = self.permission_cache.get((subject, vin), EffectivePermissions(frozenset()))
        return replace(known, locked=frozenset(self.locked & {subject, actor}))

    async def find_key(self, digest: bytes) -> Caller | None:
        self._ask("key")
        return self.keys.get(digest)

    def _ask(self, what: str) -> None:
        if self.away:
            raise StorageUnavailableError("away")
        self.asked.append(what)


@dataclass(slots=True)
class Agents:
    """Where approvals and what owners are told are kept (usecases.agents.AgentRecord)."""

    approvals: list[EmergencyApproval] = field(default_factory=list)
    told: list[AgentAct] = field(default_factory=list)

    async def approve(self, approval: EmergencyApproval) -> None:
        self.approvals.append(approval)

    async def is_approved(self, vin: str, subject: str, agent: str, case: str, *, at: datetime) -> bool:
        which = (vin, subject, agent, case)
        return any(
            (each.vin, each.subject, each.agent, each.case) == which and each.ends_at > at
            for each in self.approvals
        )

    async def notify(self, act: AgentAct) -> None:
        self.told.append(act)


class NoCases:
    """A record without cases (usecases.customer_cases.CaseRecord), as far as it is asked here."""

    async def find(self, case_number: str) -> None: ...

    def invalidate(self) -> None: ...


@dataclass(slots=True)
class AccessHarness:
    """The service without its doors. `user-123` owns VIN and holds KEY."""

    clock: Clock
    record: Record
    issuer: TokenIssuer
    identity: CallerIdentifier
    tokens: TokenVerifier
    permission_cache: PermissionCache
    authorizer: RequestAuthorizer
    edge: EdgeAuthorizer
    verifier: CapabilityVerifier
    agents: Agents
    decisions: list[AccessDecision]
    revoked: Revoked

    def request(self, path: str = "status", **changed: Any) -> EdgeRequest:
        """A GET of VIN's `path` with KEY; `headers` are added, None takes one away."""
        headers = {"authorization": f"Bearer {KEY}", "x-request-id": "made-1", "x-correlation-id": "made-1"}
        headers |= changed.pop("headers", {})
        form = {
            "method": "GET",
            "path": path if path.startswith("/") else f"/api/v1/remotecontrol/vehicles/{VIN}/door/{path}",
            "body": b"",
            "team_listener": False,
        }
        return EdgeRequest(**{**form, **changed}, headers={k: v for k, v in headers.items() if v is not None})

    def unlock(self, body: bytes = b'{"targetDoors":["all"]}', **changed: Any) -> EdgeRequest:
        headers = {"content-type": "application/json", **changed.pop("headers", {})}
        path = changed.pop("path", "unlock")
        return self.request(path, method="POST", body=body, headers=headers, **changed)


@dataclass(slots=True)
class Revoked:
    """What was withdrawn of what sessions were opened with (usecases.sessions.SessionRecord)."""

    keys: set[str] = field(default_factory=set)
    certificates: set[str] = field(default_factory=set)

    async def is_withdrawn(self, credential: str, *, at: datetime) -> bool:  # noqa: ARG002  # the port's signature
        return credential in self.keys


class FakeTickets:
    """Tickets in memory."""

    def __init__(self) -> None:
        self.kept: dict[bytes, tuple[str, datetime]] = {}

    async def keep(self, ticket: str, session: str, *, at: datetime, vin: str = "") -> None:
        self.kept[digest_of(ticket, vin)] = (session, at)

    async def use(self, ticket: str, *, at: datetime, vin: str = "") -> str:
        session, kept_at = self.kept.pop(digest_of(ticket, vin), ("", at))
        if not session or (at - kept_at).total_seconds() >= TICKET_SECONDS:
            raise EventTicketUnknownError
        return session


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def token_issuer(clock: Clock, tmp_path: Path) -> TokenIssuer:
    issuer = TokenIssuer(tmp_path / "issuer.jwks.json", clock)
    issuer.publish()
    return issuer


@pytest.fixture
def issuer_keys(token_issuer: TokenIssuer, clock: Clock) -> KeyFile:
    return KeyFile(token_issuer.jwks, KeyRing(), clock)


@pytest.fixture
def tokens(issuer_keys: KeyFile, clock: Clock) -> TokenVerifier:
    return TokenVerifier(
        issuer=ISSUER, audience=AUDIENCE, keys=issuer_keys, clients=SANDBOX_CLIENTS, now=clock
    )


@pytest.fixture
def house(clock: Clock, token_issuer: TokenIssuer, tokens: TokenVerifier, tmp_path: Path) -> AccessHarness:
    record = Record()
    record.grant("user-123", VIN)
    record.keys[key_hash(PEPPER, KEY)] = Caller(
        "user-123", "user-123", Source.MOBILE_APP, carries=frozenset(STRICT)
    )
    signing = Ed25519PrivateKey.generate()
    public = jwt.algorithms.OKPAlgorithm.to_jwk(signing.public_key(), as_dict=True)
    jwks = tmp_path / "capability.jwks.json"
    jwks.write_text(json.dumps({"keys": [{**public, "kid": "c", "alg": "EdDSA"}]}))
    identity = CallerIdentifier(
        tokens=tokens,
        find_key=record.find_key,
        pepper=PEPPER,
        sandbox=True,
        now=clock,
        proofs=ProofVerifier(clock),
    )
    permission_cache = PermissionCache(record.load_permissions, clock)
    agents = Agents()
    decisions: list[AccessDecision] = []
    authorizer = RequestAuthorizer(
        callers=identity,
        permissions=permission_cache,
        rates=RateLimits(RATES, clock),
        counted=CountedRequests(clock),
        capabilities=CapabilityIssuer(SigningKey(signing, "c"), clock),
        step_up_table=STRICT,
        observe=lambda _signal: None,
        decided=decisions.append,
        agents=AgentSupervision(agents, lambda: datetime.fromtimestamp(clock(), UTC)),
        cases=CaseCheck(NoCases(), CaseRule.VOUCHED),
        now=clock,
    )
    verifier, revoked = CapabilityVerifier(jwks, clock), Revoked()

    def moment() -> datetime:
        return datetime.fromtimestamp(clock(), UTC)

    callers = SessionCallers(
        verifier, revoked, lambda _credential: True, revoked.certificates.__contains__, moment
    )
    sessions = SessionGate(
        SessionIssuer(lambda: SigningKey(signing, "c"), clock), FakeTickets(), callers, moment
    )
    edge = EdgeAuthorizer(
        authorizer, Routes(), lambda certificate: "c-1" if certificate == "team" else None, sessions
    )
    return AccessHarness(
        clock,
        record,
        token_issuer,
        identity,
        tokens,
        permission_cache,
        authorizer,
        edge,
        verifier,
        agents,
        decisions,
        revoked,
    )

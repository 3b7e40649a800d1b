"""The access service over real mTLS, with the sandbox's seed."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ecarus.remotecontrol.access.v1 import grant_pb2
from envoy_ext_authz import external_auth_pb2

from protocol.subjects import GRANT_REVOKED_SUBJECT
from services.access.adapters.published_key import PUBLISHED_KEY
from services.access.domain.key_scopes import WORDS
from services.access.domain.step_up import TWO_FACTORS

if TYPE_CHECKING:
    from pathlib import Path

VIN, FOREIGN, UNKNOWN = "KMHSH81C7LU123456", "KMHSH81C7LU654321", "KMHSH81C7LU999999"


PEPPER = b"pepper-of-the-contract-tests"


SEED = {
    "vehicles": [VIN, FOREIGN],
    "grants": [
        {"grantId": "sandbox-1", "principal": "user-123", "vin": VIN, "role": "OWNER"},
        {"grantId": "sandbox-2", "principal": "user-456", "vin": FOREIGN, "role": "OWNER"},
    ],
    "apiKeys": [
        {
            "key": PUBLISHED_KEY,
            "principal": "user-123",
            "source": "MOBILE_APP",
            "scopes": sorted(WORDS),
        }
    ],
}


RATES = {"command": 3, "cancel": 60, "read": 100, "refused": 30, "unknown": 20, "failed": 60}


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

    def token(self, subject: str = "user-123", **more: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": "i",
            "aud": "a",
            "sub": subject,
            "client_id": "web",
            "iat": now,
            "exp": now + 300,
            "jti": "1",
            "acr": TWO_FACTORS,
            "auth_time": now,
            **more,
        }
        return jwt.encode(claims, self.key, algorithm="EdDSA", headers={"typ": "at+jwt", "kid": "i"})


def acting(agent: str, vin: str = VIN) -> dict[str, Any]:
    """The claims of a token with which an agent acts."""
    return {
        "client_id": "call-center",
        "act": {"sub": agent},
        "vin": vin,
        "case": "case-1",
        "exp": int(time.time()) + 300,
    }


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


ALICE, BOB = "team/operator/alice", "team/operator/bob"


def revocations(sent: list[Any]) -> list[grant_pb2.GrantRevoked]:
    """What other services were told of rights that ended."""
    return [
        grant_pb2.GrantRevoked.FromString(message.payload)
        for message in sent
        if message.subject == GRANT_REVOKED_SUBJECT
    ]


def edge_checks(stub: Any) -> CheckEdge:
    """What asks the service as Envoy does."""

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

    return ask

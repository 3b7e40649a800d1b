"""Access tokens as RFC 9068 has them, and every way in which one can be wrong."""

from __future__ import annotations

import base64
import hmac
import json
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.access.domain import Source
from services.runtime.errors import Refusal

if TYPE_CHECKING:
    from services.access.tokens import TokenVerifier


def code_of(tokens: TokenVerifier, token: str) -> str:
    with pytest.raises(Refusal) as caught:
        tokens.verify(token)
    return caught.value.reason.code


def test_a_token_names_its_caller(tokens: TokenVerifier, token_issuer: Any) -> None:
    token = token_issuer.token(client_id="call-center", act={"sub": "agent-7"}, amr=["pwd", "otp"])
    caller = tokens.verify(token)
    assert (caller.subject, caller.actor, caller.source) == ("user-123", "agent-7", Source.CALL_CENTER)
    assert caller.factors == {"pwd", "otp"}
    assert caller.expires_at == token_issuer.clock() + 630


def test_es256_is_taken_and_the_long_form_of_the_type(tokens: TokenVerifier, token_issuer: Any) -> None:
    headers = {"kid": "ec", "typ": "application/AT+JWT"}
    token = jwt.encode(token_issuer.claims(), token_issuer.p256, algorithm="ES256", headers=headers)
    assert tokens.verify(token).actor == "user-123"


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://elsewhere.test"},
        {"aud": "another-service"},
        {"aud": None},
        {"exp": None},
        {"exp": "soon"},
        {"exp": 10**400},
        {"iat": None},
        {"iat": 1_800_000_100},
        {"nbf": 1_800_000_100},
        {"nbf": "x"},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 129},
        {"client_id": None},
        {"client_id": "toaster"},
        {"client_id": ["web"]},
        {"act": "agent-7"},
        {"act": {"sub": 7}},
        {"amr": "pwd"},
        {"vin": "short"},
        {"vin": 7},
        {"kid": "unknown"},
        {"kid": "ec"},
        {"typ": "JWT"},
    ],
)
def test_a_wrong_claim_or_header_is_refused(
    tokens: TokenVerifier, token_issuer: Any, changed: dict[str, Any]
) -> None:
    assert code_of(tokens, token_issuer.token(**changed)) == "TOKEN_INVALID"


def test_an_expired_token_is_told_apart(tokens: TokenVerifier, token_issuer: Any) -> None:
    token = token_issuer.token(exp=int(token_issuer.clock()) - 29)
    assert tokens.verify(token).subject == "user-123"
    token_issuer.clock.at += 1
    assert code_of(tokens, token) == "TOKEN_EXPIRED"


def test_forgeries_are_refused(tokens: TokenVerifier, token_issuer: Any) -> None:
    claims = token_issuer.claims()
    headers = {"kid": "ed", "typ": "at+jwt"}
    public = token_issuer.jwks.read_text()
    forged = [
        jwt.encode(claims, Ed25519PrivateKey.generate(), algorithm="EdDSA", headers=headers),
        jwt.encode(claims, "", algorithm="none", headers=headers),
        _signed_with_a_secret(claims, {**headers, "alg": "HS256"}, secret=public),
        token_issuer.token()[:-4] + "AAAA",
        "a.b.c",
        "....",
        "x",
    ]
    assert {code_of(tokens, token) for token in forged} == {"TOKEN_INVALID"}


def _signed_with_a_secret(claims: dict[str, Any], headers: dict[str, str], secret: str) -> str:
    """What PyJWT refuses to make: HMAC under a public key that everybody has."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (headers, claims)]
    digest = hmac.digest(secret.encode(), b".".join(parts), "sha256")
    return b".".join([*parts, base64.urlsafe_b64encode(digest).rstrip(b"=")]).decode()


def test_a_rotated_key_is_found_without_a_restart_and_not_at_every_guess(
    tokens: TokenVerifier, token_issuer: Any
) -> None:
    token_issuer.ed25519 = Ed25519PrivateKey.generate()
    token_issuer.publish(ed25519_id="next")
    token = token_issuer.token(kid="next")
    assert code_of(tokens, token) == "TOKEN_INVALID"
    token_issuer.clock.at += 10
    assert tokens.verify(token).subject == "user-123"


def test_a_broken_key_file_leaves_the_known_keys(tokens: TokenVerifier, token_issuer: Any) -> None:
    token_issuer.jwks.write_text("{")
    token_issuer.clock.at += 10
    assert code_of(tokens, token_issuer.token(kid="next")) == "TOKEN_INVALID"
    assert tokens.verify(token_issuer.token()).subject == "user-123"

"""Tokens of the development issuer that say what no good token says, and of keys that are the issuer's for a while."""

from __future__ import annotations

import base64
import json
import secrets
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mesh.issuer_seed import issuer_url
from mesh.sandbox_fleet import SAMPLE_VIN
from mesh.signing_keys import key_id, load_signing_key
from mesh.tokens import AUDIENCE, TWO_FACTORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.running_mesh import Mesh


def claims(mesh: Mesh, user: str, **changes: Any) -> dict[str, Any]:
    """A good token's; None takes one out."""
    now = int(time.time())
    good = {
        "iss": issuer_url(mesh.ports),
        "aud": AUDIENCE,
        "sub": user,
        "client_id": "mobile-app",
        "iat": now,
        "nbf": now,
        "exp": now + 600,
        "auth_time": now,
        "acr": TWO_FACTORS,
        "amr": ["mfa", "otp", "pwd"],
        "jti": secrets.token_urlsafe(16),
        **changes,
    }
    return {name: value for name, value in good.items() if value is not None}


def acting(agent: str, vin: str = SAMPLE_VIN) -> dict[str, Any]:
    """What an agent's token says besides."""
    return {
        "client_id": "call-center",
        "act": {"sub": agent},
        "vin": vin,
        "case": "case-1",
        "exp": int(time.time()) + 300,
    }


def signed(mesh: Mesh, payload: dict[str, Any] | bytes, key: Ed25519PrivateKey | None = None) -> str:
    """With the issuer's key; bytes are signed as they are."""
    signer = key or load_signing_key(mesh.data / "secrets" / "issuer.key")
    headers = {"typ": "at+jwt", "kid": key_id(signer.public_key())}
    if isinstance(payload, bytes):
        head = json.dumps({"alg": "EdDSA", **headers}).encode()
        text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (head, payload))
        return (text + b"." + base64.urlsafe_b64encode(signer.sign(text)).rstrip(b"=")).decode()
    return jwt.encode(payload, signer, algorithm="EdDSA", headers=headers)


@contextmanager
def another_issuer_key(mesh: Mesh) -> Iterator[Ed25519PrivateKey]:
    """A key that stands in the issuer's key set until the end."""
    path = mesh.data / "public" / "issuer.jwks.json"
    before = path.read_text(encoding="utf-8")
    key = Ed25519PrivateKey.generate()
    public = key.public_key()
    encoded = base64.urlsafe_b64encode(public.public_bytes_raw()).rstrip(b"=").decode()
    jwk = {"crv": "Ed25519", "kty": "OKP", "x": encoded, "kid": key_id(public), "alg": "EdDSA", "use": "sig"}
    path.write_text(json.dumps({"keys": [*json.loads(before)["keys"], jwk]}), encoding="utf-8")
    try:
        yield key
    finally:
        path.write_text(before, encoding="utf-8")

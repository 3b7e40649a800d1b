"""Access tokens from the sandbox's development issuer (RFC 9068: JWTs of type `at+jwt`)."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import jwt

from mesh.sandbox import key_id, load_signing_key

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

ISSUER = "https://issuer.sandbox.ecarus.example"
AUDIENCE = "remote-door-control"
LIFETIME_SECONDS = 3600
CLIENTS = ("mobile-app", "call-center", "web", "voice-assistant")
"""The clients registered with the access service; a command's source follows from them."""


def issue_token(key: Path, user: str, vin: str | None, client: str, now: datetime) -> str:
    """A token that says `user` signed in to `client` now, good for LIFETIME_SECONDS; for `vin` only, if given.

    Raises FileNotFoundError when the sandbox was never made, ValueError when `key` is not a signing key.
    """
    signer = load_signing_key(key)
    seconds = int(now.timestamp())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": user,
        "client_id": client,
        "iat": seconds,
        "nbf": seconds,
        "exp": seconds + LIFETIME_SECONDS,
        "auth_time": seconds,
        "amr": ["pwd"],
        "jti": secrets.token_urlsafe(16),
    }
    if vin is not None:
        claims["vin"] = vin
    headers = {"typ": "at+jwt", "kid": key_id(signer.public_key())}
    return jwt.encode(claims, signer, algorithm="EdDSA", headers=headers)

"""Access tokens that `make token` makes with the key of the sandbox's issuer (RFC 9068: JWTs of type `at+jwt`)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jwt

from mesh.signing_keys import key_id, load_signing_key

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

AUDIENCE = "remote-door-control"
LIFETIME_SECONDS = 3600
AGENT_LIFETIME_SECONDS = 300
"""Longer than this no agent acts on one token."""
ONE_FACTOR = "urn:ecarus:acr:1fa"
TWO_FACTORS = "urn:ecarus:acr:2fa"
"""The classes of a sign-in (`acr`), as the access service's step-up table names them."""
_METHODS = {ONE_FACTOR: ["pwd"], TWO_FACTORS: ["mfa", "otp", "pwd"]}
APP_CLIENT, CONSOLE_CLIENT = "web", "agent-console"
"""Those of the pages at /app/ and /console/."""
CLIENTS = ("mobile-app", "call-center", APP_CLIENT, "voice-assistant", "operations", CONSOLE_CLIENT)
"""The clients registered with the access service; a command's source follows from them."""
EMPLOYEES = "operations"
"""The client of employees, who watch over access and command nothing."""

AGENTS = "call-center"
"""The client through which agents act for users."""
MAX_NAME = 128
"""Characters of a user's or an agent's name."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whom a token speaks for: `user`, for whom `actor` acts where there is one; for `vin` only, if given.

    Without a `client` a user signed in through the first of CLIENTS, an agent through AGENTS.
    """

    user: str
    actor: str | None = None
    vin: str | None = None
    client: str | None = None
    acr: str = TWO_FACTORS
    age_seconds: int = 0
    """How long before the token was made the person signed in."""
    case: str = "case-1"
    """Because of which an agent acts; a user's own token names none."""
    jkt: str | None = None
    """The thumbprint of the key that the token is bound to (RFC 9449), if to any."""
    scope: str | None = None
    """What it is narrowed to, if to anything; without `security.watch` in it an employee's token opens nothing."""


def issue_token(key: Path, issuer: str, bearer: Bearer, now: datetime) -> str:
    """Return a token that says so, as of the issuer, signed in now, good for LIFETIME_SECONDS, an agent's for
    AGENT_LIFETIME_SECONDS.

    Raises FileNotFoundError when the sandbox was never made, ValueError when `key` is not a signing key,
    and for an agent without a vehicle.
    """
    if bearer.actor is not None and bearer.vin is None:
        raise ValueError("an agent's token is for one vehicle: say which with VIN=...")
    signer = load_signing_key(key)
    seconds = int(now.timestamp())
    claims: dict[str, object] = {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": bearer.user,
        "client_id": bearer.client or (AGENTS if bearer.actor else CLIENTS[0]),
        "iat": seconds,
        "nbf": seconds,
        "exp": seconds + (AGENT_LIFETIME_SECONDS if bearer.actor else LIFETIME_SECONDS),
        "auth_time": seconds - bearer.age_seconds,
        "acr": bearer.acr,
        "amr": _METHODS[bearer.acr],
        "jti": secrets.token_urlsafe(16),
    }
    if bearer.vin is not None:
        claims["vin"] = bearer.vin
    if bearer.actor is not None:  # RFC 8693, 4.1
        claims["act"] = {"sub": bearer.actor}
        claims["case"] = bearer.case
    if bearer.client == EMPLOYEES:  # RFC 9068, 2.2.3.1
        claims["roles"] = ["employee"]
    if bearer.scope is not None:
        claims["scope"] = bearer.scope
    if bearer.jkt is not None:
        claims["cnf"] = {"jkt": bearer.jkt}
    headers = {"typ": "at+jwt", "kid": key_id(signer.public_key())}
    return jwt.encode(claims, signer, algorithm="EdDSA", headers=headers)

"""The capability: what the access service lets one caller do with one vehicle for less than a minute.

It is a JWT signed with Ed25519 by the access service. A service checks its signature once and keeps
the answer by the token's digest until it expires, because a check costs a quarter of a millisecond.
A capability is not trusted longer than that: a revoked grant evicts it.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jwt

from services.runtime import errors
from services.runtime.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

METADATA_KEY = "x-ecarus-capability"
ISSUER = "ecarus-access"
AUDIENCE = "ecarus-rooms"
LONGEST_SECONDS = 60
CLOCK_SKEW_SECONDS = 5
_MAX_CACHED = 50_000


@dataclass(frozen=True, slots=True)
class Capability:
    """Who may do what with which vehicle until when."""

    subject: str
    actor: str
    vin: str
    actions: frozenset[str]
    factors: frozenset[str]
    source: str
    issued_at: float
    """Seconds since 1970."""
    expires_at: float
    """Seconds since 1970."""
    role: str = ""
    """What the subject is to the vehicle: OWNER, SHARED_USER, DIGITAL_KEY; empty where it does not say."""
    since: float = 0.0
    """When the subject's right on the vehicle began, in seconds since 1970."""


class CapabilityVerifier:
    """Checks capabilities against the access service's public keys."""

    def __init__(self, jwks: Path, now: Callable[[], float] = time.time) -> None:
        keys = jwt.PyJWKSet.from_dict(json.loads(jwks.read_text(encoding="utf-8")))
        self._keys = {key.key_id: key.key for key in keys.keys}
        self._now = now
        self._known: dict[bytes, Capability] = {}

    def verify(self, token: str) -> Capability:
        """The capability in `token`. Raises Refusal TOKEN_INVALID or TOKEN_EXPIRED."""
        capability = self.proven(token)
        if capability.expires_at <= self._now():
            self._known.pop(_digest(token), None)
            raise Refusal(errors.TOKEN_EXPIRED, "The capability has expired; send the request again.")
        return capability

    def proven(self, token: str) -> Capability:
        """What `token` proves to have been allowed from `issued_at` to `expires_at`, also when that is past.

        Raises Refusal TOKEN_INVALID.
        """
        digest = _digest(token)
        capability = self._known.get(digest)
        if capability is None:
            capability = self._decode(token)
            if len(self._known) >= _MAX_CACHED:
                self._drop_expired()
            self._known[digest] = capability
        return capability

    def evict(self, subject: str, vin: str) -> None:
        """Forget what is known of this subject and vehicle: a right has ended."""
        gone = [d for d, c in self._known.items() if c.vin == vin and c.subject == subject]
        for digest in gone:
            del self._known[digest]

    def _drop_expired(self) -> None:
        now = self._now()
        self._known = {d: c for d, c in self._known.items() if c.expires_at > now}
        if len(self._known) >= _MAX_CACHED:
            self._known.clear()

    def _decode(self, token: str) -> Capability:
        try:
            key = self._keys[jwt.get_unverified_header(token)["kid"]]
            claims = jwt.decode(
                token,
                key,
                algorithms=["EdDSA"],
                issuer=ISSUER,
                audience=AUDIENCE,
                options={
                    "require": ["exp", "iat", "sub", "act", "vin", "actions", "amr", "src"],
                    "verify_exp": False,  # judged by `verify`, on the clock that was passed in
                    "verify_iat": False,
                },
            )
            capability = Capability(
                subject=claims["sub"],
                actor=claims["act"],
                vin=claims["vin"],
                actions=frozenset(claims["actions"]),
                factors=frozenset(claims["amr"]),
                source=claims["src"],
                issued_at=float(claims["iat"]),
                expires_at=float(claims["exp"]),
                role=str(claims.get("role", "")),
                since=float(claims.get("since", 0.0)),
            )
        except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
            raise Refusal(errors.TOKEN_INVALID, "The capability is not one of ours.") from error
        latest = min(capability.issued_at, self._now() + CLOCK_SKEW_SECONDS) + LONGEST_SECONDS
        if not capability.expires_at <= latest:  # written so that it also catches what is not a number
            raise Refusal(errors.TOKEN_INVALID, "The capability is valid for too long.")
        return capability


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()

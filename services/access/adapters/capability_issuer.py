"""Issuing capabilities: what the services behind accept of a caller, signed.

A signature costs a tenth of a millisecond and its check more, so one capability serves a bearer, a vehicle and an
action until a third of its life is left.
"""

from __future__ import annotations

import json
import math
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from services.access.adapters.dpop import DPOP, PARAMETERS
from services.access.adapters.recent import ExpiringCache
from services.access.domain.step_up import good_until
from services.platform.capability import (
    AUDIENCE,
    ISSUER,
    LONGEST_SECONDS,
    NARROWED,
    UNRECORDED,
    audience_of,
)
from services.platform.step_up import BEARER, StepUpState, claims_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from services.access.domain.accounts import Caller
    from services.access.domain.authorization import Purpose
    from services.access.domain.permissions import EffectivePermissions

_MAX_KEPT = 100_000
_USED_SHARE = 2 / 3
_UNSETTLED_SECONDS = 1.0
"""For so long after a right began or ended nothing that was read of it is used again: a stream must not be refused for
most of a minute because of what was read within some milliseconds of the change."""


class SigningKeyError(Exception):
    """The private key is not an Ed25519 key, or the services do not know its public half."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The key and the id under which the services know its public half."""

    private: Ed25519PrivateKey
    key_id: str


def read_signing_key(private: Path, jwks: Path) -> SigningKey:
    """Return the key in the PEM file `private`, named as in the services' `jwks`. Raises SigningKeyError."""
    key = load_pem_private_key(private.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningKeyError("DOORS_CAPABILITY_KEY is not an Ed25519 private key")
    known = jwt.PyJWKSet.from_dict(json.loads(jwks.read_text(encoding="utf-8")))
    public = key.public_key()
    for candidate in known.keys:
        if candidate.key == public and candidate.key_id is not None:
            return SigningKey(key, candidate.key_id)
    raise SigningKeyError("DOORS_CAPABILITY_JWKS does not hold the public half of DOORS_CAPABILITY_KEY")


@dataclass(frozen=True, slots=True)
class _Issued:
    token: str
    permissions: EffectivePermissions
    number: int
    """Its place in the order of what is signed and what ends."""


class CapabilityIssuer:
    """Signs capabilities and reuses them while they are fresh and still say what is true."""

    def __init__(self, key: SigningKey, now: Callable[[], float]) -> None:
        self._key = key
        self._now = now
        self._issued: ExpiringCache[tuple[bytes, str, Purpose, str], _Issued] = ExpiringCache(_MAX_KEPT)
        self._unsettled: ExpiringCache[str, float] = ExpiringCache(_MAX_KEPT)
        self._ended: ExpiringCache[str, int] = ExpiringCache(_MAX_KEPT)
        """By principal or credential: what was signed before this number is not used again for it."""
        self._number = 0

    @property
    def key(self) -> SigningKey:
        """What it signs with now."""
        return self._key

    def use(self, key: SigningKey) -> None:
        """Sign with this key from now on, and use nothing again that another one signed."""
        if key.key_id != self._key.key_id or key.private.public_key() != self._key.private.public_key():
            self._key = key
            self._issued.clear()

    def capability(
        self,
        bearer_digest: bytes,
        caller: Caller,
        vin: str,
        permissions: EffectivePermissions,
        purpose: Purpose,
        certificate: str = "",
    ) -> str:
        """Return a capability for this caller, vehicle and purpose, good for at least a third of its life.

        `certificate` names that of the team that asks (workload.certificate_name): what the capability opens ends with
        it.
        """
        now = self._now()
        slot = (bearer_digest, vin, purpose, certificate)
        names = (caller.subject, caller.actor, caller.credential)
        known = self._issued.get(slot, now)
        if (
            known is not None
            and known.number > max(self._ended.get(name, now) or 0 for name in names)
            and (known.permissions is permissions or known.permissions == permissions)
        ):
            return known.token
        unrecorded = permissions.unrecorded_since
        issued_at = int(now)
        expires_at = int(min(issued_at + LONGEST_SECONDS, caller.expires_at, permissions.ends_at))
        token = jwt.encode(
            {
                "iss": ISSUER,
                "aud": [AUDIENCE, audience_of(purpose.service)],
                "sub": caller.subject,
                "act": caller.actor,
                "vin": vin,
                "actions": [purpose.action],
                "amr": sorted(caller.factors),
                "src": caller.source.value,
                "iat": issued_at,
                "exp": expires_at,
                "jti": str(uuid.uuid4()),
                "role": permissions.role.as_told.value if permissions.role else "",
                "since": permissions.since,
                **_what_ends_it(caller, permissions, purpose),
                **({"cert": certificate} if certificate else {}),
                **_sign_in(caller, purpose),
                **(
                    {NARROWED: min(caller.only_vins)}
                    if caller.is_agent and caller.only_vins and not vin
                    else {}
                ),
                **({} if unrecorded is None else {UNRECORDED: unrecorded}),
            },
            self._key.private,
            algorithm="EdDSA",
            headers={"kid": self._key.key_id},
        )
        reuse_until = issued_at + (expires_at - issued_at) * _USED_SHARE
        for name in names:
            reuse_until = min(reuse_until, self._unsettled.get(name, now) or reuse_until)
        self._issued.put(slot, _Issued(token, permissions, self._next()), reuse_until)
        return token

    def invalidate(self, principal: str, credential: str) -> None:
        """Sign anew what concerns this principal or this credential; with neither, everything.

        A capability says when the right was read from the record: one from before an end is worth nothing to streams.
        What is kept is not looked through: people cause this as often as they like.
        """
        if not (principal or credential):
            self._issued.clear()
            return
        now = self._now()
        for name in filter(None, (principal, credential)):
            if len(self._ended) >= _MAX_KEPT:  # an end that made room for another would be forgotten
                self._issued.clear()
                self._ended.clear()
            self._unsettled.put(name, now + _UNSETTLED_SECONDS, now + _UNSETTLED_SECONDS)
            self._ended.put(name, self._next(), now + LONGEST_SECONDS)

    def _next(self) -> int:
        self._number += 1
        return self._number


def _sign_in(caller: Caller, purpose: Purpose) -> dict[str, Any]:
    """Return the claims about how its person signed in, and how far that is enough for what the service judges."""
    claims: dict[str, Any] = {"case": caller.case} if caller.case else {}
    if caller.key_thumbprint:
        claims |= {"scheme": DPOP, "scheme_parameters": PARAMETERS}
    if caller.acr:
        claims["acr"] = caller.acr
    if caller.authenticated_at is not None:
        claims["auth_time"] = caller.authenticated_at
    if purpose.step_up is not None:
        line, requirement = purpose.step_up
        until = good_until(requirement, line, caller)
        by_key = caller.carries is not None
        classes = () if by_key else requirement.acr_values
        scheme = (DPOP, PARAMETERS) if caller.key_thumbprint else (BEARER, "")
        state = StepUpState(until, classes, 0 if by_key else requirement.max_age_seconds, *scheme)
        claims |= claims_of(state)
    return claims


def _what_ends_it(caller: Caller, permissions: EffectivePermissions, purpose: Purpose) -> dict[str, Any]:
    """Return the claims about the right behind a capability, which lasts longer than the capability itself."""
    claims: dict[str, Any] = {"read": permissions.read_at, "cred": caller.credential}
    if purpose.mode:
        claims["mode"] = purpose.mode
    grant_ends = permissions.until.get(purpose.action, math.inf)
    ends = min(caller.ends_at, grant_ends)
    if ends < math.inf:
        claims |= {"ends": ends, "ends_with": "TOKEN" if caller.ends_at <= grant_ends else "GRANT"}
    return claims

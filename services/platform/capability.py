"""The capability: what the access service lets one caller do with one resource for less than a minute.

It is a JWT signed with Ed25519 by the access service, for one action and the one service that carries it out. A
service checks its signature once and keeps the answer by the token's digest until it expires, because a check costs a
quarter of a millisecond. A capability is not trusted longer than that: a revoked grant evicts it.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
import structlog

from services.platform import errors, session
from services.platform.clock import CLOCK
from services.platform.errors import Refusal
from services.platform.step_up import BEARER, state_in
from services.product import RESOURCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from services.platform.step_up import StepUpState

METADATA_KEY = "x-ecarus-capability"
ISSUER = session.ISSUER
AUDIENCE = "ecarus-rooms"
"""Every service; in a capability, the one service that it is for stands beside it (see `audience_of`)."""
LONGEST_SECONDS = 60
CLOCK_SKEW_SECONDS = 5
UNRECORDED = "unrecorded"
"""The claim of Capability.unrecorded_since."""
NARROWED = "only"
"""The claim of Capability.narrowed_to."""
EMERGENCY = "EMERGENCY"
"""The one mode that a capability names: what goes past safeguards is for those who asked for it."""
REREAD_SECONDS = 30.0
"""How long a key that was withdrawn from the file is trusted at most."""
_MAX_CACHED = 50_000
_log = structlog.get_logger()


def audience_of(service: str) -> str:
    """Return the audience of capabilities that this service alone accepts."""
    return f"{AUDIENCE}/{service}"


@dataclass(frozen=True, slots=True)
class Capability:
    """Who may do what with which resource until when. Times are in seconds since 1970."""

    subject: str
    actor: str
    resource: str
    actions: frozenset[str]
    factors: frozenset[str]
    source: str
    issued_at: float
    expires_at: float
    ends_at: float = math.inf
    """When the right behind it ends by itself: what goes on, goes on no longer than that."""
    ends_with: str = ""
    """What ends then: TOKEN or GRANT."""
    read_at: float = 0.0
    """When the right was read from the record. One that was revoked since is revoked."""
    credential: str = ""
    """What it was asked for with: an API key's id, or the issuer's key that signed the token."""
    mode: str = ""
    """EMERGENCY where that was asked for, else empty."""
    key_id: str = ""
    """The access service's key that signed it."""
    role: str = ""
    """What the subject is to the resource: OWNER, SHARED_USER, DIGITAL_KEY; empty where it does not say."""
    since: float = 0.0
    """When the subject's right on the resource began."""
    certificate: str = ""
    """The client's certificate under which it was asked for (workload.certificate_name); empty where there was none."""
    acr: str = ""
    """How strongly its person proved who they are, as the token's issuer names it; empty where that is not known."""
    authenticated_at: float | None = None
    """When they did, in seconds since 1970."""
    case: str = ""
    """Where somebody acts for the subject: the number of the case because of which they do."""
    narrowed_to: str = ""
    """Where it is about no resource, and somebody acts for the subject: the one that their token is good for."""
    scheme: str = BEARER
    """The scheme in which its caller's token came, and is challenged."""
    scheme_parameters: str = ""
    """What a challenge of that scheme says besides the fault."""
    step_up: StepUpState | None = None
    """How far that is enough for what only the service can tell to need it."""
    unrecorded_since: float | None = None
    """Since when what the subject does is not kept for the history, in seconds since 1970; 0 where it never was to be.
    None where it is kept.
    """


class CapabilityVerifier:
    """Checks capabilities against the access service's public keys.

    With a `service`, those for another one are refused. The keys in `jwks` are read again every REREAD_SECONDS, so
    that they can be rotated without a restart; what a key signed that is not there any more is refused from then on.
    """

    def __init__(
        self, jwks: Path, now: Callable[[], float] = CLOCK.seconds, *, service: str | None = None
    ) -> None:
        self._jwks = jwks
        self._audience = AUDIENCE if service is None else audience_of(service)
        self._now = now
        self._keys = _read(jwks)
        self._read_at = now()
        self._known: dict[bytes, Capability] = {}

    @property
    def key_ids(self) -> frozenset[str]:
        """The keys that are trusted now."""
        return frozenset(self._keys)

    def verify(self, token: str) -> Capability:
        """Return the capability in `token`. Raises Refusal TOKEN_INVALID or TOKEN_EXPIRED."""
        capability = self.proven(token)
        if capability.expires_at <= self._now():
            self._known.pop(_digest(token), None)
            raise Refusal(errors.TOKEN_EXPIRED, "The capability has expired; send the request again.")
        return capability

    def proven(self, token: str) -> Capability:
        """Return what `token` proves to have been allowed from `issued_at` to `expires_at`, also when that is past.

        Raises Refusal TOKEN_INVALID.
        """
        self.refresh()
        digest = _digest(token)
        capability = self._known.get(digest)
        if capability is None:
            capability = self._decode(token)
            if len(self._known) >= _MAX_CACHED:
                self._drop_expired()
            self._known[digest] = capability
        return capability

    def session(self, token: str) -> session.Session:
        """Return the session in `token`, unless it has ended. Raises Refusal TOKEN_INVALID or TOKEN_EXPIRED."""
        self.refresh()
        opened = session.session_in(token, self._keys)
        if opened.expires_at <= self._now():
            raise Refusal(errors.TOKEN_EXPIRED, "The token has expired; get a new one.")
        return opened

    def refresh(self) -> None:
        """Read the keys again when it is time. A file that cannot be read changes nothing, and is read again."""
        now = self._now()
        if 0 <= now - self._read_at < REREAD_SECONDS:  # also when the clock was put back
            return
        self._read_at = now
        try:
            keys = _read(self._jwks)
        except (OSError, ValueError, jwt.PyJWTError) as error:
            _log.error("capability_keys_not_read", reason=str(error))
            return
        changed = {name for name, key in self._keys.items() if keys.get(name) != key}
        if changed:
            _log.warning("capability_keys_withdrawn", keys=sorted(changed))
            self._known = {d: c for d, c in self._known.items() if c.key_id not in changed}
        self._keys = keys

    def evict(self, subject: str, resource: str) -> None:
        """Forget what is known of this subject and resource, or all resources without one: a right has ended."""
        gone = [d for d, c in self._known.items() if c.subject == subject and resource in {"", c.resource}]
        for digest in gone:
            del self._known[digest]

    def _drop_expired(self) -> None:
        now = self._now()
        self._known = {d: c for d, c in self._known.items() if c.expires_at > now}
        if len(self._known) >= _MAX_CACHED:
            self._known.clear()

    def _decode(self, token: str) -> Capability:
        try:
            key_id = jwt.get_unverified_header(token)["kid"]
            claims = jwt.decode(
                token,
                self._keys[key_id],
                algorithms=["EdDSA"],
                issuer=ISSUER,
                audience=self._audience,
                options={
                    "require": ["exp", "iat", "sub", "act", RESOURCE, "actions", "amr", "src"],
                    "verify_exp": False,  # judged by `verify`, on the clock that was passed in
                    "verify_iat": False,
                },
            )
            capability = _capability_of(claims, key_id)
        except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
            raise Refusal(errors.TOKEN_INVALID, "The capability is not one of ours.") from error
        latest = min(capability.issued_at, self._now() + CLOCK_SKEW_SECONDS) + LONGEST_SECONDS
        if not capability.expires_at <= latest:  # written so that it also catches what is not a number
            raise Refusal(errors.TOKEN_INVALID, "The capability is valid for too long.")
        return capability


def _capability_of(claims: dict[str, Any], key_id: str) -> Capability:
    issued_at = float(claims["iat"])
    return Capability(
        subject=claims["sub"],
        actor=claims["act"],
        resource=claims[RESOURCE],
        actions=frozenset(claims["actions"]),
        factors=frozenset(claims["amr"]),
        source=claims["src"],
        issued_at=issued_at,
        expires_at=float(claims["exp"]),
        ends_at=float(claims.get("ends", math.inf)),
        ends_with=str(claims.get("ends_with", "")),
        read_at=float(claims.get("read", issued_at)),
        credential=str(claims.get("cred", "")),
        mode=str(claims.get("mode", "")),
        key_id=key_id,
        role=str(claims.get("role", "")),
        since=float(claims.get("since", 0.0)),
        certificate=str(claims.get("cert", "")),
        acr=str(claims.get("acr", "")),
        authenticated_at=float(claims["auth_time"]) if "auth_time" in claims else None,
        case=str(claims.get("case", "")),
        narrowed_to=str(claims.get(NARROWED, "")),
        scheme=str(claims.get("scheme", BEARER)),
        scheme_parameters=str(claims.get("scheme_parameters", "")),
        step_up=state_in(claims),
        unrecorded_since=float(claims[UNRECORDED]) if UNRECORDED in claims else None,
    )


def _read(jwks: Path) -> dict[str, Any]:
    keys = jwt.PyJWKSet.from_dict(json.loads(jwks.read_text(encoding="utf-8"))).keys
    return {key.key_id: key.key for key in keys if key.key_id is not None}


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()

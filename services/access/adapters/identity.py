"""From a bearer to the caller it proves: an opaque `sk_` key or an access token."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Protocol

from services.access.adapters import dpop
from services.access.adapters.published_key import PUBLISHED_KEY
from services.access.adapters.recent import ExpiringCache
from services.platform import errors
from services.platform.errors import Refusal
from services.platform.step_up import CHALLENGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.access.adapters.dpop import ProofOfRequest, ProofVerifier
    from services.access.adapters.tokens import TokenVerifier
    from services.access.domain.accounts import Caller

KEY_PREFIX = "sk_"
KEY_SECONDS = 5.0
"""A key that was revoked elsewhere works no longer than this."""
CALLER_SECONDS = 60.0
"""A caller is proven anew after this, whatever the bearer says of itself."""
_MAX_CALLERS = 50_000
_MAX_BEARER = 8_192
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_BEARER_SCHEME = "bearer"
_SCHEMES = frozenset({_BEARER_SCHEME, "dpop"})
_CHALLENGE = 'Bearer realm="remote-door-control"'


class FindKey(Protocol):
    """Where keys are kept, by their keyed hash."""

    async def __call__(self, key_hash: bytes, /) -> Caller | None:
        """Return whose key this is; None when it is unknown or revoked. Raises StorageUnavailableError."""


def key_hash(pepper: bytes, key: str) -> bytes:
    """Return what is stored of an API key: HMAC-SHA256 under the pepper. A stolen table opens nothing."""
    return hmac.digest(pepper, key.encode(), "sha256")


class CallerIdentifier:
    """Knows callers by their bearers, and for a while by heart. `note_use` hears of API keys that were proven.
    Without `proofs` no bearer that is bound to a key is accepted.
    """

    def __init__(
        self,
        *,
        tokens: TokenVerifier,
        find_key: FindKey,
        pepper: bytes,
        sandbox: bool,
        now: Callable[[], float],
        proofs: ProofVerifier | None = None,
        note_use: Callable[[str], None] = lambda _credential: None,
    ) -> None:
        self._tokens = tokens
        self._find_key = find_key
        self._pepper = pepper
        self._sandbox = sandbox
        self._now = now
        self._note_use = note_use
        self._proofs = proofs
        self._known: ExpiringCache[bytes, Caller] = ExpiringCache(_MAX_CALLERS)

    async def caller_of(
        self, authorization: str | None, proof: ProofOfRequest | None = None
    ) -> tuple[bytes, Caller]:
        """Return the bearer's digest and its caller.

        `authorization` is the header. Raises Refusal AUTHENTICATION_REQUIRED, TOKEN_INVALID, TOKEN_EXPIRED or
        PROOF_INVALID, with the challenge of RFC 6750 or RFC 9449, StorageUnavailableError, and IssuerUnavailableError.
        """
        scheme, bearer = _bearer_in(authorization)
        digest = hashlib.sha256(bearer.encode()).digest()
        now = self._now()
        caller = self._known.get(digest, now)
        if caller is None:
            try:
                caller = await self._prove(bearer)
            except Refusal as refusal:
                raise _challenged(refusal) from refusal.__cause__
            seconds = KEY_SECONDS if bearer.startswith(KEY_PREFIX) else CALLER_SECONDS
            self._known.put(digest, caller, min(now + seconds, caller.expires_at))
        if caller.key_thumbprint or scheme != _BEARER_SCHEME:
            self._check_possession(scheme, bearer, caller, proof)
        return digest, caller

    def _check_possession(
        self, scheme: str, bearer: str, caller: Caller, proof: ProofOfRequest | None
    ) -> None:
        """Raise Refusal unless whoever sends a bearer that is bound to a key proves to hold that key."""
        if not caller.key_thumbprint:
            raise dpop.bound_elsewhere("it is bound to no key; send it as 'Authorization: Bearer ...'")
        if scheme == _BEARER_SCHEME or self._proofs is None or proof is None:
            raise dpop.bound_elsewhere(
                "it is bound to a key; send it as 'Authorization: DPoP ...' with a proof in the header DPoP"
            )
        self._proofs.check(proof, bearer, caller.key_thumbprint)

    def invalidate(self, credential: str) -> None:
        """Know nobody by this credential any more; an empty one means all."""
        if credential:
            self._known.drop(lambda _digest, caller: caller.credential == credential)
        else:
            self._known.clear()

    async def _prove(self, bearer: str) -> Caller:
        if not bearer.startswith(KEY_PREFIX):
            return await self._tokens.prove(bearer)
        if bearer == PUBLISHED_KEY and not self._sandbox:
            raise _unknown_key()
        caller = await self._find_key(key_hash(self._pepper, bearer))
        if caller is None:
            raise _unknown_key()
        self._note_use(caller.credential)
        return caller


def _unknown_key() -> Refusal:
    return Refusal(errors.TOKEN_INVALID, "The key is not known or was revoked; use one that is valid.")


def _bearer_in(authorization: str | None) -> tuple[str, str]:
    """Return the scheme in lower case and the bearer."""
    scheme, _, bearer = (authorization or "").strip().partition(" ")
    scheme = scheme.lower()
    if scheme not in _SCHEMES:
        raise Refusal(
            errors.AUTHENTICATION_REQUIRED,
            "Send a token or a key as 'Authorization: Bearer ...'.",
            headers={CHALLENGE: _CHALLENGE},
        )
    bearer = bearer.strip(" ")
    if len(bearer) > _MAX_BEARER or not _BEARER.fullmatch(bearer):
        raise _challenged(Refusal(errors.TOKEN_INVALID, "The bearer is not one token; send exactly one."))
    return scheme, bearer


def _challenged(refusal: Refusal) -> Refusal:
    """Return the same with the challenge that RFC 6750 asks for."""
    description = "expired" if refusal.reason is errors.TOKEN_EXPIRED else "not accepted"
    challenge = f'{_CHALLENGE}, error="invalid_token", error_description="the token is {description}"'
    refusal.headers = {CHALLENGE: challenge.replace("is expired", "has expired")}
    return refusal

"""The public keys of the issuer of access tokens: which of a JWK set are taken, and the ring of those trusted now.

Only keys for signatures, of the algorithms that the settings pin, each for one algorithm (RFC 8725, 3.1). A private
member in a set that is published means that the key is everybody's, so it is taken by nobody.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from services.platform import strict_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

SUPPORTED_ALGORITHMS = ("EdDSA", "ES256", "PS256", "RS256")
ALGORITHMS = ("EdDSA", "ES256")
"""Those that are pinned unless the settings name others."""
REREAD_SECONDS = 10.0
"""The key file is not read more often than this because of unknown key ids, however many come in."""
CREDENTIAL_PREFIX = "iss_"
MAX_KEYS = 32
"""More keys than this in a set are a mistake, or somebody's attempt to keep us busy."""
LEAST_RSA_BITS = 2_048
MAX_KEY_ID = 256
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_THUMBPRINT_MEMBERS = ("crv", "e", "kty", "n", "x", "y")
"""The members of RFC 7638 for the kinds of key that there are here, in its order."""
_log = structlog.get_logger()


class IssuerUnavailableError(Exception):
    """Which keys the issuer has is not known, or no longer, so that no token can be judged."""


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """One of the issuer's keys; `credential` names the key itself, whatever its id is."""

    public: jwt.PyJWK
    credential: str

    @property
    def algorithm(self) -> str:
        """The one algorithm that it verifies."""
        return self.public.algorithm_name


class KeySource(Protocol):
    """Where the issuer's keys come from."""

    @property
    def ring(self) -> KeyRing:
        """The keys that are trusted now."""

    async def refresh(self) -> None:
        """Bring the ring up to date if it is time to. What cannot be read changes nothing, and is tried again."""

    async def learn(self) -> bool:
        """Look for keys that are new, because a token names one that is unknown. Return whether the ring has changed.

        It is bounded how often that really looks, whatever strangers send.
        """


class KeyRing:
    """The issuer's keys that are trusted now; `changed` hears of every later change, with those that are
    gone.
    """

    def __init__(self, changed: Callable[[frozenset[str]], None] = lambda _gone: None) -> None:
        self._changed = changed
        self._keys: dict[str, IssuerKey] = {}
        self._is_known = False

    @property
    def is_known(self) -> bool:
        """Whether it is known which keys the issuer has: not before they were read, nor when that was too long ago."""
        return self._is_known

    @property
    def credentials(self) -> frozenset[str]:
        """The keys that are trusted now."""
        return frozenset(key.credential for key in self._keys.values())

    def find(self, key_id: str) -> IssuerKey | None:
        """Return the key of this id."""
        return self._keys.get(key_id)

    def trusts(self, credential: str) -> bool:
        """Return whether it is a key that is trusted now, or no key of the issuer. Raises IssuerUnavailableError."""
        if credential.startswith(CREDENTIAL_PREFIX) and not self._is_known:
            raise IssuerUnavailableError("the issuer's keys are not known")
        return not credential.startswith(CREDENTIAL_PREFIX) or credential in self.credentials

    def replace(self, keys: dict[str, IssuerKey]) -> None:
        """Trust these and no others."""
        before, was_known = self.credentials, self._is_known
        self._keys, self._is_known = keys, True
        gone = before - self.credentials
        if gone:
            _log.warning("token_keys_withdrawn", keys=sorted(gone))
        if was_known and before != self.credentials:
            self._changed(gone)

    def expire(self) -> None:
        """Trust none, because nobody could say for too long which are good. They do not count as withdrawn."""
        if self._is_known:
            gone, self._keys, self._is_known = self.credentials, {}, False
            _log.error("token_keys_too_old", keys=sorted(gone))
            self._changed(gone)


class KeyFile:
    """A JWKS file: read at the start, regularly, and when a token names an unknown key.

    Raises OSError or ValueError when it cannot be read at the start.
    """

    def __init__(
        self,
        path: Path,
        ring: KeyRing,
        now: Callable[[], float],
        algorithms: Sequence[str] = ALGORITHMS,
    ) -> None:
        self._path = path
        self._ring = ring
        self._now = now
        self._algorithms = algorithms
        self._ring.replace(self._read())
        self._read_at = now()

    @property
    def ring(self) -> KeyRing:
        """The keys that are trusted now."""
        return self._ring

    async def refresh(self) -> None:
        """Read the file now. One that cannot be read changes nothing, and is read again the next time."""
        self._read_at = self._now()
        try:
            keys = self._read()
        except (OSError, ValueError) as error:
            # The keys known so far stay good; a file caught in the middle of a change is read again.
            _log.error("token_keys_not_read", reason=str(error))
            return
        self._ring.replace(keys)

    async def learn(self) -> bool:
        """Read the file, unless that was done less than REREAD_SECONDS ago."""
        if self._now() - self._read_at < REREAD_SECONDS:
            return False
        before = self._ring.credentials
        await self.refresh()
        return self._ring.credentials != before

    def _read(self) -> dict[str, IssuerKey]:
        return keys_in(strict_json.members(self._path.read_bytes()), self._algorithms)


def keys_in(document: Mapping[str, Any], algorithms: Sequence[str]) -> dict[str, IssuerKey]:
    """Return the keys of a JWK set that can be used, by id; there may be none. Raises ValueError when it is no JWK set.

    One that is of no use spoils no other. Of two with the same id neither is taken.
    """
    listed = document.get("keys")
    if not isinstance(listed, list):
        raise ValueError("it is not a JWK set")  # noqa: TRY004  # of a document, and not of an argument
    if len(listed) > MAX_KEYS:
        raise ValueError(f"it holds more than {MAX_KEYS} keys")
    usable: list[tuple[str, IssuerKey]] = []
    for each in listed:
        try:
            usable.append(_usable(each, algorithms))
        except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
            _log.warning("token_key_not_usable", reason=str(error))
    often = {key_id for key_id, count in Counter(key_id for key_id, _ in usable).items() if count > 1}
    if often:
        _log.error("token_keys_share_an_id", key_ids=sorted(often))
    return {key_id: key for key_id, key in usable if key_id not in often}


def _usable(each: object, algorithms: Sequence[str]) -> tuple[str, IssuerKey]:
    """Return id and key. Raises ValueError, or what PyJWT raises, for one that is not taken."""
    if not isinstance(each, dict):
        raise ValueError("it is not a key")  # noqa: TRY004  # of a document, and not of an argument
    if private := _PRIVATE & each.keys():
        raise ValueError(f"it shows private members ({', '.join(sorted(private))}): its key is everybody's")
    if each.get("use", "sig") != "sig" or "verify" not in each.get("key_ops", ["verify"]):
        raise ValueError("it is not for signatures")
    key_id = each.get("kid")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= MAX_KEY_ID:
        raise ValueError("it has no id")
    public = jwt.PyJWK.from_dict(each)
    if public.algorithm_name not in algorithms:
        raise ValueError(f"its algorithm, {public.algorithm_name}, is not one of {', '.join(algorithms)}")
    if isinstance(public.key, RSAPublicKey) and public.key.key_size < LEAST_RSA_BITS:
        raise ValueError(f"it is shorter than {LEAST_RSA_BITS} bits")
    return key_id, IssuerKey(public, _credential_of(each))


def _credential_of(key: Mapping[str, Any]) -> str:
    """Return the thumbprint of a public key (RFC 7638)."""
    members = {name: key[name] for name in _THUMBPRINT_MEMBERS if name in key}
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(canonical).digest()
    return CREDENTIAL_PREFIX + base64.urlsafe_b64encode(digest).decode().rstrip("=")

"""Access tokens: JWTs as RFC 9068 profiles them, from one issuer whose public keys lie in a JWKS file.

A token is read strictly before anything else looks at it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
import structlog

from services.access.adapters import strict_json
from services.access.adapters.token_claims import ClaimsReader, check_header, invalid, is_time
from services.platform import errors
from services.platform.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from services.access.domain.grants import Caller, Source

ALGORITHMS = ("EdDSA", "ES256")
LEEWAY_SECONDS = 30
"""How far the issuer's clock and ours may be apart."""
REREAD_SECONDS = 10.0
"""The key file is not read more often than this because of unknown key ids, however many come in."""
CREDENTIAL_PREFIX = "iss_"
_PARTS = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """One of the issuer's keys; `credential` names the key itself, whatever its id is."""

    public: jwt.PyJWK
    credential: str


class TokenVerifier:
    """Turns a token into its caller. Raises OSError or ValueError when `jwks` cannot be read at the start.

    The file is read again by `reread`, which is called regularly, and when a token names a key that is not known yet,
    so that keys can be rotated and withdrawn without a restart; `changed` hears at once whenever they are others than
    before, of those that are not there any more. A token that is good for more than `longest_seconds` is refused, and
    one of a client that is not among `clients`, each with the source it stands for.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        jwks: Path,
        clients: Mapping[str, Source],
        now: Callable[[], float],
        longest_seconds: int = 3_600,
        changed: Callable[[frozenset[str]], None] = lambda _gone: None,
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._jwks = jwks
        self._claims = ClaimsReader(issuer, clients, LEEWAY_SECONDS)
        self._now = now
        self._longest_seconds = longest_seconds
        self._changed = changed
        self._keys = _read(jwks)
        self._read_at = now()

    @property
    def credentials(self) -> frozenset[str]:
        """The issuer's keys that are trusted now."""
        return frozenset(key.credential for key in self._keys.values())

    def trusts(self, credential: str) -> bool:
        """Return whether it is a key that is trusted now, or no key of the issuer."""
        return not credential.startswith(CREDENTIAL_PREFIX) or credential in self.credentials

    def verify(self, token: str) -> Caller:
        """Return who the token speaks for. Raises Refusal TOKEN_INVALID or TOKEN_EXPIRED."""
        try:
            header, claims = _strictly_read(token)
            key = self._key_for(header)
            jwt.decode(
                token,
                key.public.key,
                algorithms=list(ALGORITHMS),
                issuer=self._issuer,
                audience=self._audience,
                options={
                    "require": ["exp", "iat", "sub", "client_id"],
                    "verify_exp": False,  # these three are judged below, on the clock that was passed in
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except (jwt.InvalidTokenError, ValueError, TypeError, RecursionError) as error:
            raise invalid("signature, issuer, audience or form is wrong") from error
        self._check_times(claims)
        return self._claims.caller_of(claims, key.credential)

    def reread(self) -> None:
        """Read the file now. One that cannot be read changes nothing, and is read again the next time."""
        self._read_at = self._now()
        try:
            keys = _read(self._jwks)
        except (OSError, ValueError) as error:
            # The keys known so far stay good; a file caught in the middle of a change is read again.
            _log.error("token_keys_not_read", reason=str(error))
            return
        before, self._keys = self.credentials, keys
        gone = before - self.credentials
        if gone:
            _log.warning("token_keys_withdrawn", keys=sorted(gone))
        if before != self.credentials:
            self._changed(gone)

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now = self._now()
        for name in ("exp", "iat", "nbf"):
            if not is_time(claims.get(name, now)):
                raise invalid(f"{name} is not a time")
        if claims["exp"] + LEEWAY_SECONDS <= now:
            raise Refusal(
                errors.TOKEN_EXPIRED, "The token has expired; get a new one and send the request again."
            )
        if max(claims["iat"], claims.get("nbf", 0)) > now + LEEWAY_SECONDS:
            raise invalid("it is not valid yet")
        if claims["exp"] - claims["iat"] > self._longest_seconds:
            raise invalid(f"it is good for more than {self._longest_seconds} s")

    def _key_for(self, header: Mapping[str, Any]) -> IssuerKey:
        key_id = check_header(header)
        if key_id not in self._keys and self._now() - self._read_at >= REREAD_SECONDS:
            self.reread()
        key = self._keys.get(key_id)
        if key is None or header.get("alg") not in ALGORITHMS or header["alg"] != key.public.algorithm_name:
            raise invalid("no key of the issuer fits it")
        return key


def _strictly_read(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims. Raises ValueError for what two readers could read differently."""
    match = _PARTS.fullmatch(token)
    if match is None:
        raise invalid("it is not three parts in base64url")
    header, claims, _signature = (_decoded(part) for part in match.groups())
    return strict_json.members(header), strict_json.members(claims)


def _decoded(part: str) -> bytes:
    data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(data).decode().rstrip("=") != part:
        raise ValueError("not the one way to write it")
    return data


def _read(jwks: Path) -> dict[str, IssuerKey]:
    """Return the keys that can be used, by id; there may be none. Raises OSError, ValueError."""
    document = json.loads(jwks.read_text(encoding="utf-8"))
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("it is not a JWK set")  # noqa: TRY004  # of a file, and not of an argument
    found: dict[str, IssuerKey] = {}
    for each in (key for key in listed if isinstance(key, dict)):
        try:
            public = jwt.PyJWK.from_dict(each)
        except (jwt.PyJWKError, jwt.InvalidKeyError, ValueError, TypeError, KeyError) as error:
            _log.warning("token_key_not_usable", reason=str(error))
            continue
        if public.key_id is not None and each.get("use", "sig") == "sig":
            found[public.key_id] = IssuerKey(public, _credential_of(each))
    return found


def _credential_of(key: Mapping[str, Any]) -> str:
    """Return the thumbprint of a public key (RFC 7638)."""
    members = {name: key[name] for name in ("crv", "kty", "x", "y") if name in key}
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(canonical).digest()
    return CREDENTIAL_PREFIX + base64.urlsafe_b64encode(digest).decode().rstrip("=")

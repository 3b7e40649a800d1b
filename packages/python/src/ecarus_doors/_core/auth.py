"""How a request says who asks: tokens and where they come from (RFC 6749), and proofs of a key (RFC 9449).

Nothing here shows a token or a secret when it is printed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode

from ecarus_doors._core.problems import SERVER_FAULT, retry_after_of
from ecarus_doors.errors import AuthenticationError, DoorsError, RateLimitedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

SPARE_SECONDS = 30.0
"""A token is renewed so long before it ends."""
_SENDABLE = re.compile(r"[!-~]{1,8192}")
_COORDINATE_BYTES = 32
_ISSUER_BUSY = 429
_ISSUER_AWAY = frozenset({"temporarily_unavailable", "server_error"})


@dataclass(frozen=True, kw_only=True)
class ClientCredentials:
    """Tokens of a client by itself (RFC 6749, 4.4), renewed before they end."""

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str | None = None

    def form(self, _: str | None) -> dict[str, str]:
        """Return what is sent to the token endpoint."""
        return {"grant_type": "client_credentials", **({"scope": self.scope} if self.scope else {})}


@dataclass(frozen=True, kw_only=True)
class RefreshToken:
    """Tokens of a person who signed in before, renewed with a refresh token (RFC 6749, 6).

    The issuer gives a new refresh token with each access token, and the old one is good no longer: `on_rotated` is
    called with the new one before anything is asked for with the access token. Store it there.
    """

    token_url: str
    client_id: str
    refresh_token: str = field(repr=False)
    client_secret: str | None = field(default=None, repr=False)
    scope: str | None = None
    on_rotated: Callable[[str], object] | None = None

    def form(self, current: str | None) -> dict[str, str]:
        """Return what is sent to the token endpoint: with the refresh token `current`, where there is a newer one."""
        given = {"grant_type": "refresh_token", "refresh_token": current or self.refresh_token}
        return {**given, **({"scope": self.scope} if self.scope else {})}


@dataclass(frozen=True)
class TokenRequest:
    """A request to a token endpoint."""

    url: str
    content: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class GivenToken:
    """What it answered: an access token, when it is to be renewed (by time.monotonic), and the next refresh token."""

    access: str = field(repr=False)
    renew_at: float
    refresh: str | None = field(default=None, repr=False)


def token_request(
    grant: ClientCredentials | RefreshToken, refresh: str | None, proof: str | None
) -> TokenRequest:
    """Return the request for the next token; `proof` is that of a key the token is to be bound to."""
    form = grant.form(refresh)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    if grant.client_secret is None:
        form["client_id"] = grant.client_id
    else:
        pair = f"{quote_plus(grant.client_id)}:{quote_plus(grant.client_secret)}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    if proof:
        headers["DPoP"] = proof
    return TokenRequest(grant.token_url, urlencode(form).encode(), headers)


def given_token(status: int, body: bytes, now: float, headers: Mapping[str, str] | None = None) -> GivenToken:
    """Return the token of an answer. Raise AuthenticationError, with the issuer's `error` as its code, where it has
    none; UnavailableError or RateLimitedError where the issuer has a trouble that passes.
    """
    try:
        answer: Any = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    said: dict[str, Any] = answer if isinstance(answer, dict) else {}
    token = said.get("access_token")
    if status != 200 or not isinstance(token, str):  # noqa: PLR2004  # OK
        code = said.get("error")
        detail = said.get("error_description")
        code = code if isinstance(code, str) else "TOKEN_NOT_GIVEN"
        kind: type[DoorsError] = AuthenticationError
        if status == _ISSUER_BUSY:
            kind = RateLimitedError
        elif status >= SERVER_FAULT or code in _ISSUER_AWAY:
            kind = UnavailableError
        raise kind(
            str(detail)[:500] if isinstance(detail, str) else f"the issuer gave no token (status {status})",
            code=code,
            status=status,
            retryable=kind is not AuthenticationError,
            retry_after=retry_after_of(headers or {}),
        )
    lives = said.get("expires_in")
    seconds = float(lives) if isinstance(lives, int | float) and not isinstance(lives, bool) else 60.0
    refresh = said.get("refresh_token")
    return GivenToken(
        token, now + max(seconds - SPARE_SECONDS, seconds / 2), refresh if isinstance(refresh, str) else None
    )


def authorization(token: str, scheme: str) -> str:
    """Return the header. Raise ValueError, without the token, where it could not be sent in one."""
    if not _SENDABLE.fullmatch(token):
        raise ValueError("a token is 1 to 8192 printable ASCII characters without spaces")
    return f"{scheme} {token}"


class DpopKey:
    """A key of this client, to which its tokens are bound (RFC 9449, ES256). Needs the extra `dpop`.

    Without `private_key` (cryptography's, of the curve P-256) a fresh one is made. `thumbprint` is what a bound token
    says.
    """

    def __init__(self, private_key: EllipticCurvePrivateKey | None = None) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415  # an extra

        self._private = private_key or ec.generate_private_key(ec.SECP256R1())
        numbers = self._private.public_key().public_numbers()
        self._jwk = {
            "crv": "P-256",
            "kty": "EC",
            "x": _base64url(numbers.x.to_bytes(_COORDINATE_BYTES)),
            "y": _base64url(numbers.y.to_bytes(_COORDINATE_BYTES)),
        }

    def __repr__(self) -> str:
        return f"DpopKey({self.thumbprint!r})"

    @property
    def thumbprint(self) -> str:
        """The SHA-256 thumbprint of its public half (RFC 7638)."""
        canonical = json.dumps(self._jwk, sort_keys=True, separators=(",", ":"))
        return _base64url(hashlib.sha256(canonical.encode()).digest())

    def proof(self, method: str, url: str, token: str | None) -> str:
        """Return a proof for one request, good once; `token` is the one that goes along."""
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415  # an extra
        from cryptography.hazmat.primitives.asymmetric import ec, utils  # noqa: PLC0415  # an extra

        claims: dict[str, Any] = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": url.split("?", 1)[0].split("#", 1)[0],
            "iat": int(time.time()),
        }
        if token is not None:
            claims["ath"] = _base64url(hashlib.sha256(token.encode()).digest())
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self._jwk}
        signed = ".".join(
            _base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims)
        )
        r, s = utils.decode_dss_signature(self._private.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_base64url(r.to_bytes(_COORDINATE_BYTES) + s.to_bytes(_COORDINATE_BYTES))}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")

"""Access tokens: JWTs as RFC 9068 profiles them, from one issuer whose public keys lie in a JWKS file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jwt
import structlog

from services.access.domain import SOURCE_OF_CLIENT, VIN_FORM, Caller
from services.runtime import errors
from services.runtime.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ALGORITHMS = ("EdDSA", "ES256")
LEEWAY_SECONDS = 30
"""How far the issuer's clock and ours may be apart."""
REREAD_SECONDS = 10.0
"""The key file is not read more often than this, however many unknown key ids come in."""
_TYPES = frozenset({"at+jwt", "application/at+jwt"})
_MAX_NAME = 128
_log = structlog.get_logger()


class TokenVerifier:
    """Turns a token into its caller. Raises OSError or ValueError when `jwks` can not be read at the start.

    The file is read again when a token names a key that is not known yet, so that keys can be rotated
    without a restart.
    """

    def __init__(self, *, issuer: str, audience: str, jwks: Path, now: Callable[[], float]) -> None:
        self._issuer = issuer
        self._audience = audience
        self._jwks = jwks
        self._now = now
        self._keys = _read(jwks)
        self._read_at = now()

    def verify(self, token: str) -> Caller:
        """Who the token speaks for. Raises Refusal TOKEN_INVALID or TOKEN_EXPIRED."""
        try:
            header = jwt.get_unverified_header(token)
            if str(header.get("typ", "")).lower() not in _TYPES:
                raise _invalid("it is not an access token (typ at+jwt)")
            key = self._key(header.get("kid"))
            if key is None or header.get("alg") not in ALGORITHMS or header["alg"] != key.algorithm_name:
                raise _invalid("no key of the issuer fits it")
            claims = jwt.decode(
                token,
                key.key,
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
            raise _invalid("signature, issuer, audience or form is wrong") from error
        self._check_times(claims)
        return _caller_of(claims)

    def _check_times(self, claims: dict[str, Any]) -> None:
        now = self._now()
        for name in ("exp", "iat", "nbf"):
            if not _is_time(claims.get(name, now)):
                raise _invalid(f"{name} is not a time")
        if claims["exp"] + LEEWAY_SECONDS <= now:
            raise Refusal(
                errors.TOKEN_EXPIRED, "The token has expired; get a new one and send the request again."
            )
        if max(claims["iat"], claims.get("nbf", 0)) > now + LEEWAY_SECONDS:
            raise _invalid("it is not valid yet")

    def _key(self, key_id: object) -> jwt.PyJWK | None:
        if not isinstance(key_id, str):
            return None
        if key_id not in self._keys and self._now() - self._read_at >= REREAD_SECONDS:
            self._read_at = self._now()
            try:
                self._keys = _read(self._jwks)
            except (OSError, ValueError, jwt.PyJWKError) as error:
                # The keys known so far stay good; a file caught in the middle of a change is read again.
                _log.warning("token_keys_not_read", reason=str(error))
        return self._keys.get(key_id)


def _read(jwks: Path) -> dict[str, jwt.PyJWK]:
    keys = jwt.PyJWKSet.from_dict(json.loads(jwks.read_text(encoding="utf-8"))).keys
    return {key.key_id: key for key in keys if key.key_id is not None}


def _caller_of(claims: dict[str, Any]) -> Caller:
    client_id = claims["client_id"]
    source = SOURCE_OF_CLIENT.get(client_id) if isinstance(client_id, str) else None
    if source is None:
        raise _invalid("its client is not registered here")
    act = claims.get("act", {"sub": claims["sub"]})
    factors = claims.get("amr", [])
    if not isinstance(act, dict) or not (_is_name(claims["sub"]) and _is_name(act.get("sub"))):
        raise _invalid("subject or actor is not a name")
    if not isinstance(factors, list) or not all(_is_name(factor) for factor in factors):
        raise _invalid("amr is not a list of words")
    only_vin = claims.get("vin")
    if only_vin is not None and not (isinstance(only_vin, str) and VIN_FORM.fullmatch(only_vin)):
        raise _invalid("vin is not a VIN")
    return Caller(
        subject=claims["sub"],
        actor=act["sub"],
        source=source,
        factors=frozenset(factors),
        expires_at=float(claims["exp"] + LEEWAY_SECONDS),
        only_vin=only_vin,
    )


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_NAME


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53


def _invalid(why: str) -> Refusal:
    return Refusal(errors.TOKEN_INVALID, f"The token was not accepted: {why}. Sign in again.")

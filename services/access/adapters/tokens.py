"""Access tokens: JWTs as RFC 9068 profiles them, from one issuer.

A token is read strictly before anything else looks at it, and whatever it says to narrow itself is honoured or the
token is refused: a claim that is ignored is a lock that somebody accepts in.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

from protocol.subjects import is_vin
from services.access.adapters import strict_json
from services.access.adapters.issuer_keys import IssuerUnavailable
from services.access.domain.grants import Caller
from services.access.domain.scopes import actions_in
from services.platform import errors
from services.platform.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from services.access.adapters.issuer_keys import IssuerKey, KeySource
    from services.access.domain.grants import Source

LEEWAY_SECONDS = 30
"""How far the issuer's clock and ours may be apart, unless the settings say otherwise."""
_TYPES = frozenset({"at+jwt", "application/at+jwt"})
_MAX_NAME = 128
_PARTS = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_NOT_UNDERSTOOD = {
    "cnf": "it is bound to a key (cnf), and no proof that its sender holds that key is supported here",
    "authorization_details": "it is narrowed by authorization_details, which is not supported here",
    "scp": "it is narrowed by scp; scope is what is understood here",
}
"""Claims that narrow a token in ways that are not understood here, and why it is refused."""


@dataclass(slots=True, eq=False)
class UnknownKeyRefused(Refusal):
    """The token names a key that is not among those known."""


class TokenVerifier:
    """Turns a token into its caller.

    A token that is good for more than `longest_seconds` is refused, and one of a client that is not among `clients`,
    each with the source it stands for. `leeway_seconds` is how far the issuer's clock and ours may be apart.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        keys: KeySource,
        clients: Mapping[str, Source],
        now: Callable[[], float],
        longest_seconds: int = 3_600,
        leeway_seconds: int = LEEWAY_SECONDS,
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self.keys = keys
        self._clients = clients
        self._now = now
        self._longest_seconds = longest_seconds
        self._leeway_seconds = leeway_seconds

    async def prove(self, token: str) -> Caller:
        """Return who the token speaks for; a key that is not known yet is looked for, within bounds.

        Raises Refusal TOKEN_INVALID or TOKEN_EXPIRED, and IssuerUnavailable.
        """
        try:
            return self.verify(token)
        except UnknownKeyRefused:
            if not await self.keys.learn():
                raise
        except IssuerUnavailable:
            await self.keys.learn()
        return self.verify(token)

    def verify(self, token: str) -> Caller:
        """Return who the token speaks for, by the keys that are known. Raises as `prove` does."""
        try:
            header, claims = _strictly_read(token)
            key = self._key_for(header)
            jwt.decode(
                token,
                key.public.key,
                algorithms=[key.algorithm],
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
        return self._caller_of(claims, key)

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now = self._now()
        for name in ("exp", "iat", "nbf"):
            if not _is_time(claims.get(name, now)):
                raise _invalid(f"{name} is not a time")
        if claims["exp"] + self._leeway_seconds <= now:
            raise Refusal(
                errors.TOKEN_EXPIRED, "The token has expired; get a new one and send the request again."
            )
        if max(claims["iat"], claims.get("nbf", 0)) > now + self._leeway_seconds:
            raise _invalid("it is not valid yet")
        if claims["exp"] - claims["iat"] > self._longest_seconds:
            raise _invalid(f"it is good for more than {self._longest_seconds} s")

    def _key_for(self, header: Mapping[str, Any]) -> IssuerKey:
        if str(header.get("typ", "")).lower() not in _TYPES:
            raise _invalid("it is not an access token (typ at+jwt)")
        if "crit" in header or "b64" in header:
            raise _invalid("its header asks for what is not supported here (crit, b64)")
        key_id = header.get("kid")
        if not isinstance(key_id, str):
            raise _invalid("no key of the issuer fits it")
        if not self.keys.ring.is_known:
            raise IssuerUnavailable("the issuer's keys are not known")
        key = self.keys.ring.find(key_id)
        if key is None:
            refusal = _invalid("no key of the issuer fits it")
            raise UnknownKeyRefused(refusal.reason, refusal.detail)
        if header.get("alg") != key.algorithm:
            raise _invalid("no key of the issuer fits it")
        return key

    def _caller_of(self, claims: Mapping[str, Any], key: IssuerKey) -> Caller:
        for name, why in _NOT_UNDERSTOOD.items():
            if name in claims:
                raise _invalid(why)
        client_id = claims["client_id"]
        source = self._clients.get(client_id) if isinstance(client_id, str) else None
        if source is None:
            raise _invalid("its client is not registered here")
        factors = claims.get("amr", [])
        if not isinstance(factors, list) or not all(_is_name(factor) for factor in factors):
            raise _invalid("amr is not a list of words")
        only_vin = claims.get("vin")
        if "vin" in claims and not (isinstance(only_vin, str) and is_vin(only_vin)):
            raise _invalid("vin is not a VIN")
        scope = actions_in(claims["scope"]) if "scope" in claims else None
        if "scope" in claims and scope is None:
            raise _invalid("scope is not a list of words with one space between")
        return Caller(
            subject=claims["sub"],
            actor=self._actor_in(claims),
            source=source,
            factors=frozenset(factors),
            expires_at=float(claims["exp"] + self._leeway_seconds),
            only_vin=only_vin,
            credential=key.credential,
            ends_at=float(claims["exp"]),
            scope=scope,
        )

    def _actor_in(self, claims: Mapping[str, Any]) -> str:
        """Return who acts: `act` of RFC 8693, or the subject. Raises Refusal TOKEN_INVALID."""
        act = claims.get("act", {"sub": claims["sub"]})
        if not isinstance(act, dict) or not (_is_name(claims["sub"]) and _is_name(act.get("sub"))):
            raise _invalid("subject or actor is not a name")
        if "act" in act:
            raise _invalid(
                "it was handed on more than once (act within act); the record names one actor only"
            )
        if act.keys() - {"sub", "iss"} or act.get("iss", self._issuer) != self._issuer:
            raise _invalid("act says more of the actor than sub, or names another issuer")
        if "may_act" in claims and (
            # Whom the subject lets act for it: it is for the issuer, who makes of it a token in which that one acts.
            "act" not in claims or claims["may_act"] not in ({"sub": act["sub"]}, dict(act))
        ):
            raise _invalid("may_act is for an exchange at the issuer; use the token that comes of it")
        actor: str = act["sub"]
        return actor


def _strictly_read(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims. Raises ValueError for what two readers could read differently."""
    match = _PARTS.fullmatch(token)
    if match is None:
        raise _invalid("it is not three parts in base64url")
    header, claims, _signature = (_decoded(part) for part in match.groups())
    return strict_json.members(header), strict_json.members(claims)


def _decoded(part: str) -> bytes:
    data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(data).decode().rstrip("=") != part:
        raise ValueError("not the one way to write it")
    return data


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_NAME


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53


def _invalid(why: str) -> Refusal:
    return Refusal(errors.TOKEN_INVALID, f"The token was not accepted: {why}. Sign in again.")

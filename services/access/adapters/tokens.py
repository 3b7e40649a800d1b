"""Access tokens: JWTs as RFC 9068 profiles them, from one issuer.

A token is read strictly before anything else looks at it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

from services.access.adapters import compact_jws
from services.access.adapters.issuer_keys import IssuerUnavailableError
from services.access.adapters.token_claims import ClaimsReader, check_header, invalid, is_time
from services.platform import errors
from services.platform.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from services.access.adapters.issuer_keys import IssuerKey, KeySource
    from services.access.domain.accounts import Caller, Source

LEEWAY_SECONDS = 30
"""How far the issuer's clock and ours may be apart, unless the settings say otherwise."""


@dataclass(slots=True, eq=False)
class UnknownKeyRefused(Refusal):
    """The token names a key that is not among those known."""


class TokenVerifier:
    """Turns a token into its caller.

    A token that is good for more than `longest_seconds` is refused, and one of a client that is not among `clients`,
    each with the source it stands for. `leeway_seconds` is how far the issuer's clock and ours may be apart. Tokens
    of `bound_clients` must be bound to a key, and those of `employee_clients` say that they are an employee's.
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
        bound_clients: frozenset[str] = frozenset(),
        employee_clients: frozenset[str] = frozenset(),
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self.keys = keys
        self._claims = ClaimsReader(issuer, clients, leeway_seconds, bound_clients, employee_clients)
        self._now = now
        self._longest_seconds = longest_seconds
        self._leeway_seconds = leeway_seconds

    async def prove(self, token: str) -> Caller:
        """Return who the token speaks for; a key that is not known yet is looked for, within bounds.

        Raises Refusal TOKEN_INVALID or TOKEN_EXPIRED, and IssuerUnavailableError.
        """
        try:
            return self.verify(token)
        except UnknownKeyRefused:
            if not await self.keys.learn():
                raise
        except IssuerUnavailableError:
            await self.keys.learn()
        return self.verify(token)

    def verify(self, token: str) -> Caller:
        """Return who the token speaks for, by the keys that are known. Raises as `prove` does."""
        try:
            header, claims = compact_jws.read(token)
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
        except compact_jws.NotThreePartsError as error:
            raise invalid(str(error)) from error
        except (jwt.InvalidTokenError, ValueError, TypeError, RecursionError) as error:
            raise invalid("signature, issuer, audience or form is wrong") from error
        self._check_times(claims)
        return self._claims.caller_of(claims, key.credential)

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now = self._now()
        for name in ("exp", "iat", "nbf"):
            if not is_time(claims.get(name, now)):
                raise invalid(f"{name} is not a time")
        if claims["exp"] + self._leeway_seconds <= now:
            raise Refusal(
                errors.TOKEN_EXPIRED, "The token has expired; get a new one and send the request again."
            )
        if max(claims["iat"], claims.get("nbf", 0)) > now + self._leeway_seconds:
            raise invalid("it is not valid yet")
        if claims["exp"] - claims["iat"] > self._longest_seconds:
            raise invalid(f"it is good for more than {self._longest_seconds} s")

    def _key_for(self, header: Mapping[str, Any]) -> IssuerKey:
        key_id = check_header(header)
        if not self.keys.ring.is_known:
            raise IssuerUnavailableError("the issuer's keys are not known")
        key = self.keys.ring.find(key_id)
        if key is None:
            refusal = invalid("no key of the issuer fits it")
            raise UnknownKeyRefused(refusal.reason, refusal.detail)
        if header.get("alg") != key.algorithm:
            raise invalid("no key of the issuer fits it")
        return key

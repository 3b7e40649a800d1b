"""Sessions (services.platform.session): a caller, proven once, for what asks in their name longer than a request."""

from __future__ import annotations

import hashlib
import math
import uuid
from typing import TYPE_CHECKING, Any

import jwt

from services.access.domain.accounts import Caller, Source
from services.platform import errors
from services.platform.errors import Refusal
from services.platform.session import ISSUER, LONGEST_SESSION_SECONDS, SESSION_AUDIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.access.adapters.capability_issuer import SigningKey
    from services.platform.session import Session


class SessionIssuer:
    """Signs sessions with the key that signs capabilities, and reads from them who their caller is."""

    def __init__(self, key: Callable[[], SigningKey], now: Callable[[], float]) -> None:
        self._key = key
        self._now = now

    def issue(self, caller: Caller, network: str, certificate: str = "") -> str:
        """Return a session of this caller: until what they signed in with ends, and for a day at most.

        `certificate` names that of the team that asks (workload.certificate_name): the session ends with it.
        """
        issued_at = int(self._now())
        key = self._key()
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": SESSION_AUDIENCE,
            "sub": caller.subject,
            "act": caller.actor,
            "src": caller.source.value,
            "amr": sorted(caller.factors),
            "cred": caller.credential,
            "iat": issued_at,
            "exp": min(issued_at + LONGEST_SESSION_SECONDS, caller.expires_at),
            "jti": str(uuid.uuid4()),
            "net": network,
            "client_id": caller.client_id,
            "case": caller.case,
        }
        if certificate:
            claims["cert"] = certificate
        if caller.ends_at < math.inf:
            claims["ends"] = caller.ends_at
        for name, words in (("vins", caller.only_vins), ("scope", caller.scope), ("carries", caller.carries)):
            if words is not None:
                claims[name] = sorted(words)
        return jwt.encode(claims, key.private, algorithm="EdDSA", headers={"kid": key.key_id})


def caller_of(session: Session) -> tuple[bytes, Caller]:
    """Return the session's digest and whose it is. Raises Refusal TOKEN_INVALID."""
    claims = session.claims
    try:
        caller = Caller(
            subject=session.subject,
            actor=session.actor,
            source=Source(claims["src"]),
            factors=frozenset(claims["amr"]),
            expires_at=session.expires_at,
            only_vins=_words(claims.get("vins")),
            credential=claims["cred"],
            ends_at=session.ends_at,
            scope=_words(claims.get("scope")),
            carries=_words(claims.get("carries")),
            client_id=claims["client_id"],
            case=claims["case"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Refusal(errors.TOKEN_INVALID, "The session is not one of ours; sign in again.") from error
    return hashlib.sha256(session.token.encode()).digest(), caller


def _words(listed: Any) -> frozenset[str] | None:
    return None if listed is None else frozenset(listed)

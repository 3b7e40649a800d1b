"""The session: who has signed in, for what is about a caller and no resource.

It is a JWT signed with Ed25519 by the access service, as capabilities are, for an audience of its own: no service takes
it for a capability. It opens nothing by itself: whoever holds it asks the access service for capabilities of its owner,
and that looks at the rights anew each time. It lasts as long as what its holder signed in with, and a day at most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

from services.platform import errors
from services.platform.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

SESSION_KEY = "x-ecarus-session"
"""The metadata, and the header, in which it comes."""
ISSUER = "ecarus-access"
SESSION_AUDIENCE = "ecarus-sessions"
LONGEST_SESSION_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Session:
    """Whose session it is. Times are in seconds since 1970. `claims` are the access service's own."""

    token: str
    subject: str
    actor: str
    expires_at: float
    ends_at: float
    """When what was begun with it ends by itself: infinity where it does not."""
    network: str
    """Where it was opened from, as one household or host; empty where that is not known."""
    certificate: str
    """The client's certificate under which it was opened (workload.certificate_name): what was begun with it ends with
    that one. Empty where there was none.
    """
    claims: Mapping[str, Any]


def session_in(token: str, keys: Mapping[str, Any]) -> Session:
    """Return the session in `token`, also one that has ended. Raises Refusal TOKEN_INVALID."""
    try:
        claims = jwt.decode(
            token,
            keys[jwt.get_unverified_header(token)["kid"]],
            algorithms=["EdDSA"],
            issuer=ISSUER,
            audience=SESSION_AUDIENCE,
            options={"require": ["exp", "iat", "sub", "act"], "verify_exp": False, "verify_iat": False},
        )
        return Session(
            token,
            claims["sub"],
            claims["act"],
            float(claims["exp"]),
            float(claims.get("ends", math.inf)),
            str(claims.get("net", "")),
            str(claims.get("cert", "")),
            claims,
        )
    except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
        raise Refusal(errors.TOKEN_INVALID, "The session is not one of ours; sign in again.") from error

"""The access service's signing key, in the hands of a test: what it lets a user do."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.platform.capability import AUDIENCE, ISSUER, audience_of

if TYPE_CHECKING:
    from pathlib import Path

SERVICES = ("access", "command", "status", "config", "diagnostics", "notification")
"""Those that take capabilities in."""


@dataclass(frozen=True, slots=True)
class Signer:
    """The access service's signing key. `jwks` is the file that services check with."""

    key: Ed25519PrivateKey
    jwks: Path

    def capability(
        self,
        vin: str,
        *actions: str,
        subject: str = "user-123",
        actor: str | None = None,
        source: str = "MOBILE_APP",
        seconds: int = 60,
        services: tuple[str, ...] = SERVICES,
        **claimed: Any,
    ) -> str:
        """For `actions` of each of `services`: access makes them for one of either."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": [AUDIENCE, *map(audience_of, services)],
            "sub": subject,
            "act": actor or subject,
            "vin": vin,
            "actions": list(actions),
            "amr": ["pwd"],
            "src": source,
            "iat": now,
            "exp": now + seconds,
            "jti": str(uuid.uuid4()),
            "cred": "key_1",
            "step_up": {"acr_values": [], "max_age": 0},  # of a sign-in that is enough for everything
            **claimed,
        }
        return jwt.encode(claims, self.key, algorithm="EdDSA", headers={"kid": "test"})


def new_signer(folder: Path) -> Signer:
    """One with a key of its own, whose public half is in `folder`."""
    key = Ed25519PrivateKey.generate()
    public = jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    jwks = folder / "jwks.json"
    jwks.write_text(json.dumps({"keys": [{**public, "kid": "test", "alg": "EdDSA", "use": "sig"}]}))
    return Signer(key, jwks)

"""A client that proves to hold its key (RFC 9449)."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from services.access.adapters.dpop import thumbprint_of


@dataclass
class DpopKey:
    """A P-256 key and the proofs that it makes."""

    private: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    @property
    def public(self) -> dict[str, Any]:
        """Its public half as a JWK."""
        key: dict[str, Any] = jwt.algorithms.ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        return key

    @property
    def thumbprint(self) -> str:
        """What a token that is bound to it says."""
        return thumbprint_of(self.public)

    def proof(
        self,
        method: str,
        url: str,
        token: str,
        at: float,
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A proof for one request; None takes a claim out."""
        digest = hashlib.sha256(token.encode()).digest()
        form = {
            "jti": secrets.token_urlsafe(12),
            "htm": method,
            "htu": url,
            "iat": int(at),
            "ath": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            **claims,
        }
        form = {name: value for name, value in form.items() if value is not None}
        headers = {"typ": "dpop+jwt", "jwk": self.public, **(header or {})}
        return jwt.encode(form, self.private, algorithm="ES256", headers=headers)

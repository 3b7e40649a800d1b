"""The broker's own tokens: JWTs signed with an nkey (Ed25519), algorithm "ed25519-nkey".

https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_callout
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import TYPE_CHECKING, Any

import nkeys  # type: ignore[import-untyped]  # published without types
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

if TYPE_CHECKING:
    from datetime import datetime

_HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}
_PARTS = 3
_KEY = slice(1, 33)
"""In an nkey's bytes: the role before it, a checksum after it."""


class TokenError(ValueError):
    """Not a token that can be accepted."""


class Issuer:
    """Signs tokens. `seed` is an account's nkey seed ("SA..."). Raises ValueError when it is none."""

    def __init__(self, seed: str) -> None:
        try:
            pair = nkeys.from_seed(bytearray(seed.encode()))
            _role, raw = nkeys.decode_seed(seed.encode())
        except nkeys.NkeysError as error:
            raise ValueError("not an nkey seed") from error
        self.public_key: str = bytes(pair.public_key).decode()
        self._key = Ed25519PrivateKey.from_private_bytes(bytes(raw))

    def sign(self, claims: dict[str, Any], now: datetime) -> str:
        """Return the token that makes these claims."""
        whole = {**claims, "iss": self.public_key, "iat": int(now.timestamp()), "jti": ""}
        digest = hashlib.sha256(_json(whole)).digest()
        whole["jti"] = base64.b32encode(digest).rstrip(b"=").decode()
        body = b".".join((_text(_json(_HEADER)), _text(_json(whole))))
        return b".".join((body, _text(self._key.sign(body)))).decode()


def claims_of(token: bytes) -> dict[str, Any]:
    """Return what the token claims, once its issuer's signature is verified. Raises TokenError.

    Whether the issuer may claim it is the caller's question.
    """
    parts = token.split(b".")
    if len(parts) != _PARTS:
        raise TokenError("not a token")
    try:
        header, claims = (json.loads(_bytes(part)) for part in parts[:2])
        key = base64.b32decode(claims["iss"])[_KEY]
        Ed25519PublicKey.from_public_bytes(key).verify(_bytes(parts[2]), b".".join(parts[:2]))
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise TokenError("not a token") from error
    except InvalidSignature as error:
        raise TokenError("a wrong signature") from error
    if header != _HEADER or not isinstance(claims, dict):
        raise TokenError("another kind of token")
    return claims


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _text(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _bytes(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))

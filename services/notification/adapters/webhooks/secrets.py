"""The secrets of webhooks, as they are shown (Standard Webhooks) and as they are kept: sealed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PREFIX = "whsec_"
SECRET_BYTES = 32
_NONCE_BYTES = 12
_MIN_KEY_BYTES = 32


class WebhookKeyError(Exception):
    """The file holds no key for webhooks' secrets, or another one than they were sealed under."""


class SecretBox:
    """Makes, seals and opens secrets. One that was sealed for a webhook opens for no other."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(hashlib.sha256(b"webhook secrets\0" + key).digest())

    @classmethod
    def read(cls, file: Path) -> SecretBox:
        """With a key made of what is in `file`. Raises WebhookKeyError."""
        key = file.read_bytes().strip()
        if len(key) < _MIN_KEY_BYTES:
            raise WebhookKeyError(f"DOORS_WEBHOOK_KEY holds fewer than {_MIN_KEY_BYTES} bytes")
        return cls(key)

    def new(self, webhook: str) -> tuple[str, bytes]:
        """Return a new secret as it is shown, and sealed."""
        secret = secrets.token_bytes(SECRET_BYTES)
        return _shown(secret), self.seal(webhook, secret)

    def seal(self, webhook: str, secret: bytes) -> bytes:
        """Return the secret, sealed for this webhook."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, webhook.encode())

    def open(self, webhook: str, sealed: bytes) -> bytes:
        """Return a sealed secret. Raises WebhookKeyError."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], webhook.encode())
        except InvalidTag as error:
            raise WebhookKeyError("a webhook's secret was sealed under another DOORS_WEBHOOK_KEY") from error

    def shown(self, webhook: str, sealed: bytes) -> str:
        """Return a sealed secret as it is shown. Raises WebhookKeyError."""
        return _shown(self.open(webhook, sealed))


def _shown(secret: bytes) -> str:
    return PREFIX + base64.b64encode(secret).decode()


def signature(message_id: str, seconds: int, body: bytes, secrets_of: Sequence[bytes]) -> str:
    """Return the header `webhook-signature` under each of these secrets (Standard Webhooks, "v1": HMAC-SHA256)."""
    content = f"{message_id}.{seconds}.".encode() + body
    made = (hmac.new(secret, content, hashlib.sha256).digest() for secret in secrets_of)
    return " ".join(f"v1,{base64.b64encode(each).decode()}" for each in made)

"""A browser's side of a Web Push subscription: its keys, and how it reads a message (RFC 8291, RFC 8188)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_SALT, _SIZE, _TAG, _POINT = 16, 4, 16, 65
_HEADER = _SALT + _SIZE + 1


class UnreadableMessageError(ValueError):
    """A message does not decrypt; the text says where it went wrong."""


def from_base64url(text: str) -> bytes:
    """Return the bytes; padding may be missing. Raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def to_base64url(content: bytes) -> str:
    """Return it without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def new_subscription_secrets(application_server_key: str) -> dict[str, str]:
    """Return the private key, the auth secret, and who may send, as they are kept."""
    private = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
    return {
        "privateKey": to_base64url(private.to_bytes(32, "big")),
        "auth": to_base64url(secrets.token_bytes(16)),
        "applicationServerKey": application_server_key,
    }


def public_keys(kept: dict[str, str]) -> dict[str, str]:
    """Return what a browser hands out (`PushSubscription.toJSON().keys`)."""
    return {"p256dh": to_base64url(_point(_private(kept))), "auth": kept["auth"]}


def decrypt(content: bytes, kept: dict[str, str]) -> bytes:
    """Return the plaintext of a message in the coding aes128gcm. Raises UnreadableMessageError."""
    private, auth = _private(kept), from_base64url(kept["auth"])
    if len(content) < _HEADER or len(content) < _HEADER + content[_HEADER - 1]:
        raise UnreadableMessageError("it ends in its header")
    salt = content[:_SALT]
    size = int.from_bytes(content[_SALT : _SALT + _SIZE], "big")
    sender_point = content[_HEADER : _HEADER + content[_HEADER - 1]]
    if len(sender_point) != _POINT:
        raise UnreadableMessageError("its key id is no point of P-256")
    try:
        sender = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender_point)
    except ValueError as error:
        raise UnreadableMessageError("its key id is no point of P-256") from error
    # HKDF (RFC 5869) as RFC 8291 writes it out: one block is enough for each.
    shared = _hmac(auth, private.exchange(ec.ECDH(), sender))
    ikm = _hmac(shared, b"WebPush: info\x00" + _point(private) + sender_point + b"\x01")
    pseudo_random = _hmac(salt, ikm)
    key = _hmac(pseudo_random, b"Content-Encoding: aes128gcm\x00\x01")[:16]
    nonce = _hmac(pseudo_random, b"Content-Encoding: nonce\x00\x01")[:12]
    record = content[_HEADER + len(sender_point) :]
    # A push message is one record (RFC 8291, section 4), and so the last.
    if not size > _TAG + 1 or not _TAG < len(record) <= size:
        raise UnreadableMessageError("its record is not of the size that it says")
    try:
        padded = AESGCM(key).decrypt(nonce, record, None)
    except InvalidTag as error:
        raise UnreadableMessageError("it was not encrypted for this subscription") from error
    plaintext, delimiter, _ = padded.rstrip(b"\x00").rpartition(b"\x02")
    if not delimiter or padded.rstrip(b"\x00")[-1:] != b"\x02":
        raise UnreadableMessageError("its padding has no delimiter")
    return plaintext


def _private(kept: dict[str, str]) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(from_base64url(kept["privateKey"]), "big"), ec.SECP256R1())


def _point(private: ec.EllipticCurvePrivateKey) -> bytes:
    return private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _hmac(key: bytes, content: bytes) -> bytes:
    return hmac.new(key, content, hashlib.sha256).digest()

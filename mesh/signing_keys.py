"""Ed25519 keys that sign tokens, and the key sets (RFC 7517) in which their public halves are published."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mesh.files import write_private, write_private_json

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def ensure_signing_key(key_path: Path, jwks_path: Path) -> None:
    """Make the key where there is none, and publish its public half. Raises ValueError, OSError."""
    if key_path.is_file():
        key = load_signing_key(key_path)
    else:
        key = Ed25519PrivateKey.generate()
        write_private(key_path, _pem(key))
    write_private_json(jwks_path, {"keys": [_jwk(key.public_key())]})


def rotate_signing_key(key_path: Path, jwks_path: Path) -> str:
    """Replace a signing key by a new one and return its id; the one before stays in the key set, and none older.

    The set is written first: a key that is used is published already.
    """
    before = load_signing_key(key_path).public_key()
    key = Ed25519PrivateKey.generate()
    write_private_json(jwks_path, {"keys": [_jwk(each) for each in (key.public_key(), before)]})
    write_private(key_path, _pem(key))
    return key_id(key.public_key())


def _jwk(public: Ed25519PublicKey) -> dict[str, str]:
    return {**public_jwk(public), "kid": key_id(public), "alg": "EdDSA", "use": "sig"}


def _pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_signing_key(path: Path) -> Ed25519PrivateKey:
    """Return the Ed25519 key in a PEM file. Raises ValueError naming the file when it holds no such key."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as unreadable:
        raise ValueError(f"{path} is not a PEM private key") from unreadable
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path} is not an Ed25519 key")  # noqa: TRY004  # wrong content, not a wrong argument
    return key


def key_id(key: Ed25519PublicKey) -> str:
    """Return the key's JWK thumbprint (RFC 7638)."""
    members = json.dumps(public_jwk(key), sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(members.encode()).digest())


def public_jwk(key: Ed25519PublicKey) -> dict[str, str]:
    """Return its members that RFC 7638 counts."""
    return {"crv": "Ed25519", "kty": "OKP", "x": _base64url(key.public_bytes_raw())}


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

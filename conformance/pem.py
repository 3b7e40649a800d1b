"""Keys in PEM files."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from protocol.keys import SealKey, VehicleKeys

if TYPE_CHECKING:
    from pathlib import Path

PrivateKey = Ed25519PrivateKey | X25519PrivateKey
_PUBLIC = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----\n?", re.DOTALL)


class KeysRefused(Exception):
    """A file does not hold the keys that it should; the text names it."""


def read_unit_keys(path: Path) -> VehicleKeys:
    """The unit's two public keys: PEM, one Ed25519 and one X25519, in either order. Raises KeysRefused."""
    try:
        keys = [load_pem_public_key(block) for block in _PUBLIC.findall(path.read_bytes())]
    except OSError as error:
        raise KeysRefused(f"{path}: {error.strerror}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeysRefused(f"{path} holds a public key that cannot be read") from error
    verify = [key for key in keys if isinstance(key, Ed25519PublicKey)]
    opened = [key for key in keys if isinstance(key, X25519PublicKey)]
    if (len(keys), len(verify), len(opened)) != (2, 1, 1):
        raise KeysRefused(f"{path} does not hold one Ed25519 and one X25519 public key (PEM)")
    seal_bytes = opened[0].public_bytes_raw()
    try:
        SealKey.checked(seal_bytes)
    except ValueError as error:
        raise KeysRefused(f"{path} holds an X25519 key with which nothing can be agreed") from error
    return VehicleKeys.of(verify[0].public_bytes_raw(), seal_bytes)


def read_private(path: Path) -> PrivateKey:
    """The one private key in a file of ours. Raises KeysRefused."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeysRefused(f"{path} holds no private key that can be read") from error
    if not isinstance(key, Ed25519PrivateKey | X25519PrivateKey):
        raise KeysRefused(f"{path} holds neither an Ed25519 nor an X25519 key")
    return key


def write_private(path: Path, key: PrivateKey) -> None:
    """A new file, readable for its owner only. Raises FileExistsError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def public_pem(key: Ed25519PublicKey) -> bytes:
    """One "PUBLIC KEY" block."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

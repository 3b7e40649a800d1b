"""The PEM files of the protocol's keys: made once, readable by their owner only, never overwritten."""

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

from protocol.keys import KeySigner

if TYPE_CHECKING:
    from pathlib import Path

PrivateKey = Ed25519PrivateKey | X25519PrivateKey
PublicKey = Ed25519PublicKey | X25519PublicKey
_PRIVATE = re.compile(
    rb"-----BEGIN (?:ENCRYPTED )?PRIVATE KEY-----.+?-----END (?:ENCRYPTED )?PRIVATE KEY-----\n?", re.DOTALL
)


class KeyFileRefused(Exception):
    """The file does not hold what it should, or is there already; the text names it."""


def private_pem(*keys: PrivateKey) -> bytes:
    """One PKCS8 block after the other."""
    return b"".join(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) for key in keys)


def public_pem(*keys: PublicKey) -> bytes:
    """One "PUBLIC KEY" block after the other."""
    return b"".join(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) for key in keys)


def read_private(path: Path) -> list[PrivateKey]:
    """The private keys in the file, at least one. Raises KeyFileRefused."""
    try:
        found = [load_pem_private_key(block, password=None) for block in _PRIVATE.findall(_read(path))]
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileRefused(f"{path} holds a private key that cannot be read") from error
    keys = [key for key in found if isinstance(key, Ed25519PrivateKey | X25519PrivateKey)]
    if not keys or len(keys) != len(found):
        raise KeyFileRefused(
            f"{path} does not hold Ed25519 or X25519 private keys (PEM, without a passphrase)"
        )
    return keys


def read_root(path: Path) -> KeySigner:
    """The one Ed25519 private key in the file. Raises KeyFileRefused."""
    keys = read_private(path)
    if len(keys) != 1 or not isinstance(keys[0], Ed25519PrivateKey):
        raise KeyFileRefused(f"{path} does not hold one Ed25519 private key and nothing else")
    return KeySigner(keys[0])


def read_public(path: Path, kind: type[PublicKey]) -> bytes:
    """The 32 bytes of the public key of this kind in the file. Raises KeyFileRefused."""
    name = kind.__name__.removesuffix("PublicKey")
    try:
        key = load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileRefused(f"{path} is not an {name} public key (PEM)") from error
    if not isinstance(key, kind):
        raise KeyFileRefused(f"{path} is not an {name} public key (PEM)")
    return key.public_bytes_raw()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyFileRefused(f"{path}: {error.strerror}") from error


def write_new(path: Path, content: bytes) -> None:
    """A new file, mode 0600, on the disk when this returns. Raises KeyFileRefused."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise KeyFileRefused(f"{path} is there already, and is not overwritten") from error
    except OSError as error:
        raise KeyFileRefused(f"{path}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())

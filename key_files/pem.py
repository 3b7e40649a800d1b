"""The protocol's keys in PEM files, as both sides read and make them: PKCS8 and "PUBLIC KEY" blocks, no passphrase."""

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

from protocol.keys import KeySigner, OpenKeys

if TYPE_CHECKING:
    from pathlib import Path

PrivateKey = Ed25519PrivateKey | X25519PrivateKey
PublicKey = Ed25519PublicKey | X25519PublicKey
_PRIVATE = re.compile(
    rb"-----BEGIN (?:ENCRYPTED )?PRIVATE KEY-----.+?-----END (?:ENCRYPTED )?PRIVATE KEY-----\n?", re.DOTALL
)
_PUBLIC = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----\n?", re.DOTALL)


class KeyFileError(ValueError):
    """The file does not hold what it should, or is there already; the text names it."""


def private_pem(*keys: PrivateKey) -> bytes:
    """Return one PKCS8 block after the other."""
    return b"".join(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) for key in keys)


def public_pem(*keys: PublicKey) -> bytes:
    """Return one "PUBLIC KEY" block after the other."""
    return b"".join(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) for key in keys)


def read_private(path: Path) -> list[PrivateKey]:
    """Return the private keys in the file, at least one. Raises KeyFileError."""
    blocks = _PRIVATE.findall(_read(path))
    try:
        found = [load_pem_private_key(block, password=None) for block in blocks]
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path} holds a private key that cannot be read") from error
    keys = [key for key in found if isinstance(key, Ed25519PrivateKey | X25519PrivateKey)]
    if not keys or len(keys) != len(found):
        raise KeyFileError(f"{path} does not hold Ed25519 or X25519 private keys (PEM, without a passphrase)")
    return keys


def read_signer(path: Path) -> KeySigner:
    """Return the one Ed25519 private key in the file. Raises KeyFileError."""
    keys = read_private(path)
    if len(keys) != 1 or not isinstance(keys[0], Ed25519PrivateKey):
        raise KeyFileError(f"{path} does not hold one Ed25519 private key and nothing else")
    return KeySigner(keys[0])


def read_open_keys(path: Path) -> OpenKeys:
    """Return the X25519 private keys in the file, more than one while they are rotated. Raises KeyFileError."""
    keys = read_private(path)
    opening = [key for key in keys if isinstance(key, X25519PrivateKey)]
    if len(opening) != len(keys):
        raise KeyFileError(f"{path} holds a key that is not X25519")
    return OpenKeys(*opening)


def read_car_private(path: Path) -> tuple[Ed25519PrivateKey, X25519PrivateKey]:
    """Return a car's two private keys, in either order. Raises KeyFileError."""
    match read_private(path):
        case [Ed25519PrivateKey() as signing, X25519PrivateKey() as opening]:
            return signing, opening
        case [X25519PrivateKey() as opening, Ed25519PrivateKey() as signing]:
            return signing, opening
    raise KeyFileError(f"{path} does not hold one Ed25519 and one X25519 private key")


def read_car_public(path: Path) -> tuple[Ed25519PublicKey, X25519PublicKey]:
    """Return a car's two public keys, in either order. Raises KeyFileError."""
    blocks = _PUBLIC.findall(_read(path))
    try:
        keys = [load_pem_public_key(block) for block in blocks]
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path} holds a public key that cannot be read") from error
    match keys:
        case [Ed25519PublicKey() as verifying, X25519PublicKey() as sealing]:
            return verifying, sealing
        case [X25519PublicKey() as sealing, Ed25519PublicKey() as verifying]:
            return verifying, sealing
    raise KeyFileError(f"{path} does not hold one Ed25519 and one X25519 public key (PEM)")


def read_public(path: Path, kind: type[PublicKey]) -> bytes:
    """Return the 32 bytes of the public key of this kind in the file. Raises KeyFileError."""
    name = kind.__name__.removesuffix("PublicKey")
    data = _read(path)
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path} is not an {name} public key (PEM)") from error
    if not isinstance(key, kind):
        raise KeyFileError(f"{path} is not an {name} public key (PEM)")
    return key.public_bytes_raw()


def write_new(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a new file, on the disk when this returns. Raises KeyFileError: keys are never overwritten."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise KeyFileError(f"{path} is there already, and is not overwritten") from error
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error

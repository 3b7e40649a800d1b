"""Private keys of the protocol, from PEM files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from protocol.keys import KeySigner, OpenKeys

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK = re.compile(rb"-----BEGIN PRIVATE KEY-----.+?-----END PRIVATE KEY-----\n?", re.DOTALL)


class KeyFileRefused(Exception):
    """The file does not hold what it should; the text names the file."""


def read_open_keys(path: Path) -> OpenKeys:
    """The X25519 private keys in a PEM file, more than one while they are rotated. Raises KeyFileRefused."""
    keys = [key for key in _keys(path) if isinstance(key, X25519PrivateKey)]
    if len(keys) != len(_keys(path)):
        raise KeyFileRefused(f"{path} holds a key that is not X25519")
    return OpenKeys(*keys)


def read_signer(path: Path) -> KeySigner:
    """The one Ed25519 private key in a PEM file. Raises KeyFileRefused."""
    keys = _keys(path)
    if len(keys) != 1 or not isinstance(keys[0], Ed25519PrivateKey):
        raise KeyFileRefused(f"{path} does not hold one Ed25519 key and nothing else")
    return KeySigner(keys[0])


def _keys(path: Path) -> list[object]:
    try:
        found = [load_pem_private_key(block, password=None) for block in _BLOCK.findall(path.read_bytes())]
    except ValueError as error:
        raise KeyFileRefused(f"{path} holds a key that cannot be read") from error
    if not found:
        raise KeyFileRefused(f"{path} holds no private key")
    return list(found)

"""The protocol's keys in files: private ones as PEM, and the manifests of the public ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from ecarus.remotecontrol.vehicle.v1 import session_pb2

from protocol.faults import MessageRefused
from protocol.keys import KeySigner, OpenKeys
from protocol.manifest import peek

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK = re.compile(rb"-----BEGIN PRIVATE KEY-----.+?-----END PRIVATE KEY-----\n?", re.DOTALL)


MANIFEST_SUFFIX = ".manifest"


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


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """An endorsed manifest as it travels, and the keys that may sign under it."""

    version: int
    endorsed: bytes
    signers: frozenset[bytes]

    def lists_signer(self, public_bytes: bytes) -> bool:
        """Whether vehicles with this manifest believe this Ed25519 key."""
        return public_bytes in self.signers


def read_manifests(folder: Path) -> list[ManifestFile]:
    """Every `<version>.manifest` in the folder, oldest first; at least one. Raises KeyFileRefused."""
    found = sorted((_manifest(path) for path in folder.glob(f"*{MANIFEST_SUFFIX}")), key=lambda m: m.version)
    if not found:
        raise KeyFileRefused(f"{folder} holds no *{MANIFEST_SUFFIX}")
    return found


def _manifest(path: Path) -> ManifestFile:
    endorsed = path.read_bytes()
    try:
        manifest = peek(endorsed)
    except MessageRefused as refused:
        raise KeyFileRefused(f"{path} is no manifest: {refused.detail}") from refused
    if path.name != f"{manifest.version}{MANIFEST_SUFFIX}":
        raise KeyFileRefused(f"{path} holds version {manifest.version}")
    signers = (k.public_key for k in manifest.keys if k.use == session_pb2.KEY_USE_SIGN and not k.revoked)
    return ManifestFile(manifest.version, endorsed, frozenset(signers))

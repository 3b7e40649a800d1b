"""The manifests of the cloud's public keys, in files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1 import session_pb2

from key_files.pem import KeyFileError
from protocol.faults import MessageRefusedError
from protocol.manifest import peek

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST_SUFFIX = ".manifest"


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """An endorsed manifest as it travels, and the keys that may sign under it."""

    version: int
    endorsed: bytes
    signers: frozenset[bytes]

    def lists_signer(self, public_bytes: bytes) -> bool:
        """Return whether vehicles with this manifest accept this Ed25519 key."""
        return public_bytes in self.signers


def read_manifests(folder: Path) -> list[ManifestFile]:
    """Return every `<version>.manifest` in the folder, oldest first; at least one. Raises KeyFileError."""
    found = sorted((_manifest(path) for path in folder.glob(f"*{MANIFEST_SUFFIX}")), key=lambda m: m.version)
    if not found:
        raise KeyFileError(f"{folder} holds no *{MANIFEST_SUFFIX}")
    return found


def _manifest(path: Path) -> ManifestFile:
    endorsed = path.read_bytes()
    try:
        manifest = peek(endorsed)
    except MessageRefusedError as refused:
        raise KeyFileError(f"{path} is no manifest: {refused.detail}") from refused
    if path.name != f"{manifest.version}{MANIFEST_SUFFIX}":
        raise KeyFileError(f"{path} holds version {manifest.version}")
    signers = (k.public_key for k in manifest.keys if k.use == session_pb2.KEY_USE_SIGN and not k.revoked)
    return ManifestFile(manifest.version, endorsed, frozenset(signers))

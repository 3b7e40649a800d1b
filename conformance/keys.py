"""The kit's own cloud keys, and the manifests that it endorses, in a folder.

They stay there from run to run: a unit that adopted a manifest goes back to no earlier one.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from ecarus.remotecontrol.vehicle.v1 import session_pb2

from key_files.pem import KeyFileError, private_pem, read_car_public, read_private, write_new
from protocol.faults import MessageRefusedError
from protocol.keys import KeySigner, OpenKeys, SealKey, VehicleKeys, key_id
from protocol.manifest import endorse, peek

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from key_files.pem import PrivateKey

LIFETIME_SECONDS = 10 * 365 * 86_400
_FILE = re.compile(r"(root|sign|seal|report)-([1-9][0-9]*)\.pem")
_USES = {
    "sign": session_pb2.KEY_USE_SIGN,
    "seal": session_pb2.KEY_USE_SEAL,
    "report": session_pb2.KEY_USE_REPORT,
}


@dataclass(frozen=True, slots=True)
class CloudKey:
    """One of the cloud's keys. `is_over`: its time ended before the manifest was issued."""

    use: str
    number: int
    private: PrivateKey
    is_revoked: bool = False
    is_over: bool = False

    @property
    def public_bytes(self) -> bytes:
        """32 bytes."""
        return self.private.public_key().public_bytes_raw()

    @property
    def key_id(self) -> bytes:
        """Return the key's id, as `protocol.keys` makes it."""
        return key_id(self.public_bytes)

    @property
    def is_usable(self) -> bool:
        """Whether units accept it."""
        return not self.is_revoked and not self.is_over

    @property
    def signer(self) -> KeySigner:
        """For an Ed25519 key."""
        assert isinstance(self.private, Ed25519PrivateKey)  # noqa: S101  # by its use
        return KeySigner(self.private)


class KitCloudKeys:
    """All of them, as the newest manifest says. Raises KeyFileError for a folder that is damaged."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._keys = [
            CloudKey(found[1], int(found[2]), read_private(path)[0])
            for path in sorted(folder.iterdir())
            if (found := _FILE.fullmatch(path.name))
        ]
        self.version = 0
        versions = sorted(int(path.stem) for path in folder.glob("*.manifest"))
        if versions:
            self._recall(versions[-1])
        else:
            self._begin()

    def all(self, use: str) -> list[CloudKey]:
        """Return the keys of a use, oldest first."""
        return sorted((key for key in self._keys if key.use == use), key=lambda key: key.number)

    def current(self, use: str) -> CloudKey:
        """Return the one that is used: the oldest that units accept."""
        return next(key for key in self.all(use) if key.is_usable)

    @property
    def root(self) -> CloudKey:
        """The root that endorses the next manifest."""
        return self.current("root")

    @property
    def signer(self) -> KeySigner:
        """Signs what the kit orders."""
        return self.current("sign").signer

    def open_keys(self, use: str) -> OpenKeys:
        """Return the private X25519 keys of a use, also those that were revoked."""
        return OpenKeys(*(key.private for key in self.all(use) if isinstance(key.private, X25519PrivateKey)))

    def endorsed(self, version: int) -> bytes:
        """Return the manifest of this version, as it travels."""
        return self._manifest_file(version).read_bytes()

    def add(self, use: str, *, is_over: bool = False, is_revoked: bool = False) -> CloudKey:
        """Return a new key, which the next manifest will name."""
        number = len(self.all(use)) + 1
        ed25519 = use in {"root", "sign"}
        private = Ed25519PrivateKey.generate() if ed25519 else X25519PrivateKey.generate()
        write_new(self._folder / f"{use}-{number}.pem", private_pem(private))
        key = CloudKey(use, number, private, is_over=is_over, is_revoked=is_revoked)
        self._keys.append(key)
        return key

    def revoke(self, key: CloudKey) -> None:
        """Have the next manifest revoke it. A root is replaced by the one after it."""
        self._keys = [replace(one, is_revoked=True) if one == key else one for one in self._keys]

    def endorse_next(
        self,
        before: CloudKey | None = None,
        lifetime_seconds: int = LIFETIME_SECONDS,
        besides: Iterable[tuple[int, bytes]] = (),
    ) -> int:
        """Return the next manifest's version; `endorsed` has it. `before` is the root before, where it changes.
        `besides` are keys that are in this manifest only, with the use that it gives them, which may be one that
        nobody knows.
        """
        version = self.version + 1
        manifest = self.manifest(version)
        manifest.expires_at_seconds = manifest.issued_at_seconds + lifetime_seconds
        for use, public in besides:
            manifest.keys.add(
                use=use,
                public_key=public,
                expires_at_seconds=manifest.expires_at_seconds,
            )
        endorsed = endorse(manifest, self.root.signer, (before or self.root).signer)
        self._manifest_file(version).write_bytes(endorsed)
        self.version = version
        return version

    def manifest(self, version: int) -> session_pb2.KeyManifest:
        """Return what a manifest of this version would say."""
        now = int(time.time())
        manifest = session_pb2.KeyManifest(
            version=version,
            issued_at_seconds=now,
            expires_at_seconds=now + LIFETIME_SECONDS,
            root_public_key=self.root.public_bytes,
        )
        for use, number in _USES.items():
            for key in self.all(use):
                manifest.keys.add(
                    use=number,
                    public_key=key.public_bytes,
                    # Before the manifest was issued: over by the wall clock of every unit, right or wrong.
                    expires_at_seconds=now - 1 if key.is_over else now + LIFETIME_SECONDS,
                    revoked=key.is_revoked,
                )
        return manifest

    def _begin(self) -> None:
        for use in ("root", *_USES):
            self.add(use)
        self.add("sign", is_over=True)
        self.add("sign", is_revoked=True)
        self.endorse_next()

    def _recall(self, version: int) -> None:
        try:
            manifest = peek(self.endorsed(version))
        except MessageRefusedError as refused:
            raise KeyFileError(
                f"{self._manifest_file(version)} is no manifest: {refused.detail}"
            ) from refused
        told = {key.public_key: key for key in manifest.keys}
        recalled: list[CloudKey] = []
        for key in self._keys:
            if key.use == "root":
                recalled.append(replace(key, is_revoked=key.public_bytes != manifest.root_public_key))
            elif (said := told.get(key.public_bytes)) is not None:
                is_over = said.expires_at_seconds < manifest.issued_at_seconds
                recalled.append(replace(key, is_revoked=said.revoked, is_over=is_over))
            else:  # made for a manifest that was never endorsed
                recalled.append(replace(key, is_revoked=True))
        self._keys = recalled
        self.version = version
        for use in ("root", *_USES):
            if not any(key.is_usable for key in self.all(use)):
                raise KeyFileError(f"{self._folder} has lost the private key in use to {use}")
        if manifest.expires_at_seconds <= time.time():  # left by a rule that was cut short
            self.endorse_next()

    def _manifest_file(self, version: int) -> Path:
        return self._folder / f"{version}.manifest"


def read_unit_keys(path: Path) -> VehicleKeys:
    """Return the unit's two public keys: PEM, one Ed25519 and one X25519, in either order. Raises KeyFileError."""
    verifying, sealing = read_car_public(path)
    seal_bytes = sealing.public_bytes_raw()
    try:
        SealKey.checked(seal_bytes)
    except ValueError as error:
        raise KeyFileError(f"{path} holds an X25519 key with which nothing can be agreed") from error
    return VehicleKeys.of(verifying.public_bytes_raw(), seal_bytes)

"""The sandbox as key ceremony and as factory: the keys of the protocol between cloud and vehicles.

Made once and kept. The root is for the next manifest and for nobody who runs; each service gets the private keys
it works with, each car its own. In production the root is offline and the cars make their own keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from doorctl.ceremony import PublicCloudKeys, manifest_file, newest_manifest, next_manifest
from key_files.pem import private_pem, public_pem, read_private, read_signer
from mesh.files import private_folder, write_private
from tlog.notes import ED25519, NoteKey

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from doorctl.ceremony import EndorsedManifest
    from key_files.pem import PrivateKey

MANIFEST_DAYS = 365
RENEW_BEFORE_DAYS = 30


@dataclass(frozen=True, slots=True)
class CarKeys:
    """A car's files: its private keys, which are the car's alone, and their public halves for its enrolment."""

    private: Path
    public: Path


@dataclass(frozen=True, slots=True)
class Ceremony:
    """Where the keys are below the data folder."""

    folder: Path

    @property
    def root_key(self) -> Path:
        """The root: it endorses manifests. No component is given it."""
        return self.folder / "secrets" / "root.key"

    @property
    def root_public(self) -> Path:
        """Its public half, which cars are made with."""
        return self.folder / "public" / "root.pub"

    @property
    def signing_key(self) -> Path:
        """What orders are signed with: the signer's alone."""
        return self.folder / "secrets" / "signing.key"

    @property
    def seal_keys(self) -> Path:
        """What opens what cars seal: for the services that read answers."""
        return self.folder / "secrets" / "cloud-seal.keys"

    @property
    def report_keys(self) -> Path:
        """What the keys of reports are agreed with: for the services that read reports."""
        return self.folder / "secrets" / "cloud-report.keys"

    @property
    def manifests(self) -> Path:
        """The endorsed manifests, `<version>.manifest`."""
        return self.folder / "public" / "manifests"

    @property
    def manifest(self) -> Path:
        """The newest: cars are made with it."""
        newest = newest_manifest(self.manifests)
        if newest is None:
            raise FileNotFoundError(f"{self.manifests} holds no manifest")
        return manifest_file(self.manifests, newest.manifest.version)

    def hold(self, now: datetime) -> None:
        """Make what is missing, and the next manifest when the newest is soon over or lacks a key.

        Raises CeremonyError, KeyFileError.
        """
        _ensure(self.root_key, self.root_public, Ed25519PrivateKey)
        keys = PublicCloudKeys(
            _ensure(self.signing_key, self._public("signing"), Ed25519PrivateKey),
            _ensure(self.seal_keys, self._public("cloud-seal"), X25519PrivateKey),
            _ensure(self.report_keys, self._public("cloud-report"), X25519PrivateKey),
        )
        private_folder(self.manifests)
        newest = newest_manifest(self.manifests)
        if newest is None or not _is_good(newest, keys, now):
            made = next_manifest(newest, keys, read_signer(self.root_key), now, timedelta(days=MANIFEST_DAYS))
            write_private(manifest_file(self.manifests, made.manifest.version), made.data)

    def make_car(self, vin: str) -> CarKeys:
        """Return the car's keys, made where it has none. Raises KeyFileError."""
        private = self.folder / "vehicles" / vin / "keys.pem"
        public = self.folder / "public" / "vehicles" / f"{vin}.pem"
        _ensure(private, public, Ed25519PrivateKey, X25519PrivateKey)
        return CarKeys(private, public)

    def car_settings(self, vin: str) -> dict[str, str]:
        """Return what the simulator is told of the car's keys. Raises CeremonyError."""
        files = {
            "keysFile": self.make_car(vin).private,
            "rootKeyFile": self.root_public,
            "manifestFile": self.manifest,
        }
        return {name: str(path.resolve()) for name, path in files.items()}

    def _public(self, name: str) -> Path:
        return self.folder / "public" / f"{name}.pub"


def _ensure(private: Path, public: Path, *kinds: type[PrivateKey]) -> list[bytes]:
    """Return the public keys of the private file, which is made where it is missing; the public file follows it."""
    if not private.is_file():
        write_private(private, private_pem(*(kind.generate() for kind in kinds)))
    halves = [key.public_key() for key in read_private(private)]
    pem = public_pem(*halves)
    if not public.is_file() or public.read_bytes() != pem:
        write_private(public, pem)
    return [half.public_bytes_raw() for half in halves]


def ensure_log_key(private: Path, public: Path, origin: str) -> None:
    """Make the audit log's key where there is none; the public file holds a verifier key of each in it."""
    halves = _ensure(private, public.with_suffix(".pub"), Ed25519PrivateKey)
    write_private(public, "".join(f"{NoteKey(origin, ED25519, half).vkey()}\n" for half in halves).encode())


def _is_good(newest: EndorsedManifest, keys: PublicCloudKeys, now: datetime) -> bool:
    """Return whether it lasts for a while and names these keys."""
    manifest = newest.manifest
    lasts = manifest.expires_at_seconds > (now + timedelta(days=RENEW_BEFORE_DAYS)).timestamp()
    usable = {(key.use, key.public_key) for key in manifest.keys if not key.revoked}
    return lasts and usable >= set(keys.with_uses())

"""What the broker and those who connect to it know of each other: files, each made at random once and kept."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import nkeys  # type: ignore[import-untyped]  # published without types

from mesh.files import write_private

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class BrokerSecrets:
    """The folder."""

    folder: Path

    @property
    def store_prefix(self) -> Path:
        """What stands before the subjects at which the broker's stores listen: who knows it may write into them."""
        return self.folder / "broker-store-prefix"

    @property
    def admission_seed(self) -> Path:
        """The nkey seed with which the enrolment service signs admissions."""
        return self.folder / "admission.nk"

    @property
    def cluster_password(self) -> Path:
        """With a certificate of a node: makes whoever has it a node."""
        return self.folder / "broker-cluster.password"

    def password(self, user: str) -> Path:
        """Return the file with the broker password of a service or a vehicle."""
        return self.folder / f"nats-{user}.password"

    def admission_key(self) -> str:
        """Return the public half of the admission seed, as the broker's configuration names it."""
        pair = nkeys.from_seed(bytearray(self.admission_seed.read_bytes().strip()))
        return bytes(pair.public_key).decode()

    def ensure(self, users: Iterable[str]) -> None:
        """Make what is missing, with a password for each of `users`."""
        for user in users:
            ensure_secret(self.password(user))
        if not self.admission_seed.is_file():
            seed = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_ACCOUNT)
            write_private(self.admission_seed, seed)
        if not self.store_prefix.is_file():
            write_private(self.store_prefix, secrets.token_hex(16).encode())


def ensure_secret(path: Path) -> None:
    """Make a file with 43 random characters where there is none."""
    if not path.is_file():
        write_private(path, secrets.token_urlsafe(32).encode())

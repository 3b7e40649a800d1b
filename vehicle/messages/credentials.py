"""What a car is made with: its own keys, and which keys of the cloud it accepts.

A TCU makes its keys itself and gives away the public halves only, to be enrolled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from key_files.pem import KeyFileError, private_pem, public_pem, read_car_private, read_public, write_new
from protocol.faults import MessageRefusedError
from protocol.keys import KeySigner, OpenKeys, Signer
from protocol.manifest import Trust

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a car signs with, what it opens with, and what it accepts until it adopts a newer manifest."""

    signer: Signer
    open_keys: OpenKeys
    factory_trust: Trust


def read_credentials(keys_file: Path, root_file: Path, manifest_file: Path) -> Credentials:
    """From the car's private keys (PEM: one Ed25519 and one X25519, PKCS8, in either order), the root's public
    key (PEM, Ed25519) and the manifest that this root endorsed (raw bytes; its time may be up by now).

    Raises KeyFileError, OSError.
    """
    signing_key, opening_key = read_car_private(keys_file)
    root = read_public(root_file, Ed25519PublicKey)
    try:
        trust = Trust.restore(root, manifest_file.read_bytes())
    except MessageRefusedError as refused:
        raise KeyFileError(f"{manifest_file} is no manifest of the root in {root_file}") from refused
    return Credentials(KeySigner(signing_key), OpenKeys(opening_key), trust)


def make_car_keys(out: Path, public: Path) -> None:
    """Make a car's keys: the private halves into `out`, readable for nobody else, the public halves into
    `public`. Raises KeyFileError, when one of the files is there already too.
    """
    for path in (out, public):
        if path.exists():
            raise KeyFileError(f"{path} is there already; keys are never overwritten")
    keys = (Ed25519PrivateKey.generate(), X25519PrivateKey.generate())
    write_new(out, private_pem(*keys))
    write_new(public, public_pem(*(key.public_key() for key in keys)), 0o644)

"""What a car is made with: its own keys, and which keys of the cloud it believes.

A TCU makes its keys itself and gives away the public halves only, to be enrolled.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from protocol.faults import MessageRefused
from protocol.keys import KeySigner, OpenKeys, Signer
from protocol.manifest import Trust

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK = re.compile(rb"-----BEGIN PRIVATE KEY-----.+?-----END PRIVATE KEY-----\n?", re.DOTALL)


class CredentialsRefused(ValueError):
    """A file does not hold what it should, or is there already; the text names it."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a car signs with, what it opens with, and what it believes until it adopts a newer manifest."""

    signer: Signer
    open_keys: OpenKeys
    factory_trust: Trust


def read_credentials(keys_file: Path, root_file: Path, manifest_file: Path) -> Credentials:
    """From the car's private keys (PEM: one Ed25519 and one X25519, PKCS8, in either order), the root's public
    key (PEM, Ed25519) and the manifest that this root endorsed (raw bytes; its time may be up by now).

    Raises CredentialsRefused, OSError.
    """
    signing_key, opening_key = _read_car_keys(keys_file)
    root = _read_root(root_file)
    try:
        trust = Trust.restore(root, manifest_file.read_bytes())
    except MessageRefused as refused:
        raise CredentialsRefused(f"{manifest_file} is no manifest of the root in {root_file}") from refused
    return Credentials(KeySigner(signing_key), OpenKeys(opening_key), trust)


def make_car_keys(out: Path, public: Path) -> None:
    """Makes a car's keys: the private halves into `out`, readable for nobody else, the public halves into
    `public`. Raises CredentialsRefused when one of the files is there already, OSError.
    """
    for path in (out, public):
        if path.exists():
            raise CredentialsRefused(f"{path} is there already; keys are never overwritten")
    keys = (Ed25519PrivateKey.generate(), X25519PrivateKey.generate())
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write_new(out, b"".join(key.private_bytes(*form) for key in keys), 0o600)
    public_form = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    _write_new(public, b"".join(key.public_key().public_bytes(*public_form) for key in keys), 0o644)


def _read_car_keys(path: Path) -> tuple[Ed25519PrivateKey, X25519PrivateKey]:
    try:
        keys = [load_pem_private_key(block, password=None) for block in _BLOCK.findall(path.read_bytes())]
    except ValueError as error:
        raise CredentialsRefused(f"{path} holds a key that cannot be read") from error
    signing = [key for key in keys if isinstance(key, Ed25519PrivateKey)]
    opening = [key for key in keys if isinstance(key, X25519PrivateKey)]
    if (len(keys), len(signing), len(opening)) != (2, 1, 1):
        raise CredentialsRefused(f"{path} does not hold one Ed25519 and one X25519 private key")
    return signing[0], opening[0]


def _read_root(path: Path) -> bytes:
    try:
        key = load_pem_public_key(path.read_bytes())
    except ValueError as error:
        raise CredentialsRefused(f"{path} holds no public key") from error
    if not isinstance(key, Ed25519PublicKey):
        raise CredentialsRefused(f"{path} does not hold an Ed25519 key")
    return key.public_bytes_raw()


def _write_new(path: Path, data: bytes, mode: int) -> None:
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:  # somebody else was quicker
        raise CredentialsRefused(f"{path} is there already; keys are never overwritten") from error
    with os.fdopen(file, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())

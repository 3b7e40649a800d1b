"""People's keys, and what is sealed under them.

Each person has a key of 32 random bytes, wrapped (AES-256-GCM) under the house key, which is a file and in no database.
What the ledger knows of a person in clear is sealed under the person's key: with the key goes all of it, from every
copy and backup that does not hold the key. People and vehicles are looked up by a keyed hash, which whoever has the
database alone cannot try names against.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tlog.leaves import SALT_BYTES, Disclosure, base64url, canonical, unbase64url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

KEY_BYTES = 32
_NONCE_BYTES = 12
_LEAST_SECRET_BYTES = 32
_NOT_HASHED = {"row_mac", "decision"}
"""`decision` is the leaf's, which is hashed; rows from before it was a column have their hash without it."""


class UnreadableSealError(Exception):
    """It was not sealed under this key for this place, or was changed."""


class HouseKey:
    """The service's own key: it wraps people's keys, and hashes what is looked up."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < _LEAST_SECRET_BYTES:
            raise ValueError(f"the house key must have {_LEAST_SECRET_BYTES} bytes or more")
        self._wrapping = AESGCM(_derived(secret, b"wrap people's keys"))
        self._looking_up = _derived(secret, b"look up")
        self._rows = _derived(secret, b"rows")

    @classmethod
    def read(cls, path: Path) -> HouseKey:
        """Return the key in this file, whose blanks at both ends are none of it. Raises ValueError, OSError."""
        return cls(path.read_bytes().strip())

    def lookup(self, what: str, name: str) -> bytes:
        """Return the 32 bytes by which a `person`, a `vehicle` or a `command` of this name is found."""
        return hmac.digest(self._looking_up, f"{what}\0{name}".encode(), "sha256")

    def row_mac(self, row: Mapping[str, Any]) -> bytes:
        """Return the keyed hash of a row: of all its columns but this one, and what the leaf says besides."""
        said = {
            name: value.hex() if isinstance(value, bytes) else value and str(value)
            for name, value in row.items()
            if name not in _NOT_HASHED
        }
        return hmac.digest(self._rows, canonical(said), "sha256")

    def is_intact(self, row: Mapping[str, Any]) -> bool:
        """Return whether this is the row as this key's holder wrote it."""
        return row["row_mac"] is not None and hmac.compare_digest(row["row_mac"], self.row_mac(row))

    def wrap(self, key_id: bytes, key: bytes) -> bytes:
        """Return a person's key as the database keeps it."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._wrapping.encrypt(nonce, key, key_id)

    def unwrap(self, key_id: bytes, wrapped: bytes) -> bytes:
        """Return a person's key. Raises UnreadableSealError."""
        try:
            return self._wrapping.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], key_id)
        except (InvalidTag, ValueError) as error:
            raise UnreadableSealError("a person's key is not wrapped under this house key") from error


def new_disclosures(members: Mapping[str, str]) -> list[Disclosure]:
    """Return the members, each with a salt of its own, by name."""
    return [Disclosure(name, secrets.token_bytes(SALT_BYTES), members[name]) for name in sorted(members)]


def seal(key: bytes, leaf_id: str, disclosures: Iterable[Disclosure]) -> bytes:
    """Return members with their salts, sealed under a person's key for this leaf."""
    content = canonical({each.name: [base64url(each.salt), each.value] for each in disclosures})
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(_derived(key, b"seal")).encrypt(nonce, content, leaf_id.encode())


def open_seal(key: bytes, leaf_id: str, sealed: bytes) -> list[Disclosure]:
    """Return the members. Raises UnreadableSealError."""
    try:
        content = AESGCM(_derived(key, b"seal")).decrypt(
            sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], leaf_id.encode()
        )
    except (InvalidTag, ValueError) as error:
        raise UnreadableSealError("members are not sealed under this key for this leaf") from error
    return [Disclosure(name, unbase64url(salt), value) for name, (salt, value) in json.loads(content).items()]


def content_mac(key: bytes, content: bytes) -> bytes:
    """Return what tells two entries of one id apart, for as long as the person's key is there."""
    return hmac.digest(_derived(key, b"compare"), content, "sha256")


def entry_key(entry_id: str) -> bytes:
    """Return by what an entry is known to be there already."""
    return hashlib.sha256(entry_id.encode()).digest()


def _derived(secret: bytes, purpose: bytes) -> bytes:
    info = b"ecarus audit ledger: " + purpose
    return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=info).derive(secret)

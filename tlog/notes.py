"""c2sp.org/signed-note with Ed25519, and c2sp.org/tlog-cosignature (v1): texts that are signed by one or more keys."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

if TYPE_CHECKING:
    from collections.abc import Iterable

ED25519 = 0x01
COSIGNATURE = 0x04
_DASH = "— "
_KEY_BYTES = 32
_ID_BYTES = 4
_TIME_BYTES = 8
_LATEST_TIME = 2**63 - 1
MAX_NOTE_BYTES = 65_536
MAX_SIGNATURES = 64
_VKEY = re.compile(r"([^+\s]+)\+([0-9a-f]{8})\+(\S+)")


class NoteError(ValueError):
    """It is no signed note, or none of whom it should be; the text says why."""


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A public key that signs notes: its name, what kind of signatures it makes, and its 32 bytes."""

    name: str
    kind: int
    public: bytes

    def __post_init__(self) -> None:
        """Raise NoteError for a name or a key that is none."""
        if not self.name or "+" in self.name or any(letter.isspace() for letter in self.name):
            raise NoteError("a key's name has no blanks and no plus sign")
        if self.kind not in {ED25519, COSIGNATURE} or len(self.public) != _KEY_BYTES:
            raise NoteError("not an Ed25519 key for notes")

    @property
    def id(self) -> bytes:
        """Return the four bytes that stand before its signatures."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[
            :_ID_BYTES
        ]

    def vkey(self) -> str:
        """Return the key as people pass it on: `<name>+<id>+<base64>`."""
        encoded = base64.b64encode(bytes([self.kind]) + self.public).decode()
        return f"{self.name}+{self.id.hex()}+{encoded}"

    @classmethod
    def of_vkey(cls, text: str) -> NoteKey:
        """Return the key. Raise NoteError."""
        found = _VKEY.fullmatch(text.strip())
        if found is None:
            raise NoteError("not a verifier key: <name>+<id>+<base64>")
        data = unbase64(found[3])
        key = cls(found[1], data[0] if data else 0, data[1:])
        if key.id.hex() != found[2]:
            raise NoteError("the verifier key's id is not its own")
        return key

    def check(self, text: str, signature: bytes) -> int | None:
        """Raise NoteError unless this key signed the text so. Return the time (seconds since 1970) of a cosignature."""
        signed, time = text.encode(), None
        if self.kind == COSIGNATURE:
            time = int.from_bytes(signature[:_TIME_BYTES], "big")
            if time > _LATEST_TIME:
                raise NoteError("a cosignature of no time")
            signature, signed = signature[_TIME_BYTES:], cosigned(text, time)
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, signed)
        except (InvalidSignature, ValueError) as error:
            raise NoteError(f"the signature of {self.name} does not verify") from error
        return time


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """A signature that verified: whose, the line that it stands in, and the time of a cosignature."""

    key: NoteKey
    line: str
    time: int | None = None


@dataclass(frozen=True, slots=True)
class SignedNote:
    """A note's text, which ends with a newline, and its signatures that verified."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def signed_by(self, keys: Iterable[NoteKey]) -> bool:
        """Return whether one of these keys signed it."""
        return not {each.key for each in self.signatures}.isdisjoint(keys)


def signature_line(text: str, name: str, private: Ed25519PrivateKey) -> str:
    """Return the line with a key's signature under a note's text."""
    key = NoteKey(name, ED25519, private.public_key().public_bytes_raw())
    return _line(name, key.id + private.sign(text.encode()))


def cosignature_line(text: str, name: str, private: Ed25519PrivateKey, time: int) -> str:
    """Return the line with a witness's cosignature of this time (seconds since 1970) under a checkpoint's text."""
    key = NoteKey(name, COSIGNATURE, private.public_key().public_bytes_raw())
    return _line(name, key.id + time.to_bytes(_TIME_BYTES, "big") + private.sign(cosigned(text, time)))


def cosigned(text: str, time: int) -> bytes:
    """Return what a witness signs."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def join(text: str, lines: Iterable[str]) -> bytes:
    """Return the note of this text under these signatures' lines."""
    return (f"{text}\n" + "".join(lines)).encode()


def split(data: bytes) -> tuple[str, list[str]]:
    """Return a note's text and its signatures' lines, of which none is verified. Raise NoteError."""
    if len(data) > MAX_NOTE_BYTES:
        raise NoteError(f"a note of more than {MAX_NOTE_BYTES} bytes")
    try:
        whole = data.decode()
    except UnicodeDecodeError as error:
        raise NoteError("a note is UTF-8") from error
    if any(letter < " " and letter != "\n" for letter in whole):
        raise NoteError("a note has no control characters")
    text, blank, signatures = whole.rpartition("\n\n")
    lines = [f"{line}\n" for line in signatures.removesuffix("\n").split("\n")]
    if not (blank and text and signatures.endswith("\n")) or len(lines) > MAX_SIGNATURES:
        raise NoteError("a note is a text, an empty line, and signatures")
    if not all(_form(line) for line in lines):
        raise NoteError("a signature's line is not of its form")
    return f"{text}\n", lines


def verified(text: str, lines: Iterable[str], keys: Iterable[NoteKey]) -> tuple[NoteSignature, ...]:
    """Return the signatures of these keys, each key's first; all others are nobody's.

    Raise NoteError for one that is false.
    """
    known = {(key.name, key.id): key for key in keys}
    found: dict[NoteKey, NoteSignature] = {}
    for line in lines:
        key = known.get(signer_of(line))
        if key is not None and key not in found:
            found[key] = NoteSignature(key, line, key.check(text, _parts(line)[1][_ID_BYTES:]))
    return tuple(found.values())


def signer_of(line: str) -> tuple[str, bytes]:
    """Return whose a signature's line says to be: the key's name and its four bytes. Raise NoteError."""
    name, data = _parts(line)
    return name, data[:_ID_BYTES]


def open_note(data: bytes, keys: Iterable[NoteKey]) -> SignedNote:
    """Return the note, signed by at least one of these keys. Raise NoteError where it is not, or falsely."""
    text, lines = split(data)
    signatures = verified(text, lines, keys)
    if not signatures:
        raise NoteError("not signed by a key that is known")
    return SignedNote(text, signatures)


def unbase64(text: str) -> bytes:
    """Return the bytes of standard base64 in its one form. Raise NoteError."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeError) as error:
        raise NoteError("no base64") from error
    if base64.b64encode(data).decode() != text:
        raise NoteError("no base64 in its one form")
    return data


def _line(name: str, data: bytes) -> str:
    return f"{_DASH}{name} {base64.b64encode(data).decode()}\n"


def _form(line: str) -> bool:
    try:
        name, data = _parts(line)
    except NoteError:
        return False
    return bool(name) and "+" not in name and len(data) > _ID_BYTES


def _parts(line: str) -> tuple[str, bytes]:
    dash, name, encoded = (*line.removesuffix("\n").split(" "), "", "")[:3]
    if f"{dash} " != _DASH or line != f"{dash} {name} {encoded}\n":
        raise NoteError("a signature's line is not of its form")
    return name, unbase64(encoded)

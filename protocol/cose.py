"""COSE_Sign1 (RFC 9052) with Ed25519, in exactly one shape.

    18([ << {1: -8, 3: content type, 4: key id} >>, {}, payload, signature ])

in deterministic encoding (RFC 8949 section 4.2.1). There is one byte string for given content, so the
reader takes apart, puts together again and compares: long forms, indefinite lengths, duplicate or extra
headers, unprotected headers, another algorithm and trailing bytes all fail the same comparison.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature

from protocol.faults import Fault, MessageRefusedError
from protocol.keys import KEY_ID_BYTES

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from protocol.keys import Signer

SIGNATURE_BYTES = 64

_BYTES, _TEXT = 0x40, 0x60
_TAG_AND_ARRAY = b"\xd2\x84"  # tag 18, array of 4
_NO_UNPROTECTED = b"\xa0"
_ALG_EDDSA = b"\xa3\x01\x27"  # map of 3; 1: -8
_CONTENT_TYPE = b"\x03"
_KEY_ID = b"\x04"
_SIGNATURE1 = b"\x84\x6aSignature1"  # array of 4, the context string first
_ONE_BYTE, _TWO_BYTES = 24, 25
_MANY = 0x100  # needs two bytes
_WIDEST = {_ONE_BYTE: 1, _TWO_BYTES: 2}


@dataclass(frozen=True, slots=True)
class SignedEnvelope:
    """A well-formed envelope whose signature nobody has looked at yet: it may say any content type."""

    content_type: str
    key_id: bytes
    payload: bytes
    signature: bytes


def sign(signer: Signer, content_type: str, subject: bytes, payload: bytes) -> bytes:
    """Return the signed envelope. `subject` is authenticated with it and not sent (external_aad)."""
    protected = _protected(content_type, signer.key_id)
    signature = signer.sign(_to_be_signed(protected, subject, payload))
    return _envelope(protected, payload, signature)


def decode(data: bytes) -> SignedEnvelope:
    """Return the parts. Raises MessageRefusedError (MALFORMED)."""
    try:
        signed = _parse(data)
    except (IndexError, UnicodeDecodeError) as error:
        raise MessageRefusedError(Fault.MALFORMED, "not a signed envelope") from error
    protected = _protected(signed.content_type, signed.key_id)
    if _envelope(protected, signed.payload, signed.signature) != data:
        raise MessageRefusedError(Fault.MALFORMED, "not the one encoding of a signed envelope")
    return signed


def verify(signed: SignedEnvelope, key: Ed25519PublicKey, subject: bytes) -> None:
    """Raise MessageRefusedError (BAD_SIGNATURE) unless `key` signed exactly this for `subject`."""
    protected = _protected(signed.content_type, signed.key_id)
    try:
        key.verify(signed.signature, _to_be_signed(protected, subject, signed.payload))
    except InvalidSignature as error:
        raise MessageRefusedError(Fault.BAD_SIGNATURE, "the signature does not fit") from error


def _parse(data: bytes) -> SignedEnvelope:
    """Take apart at the places where a canonical envelope has its parts. Raises IndexError."""
    protected, at = _string(data, len(_TAG_AND_ARRAY))
    payload, at = _string(data, at + len(_NO_UNPROTECTED))
    signature, _ = _string(data, at)
    content_type, at = _string(protected, len(_ALG_EDDSA) + len(_CONTENT_TYPE))
    kid, _ = _string(protected, at + len(_KEY_ID))
    if len(kid) != KEY_ID_BYTES or len(signature) != SIGNATURE_BYTES:
        raise MessageRefusedError(Fault.MALFORMED, "key id or signature of a wrong length")
    return SignedEnvelope(content_type.decode("ascii"), kid, payload, signature)


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    """Return the byte or text string whose head is at `at`, and where it ends. Raises IndexError."""
    length = data[at] & 0x1F
    start = at + 1
    if length >= _ONE_BYTE:
        width = _WIDEST.get(length)
        if width is None:
            raise IndexError(at)
        length = int.from_bytes(data[start : start + width])
        start += width
    end = start + length
    if end > len(data):
        raise IndexError(end)
    return data[start:end], end


def _protected(content_type: str, kid: bytes) -> bytes:
    name = content_type.encode("ascii")
    return b"".join((_ALG_EDDSA, _CONTENT_TYPE, _head(_TEXT, len(name)), name, _KEY_ID, _bytes(kid)))


def _envelope(protected: bytes, payload: bytes, signature: bytes) -> bytes:
    return b"".join((_TAG_AND_ARRAY, _bytes(protected), _NO_UNPROTECTED, _bytes(payload), _bytes(signature)))


def _to_be_signed(protected: bytes, subject: bytes, payload: bytes) -> bytes:
    """Return Sig_structure, RFC 9052 section 4.4."""
    return b"".join((_SIGNATURE1, _bytes(protected), _bytes(subject), _bytes(payload)))


def _bytes(value: bytes) -> bytes:
    return _head(_BYTES, len(value)) + value


def _head(major: int, length: int) -> bytes:
    if length < _ONE_BYTE:
        return bytes((major | length,))
    if length < _MANY:
        return bytes((major | _ONE_BYTE, length))
    return bytes((major | _TWO_BYTES,)) + length.to_bytes(2)  # OverflowError: longer than any envelope may be

"""One signed order in encodings that a reader of COSE may take, and a vehicle must not.

Where a header is wrong, the signature is over the header as it is: a reader that takes the form finds it right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol import cose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from protocol.keys import Signer

_ARRAY = b"\x84"
_TAG = b"\xd2"
_EMPTY_MAP = b"\xa0"
_ALG = b"\x01\x27"
_SIGNATURE1 = b"\x84\x6aSignature1"


def other_encodings(envelope: bytes, signer: Signer, subject: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield each with what is wrong with it. `envelope` is right, by `signer`, for `subject`."""
    signed = cose.decode(envelope)
    payload = signed.payload
    content_type = b"\x03" + _head(0x60, len(signed.content_type)) + signed.content_type.encode("ascii")
    kid = b"\x04\x48" + signed.key_id
    right = b"\xa3" + _ALG + content_type + kid

    def whole(
        protected: bytes, *, tag: bytes = _TAG + _ARRAY, unprotected: bytes = _EMPTY_MAP, long: bool = False
    ) -> bytes:
        signature = signer.sign(_SIGNATURE1 + b"".join(map(_bytes, (protected, subject, payload))))
        body = b"\x59" + len(payload).to_bytes(2) + payload if long else _bytes(payload)
        return tag + _bytes(protected) + unprotected + body + _bytes(signature)

    yield "without the tag", whole(right, tag=_ARRAY)
    yield "an array of unknown length", whole(right, tag=_TAG + b"\x9f") + b"\xff"
    yield "a long head where a short one does", whole(right, long=len(payload) < _MANY)
    yield "a header that is not protected", whole(right, unprotected=b"\xa1" + content_type)
    yield "headers in another order", whole(b"\xa3" + kid + content_type + _ALG)
    yield "a header twice", whole(b"\xa4" + _ALG + _ALG + content_type + kid)
    yield "a header more", whole(b"\xa4" + _ALG + content_type + kid + b"\x05\x41\x00")
    yield "no content type", whole(b"\xa2" + _ALG + kid)
    yield "another algorithm", whole(b"\xa3\x01\x26" + content_type + kid)
    yield "a map of unknown length", whole(b"\xbf" + _ALG + content_type + kid + b"\xff")
    yield "a byte after the end", envelope + b"\x00"


_MANY = 0x100


def _bytes(value: bytes) -> bytes:
    return _head(0x40, len(value)) + value


def _head(major: int, length: int) -> bytes:
    if length < 24:  # noqa: PLR2004  # RFC 8949, section 3
        return bytes((major | length,))
    if length < _MANY:
        return bytes((major | 24, length))
    return bytes((major | 25,)) + length.to_bytes(2)

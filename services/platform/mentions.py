"""Whether a message has somebody's name in it: by its words, and not by its bytes.

A name may stand in the middle of another one (`user-1` in `user-12`), and a byte that is no text may look like a
letter.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_WIDTHS = {_FIXED64: 8, _FIXED32: 4}
_MOST_DEEP = 16
_LONGEST_VARINT = 10
_MORE, _BITS = 0x80, 0x7F
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


class _NotProtobufError(ValueError):
    """The bytes are not fields of protobuf's wire format."""


def mentions(message: bytes, name: str) -> bool:
    """Return whether one of the message's texts has this name as a word. What is no protobuf is one text."""
    if name.encode() not in message:
        return False
    # What joins words in names (`user-1`, `a.b@example`) joins them here.
    word = re.compile(rf"(?<![\w@-]){re.escape(name)}(?![\w@-]|\.\w)")
    return any(word.search(text) for text in texts_in(message))


def texts_in(message: bytes, depth: int = 0) -> Iterator[str]:
    """Yield the texts of a protobuf message, of those in it too; all of it as one text where it is none."""
    try:
        parts = list(_parts(message))
    except _NotProtobufError:
        yield message.decode(errors="replace")
        return
    for part in parts:
        text = part.decode(errors="replace")
        if depth < _MOST_DEEP and _CONTROL.search(text):
            yield from texts_in(part, depth + 1)
        else:
            yield text


def _parts(message: bytes) -> Iterator[bytes]:
    """Yield what the fields with a length hold. Raises _NotProtobufError."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if key >> 3 == 0 or kind not in {_VARINT, _FIXED64, _LENGTH, _FIXED32}:
            raise _NotProtobufError
        if kind == _VARINT:
            _, at = _varint(message, at)
            continue
        width = _WIDTHS.get(kind)
        if width is None:
            width, at = _varint(message, at)
        if at + width > len(message):
            raise _NotProtobufError
        if kind == _LENGTH:
            yield message[at : at + width]
        at += width


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins here, and where it has ended."""
    number = 0
    for place, byte in enumerate(message[at : at + _LONGEST_VARINT]):
        number |= (byte & _BITS) << (7 * place)
        if not byte & _MORE:
            return number, at + place + 1
    raise _NotProtobufError

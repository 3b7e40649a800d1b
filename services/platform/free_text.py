"""What others wrote and people read: guidance, reasons and names, and what is said of its messages."""

from __future__ import annotations

import unicodedata

MOST_CHARACTERS = 300
_MOST_MARKS = 2
"""So many combining marks stand on one letter; more only grow over the lines beside it."""
_INVISIBLE = frozenset(
    chr(point)
    for first, last in (
        (0x034F, 0x034F),
        (0x115F, 0x1160),
        (0x17B4, 0x17B5),
        (0x180B, 0x180F),
        (0x3164, 0x3164),
        (0xFE00, 0xFE0F),
        (0xFFA0, 0xFFA0),
        (0xE0100, 0xE01EF),
    )
    for point in range(first, last + 1)
)
"""What Unicode calls ignorable by default but Python calls printable."""


def readable(text: str, most_characters: int = MOST_CHARACTERS) -> str:
    """Return at most so many printable characters of it, on one line.

    Controls, line ends, bidirectional and zero-width characters, lone surrogates and what has no meaning become a
    space; several spaces become one.
    """
    if text.isascii() and text.isprintable() and len(text) <= most_characters and "  " not in text:
        return text.strip()
    kept: list[str] = []
    marks = 0
    # Nothing but spaces is dropped from more than it takes to fill the line, however much there is.
    for letter in text[: most_characters * 8]:
        if letter in _INVISIBLE or not letter.isprintable():
            kept.append(" ")
            continue
        marks = marks + 1 if unicodedata.combining(letter) else 0
        if marks <= _MOST_MARKS:
            kept.append(letter)
    return " ".join("".join(kept).split())[:most_characters].strip()

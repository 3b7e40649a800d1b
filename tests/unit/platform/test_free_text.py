"""What people are shown of what others wrote."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.platform.free_text import MOST_CHARACTERS, readable


@given(st.text(max_size=3_000))
def test_anything_becomes_one_short_printable_line(text: str) -> None:
    shown = readable(text)
    assert len(shown) <= MOST_CHARACTERS
    assert shown.isprintable()
    assert shown == shown.strip()
    assert not any(
        unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} for letter in shown
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Close the door first.", "Close the door first."),
        ("Schließen Sie die Tür; 문을 닫으세요", "Schließen Sie die Tür; 문을 닫으세요"),
        ("two\r\nlines\x1b[31m red\x00", "two lines [31m red"),
        ("unlocked \u202edekcol\u202c", "unlocked dekcol"),
        ("a\u200bb\u2060c\ufeffd\u3164e\u115ff", "a b c d e f"),
        ("e" + "\u0301" * 50, "e\u0301\u0301"),
        ("\ud800 lone", "lone"),
        ("", ""),
        ("   ", ""),
    ],
)
def test_what_is_left(text: str, shown: str) -> None:
    assert readable(text) == shown


def test_a_shorter_line_can_be_asked_for() -> None:
    assert readable("x" * 500, 64) == "x" * 64
    assert readable("\n" * 100_000 + "x") == ""

"""What the desk makes of a request before it looks at anything."""

from __future__ import annotations

from typing import Any

import pytest

from services.runtime.dead_letter_desk import RequestRefused, covers, number_in, request_of


@pytest.mark.parametrize(
    ("pattern", "subject", "covered"),
    [
        ("a.*.c", "a.b.c", True),
        ("a.b.c", "a.b.c", True),
        ("a.*.c", "a.b.d", False),
        ("a.*.c", "a.b.c.d", False),
        ("a.*.c", "a.c", False),
        ("a.b", "a.*", False),
        ("a.*", "a", False),
        ("a", "", False),
    ],
)
def test_a_star_is_any_one_word(pattern: str, subject: str, covered: bool) -> None:
    assert covers(pattern, subject) is covered


def test_nothing_at_all_is_a_request_without_fields() -> None:
    assert request_of(b"") == {}
    assert request_of(b'{"limit": 1}') == {"limit": 1}


@pytest.mark.parametrize("data", [b"{", b"\xff", b"[]", b"1", b"null", b"[" * 100_000])
def test_anything_but_an_object_is_refused(data: bytes) -> None:
    with pytest.raises(RequestRefused, match="the request is not"):
        request_of(data)


@pytest.mark.parametrize("given", [0, 201, -1, 1.0, "1", True, None, [1], 10**30])
def test_a_number_out_of_its_bounds_is_refused_with_its_name(given: Any) -> None:
    with pytest.raises(RequestRefused, match="limit is a whole number from 1 to 200"):
        number_in({"limit": given}, "limit", least=1, most=200, default=50)


def test_a_number_that_is_not_there_is_the_default_if_it_has_one() -> None:
    assert number_in({}, "limit", least=1, most=200, default=50) == 50
    assert number_in({"limit": 200}, "limit", least=1, most=200, default=50) == 200
    with pytest.raises(RequestRefused):
        number_in({}, "id", least=1, most=200)

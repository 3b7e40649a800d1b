from __future__ import annotations

import pytest

from services.platform.preferences import LONGEST_TEXT, wait_seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (["wait=10"], 10),
        (["Wait=10"], 10),
        (["wait = 10"], 10),
        (['wait="10"'], 10),
        (["respond-async, wait=7"], 7),
        (["respond-async", "wait=7"], 7),
        (["wait=7; a=b; c, handling=lenient"], 7),
        (['foo="a, wait=9", wait=8'], 8),
        (['foo; some="wait=9, wait=4", wait=8'], 8),
        (["wait=5, wait=9"], 5),
        (["wait=5", "wait=9"], 5),
        ([",, wait=5"], 5),
        (["wait=100"], 30),
        (["wait=0"], 0),
        (["wait"], 0),
        (["wait="], 0),
        (["wait=-1"], 0),
        (["wait=1.5"], 0),
        (["wait=ten"], 0),
        (["wait=9999999999"], 0),
        (["wait=\u0665"], 0),
        (["await=5"], 0),
        (["return=minimal"], 0),
        ([""], 0),
        ([], 0),
        (["a" * LONGEST_TEXT + ", wait=5"], 0),
        (["?" * 500 + ", wait=5"], 5),
    ],
)
def test_a_wait_is_read_as_the_rfc_writes_it_and_what_is_none_is_passed_over(
    headers: list[str], seconds: int
) -> None:
    assert wait_seconds(headers, 30) == seconds

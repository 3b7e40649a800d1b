"""Two checkouts are compared pair by pair of rounds, so that what the machine does to both cancels out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.compare import Comparison, compared_mesh
from bench.http_client import BenchFailedError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_slow_hour_of_the_machine_is_no_difference() -> None:
    compared = Comparison("status read", before=(1000.0, 3000.0, 2000.0), now=(1050.0, 3150.0, 2100.0))

    assert compared.ratio == pytest.approx(1.05)
    assert "1.050" in str(compared)


def test_one_odd_round_does_not_decide() -> None:
    assert Comparison("status read", (100.0, 100.0, 100.0), (100.0, 900.0, 102.0)).ratio == pytest.approx(
        1.02
    )


async def test_a_checkout_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(BenchFailedError, match="has ended"):
        async with compared_mesh(tmp_path, {}):
            pass

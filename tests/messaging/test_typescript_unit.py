"""examples/unit-typescript, a unit in another language, written from the pages: the vectors, and the whole kit."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.messaging.unit_bench import ANSWER_MILLIS, assert_certified
from tests.support.typescript_unit import ROOT, built_unit

if TYPE_CHECKING:
    from pathlib import Path

VECTORS = ROOT / "protocol" / "vectors"


@pytest.fixture
def unit() -> Path:
    return built_unit()


def test_its_code_agrees_with_every_vector(unit: Path) -> None:
    done = subprocess.run(
        ("node", "--test", "dist/test/"),
        cwd=unit,
        env={**os.environ, "VECTORS": str(VECTORS)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    assert "\n# fail 0\n" in done.stdout
    assert "\n# skipped 0\n" in done.stdout


@pytest.mark.timeout(400)
@pytest.mark.parametrize("link", ["nats", "mqtt"])
async def test_it_is_certified(tmp_path: Path, unit: Path, link: str) -> None:
    start = f"env UNIT_ANSWER_MILLIS={ANSWER_MILLIS} node {unit / 'dist' / 'src' / 'bench.js'}"
    await assert_certified(tmp_path, start, link)

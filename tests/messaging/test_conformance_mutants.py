"""Units with one planted fault each, on the conformance kit: a sample. `make conformance-mutants` plays all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.mutants.catalogue import MUTANTS
from tests.mutants.play import play

if TYPE_CHECKING:
    from pathlib import Path

SAMPLE = (
    "adopted-manifest-not-kept",
    "acknowledged-on-arrival-over-mqtt",
    "expiry-before-the-first-door-only",
    "no-hello-after-a-manifest",
    "component-names-too-long",
    "tombstones-in-memory-only",
)


@pytest.mark.parametrize("name", SAMPLE)
async def test_a_mutant_is_found_out(tmp_path: Path, name: str) -> None:
    assert not (await play(MUTANTS[name], tmp_path)).escaped

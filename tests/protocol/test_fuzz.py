"""Mutated envelopes. `tools/fuzz_envelopes.py` makes a million of them."""

from __future__ import annotations

from tools.fuzz_envelopes import fuzz, targets


def test_twenty_thousand_mutants_and_none_believed() -> None:
    found = fuzz(20_000, seed=20_000)

    assert sum(found.values()) > 19_000
    assert {name.split(":")[0] for name in found} == {target.name for target in targets()}

"""The mutants of the reference unit: each has its rules, and what it is planted in is still there."""

from __future__ import annotations

import pytest

from conformance.rules import RULES
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant, Swap
from vehicle.messages.journal import Journal

RULE_IDS = {rule.rule_id for rule in RULES}


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=lambda one: one.name)
def test_a_mutant_can_be_planted_and_taken_out(mutant: Mutant) -> None:
    begin = Journal.begin
    swap = Swap()
    try:
        mutant.plant(swap)
        assert swap._before
    finally:
        swap.undo()
    assert Journal.begin is begin
    assert {*mutant.fails, *mutant.besides} <= RULE_IDS
    assert mutant.fails
    assert mutant.fault.endswith(".")


def test_every_rule_finds_a_mutant_out() -> None:
    """A rule that no unit was ever caught by may be one that cannot fail."""
    found = {rule_id for mutant in MUTANTS.values() for rule_id in mutant.fails}
    assert RULE_IDS - found == set()


def test_a_fault_in_what_is_gone_is_no_fault() -> None:
    with pytest.raises(KeyError):
        Swap()(Journal, "no_such_method", lambda was: was)

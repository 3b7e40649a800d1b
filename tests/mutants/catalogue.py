"""All mutants."""

from __future__ import annotations

from tests.mutants import (
    answers,
    cancellations,
    checks,
    commands,
    doors,
    envelopes,
    keys,
    links,
    refusals,
    reports,
    sessions,
)
from tests.mutants.mutant import MUTANTS

MODULES = (
    answers,
    cancellations,
    checks,
    commands,
    doors,
    envelopes,
    keys,
    links,
    refusals,
    reports,
    sessions,
)

__all__ = ["MODULES", "MUTANTS"]

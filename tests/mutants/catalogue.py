"""All mutants."""

from __future__ import annotations

from tests.mutants import answers, checks, commands, doors, envelopes, keys, links, reports, sessions
from tests.mutants.mutant import MUTANTS

MODULES = (answers, checks, commands, doors, envelopes, keys, links, reports, sessions)

__all__ = ["MODULES", "MUTANTS"]

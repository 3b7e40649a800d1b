"""Rules, and what was found of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conformance.unit import Unit

Script = Callable[["Unit"], Awaitable[None]]


class RuleVerdict(StrEnum):
    """What became of a rule."""

    PASS = "PASS"  # noqa: S105  # a verdict, not a password
    FAIL = "FAIL"
    SKIP = "SKIP"
    NOT_APPLICABLE = "N/A"


class RuleViolatedError(Exception):
    """The unit does not keep the rule; the text says what it did instead."""


class RuleSkippedError(Exception):
    """The rule could not be tried; the text says what it would take."""


class NotApplicableError(Exception):
    """The rule speaks of another link than the unit's; the text says of which. Nothing is missing."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that a unit must do. `sentence` is what docs/vehicle-protocol.md says of it."""

    rule_id: str
    group: str
    sentence: str
    script: Script


@dataclass(frozen=True, slots=True)
class RuleFinding:
    """What was found of a rule. `detail` is empty for what passed."""

    rule: Rule
    verdict: RuleVerdict
    detail: str
    seconds: float


class Group:
    """Rules that belong together. A rule's id is its script's name, its sentence the script's docstring."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rules: list[Rule] = []

    def rule(self, script: Script) -> Script:
        """Make a rule of a script: it returns, or raises Violated, Skipped or NotApplicableError."""
        rule_id = script.__name__.replace("_", "-")
        sentence = " ".join((script.__doc__ or "").split())
        self.rules.append(Rule(rule_id, self.name, sentence, script))
        return script


def require(holds: object, otherwise: str) -> None:
    """Raise Violated unless it holds."""
    if not holds:
        raise RuleViolatedError(otherwise)

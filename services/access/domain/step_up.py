"""Step-up authentication: how strongly, and how recently, a person must have signed in for what (RFC 9470)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.access.domain.accounts import Caller

UNLOCK = "door.unlock"
EMERGENCY = "door.unlock.emergency"
WEAKEN = "door.config.weaken"
GIVE = "grant.write"
RESTORE = "account.restore"
PERSONAL_DATA = "person.data"
SECURITY_WATCH = "security.watch"
SECURITY_ACT = "security.act"

TWO_FACTORS = "urn:ecarus:acr:2fa"
"""The class (`acr`) of a sign-in with two factors, where the issuer has no other name for it."""
LONGEST_MAX_AGE_SECONDS = 3_600
SANDBOX_MAX_AGE_SECONDS = 3_600
"""As long as a token of the development issuer is good."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One of these classes, the preferred one first, from a sign-in that is at most so old."""

    acr_values: tuple[str, ...]
    max_age_seconds: int

    def good_until(self, caller: Caller) -> float:
        """Return until when (seconds since 1970) the caller's sign-in is enough; 0 when it is not of the class."""
        if caller.acr not in self.acr_values or caller.authenticated_at is None:
            return 0.0
        return caller.authenticated_at + self.max_age_seconds


STRICT: Mapping[str, Requirement] = {
    UNLOCK: Requirement((TWO_FACTORS,), 300),
    EMERGENCY: Requirement((TWO_FACTORS,), 120),
    WEAKEN: Requirement((TWO_FACTORS,), 300),
    GIVE: Requirement((TWO_FACTORS,), 300),
    RESTORE: Requirement((TWO_FACTORS,), 300),
    PERSONAL_DATA: Requirement((TWO_FACTORS,), 600),
    SECURITY_WATCH: Requirement((TWO_FACTORS,), 300),
    SECURITY_ACT: Requirement((TWO_FACTORS,), 300),
}
"""Every line of the table as it is unless a setting says otherwise. What is not in it needs nothing: to lock, to read
and to cancel makes a vehicle no less safe, and must not wait for a second factor.
"""
SANDBOX: Mapping[str, Requirement] = {
    line: Requirement(each.acr_values, SANDBOX_MAX_AGE_SECONDS) for line, each in STRICT.items()
}
_MAX_CLASS = 128
_MODES = {(UNLOCK, "EMERGENCY"): EMERGENCY}


def line_for(line: str, mode: str) -> str:
    """Return the line of the table for a request that needs `line` and is made in this mode."""
    return _MODES.get((line, mode), line)


def good_until(requirement: Requirement, line: str, caller: Caller) -> float:
    """Return until when the caller satisfies it: an API key always, if it was created for this line, or never."""
    if caller.carries is not None:
        return math.inf if line in caller.carries else 0.0
    return requirement.good_until(caller)


def table_in(text: str, defaults: Mapping[str, Requirement]) -> dict[str, Requirement]:
    """Return `defaults` with the lines that `text` names changed: `line=seconds:class|class`, with commas between.

    Raises ValueError, saying what is wrong.
    """
    table = dict(defaults)
    named: set[str] = set()
    for entry in text.split(","):
        line, equals, rest = entry.strip().partition("=")
        seconds, colon, classes = rest.partition(":")
        if not (equals and colon) or line not in defaults or line in named:
            raise ValueError(
                f"line=seconds:class|class,..., each line once, of {', '.join(sorted(defaults))}"
            )
        if not seconds.isascii() or not seconds.isdigit() or not 1 <= int(seconds) <= LONGEST_MAX_AGE_SECONDS:
            raise ValueError(f"{line}: the greatest age is 1 to {LONGEST_MAX_AGE_SECONDS} seconds")
        acr_values = tuple(classes.split("|"))
        if not all(map(_is_class, acr_values)) or len(set(acr_values)) < len(acr_values):
            raise ValueError(f"{line}: the classes (acr) are words, each once, with | between")
        named.add(line)
        table[line] = Requirement(acr_values, int(seconds))
    return table


def _is_class(word: str) -> bool:
    return (
        0 < len(word) <= _MAX_CLASS and word.isascii() and word.isprintable() and not set(word) & set(' "\\')
    )

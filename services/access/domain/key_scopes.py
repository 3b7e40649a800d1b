"""What an API key may be created for.

It cannot step up: what needs a stronger sign-in it carries from the start, by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.access.domain import grants, persons, step_up

if TYPE_CHECKING:
    from collections.abc import Iterable

_READS = frozenset(action for action in grants.ACTIONS if action.endswith(".read"))
_ACTIONS = {
    "door.read": _READS,
    **{action: frozenset({action}) for action in grants.ACTIONS - grants.PEOPLES},
    **{action: frozenset({action}) for action in (persons.WEBHOOKS_READ, persons.WEBHOOKS_WRITE)},
    step_up.EMERGENCY: frozenset({grants.UNLOCK}),
    step_up.WEAKEN: frozenset({grants.CONFIG_WRITE}),
}
_LINES = frozenset({step_up.UNLOCK, step_up.EMERGENCY, step_up.WEAKEN})
WORDS = frozenset(_ACTIONS)
"""All words of a key's scope."""
UNLESS_NAMED = ("door.cancel", "door.config.write", "door.lock", "door.read")
"""The scope of a key that was created without one: nothing in it needs a second factor."""


class KeyScopeUnknownError(Exception):
    """A scope holds words that are none: (position, word) of each."""

    def __init__(self, surplus: list[tuple[int, str]]) -> None:
        super().__init__(", ".join(word for _, word in surplus))
        self.surplus = surplus


def check(words: Iterable[str]) -> None:
    """Raise KeyScopeUnknownError when some are no words of a scope."""
    surplus = [(number, word) for number, word in enumerate(words) if word not in WORDS]
    if surplus:
        raise KeyScopeUnknownError(surplus)


def actions_of(words: Iterable[str]) -> frozenset[str]:
    """Return the actions that a key of this scope is for; a word that is not known any more is for none."""
    return frozenset().union(*(_ACTIONS.get(word, frozenset()) for word in words))


def carried_by(words: Iterable[str]) -> frozenset[str]:
    """Return the lines of the step-up table that a key of this scope satisfies."""
    return _LINES.intersection(words)

"""Which actions a token's scope covers (RFC 6749, 3.3). A token without a scope is not narrowed by one."""

from __future__ import annotations

import re

from services.access.domain import grants, persons, watching

_READS = frozenset(action for action in grants.ACTIONS if action.endswith(".read"))
SCOPES = {
    "door": grants.ACTIONS,
    "door.read": _READS,
    "door.control": frozenset({grants.LOCK, grants.UNLOCK, grants.CANCEL}),
    "person": persons.ACTIONS,
    **{action: frozenset({action}) for action in grants.ACTIONS | persons.ACTIONS | watching.ACTIONS},
}
"""By scope. What is not here is another service's scope and covers nothing of ours."""
_FORM = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")


def actions_in(scope: object) -> frozenset[str] | None:
    """Return the actions that a token's `scope` covers; None when it is not a scope."""
    if scope == "":
        return frozenset()
    if not isinstance(scope, str) or not _FORM.fullmatch(scope):
        return None
    return frozenset().union(*(SCOPES.get(word, frozenset()) for word in scope.split(" ")))


def needed_for(action: str) -> str:
    """Return the narrowest scope that covers `action`: of webhooks with what they tell."""
    return f"{action} {grants.UPDATES_READ}" if action in persons.WEBHOOKS else action

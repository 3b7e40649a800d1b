"""What a person may ask for about themselves, whatever vehicles they have a right on. Standard library only."""

from __future__ import annotations

CONSENTS_READ = "person.consents.read"
CONSENTS_WRITE = "person.consents.write"
VEHICLES_READ = "person.vehicles.read"
DATA_EXPORT = "person.data.export"
DATA_ERASE = "person.data.erase"
NOTIFICATIONS_READ = "person.notifications.read"
NOTIFICATIONS_WRITE = "person.notifications.write"
WEBHOOKS_READ = "webhooks.read"
WEBHOOKS_WRITE = "webhooks.write"
WEBHOOKS = frozenset({WEBHOOKS_READ, WEBHOOKS_WRITE})
ACTIONS = frozenset(
    {
        *(CONSENTS_READ, CONSENTS_WRITE, VEHICLES_READ, DATA_EXPORT, DATA_ERASE),
        *(NOTIFICATIONS_READ, NOTIFICATIONS_WRITE),
        *(WEBHOOKS_READ, WEBHOOKS_WRITE),
    }
)
UNRESTRICTED = frozenset({CONSENTS_READ, CONSENTS_WRITE, VEHICLES_READ, NOTIFICATIONS_READ, WEBHOOKS_READ})
"""What they may ask for while their account is restricted: nobody gets anything of theirs by it."""


def is_open_to_restricted(action: str, *, needs_step_up: bool) -> bool:
    """Return whether a person may ask for it while their account is restricted: of an erasure, to look at one and to
    take it back, which need no second factor; not to begin one.
    """
    return action in UNRESTRICTED or (action == DATA_ERASE and not needs_step_up)

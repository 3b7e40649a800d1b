"""Disabling a webhook, of which its registrant's others hear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.notification.adapters.store.webhook_events import announce_to_others
from services.notification.adapters.store.webhook_rows import change_row, disabled, row_by_id, webhook_of
from services.notification.adapters.store.webhook_vehicles import note_change

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from sqlalchemy import Connection

    from services.notification.domain.webhooks import DisabledReason, Webhook, WebhookEvent


@dataclass(frozen=True, slots=True)
class WebhookDisabling:
    """How webhooks are disabled. `tell` makes what the registrant's others are sent of one that is; for `keep` that is
    tried.
    """

    tell: Callable[[Webhook], WebhookEvent]
    keep: timedelta

    def disable(self, connection: Connection, webhook: str, reason: DisabledReason, at: datetime) -> None:
        """Disable one, and have the others told of it in the same transaction: no crash can come between."""
        change_row(connection, webhook, disabled(reason, at))
        note_change(connection)
        stopped = webhook_of(row_by_id(connection, webhook))
        announce_to_others(connection, stopped, self.tell(stopped), at, self.keep)

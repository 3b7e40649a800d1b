"""How many changes of one vehicle's doors are told one by one, so that a vehicle that flickers fills nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.platform.budget import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.platform.outbox import OutgoingMessage
    from services.status.adapters.store import Messages
    from services.status.domain.doors import Report, Step
    from services.status.domain.judgement import ActuationOutcome

BURST = 2_400
SECONDS_EACH = 0.5
"""Hundreds of times what a hand at a door can cause: six doors change in four ways at most."""
_MISSED_SECONDS_EACH = 60.0


class BudgetedMessages:
    """store.Messages, of which each vehicle has a share. `monotonic` counts seconds.

    Whoever watches a vehicle that is beyond its share is published once a minute to read its status.
    """

    def __init__(self, made: Messages, monotonic: Callable[[], float]) -> None:
        self._made = made
        self._changes = TokenBucket(BURST, SECONDS_EACH, monotonic)
        self._notices = TokenBucket(1, _MISSED_SECONDS_EACH, monotonic)

    def messages_of(self, steps: Sequence[Step], now_us: int, /) -> list[OutgoingMessage]:
        """Return the updates that tell of these changes, or of there being too many."""
        within: list[Step] = []
        notices: list[OutgoingMessage] = []
        for step in steps:
            vin = step.report.vin
            if self._changes.spend(vin, len(step.changes)):
                within.append(step)
            elif self._notices.spend(vin, 1):
                notices.append(self.missed_message(step.report, now_us))
        return [*self._made.messages_of(within, now_us), *notices]

    def missed_message(self, report: Report, now_us: int, /) -> OutgoingMessage:
        """Return what tells those who watch that more changed than they are told."""
        return self._made.missed_message(report, now_us)

    def outcome_messages(self, verdicts: Sequence[ActuationOutcome], now_us: int, /) -> list[OutgoingMessage]:
        """Return what is reported commands."""
        return self._made.outcome_messages(verdicts, now_us)

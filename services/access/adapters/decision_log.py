"""Every decision on a request of the public that no other service records, for the audit ledger.

What is refused is recorded here, and what is allowed and changes nothing. What is allowed and changes something is
recorded by the service that does it, in the commit that does it, or that refuses it after all.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from services.platform.audit_entry import AuditRecord, DecisionOutcome, factors_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from services.access.domain.decisions import AccessDecision

ALLOWED, REFUSED = "ACCESS_ALLOWED", "ACCESS_REFUSED"
MOST_REFUSED_OF_ONE = 600
"""So many refusals in a minute of one caller, or of one network where nobody proved to be anybody, have an entry each.
More are counted: whoever sends what is refused must not fill the ledger, which forgets nothing.
"""
_MOST_COUNTED = 20_000
_WINDOW_SECONDS = 60.0


class DecisionLog:
    """Notes decisions. `note` and `count_lost` are AuditTrail's; `monotonic` counts seconds."""

    def __init__(
        self,
        note: Callable[[AuditRecord], None],
        count_lost: Callable[[], None],
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        *,
        most_refused_of_one: int = MOST_REFUSED_OF_ONE,
    ) -> None:
        self._note = note
        self._count_lost = count_lost
        self._now = now
        self._monotonic = monotonic
        self._most_refused_of_one = most_refused_of_one
        self._refused: Counter[str] = Counter()
        self._window_ends = 0.0

    def decided(self, decision: AccessDecision) -> None:
        """Take it in. It never waits."""
        if decision.refused_for and self._are_too_many(decision):
            self._count_lost()
        else:
            self._note(self._record(decision))

    def _are_too_many(self, decision: AccessDecision) -> bool:
        now = self._monotonic()
        if now >= self._window_ends or len(self._refused) >= _MOST_COUNTED:
            self._refused.clear()
            self._window_ends = now + _WINDOW_SECONDS
        who = f"of {decision.caller.actor}" if decision.caller else f"from {decision.network}"
        self._refused[who] += 1
        return self._refused[who] > self._most_refused_of_one

    def _record(self, decision: AccessDecision) -> AuditRecord:
        caller = decision.caller
        detail = {"mode": decision.mode, "case": caller.case if caller else ""}
        refused = bool(decision.refused_for)
        return AuditRecord(
            kind=REFUSED if refused else ALLOWED,
            at=self._now(),
            decision=DecisionOutcome.REFUSED if refused else DecisionOutcome.ALLOWED,
            # About whom nobody knows anything, nothing is told to the vehicle's owner.
            resource=decision.vin if caller else "",
            subject=caller.subject if caller else "",
            actor=caller.actor if caller else "",
            source=caller.source.value if caller else "",
            factors=factors_in(caller.factors, caller.acr) if caller else (),
            rule=decision.refused_for or decision.rule,
            action=decision.action,
            correlation_id=decision.correlation_id,
            detail={**detail, **({"line": decision.rule} if refused else {})},
        )

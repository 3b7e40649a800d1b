"""Every decision on a request of the public that no other service records, for the audit ledger.

What is refused is recorded here, and what is allowed and changes nothing. What is allowed and changes something is
recorded by the service that does it, in the commit that does it, or that refuses it after all.

The ledger forgets nothing, so nobody may fill it: what there are too many of in a minute is counted, and the count is
an entry. Looks that repeat each other within a minute are one entry with their number.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from services.platform.audit_entry import AuditRecord, DecisionOutcome, factors_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from services.access.domain.decisions import AccessDecision

ALLOWED, REFUSED = "ACCESS_ALLOWED", "ACCESS_REFUSED"
MOST_REFUSED_OF_ONE = 600
"""So many refusals in a minute of one caller, or of one network where nobody proved to be anybody, are entries."""
MOST_REFUSED_OF_NOBODY = 6_000
"""So many in a minute of all networks together: whoever has many addresses is one of them."""
MOST_CALLERS_REFUSED = 20_000
"""So many callers are counted apart in a minute; those beyond share one budget."""
MOST_LOOKING = 100_000
"""So many (a person, a vehicle, what they look at) are told apart in a minute."""
WINDOW_SECONDS = 60.0
TELL_SECONDS = 1.0
"""So often it is seen whose minute is over."""
HAS_RIGHT = "has_right"
"""In the detail of a refusal, where the caller was seen to have a right on the vehicle."""
_NOBODY, _ANYBODY = "nobody", "of the others"


@dataclass(slots=True)
class _Looks:
    """What one looked at within a minute, beyond what was noted: the last of it, how often, and since when."""

    ends: float
    last: AuditRecord | None = None
    count: int = 0
    since: datetime | None = None


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
        most_refused_of_nobody: int = MOST_REFUSED_OF_NOBODY,
        most_callers_refused: int = MOST_CALLERS_REFUSED,
        most_looking: int = MOST_LOOKING,
    ) -> None:
        self._note = note
        self._count_lost = count_lost
        self._now = now
        self._monotonic = monotonic
        self._most_refused_of_one = most_refused_of_one
        self._most_refused_of_nobody = most_refused_of_nobody
        self._most_callers_refused = most_callers_refused
        self._most_looking = most_looking
        self._refused: Counter[str] = Counter()
        self._callers_refused = 0
        self._window_ends = 0.0
        self._looks: dict[tuple[object, ...], _Looks] = {}
        """The one that ends first is the first."""

    def decided(self, decision: AccessDecision) -> None:
        """Take it in. It never waits."""
        if not decision.refused_for:
            self._looked(self._record(decision))
        elif self._are_too_many(decision):
            self._count_lost()
        else:
            self._note(self._record(decision))

    async def tell(self) -> None:
        """Note how often those looked whose minute is over."""
        self._tell_until(self._monotonic())

    def tell_all(self) -> None:
        """Note what was not noted yet: nothing comes after."""
        self._tell_until(float("inf"))

    def _looked(self, record: AuditRecord) -> None:
        """Note the first of a minute at once, and of those that repeat it how many they were."""
        now = self._monotonic()
        self._tell_until(now)
        which = (
            record.actor,
            record.subject,
            record.resource,
            record.action,
            record.source,
            record.factors,
            record.rule,
            tuple(record.detail.items()),
        )
        looks = self._looks.get(which)
        if looks is not None:
            looks.last, looks.count = record, looks.count + 1
            looks.since = looks.since or record.at
        elif len(self._looks) >= self._most_looking:
            self._count_lost()
        else:
            self._looks[which] = _Looks(now + WINDOW_SECONDS)
            self._note(record)

    def _tell_until(self, now: float) -> None:
        while self._looks:
            which = next(iter(self._looks))
            looks = self._looks[which]
            if looks.ends > now:
                return
            del self._looks[which]
            if looks.last is None or looks.since is None:
                continue  # the next one is a first one again
            detail = {"count": str(looks.count), "since": looks.since.isoformat()}
            self._note(replace(looks.last, detail={**looks.last.detail, **detail}))
            if now < float("inf"):
                # Who looks on has one entry a minute, not a first one beside each count.
                self._looks[which] = _Looks(now + WINDOW_SECONDS)

    def _are_too_many(self, decision: AccessDecision) -> bool:
        now = self._monotonic()
        if now >= self._window_ends:
            self._refused.clear()
            self._callers_refused = 0
            self._window_ends = now + WINDOW_SECONDS
        if decision.caller is None:
            self._refused[_NOBODY] += 1
            if self._refused[_NOBODY] > self._most_refused_of_nobody:
                return True  # and its network is not counted: there would be no end of them
            who = f"from {decision.network}"
        else:
            who = f"of {decision.caller.actor}"
            if who not in self._refused:
                if self._callers_refused < self._most_callers_refused:
                    self._callers_refused += 1
                else:
                    who = _ANYBODY
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
            detail={**detail, **(_of_a_refusal(decision) if refused else {})},
        )


def _of_a_refusal(decision: AccessDecision) -> dict[str, str]:
    """Return what an entry says of it besides: to whom it is not said that they have a right are strangers."""
    return {"line": decision.rule, HAS_RIGHT: "true" if decision.has_right else ""}

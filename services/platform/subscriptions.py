"""What a service takes from the broker, in one list: for its consumers, and for its dead letters to go back to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.platform.consumer import Consumer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from services.platform.consumer import ConsumerPlan, Delivery, PoisonMessage, Unhandled
    from services.platform.jetstream import Broker
    from services.platform.senders import Senders


@dataclass(frozen=True, slots=True)
class Subscription:
    """A consumer and the handler of what it delivers."""

    plan: ConsumerPlan
    handle: Callable[[Sequence[Delivery]], Awaitable[Sequence[Unhandled]]]

    def takes(self, subject: str) -> bool:
        """Return whether messages on this subject are its own."""
        return any(_covers(pattern, subject) for pattern in self.plan.subjects)


def consumers(
    broker: Broker,
    subscriptions: Iterable[Subscription],
    dead_letter: Callable[[Sequence[PoisonMessage]], Awaitable[None]],
    senders: Senders | None = None,
) -> list[Consumer]:
    """Make a consumer of each, not yet running. Those of `senders`' messages have quotas of their own."""
    made = []
    for each in subscriptions:
        place = senders.place_of(each.plan.subjects[0]) if senders is not None else None
        quotas = senders.quotas() if senders is not None and place is not None else None
        made.append(Consumer(broker, each.plan, each.handle, dead_letter, quotas, place))
    return made


def _covers(pattern: str, subject: str) -> bool:
    """Return whether the subject is one of the pattern's, in which `*` is any word."""
    wanted, words = pattern.split("."), subject.split(".")
    return len(wanted) == len(words) and all(a in ("*", b) for a, b in zip(wanted, words, strict=True))

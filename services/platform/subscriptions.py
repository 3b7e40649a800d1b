"""What a service takes from the broker, in one list: for its consumers, and for its dead letters to go back to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.platform.consumer import Consumer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from services.platform.consumer import ConsumerPlan, Delivery, PoisonMessage, Unhandled
    from services.platform.jetstream import Broker
    from services.telematics.quotas import VehicleQuotas


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
    quotas: Callable[[], VehicleQuotas] | None = None,
) -> list[Consumer]:
    """Make a consumer of each, not yet running; those of vehicles' messages with `quotas` of their own."""
    return [
        Consumer(
            broker,
            each.plan,
            each.handle,
            dead_letter,
            quotas() if quotas is not None and each.plan.of_vehicles else None,
        )
        for each in subscriptions
    ]


def _covers(pattern: str, subject: str) -> bool:
    """Return whether the subject is one of the pattern's, in which `*` is any word."""
    wanted, words = pattern.split("."), subject.split(".")
    return len(wanted) == len(words) and all(a in ("*", b) for a, b in zip(wanted, words, strict=True))

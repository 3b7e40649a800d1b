"""How often an order that its vehicle refuses as out of step is signed again: soon, then later, and not for ever."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import structlog

from services.platform.clock import CLOCK

if TYPE_CHECKING:
    from collections.abc import Callable

PAUSES_SECONDS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Before each signing. After the last the order has had its chances: whoever refused them all refuses the next."""
_MOST_REMEMBERED = 10_000
_log = structlog.get_logger()


class SigningAgain:
    """Counts by the order's id, in this process: with N replicas an order is signed up to N times as often.

    `monotonic` counts seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = CLOCK.monotonic) -> None:
        self._monotonic = monotonic
        self._signed: OrderedDict[str, int] = OrderedDict()
        self._due: dict[str, float] = {}

    def refused(self, order_id: str) -> None:
        """Note that a copy of it was refused. Copies that are refused while it waits for its turn change nothing."""
        if order_id in self._due:
            return
        signed = self._signed.get(order_id, 0)
        if signed >= len(PAUSES_SECONDS):
            return
        self._signed[order_id] = signed + 1
        self._signed.move_to_end(order_id)
        if len(self._signed) > _MOST_REMEMBERED:
            self._signed.popitem(last=False)
        if signed + 1 == len(PAUSES_SECONDS):
            _log.error("order_refused_again_and_again", order_id=order_id, times=signed + 1)
        self._due[order_id] = self._monotonic() + PAUSES_SECONDS[signed]

    def take_due(self) -> list[str]:
        """Return the ids of those whose turn it is."""
        now = self._monotonic()
        due = [order_id for order_id, at in self._due.items() if at <= now]
        for order_id in due:
            del self._due[order_id]
        return due

"""A vehicle that floods the broker is cut off, and shut out for a while.

What a vehicle may say is bounded where it is read; what the broker has to do for it is not. So the broker's own counts
are looked at twice a second, by every replica: the answer is as long however many vehicles there are.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Protocol

import structlog

from services.enrolment.usecases import BrokerSilentError
from services.platform.logs import masked_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.enrolment.domain import ConnectionTraffic, MessageRates
    from services.enrolment.usecases import EnrolmentDependencies

LOOK_SECONDS = (0.25, 0.5)
"""From one look to the next, by chance: nobody can send between looks alone. With the wait for every node's answer it
is somewhat more than half a second."""
_log = structlog.get_logger()


class Traffic(Protocol):
    """What the broker has counted of vehicles' connections."""

    async def latest(self) -> Sequence[ConnectionTraffic]:
        """Return the connections that sent something last. Raises BrokerSilentError."""

    async def end(self, server_id: str, number: int) -> None:
        """End this connection. Raises BrokerSilentError."""


class FloodWatch:
    """Looks at the traffic, and ends the connections of who sends more than `rates` allows."""

    def __init__(self, deps: EnrolmentDependencies, traffic: Traffic, rates: MessageRates) -> None:
        self._deps = deps
        self._traffic = traffic
        self._rates = rates
        self._blind = False

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except BrokerSilentError as silent:
                if not self._blind:
                    _log.warning("vehicle_traffic_not_seen", reason=str(silent))
                self._blind = True
            else:
                self._blind = False
            await asyncio.sleep(random.uniform(*LOOK_SECONDS))  # noqa: S311  # nothing secret

    async def look(self) -> None:
        """Look once. Raises BrokerSilentError."""
        seen = await self._traffic.latest()
        excessive = self._rates.excessive(seen, asyncio.get_running_loop().time())
        for vin, messages in excessive.items():
            lasts = self._deps.shut_out.add_flood(vin, self._deps.now())
            if lasts is not None:
                _log.error(
                    "vehicle_shut_out",
                    vin=masked_id(vin),
                    reason="it sends more than a vehicle may",
                    messages=messages,
                    seconds=lasts.total_seconds(),
                )
        for each in seen:
            if each.vin in excessive and each.is_open:
                await self._traffic.end(each.server_id, each.number)
        for vin in excessive:  # and those that were not listed
            await self._deps.connections.cut(vin)

"""How many connections a vehicle has open at the broker at once: the oldest give way.

The broker has a bound for an account and none for a user, and an account is shared by all vehicles of a link. Who lets
vehicles in knows how often each came, and looks at the broker only for one that came more often than it may stay. So a
vehicle that behaves costs no question, and one that does not pays with its own connections.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from services.enrolment.domain import MOST_CONNECTIONS, Stays
from services.enrolment.usecases import BrokerSilentError
from services.platform.background import BackgroundTasks
from services.platform.logs import masked_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from services.enrolment.usecases import Connections

SETTLED_SECONDS = 1.0
"""So long after the answer the broker lists whom it has let in."""
_log = structlog.get_logger()


class ConnectionBound:
    """Keeps each vehicle's newest MOST_CONNECTIONS."""

    def __init__(
        self, connections: Connections, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._connections = connections
        self._sleep = sleep
        self._stays = Stays()
        self._looking: set[str] = set()
        self._errands = BackgroundTasks("connection-bound")

    def admitted(self, vin: str) -> None:
        """Count one more, and look after the vehicle soon where it may have too many."""
        if self._stays.add(vin) and vin not in self._looking:
            self._looking.add(vin)
            self._errands.start(self._look(vin))

    async def _look(self, vin: str) -> None:
        try:
            while self._stays.too_many(vin):
                before = self._stays.count(vin)
                await self._sleep(SETTLED_SECONDS)
                try:
                    cut = await self._connections.keep_newest(vin, MOST_CONNECTIONS)
                except BrokerSilentError as silent:
                    _log.error("vehicle_not_bounded", vin=masked_id(vin), reason=str(silent))
                    return  # it is looked after when it comes again
                if cut.closed:
                    _log.warning("vehicle_connections_cut", vin=masked_id(vin), closed=cut.closed)
                self._stays.found(vin, cut.left, came_meanwhile=self._stays.count(vin) - before)
        finally:
            self._looking.discard(vin)

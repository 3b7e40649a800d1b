"""Telling the services that a vehicle's keys are others now (usecases.KeyChanges), over core NATS.

No outbox: it tells caches to forget, and they forget by themselves too. Who was away does not hear it in
either way, and the operator is told when it could not be said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import nats.errors

from protocol.subjects import VEHICLE_KEYS_CHANGED_SUBJECT
from services.enrolment.adapters import translate
from services.enrolment.usecases import BrokerSilentError

if TYPE_CHECKING:
    from services.platform.jetstream import Broker

_FLUSH_SECONDS = 2


class BrokerKeyChanges:
    """`broker` is the service's own connection."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def publish(self, *vins: str) -> None:
        """Have them forget these vehicles', once the change is recorded. Raises BrokerSilentError.

        A hint: who does not hear it remembers for some minutes longer.
        """
        try:
            for vin in vins:
                await self._broker.client.publish(VEHICLE_KEYS_CHANGED_SUBJECT, translate.keys_changed(vin))
            await self._broker.client.flush(_FLUSH_SECONDS)
        except (nats.errors.Error, TimeoutError) as error:
            raise BrokerSilentError(f"{type(error).__name__}") from error

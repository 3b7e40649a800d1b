"""Taking out of vehicles' queues what must not be delivered any more (usecases.rights.VehicleQueue).

This service alone may: the queue is one for all orders, and the broker cannot tell whose a message is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from nats.errors import Error as NatsError
from nats.js.errors import APIError, NotFoundError

from protocol import streams, subjects
from services.platform.logs import masked_id
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from services.platform.jetstream import Broker

_log = structlog.get_logger()


class BrokerQueue:
    """The queue, and for vehicles on MQTT what it has passed on to their sessions."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def take_out_commands(self, vin: str) -> None:
        """Take everything that moves a door out of this vehicle's queue."""
        await self._take_out(subjects.command_subject(vin, subjects.CommandKind.DOOR))

    async def take_out_settings(self, vin: str) -> None:
        """No settings wait for this vehicle any more."""
        await self._take_out(subjects.command_subject(vin, subjects.CommandKind.CONFIG))

    async def _take_out(self, subject: str) -> None:
        # In this order: what the one passes on to the other in between is taken out there.
        for stream, name in (
            (streams.VEHICLE_COMMANDS, subject),
            (streams.MQTT_MESSAGES, subjects.mqtt_queue_subject(subject)),
        ):
            try:
                await self._broker.jetstream.purge_stream(stream, subject=name)
            except NotFoundError:  # a broker that lost its disk: with the stream went what was in it
                continue
            except (NatsError, APIError, TimeoutError) as error:
                raise StorageUnavailableError(f"the queue cannot be reached: {error}") from error
        _log.info("queue_emptied", vin=masked_id(subjects.vin_of(subject)), kind=subject.rpartition(".")[2])

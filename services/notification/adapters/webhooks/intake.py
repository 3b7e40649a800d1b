"""What webhooks are sent of live updates: made of those only that concern one."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

import structlog
from google.protobuf.message import DecodeError
from nats.errors import Error as NatsError
from nats.js.errors import APIError

from protocol.streams import DOOR_UPDATES
from protocol.subjects import origin_of_update, vin_of
from services.notification.adapters.update_link import event_key
from services.notification.adapters.webhooks.messages import update_event
from services.notification.usecases.webhook_ports import EventForWebhooks
from services.platform.storage import StorageUnavailableError
from services.platform.times import microseconds, moment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from services.live_updates.ids import UpdateIds
    from services.notification.usecases.webhook_interest import InterestIndex
    from services.platform.consumer import Delivery
    from services.platform.jetstream import Broker

_log = structlog.get_logger()


class UpdateStream(Protocol):
    """The stream of live updates."""

    async def created(self, sequence: int) -> int:
        """Return when the stream was created in which a message has this place, in microseconds since 1970. Raises
        StorageUnavailableError.
        """


class BrokerUpdateStream:
    """UpdateStream of the broker: asked once, and anew where numbers begin again."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._created = 0
        self._last = 0

    async def created(self, sequence: int) -> int:
        """Return when the stream was created; see the port."""
        if not self._created or sequence < self._last:
            try:
                info = await self._broker.jetstream.stream_info(DOOR_UPDATES)
            except (NatsError, APIError, TimeoutError) as error:
                raise StorageUnavailableError(f"the broker: {type(error).__name__}") from error
            if info.created is None:
                raise StorageUnavailableError("the broker does not say when its stream was created")
            self._created = int(info.created.timestamp() * 1_000_000)
        self._last = sequence
        return self._created


class WebhookUpdates:
    """update_link.WebhookIntake: an update has the id that event streams tell it under."""

    def __init__(
        self, index: InterestIndex, log: UpdateStream, ids: UpdateIds, hurry: Callable[[], None]
    ) -> None:
        self.hurry = hurry
        self._index = index
        self._log = log
        self._ids = ids

    def concerns(self, delivery: Delivery) -> bool:
        """Return whether some webhook may want to hear of it."""
        return self._index.concerns(vin_of(delivery.subject))

    async def events(self, deliveries: Sequence[Delivery], at: datetime) -> list[EventForWebhooks]:
        """Return those of these that some do. Raises StorageUnavailableError."""
        found = []
        for delivery in deliveries:
            arrived_us = delivery.arrived_at_us(microseconds(at))
            key = event_key(delivery, origin_of_update(delivery.subject))
            shown_id = await self._shown_id(delivery.sequence, key)
            try:
                event = update_event(
                    key,
                    shown_id,
                    delivery.data,
                    delivery.subject,
                    moment(arrived_us),
                    delivery.stored_at_ns or arrived_us * 1_000,
                )
            except (DecodeError, ValueError, OverflowError) as error:
                _log.error("webhook_update_unreadable", reason=f"{type(error).__name__}: {error}")
                continue
            if event is not None and (targets := self._index.targets(event)):
                found.append(EventForWebhooks(event, targets))
        return found

    async def _shown_id(self, sequence: int, key: str) -> str:
        """Return the id that event streams tell it under. A dead letter has no place in the stream any more: its own
        key makes one, always the same, so that no two have the same and receivers may drop what they know.
        """
        if sequence:
            return self._ids.sealed(await self._log.created(sequence), sequence)
        return urlsafe_b64encode(sha256(key.encode()).digest()[:16]).decode().rstrip("=")

"""The vehicle's side: settings out through the outbox, its hellos and answers in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1 import report_pb2

from protocol.broker import VEHICLE_EVENTS, Command, Event, command_subject, event_subject, vin_of
from protocol.envelope import pack, unpack
from services.config import translate, usecases
from services.runtime.consumer import ConsumerPlan, Poison
from services.runtime.outbox import OutgoingMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from google.protobuf.message import Message

    from services.config.domain import News, Push
    from services.config.usecases import ConfigRecord
    from services.runtime.consumer import Delivery

QUEUE = "vehicle"
PUSH_TTL_SECONDS = 60
"""A vehicle that is away longer says hello when it is back, and gets the newest settings then."""

PLAN = ConsumerPlan(
    stream=VEHICLE_EVENTS,
    name="config-vehicle-events",
    subjects=(event_subject("*", Event.HELLO), event_subject("*", Event.CONFIG)),
)
_EXPECTED: dict[str, type[Message]] = {
    Event.HELLO.value: report_pb2.Hello,
    Event.CONFIG.value: report_pb2.ConfigReport,
}


def outgoing(push: Push, at: datetime) -> OutgoingMessage:
    """The message that carries `push`."""
    return OutgoingMessage(
        message_id=push.message_id,
        queue=QUEUE,
        subject=command_subject(push.vin, Command.CONFIG),
        payload=pack(push.vin, push.message_id, translate.apply_config(push), at),
        created_at=at,
        ttl_seconds=PUSH_TTL_SECONDS,
    )


class VehicleEvents:
    """Handles what PLAN delivers."""

    def __init__(self, record: ConfigRecord, now: Callable[[], datetime]) -> None:
        self._record = record
        self._now = now

    async def handle(self, deliveries: Sequence[Delivery]) -> list[Poison]:
        """Take in what can be understood, in one commit; the rest is poison."""
        news: list[News] = []
        poison: list[Poison] = []
        for delivery in deliveries:
            try:
                news.append(_news(delivery))
            except ValueError as refused:  # no VIN, EnvelopeRefused, NewsRefused
                poison.append(Poison(delivery, str(refused)))
        await usecases.hear_vehicles(self._record, self._now, news)
        return poison


def _news(delivery: Delivery) -> News:
    expected = _EXPECTED[delivery.subject.rpartition(".")[2]]
    unpacked = unpack(delivery.data, vin=vin_of(delivery.subject), expect=expected)
    return translate.news_of(unpacked)

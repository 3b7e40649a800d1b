"""Hints from service to service of what was not taken of vehicles' messages: the command service alone tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from ecarus.remotecontrol.door.v1.room_event_pb2 import ReportsRefused
from google.protobuf.message import DecodeError
from nats.errors import Error as NatsError

from protocol.subjects import is_vin, refused_subject
from services.platform.background import BackgroundTasks
from services.telematics.refused_reports import MOST_KINDS, RefusedReports

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ecarus.remotecontrol.vehicle.v1.session_pb2 import RefusedReport
    from nats.aio.msg import Msg

    from services.platform.jetstream import Broker

HINT_SECONDS = 5.0
"""How often one service says it of one vehicle at most."""
_log = structlog.get_logger()


class RefusalHints:
    """Publishes them. One that cannot leave now is dropped: the operator reads it all the same."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._errands = BackgroundTasks("refusal_hints")

    def publish(self, vin: str, reports: Sequence[RefusedReport]) -> None:
        """Say that these messages of the vehicle were not taken."""
        if self._broker.connected:
            self._errands.start(self._publish(vin, ReportsRefused(vin=vin, reports=reports)))

    async def _publish(self, vin: str, message: ReportsRefused) -> None:
        try:
            await self._broker.client.publish(refused_subject(vin), message.SerializeToString())
        except NatsError as error:
            _log.info("refusal_hint_not_published", reason=str(error))


async def listen_for_refusals(
    broker: Broker, queue: str, every_seconds: float, tell: Callable[[str, Sequence[RefusedReport]], None]
) -> RefusedReports:
    """Collect the hints, each in one process of those that name the same `queue`; return where. See RefusedReports."""
    collected = RefusedReports(every_seconds, tell)

    async def receive(message: Msg) -> None:
        try:
            hint = ReportsRefused.FromString(message.data)
        except DecodeError:
            _log.warning("refusal_hint_not_understood")
            return
        if is_vin(hint.vin) and message.subject == refused_subject(hint.vin):
            collected.note(hint.vin, hint.reports[:MOST_KINDS])

    await broker.client.subscribe(refused_subject("*"), queue=queue, cb=receive)
    return collected

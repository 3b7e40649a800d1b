"""The vehicle's words: its hellos and its answers to settings, accepted only with its signature."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from protocol.domains import Domain
from protocol.streams import VEHICLE_EVENTS
from protocol.subjects import EventKind, event_subject
from services.config import usecases
from services.config.adapters import translate
from services.config.usecases import VerifiedConfigMessage
from services.platform.consumer import ConsumerPlan, PoisonMessage
from services.platform.logs import masked_id
from services.telematics.messages import by_vehicle, disposition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from protocol.cloud_side import AnswerReader, ReplayGuard
    from services.config.domain.config import News
    from services.config.usecases import ConfigRecord
    from services.platform.consumer import Delivery, Unhandled
    from services.telematics.keys import VehicleKeyDirectory

PLAN = ConsumerPlan(
    stream=VEHICLE_EVENTS,
    name="config-vehicle-events",
    subjects=(event_subject("*", EventKind.HELLO), event_subject("*", EventKind.CONFIG)),
)
_log = structlog.get_logger()


class ConfigEventHandler:
    """Handles what PLAN delivers. `reader` looks keys up in `keys`."""

    def __init__(
        self,
        record: ConfigRecord,
        reader: AnswerReader,
        keys: VehicleKeyDirectory,
        now: Callable[[], datetime],
    ) -> None:
        self._record = record
        self._reader = reader
        self._keys = keys
        self._now = now

    async def handle(self, deliveries: Sequence[Delivery]) -> list[Unhandled]:
        """Take in what can be accepted, in one commit; the rest is poison, or for later.

        Raises StorageUnavailableError, also when nobody can tell the vehicles' keys.
        """
        addressed, unhandled = by_vehicle(deliveries)
        await self._keys.fetch(vin for vin, _ in addressed)
        verified: list[tuple[Delivery, VerifiedConfigMessage]] = []
        for vin, delivery in addressed:
            try:
                verified.append((delivery, self._received(vin, delivery)))
            except ValueError as refused:  # MessageRefusedError, NewsError
                unhandled.append(PoisonMessage(delivery, str(refused)))
        refusals = await usecases.ingest_messages(
            self._record, self._now, [received for _, received in verified]
        )
        for (delivery, _received), refusal in zip(verified, refusals, strict=True):
            if refusal is not None:
                unhandled += disposition(delivery, refusal)
        return unhandled

    def _received(self, vin: str, delivery: Delivery) -> VerifiedConfigMessage:
        """Raise MessageRefusedError, NewsError."""
        now_us = int(self._now().timestamp() * 1_000_000)
        at = datetime.fromtimestamp(delivery.arrived_at_us(now_us) / 1_000_000, UTC)
        if delivery.subject.endswith(Domain.HELLO.value):
            return self._hello(vin, delivery.data, at)
        return self._answer(vin, delivery.data, at)

    def _hello(self, vin: str, data: bytes, at: datetime) -> VerifiedConfigMessage:
        info = self._reader.hello(vin, data)
        hello = translate.hello_of(info, at)

        def admit(replay_guard: ReplayGuard) -> News:
            replay_guard.learn_unsolicited(info)
            return hello

        return VerifiedConfigMessage(vin, info.message_id, admit)

    def _answer(self, vin: str, data: bytes, at: datetime) -> VerifiedConfigMessage:
        message = self._reader.answer(vin, Domain.CONFIGURED, data)
        news_of = translate.answer_reader(message, at)
        if message.HasField("refused"):
            fault = translate.fault_name(message.refused.fault)
            _log.warning("vehicle_faults_settings", vin=masked_id(vin), fault=fault)

        def admit(replay_guard: ReplayGuard) -> News:
            return news_of(replay_guard.admit(Domain.CONFIGURED, message).issued)

        return VerifiedConfigMessage(vin, message.message_id, admit)

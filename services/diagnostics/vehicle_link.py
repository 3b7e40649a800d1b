"""The messages of this room: self-checks in from vehicles, alerts out to those who watch."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1 import report_pb2

from protocol.broker import VEHICLE_EVENTS, Event, event_subject, update_subject, vin_of
from protocol.envelope import unpack
from services.diagnostics import translate, usecases
from services.runtime.consumer import ConsumerPlan, Poison
from services.runtime.outbox import OutgoingMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from services.diagnostics.domain import AlertChange, SelfCheck
    from services.diagnostics.usecases import DiagnosisRecord
    from services.runtime.consumer import Delivery

QUEUE = "updates"

PLAN = ConsumerPlan(
    stream=VEHICLE_EVENTS,
    name="diagnostics-reports",
    subjects=(event_subject("*", Event.DIAGNOSTICS),),
)


def outgoing(change: AlertChange, at: datetime) -> OutgoingMessage:
    """The live update that tells of `change`; the same change has the same message id."""
    check = change.check
    moment = (check.vin, check.observed_at.isoformat(), check.boot_id, str(check.sequence))
    facts = (*moment, *change.alert.key, str(change.cleared))
    return OutgoingMessage(
        message_id=f"alert-{hashlib.sha256('/'.join(facts).encode()).hexdigest()[:40]}",
        queue=QUEUE,
        subject=update_subject(check.vin),
        payload=translate.door_update(change).SerializeToString(),
        created_at=at,
    )


class VehicleReports:
    """Handles what PLAN delivers."""

    def __init__(self, record: DiagnosisRecord, now: Callable[[], datetime]) -> None:
        self._record = record
        self._now = now

    async def handle(self, deliveries: Sequence[Delivery]) -> list[Poison]:
        """Take in what can be understood, in one commit; the rest is poison."""
        checks: list[SelfCheck] = []
        poison: list[Poison] = []
        received_at = self._now()
        for delivery in deliveries:
            try:
                checks.append(_check(delivery, received_at))
            except ValueError as refused:  # no VIN in the subject, EnvelopeRefused, ReportRefused
                poison.append(Poison(delivery, str(refused)))
        await usecases.take_self_checks(self._record, checks)
        return poison


def _check(delivery: Delivery, received_at: datetime) -> SelfCheck:
    vin = vin_of(delivery.subject)
    return translate.self_check(
        unpack(delivery.data, vin=vin, expect=report_pb2.DiagnosticsReport), received_at
    )

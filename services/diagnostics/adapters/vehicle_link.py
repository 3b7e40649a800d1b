"""The messages of this service: self-checks in from vehicles, alerts out to those who watch."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from protocol.streams import VEHICLE_EVENTS
from protocol.subjects import EventKind, event_subject, update_subject
from services.diagnostics import usecases
from services.diagnostics.adapters import translate
from services.platform.consumer import ConsumerPlan, PoisonMessage
from services.platform.outbox import OutgoingMessage
from services.platform.times import microseconds, moment
from services.telematics.messages import left_out

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from services.diagnostics.domain.diagnosis import AlertChange, SelfCheck
    from services.diagnostics.usecases import DiagnosisRecord
    from services.platform.consumer import Delivery, Unhandled
    from services.telematics.reports import ReportReader

QUEUE = "updates"

PLAN = ConsumerPlan(
    stream=VEHICLE_EVENTS,
    name="diagnostics-reports",
    subjects=(event_subject("*", EventKind.DIAGNOSTICS),),
)


HELLO_PLAN = ConsumerPlan(
    stream=VEHICLE_EVENTS,
    name="diagnostics-hellos",
    subjects=(event_subject("*", EventKind.HELLO),),
)
"""Each says in which epoch the vehicle is, and so which reports are its own."""


def outgoing(change: AlertChange, at: datetime) -> OutgoingMessage:
    """Return the live update that tells of `change`; the same change has the same message id."""
    check = change.check
    moment = (check.vin, check.epoch.hex(), check.boot_id, str(check.sequence), str(check.counter))
    facts: tuple[str, ...] = (*moment, *change.alert.key, str(change.cleared))
    if change.deferred:  # the same check may have told the same at its time
        facts = (*facts, at.isoformat())
    return OutgoingMessage(
        message_id=f"alert-{hashlib.sha256('/'.join(facts).encode()).hexdigest()[:40]}",
        queue=QUEUE,
        subject=update_subject(check.vin),
        payload=translate.door_update(change).SerializeToString(),
        created_at=at,
    )


class VehicleReports:
    """Handles what PLAN delivers."""

    def __init__(self, record: DiagnosisRecord, reports: ReportReader, now: Callable[[], datetime]) -> None:
        self._record = record
        self._reports = reports
        self._now = now

    async def handle(self, deliveries: Sequence[Delivery]) -> list[Unhandled]:
        """Take in what can be accepted, in one commit; the rest is poison, or for later."""
        opened, unhandled = await self._reports.open(deliveries)
        checks: list[SelfCheck] = []
        now_us = microseconds(self._now())
        for delivery, report in opened:
            received_at = moment(delivery.arrived_at_us(now_us))
            try:
                check = translate.self_check(report, received_at)
            except translate.ReportError as refused:
                unhandled.append(PoisonMessage(delivery, str(refused)))
                continue
            if check.cut:
                unhandled.append(left_out(delivery, check.cut))
            checks.append(check)
        await usecases.take_self_checks(self._record, checks)
        self._reports.taken(opened)
        return unhandled

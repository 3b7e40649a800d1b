"""The broker's side of this room: what vehicles say in, hints out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from ecarus.remotecontrol.vehicle.v1.report_pb2 import StatusReport
from google.protobuf.message import DecodeError
from nats.errors import Error as NatsError

from protocol.broker import (
    VEHICLE_EVENTS,
    Event,
    condition_subject,
    event_subject,
    presence_subject,
    status_stream,
    vin_of,
)
from protocol.domains import Domain
from protocol.faults import MessageRefused
from protocol.session import CloudSession
from services.runtime.background import Errands
from services.runtime.consumer import ConsumerPlan, Poison
from services.runtime.subscriptions import Subscription
from services.runtime.vehicle_messages import by_vehicle, judged, left_out
from services.status.usecases import take_reports
from services.status.vehicle_translate import Said, condition_payload, moved_of, report_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ecarus.remotecontrol.vehicle.v1.session_pb2 import SignedAnswer
    from nats.aio.msg import Msg

    from protocol.cloud_side import AnswerReader
    from services.runtime.consumer import Delivery, Unhandled
    from services.runtime.jetstream import Broker
    from services.runtime.vehicle_keys import VehicleKeyDirectory
    from services.runtime.vehicle_reports import HelloIntake, ReportReader
    from services.status.conditions import Hint
    from services.status.domain import Position, Report
    from services.status.hub import Hub
    from services.status.judgement import Moved
    from services.status.presence import LostVehicles
    from services.status.store import StatusStore
    from services.status.usecases import ConditionHints

LOST = b"lost"
"""What the broker publishes on a vehicle's presence when its connection breaks (an MQTT will)."""

_log = structlog.get_logger()


def status_plan(partition: int, batch: int, max_pending: int) -> ConsumerPlan:
    """How one partition of the status reports is consumed: in order, by every replica that runs it."""
    stream = status_stream(partition)
    return ConsumerPlan(
        stream.name,
        name=f"status-{partition}",
        subjects=stream.subjects,
        shared=False,
        batch=batch,
        max_pending=max_pending,
    )


RESULT_PLAN = ConsumerPlan(VEHICLE_EVENTS, "status-results", (event_subject("*", Event.RESULT),))
"""Results of commands: each says how the vehicle stands afterwards, also one that came too late."""

HELLO_PLAN = ConsumerPlan(VEHICLE_EVENTS, "status-hellos", (event_subject("*", Event.HELLO),))
"""Hellos: each says in which epoch the vehicle is, and so which reports are its own."""


class VehicleIntake:
    """Turns what vehicles say into reports, and what is not to be believed into dead letters.

    `now_us` is the cloud's clock, microseconds since 1970.
    """

    def __init__(
        self,
        store: StatusStore,
        hints: ConditionHints,
        reports: ReportReader,
        answers: AnswerReader,
        directory: VehicleKeyDirectory,
        hellos: HelloIntake,
        now_us: Callable[[], int],
    ) -> None:
        self._store = store
        self._hints = hints
        self._reports = reports
        self._answers = answers
        self._directory = directory
        self._hellos = hellos
        self._now_us = now_us

    def subscriptions(self, partitions: Iterable[int], batch: int, max_pending: int) -> list[Subscription]:
        """List what a process that takes these partitions takes in: them, results and hellos."""
        return [
            *(Subscription(status_plan(n, batch, max_pending), self.take_statuses) for n in partitions),
            Subscription(RESULT_PLAN, self.take_results),
            Subscription(HELLO_PLAN, self._hellos.handle),
        ]

    async def take_statuses(self, deliveries: Sequence[Delivery]) -> list[Unhandled]:
        """Handle status reports. Raises StorageUnavailable."""
        opened, unhandled = await self._reports.open(deliveries)
        now_us = self._now_us()
        accepted: list[Report] = []
        for delivery, opened_report in opened:
            try:
                status = StatusReport.FromString(opened_report.payload)
            except DecodeError:
                unhandled.append(Poison(delivery, "not a status report"))
                continue
            said = Said(
                opened_report.epoch,
                opened_report.order,
                opened_report.counter,
                delivery.arrived_at_us(now_us),
            )
            report = report_of(opened_report.vin, status, opened_report.payload, said)
            if report.cut:
                unhandled.append(left_out(delivery, report.cut))
            accepted.append(report)
        await take_reports(self._store, self._hints, accepted, now_us)
        self._reports.taken(opened)
        return unhandled

    async def take_results(self, deliveries: Sequence[Delivery]) -> list[Unhandled]:
        """Handle what command results say of the vehicle and of its doors. Raises StorageUnavailable."""
        addressed, unhandled = by_vehicle(deliveries)
        await self._directory.fetch({vin for vin, _ in addressed})
        answered: list[tuple[Delivery, SignedAnswer]] = []
        for vin, delivery in addressed:
            try:
                answer = self._answers.answer(vin, Domain.RESULT, delivery.data)
            except MessageRefused as refused:
                unhandled.append(Poison(delivery, str(refused)))
            else:
                if answer.result.HasField("status"):  # a refused order has no result
                    answered.append((delivery, answer))
        sessions = await self._reports.sessions_of({answer.vin for _, answer in answered}) if answered else {}
        now_us = self._now_us()
        reports: list[Report] = []
        moved: list[Moved] = []
        for delivery, answer in answered:
            result, session = answer.result, sessions.get(answer.vin, CloudSession())
            try:
                record = session.record_of(answer.epoch, result.status.boot_id)
            except MessageRefused as refused:
                unhandled += judged(delivery, refused)
                continue
            said = Said(record.epoch, session.order_of(record), 0, delivery.arrived_at_us(now_us))
            payload = result.status.SerializeToString()
            report = report_of(answer.vin, result.status, payload, said)
            if report.cut:
                unhandled.append(left_out(delivery, report.cut))
            reports.append(report)
            acted = moved_of(result, report)
            moved += [acted] if acted else []
        await take_reports(self._store, self._hints, reports, now_us, moved)
        return unhandled


async def listen_for_losses(broker: Broker, lost: LostVehicles, now_us: Callable[[], int]) -> None:
    """Hear from the broker whose connection broke. What is missed costs nothing: silence says it later."""

    async def hear(message: Msg) -> None:
        if message.data == LOST:
            try:
                lost.note(vin_of(message.subject), now_us())
            except ValueError:
                _log.warning("loss_of_nobody")

    await broker.client.subscribe(presence_subject("*"), cb=hear)


class HintPublisher:
    """Publishes hints on core NATS. One that can not leave now is dropped: it would be stale later."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._errands = Errands("hints")

    def tell(self, hints: Sequence[Hint]) -> None:
        """See ConditionTeller."""
        if not self._broker.connected:
            return
        self._errands.start(self._publish(hints))

    async def _publish(self, hints: Sequence[Hint]) -> None:
        try:
            for hint in hints:
                payload = condition_payload(hint.report, ended=hint.ended)
                await self._broker.client.publish(condition_subject(hint.report.vin), payload)
        except NatsError as error:
            _log.info("hints_not_published", reason=str(error))


def publish_update(hub: Hub, subject: str, position: Position, payload: bytes) -> None:
    """One live update, from the tail to the hub."""
    try:
        vin = vin_of(subject)
    except ValueError:
        _log.error("update_of_no_vehicle", position=str(position))
        return
    hub.publish(vin, position, payload)

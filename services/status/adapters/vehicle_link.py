"""The broker's side of this service: what vehicles say in, advisory states out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from ecarus.remotecontrol.vehicle.v1.report_pb2 import StatusReport
from google.protobuf.message import DecodeError
from nats.errors import Error as NatsError

from protocol.domains import Domain
from protocol.faults import MessageRefusedError
from protocol.session import CloudSession
from protocol.streams import VEHICLE_EVENTS, status_stream
from protocol.subjects import (
    SHOWN_RESULTS_SUBJECT,
    EventKind,
    advisory_subject,
    event_subject,
    origin_of_update,
    presence_subject,
    update_subject,
    vin_of,
)
from services.live_updates.origins import COMMAND_STATUS, may_tell
from services.platform.background import BackgroundTasks
from services.platform.consumer import ConsumerPlan, PoisonMessage, RetryLater
from services.platform.subscriptions import Subscription
from services.status.adapters.translate import unanswered_at_us
from services.status.adapters.vehicle_translate import (
    ReportOrigin,
    advisory_payload,
    lost_payload,
    report_of,
    reported_actuation_of,
    shown_payload,
)
from services.status.usecases.door_status import take_reports
from services.telematics.links import over_each_link
from services.telematics.messages import by_vehicle, disposition, left_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ecarus.remotecontrol.vehicle.v1.session_pb2 import SignedAnswer
    from nats.aio.msg import Msg

    from protocol.cloud_side import AnswerReader
    from services.platform.consumer import Delivery, Unhandled
    from services.platform.jetstream import Broker
    from services.platform.outbox import OutboxRelay
    from services.status.adapters.model_limits import ModelLimits
    from services.status.adapters.store import StatusStore
    from services.status.domain.doors import Report
    from services.status.domain.judgement import ReportedActuation
    from services.status.domain.updates import LogPosition
    from services.status.usecases.advisories import StatusAdvisory
    from services.status.usecases.door_status import AdvisorySink
    from services.status.usecases.hub import Hub
    from services.status.usecases.presence import LostVehicles
    from services.telematics.keys import VehicleKeyDirectory
    from services.telematics.reports import HelloIntake, ReportReader

LOST = b"lost"
"""What the broker publishes on a vehicle's presence when its connection breaks (an MQTT will)."""

_log = structlog.get_logger()


def status_plan(partition: int, batch: int, max_pending: int) -> ConsumerPlan:
    """Return how one partition of the status reports is consumed: in order, by every replica that runs it."""
    stream = status_stream(partition)
    return ConsumerPlan(
        stream.name,
        name=f"status-{partition}",
        subjects=stream.subjects,
        shared=False,
        batch=batch,
        max_pending=max_pending,
    )


RESULT_PLAN = ConsumerPlan(VEHICLE_EVENTS, "status-results", (event_subject("*", EventKind.RESULT),))
"""Results of commands: each says how the vehicle stands afterwards, also one that came too late."""

HELLO_PLAN = ConsumerPlan(VEHICLE_EVENTS, "status-hellos", (event_subject("*", EventKind.HELLO),))
"""Hellos: each says in which epoch the vehicle is, and so which reports are its own."""


class VehicleIntake:
    """Turns what vehicles say into reports, and what is not to be accepted into dead letters.

    `shown` hears of each result that is dealt with: its VIN and when the broker stored it, nanoseconds since 1970.
    `now_us` is the cloud's clock, microseconds since 1970.
    """

    def __init__(
        self,
        store: StatusStore,
        advisories: AdvisorySink,
        reports: ReportReader,
        answers: AnswerReader,
        directory: VehicleKeyDirectory,
        hellos: HelloIntake,
        shown: Callable[[Sequence[tuple[str, int]]], None],
        now_us: Callable[[], int],
        *,
        limits: ModelLimits,
    ) -> None:
        self._store = store
        self._limits = limits
        self._advisories = advisories
        self._reports = reports
        self._answers = answers
        self._directory = directory
        self._hellos = hellos
        self._shown = shown
        self._now_us = now_us

    def subscriptions(self, partitions: Iterable[int], batch: int, max_pending: int) -> list[Subscription]:
        """List what a process that takes these partitions ingests: them, results and hellos."""
        return [
            *(Subscription(status_plan(n, batch, max_pending), self.take_statuses) for n in partitions),
            *over_each_link(RESULT_PLAN, self.take_results),
            *over_each_link(HELLO_PLAN, self._hellos.handle),
        ]

    async def take_statuses(self, deliveries: Sequence[Delivery]) -> list[Unhandled]:
        """Handle status reports. Raises StorageUnavailableError."""
        opened, unhandled = await self._reports.open(deliveries)
        now_us = self._now_us()
        accepted: list[Report] = []
        for delivery, opened_report in opened:
            try:
                status = StatusReport.FromString(opened_report.payload)
            except DecodeError:
                unhandled.append(PoisonMessage(delivery, "not a status report"))
                continue
            said = ReportOrigin(
                opened_report.epoch,
                opened_report.order,
                opened_report.counter,
                delivery.arrived_at_us(now_us),
            )
            beyond = self._limits.leave_out(opened_report.vin, status)
            report = report_of(opened_report.vin, status, opened_report.payload, said, beyond)
            if report.cut:
                unhandled.append(left_out(delivery, report.cut))
            accepted.append(report)
        await take_reports(self._store, self._advisories, accepted, now_us)
        self._reports.taken(opened)
        return unhandled

    async def take_results(self, deliveries: Sequence[Delivery]) -> list[Unhandled]:
        """Handle what command results say of the vehicle and of its doors. Raises StorageUnavailableError."""
        addressed, unhandled = by_vehicle(deliveries)
        await self._directory.fetch({vin for vin, _ in addressed})
        answered: list[tuple[Delivery, SignedAnswer]] = []
        for vin, delivery in addressed:
            try:
                answer = self._answers.answer(vin, Domain.RESULT, delivery.data)
            except MessageRefusedError as refused:
                unhandled.append(PoisonMessage(delivery, str(refused)))
            else:
                if answer.result.HasField("status"):  # a refused order has no result
                    answered.append((delivery, answer))
        sessions = await self._reports.sessions_of({answer.vin for _, answer in answered}) if answered else {}
        now_us = self._now_us()
        reports: list[Report] = []
        moved: list[ReportedActuation] = []
        for delivery, answer in answered:
            result, session = answer.result, sessions.get(answer.vin, CloudSession())
            try:
                record = session.record_of(answer.epoch, result.status.boot_id)
            except MessageRefusedError as refused:
                unhandled += disposition(delivery, refused)
                continue
            said = ReportOrigin(record.epoch, session.order_of(record), 0, delivery.arrived_at_us(now_us))
            beyond = self._limits.leave_out(answer.vin, result.status)
            beyond += self._limits.leave_out_results(answer.vin, result)
            payload = result.status.SerializeToString()
            report = report_of(answer.vin, result.status, payload, said, beyond)
            if report.cut:
                unhandled.append(left_out(delivery, report.cut))
            reports.append(report)
            acted = reported_actuation_of(result, report)
            moved += [acted] if acted else []
        await take_reports(self._store, self._advisories, reports, now_us, moved)
        # Whatever becomes of them: what is not accepted here will never show another door.
        waiting = {id(each.delivery) for each in unhandled if isinstance(each, RetryLater)}
        self._shown([(vin, each.stored_at_ns) for vin, each in addressed if id(each) not in waiting])
        return unhandled


async def listen_for_losses(broker: Broker, lost: LostVehicles, now_us: Callable[[], int]) -> None:
    """Hear from the broker whose connection broke. What is missed costs nothing: silence says it later."""

    async def receive(message: Msg) -> None:
        if message.data == LOST:
            try:
                lost.note(vin_of(message.subject), now_us())
            except ValueError:
                _log.warning("loss_of_nobody")

    await broker.client.subscribe(presence_subject("*"), cb=receive)


class AdvisoryPublisher:
    """Publishes advisory states on core NATS. One that cannot leave now is dropped: it would be stale later."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._background_tasks = BackgroundTasks("hints")

    def publish(self, advisories: Sequence[StatusAdvisory]) -> None:
        """See AdvisoryFilter."""
        if not self._broker.connected:
            return
        self._background_tasks.start(self._publish(advisories))

    def tell_lost(self, vin: str, at_us: int) -> None:
        """See AdvisoryFilter."""
        if self._broker.connected:
            self._background_tasks.start(self._publish_all([(vin, lost_payload(vin, at_us))]))

    async def _publish(self, advisories: Sequence[StatusAdvisory]) -> None:
        await self._publish_all(
            [(each.report.vin, advisory_payload(each.report, ended=each.ended)) for each in advisories]
        )

    async def _publish_all(self, advisories: Iterable[tuple[str, bytes]]) -> None:
        try:
            for vin, payload in advisories:
                await self._broker.client.publish(advisory_subject(vin), payload)
        except NatsError as error:
            _log.info("hints_not_published", reason=str(error))


class ShownResultsPublisher:
    """Tells the command service on core NATS which results' doors are shown, once what `relay` has of them has left: so
    the doors of a command come before its end, for those who ask and for those who watch.

    What is lost costs the command service its patience.
    """

    def __init__(self, broker: Broker, relay: OutboxRelay) -> None:
        self._broker = broker
        self._relay = relay
        self._background_tasks = BackgroundTasks("shown_results")

    def publish(self, shown: Sequence[tuple[str, int]]) -> None:
        """Tell of these: VIN, and when the broker stored the result, nanoseconds since 1970."""
        if shown:
            self._background_tasks.start(self._publish(shown))

    async def _publish(self, shown: Sequence[tuple[str, int]]) -> None:
        await self._relay.left({update_subject(vin) for vin, _ in shown})
        if not self._broker.connected:
            return
        try:
            await self._broker.client.publish(SHOWN_RESULTS_SUBJECT, shown_payload(shown))
        except NatsError as error:
            _log.info("shown_results_not_published", reason=str(error))


def publish_update(hub: Hub, lost: LostVehicles, subject: str, position: LogPosition, payload: bytes) -> None:
    """One live update, from the tail to the hub. One that tells of a command without an answer tells of a lost vehicle,
    too.
    """
    try:
        vin = vin_of(subject)
    except ValueError:
        _log.error("update_of_no_vehicle", position=str(position))
        return
    try:
        its_own = may_tell(origin_of_update(subject), COMMAND_STATUS)
        unanswered_at = unanswered_at_us(payload) if its_own else None
    except DecodeError:
        unanswered_at = None  # the hub's readers are told what there is to tell of it
    if unanswered_at is not None:
        lost.note_unanswered(vin, unanswered_at)
    hub.publish(vin, position, payload, subject)

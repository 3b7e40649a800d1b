"""The broker's side of this room: reports in, hints out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from ecarus.remotecontrol.access.v1.grant_pb2 import GrantRevoked
from ecarus.remotecontrol.vehicle.v1.report_pb2 import CommandResult, StatusReport
from google.protobuf.message import DecodeError
from nats.errors import Error as NatsError

from protocol.broker import VEHICLE_EVENTS, Event, condition_subject, status_stream, vin_of
from protocol.envelope import EnvelopeRefused, unpack
from services.runtime.consumer import Consumer, ConsumerPlan, Poison
from services.runtime.inbox import DeadLetter
from services.status.domain import ImpossibleReport, Report
from services.status.translate import condition_payload, moment_of, report_of
from services.status.usecases import take_reports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from services.runtime.capability import CapabilityVerifier
    from services.runtime.consumer import Delivery
    from services.runtime.jetstream import Broker
    from services.status.conditions import Hint
    from services.status.domain import Position
    from services.status.hub import Hub
    from services.status.store import StatusStore
    from services.status.usecases import ConditionHints

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


RESULT_PLAN = ConsumerPlan(
    VEHICLE_EVENTS, name="status-results", subjects=(f"vehicle.*.evt.{Event.RESULT.value}",), shared=True
)
"""Results of commands: each says how the vehicle stands afterwards, also one that came too late."""


class ReportIntake:
    """Turns deliveries into reports, and what is no report into dead letters.

    `now_us` is the cloud's clock, microseconds since 1970.
    """

    def __init__(self, store: StatusStore, hints: ConditionHints, now_us: Callable[[], int]) -> None:
        self._store = store
        self._hints = hints
        self._now_us = now_us

    def consumer(self, broker: Broker, plan: ConsumerPlan) -> Consumer:
        """The consumer that runs `plan` with this intake."""
        handle = self.take_results if plan is RESULT_PLAN else self.take_statuses
        return Consumer(broker, plan, handle, self._bury)

    async def take_statuses(self, deliveries: Sequence[Delivery]) -> list[Poison]:
        """Handle status reports. Raises StorageUnavailable."""
        return await self._take(deliveries, _status_in)

    async def take_results(self, deliveries: Sequence[Delivery]) -> list[Poison]:
        """Handle the states that come with command results. Raises StorageUnavailable."""
        return await self._take(deliveries, _result_in)

    async def _take(
        self, deliveries: Sequence[Delivery], read: Callable[[str, bytes], StatusReport | None]
    ) -> list[Poison]:
        now_us = self._now_us()
        reports: list[Report] = []
        poison: list[Poison] = []
        for delivery in deliveries:
            try:
                vin = vin_of(delivery.subject)
                status = read(vin, delivery.data)
                if status is not None:
                    reports.append(report_of(vin, status, now_us))
            except (EnvelopeRefused, ImpossibleReport) as error:
                poison.append(Poison(delivery, str(error)))
            except ValueError:  # the subject; its text would name what stands where a VIN belongs
                poison.append(Poison(delivery, "no VIN in the subject"))
        await take_reports(self._store, self._hints, reports, now_us)
        return poison

    async def _bury(self, poison: Sequence[Poison]) -> None:
        received_at = moment_of(self._now_us())
        await self._store.bury(
            [DeadLetter(p.delivery.subject, p.delivery.data, p.reason, received_at) for p in poison]
        )


def _status_in(vin: str, data: bytes) -> StatusReport | None:
    return unpack(data, vin=vin, expect=StatusReport).payload  # type: ignore[return-value]  # as expected


def _result_in(vin: str, data: bytes) -> StatusReport | None:
    result: CommandResult = unpack(data, vin=vin, expect=CommandResult).payload  # type: ignore[assignment]  # as expected
    return result.status if result.HasField("status") else None


class HintPublisher:
    """Publishes hints on core NATS. One that can not leave now is dropped: it would be stale later."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._publishing: set[asyncio.Task[None]] = set()

    def tell(self, hints: Sequence[Hint]) -> None:
        """See ConditionTeller."""
        if not self._broker.connected:
            return
        task = asyncio.get_running_loop().create_task(self._publish(hints))
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)

    async def _publish(self, hints: Sequence[Hint]) -> None:
        try:
            for hint in hints:
                payload = condition_payload(hint.report, ended=hint.ended)
                await self._broker.client.publish(condition_subject(hint.report.vin), payload)
        except NatsError as error:
            _log.info("hints_not_published", reason=str(error))


class Revocations:
    """Ends what a revoked right carried: what is cached of it, and the streams that run on it."""

    def __init__(self, hub: Hub, verifier: CapabilityVerifier) -> None:
        self._hub = hub
        self._verifier = verifier

    def deliver(self, _subject: str, _position: Position, payload: bytes) -> None:
        """One GrantRevoked."""
        try:
            revoked = GrantRevoked.FromString(payload)
        except DecodeError:
            _log.error("revocation_unreadable")
            return
        self._verifier.evict(revoked.principal, revoked.vin)
        self._hub.revoke(revoked.principal, revoked.vin)

    def place_changed(self, position: Position) -> None:
        """The tail begins here: nothing of this room depends on where."""
        _log.info("revocations_followed", position=str(position))


def publish_update(hub: Hub, subject: str, position: Position, payload: bytes) -> None:
    """One live update, from the tail to the hub."""
    hub.publish(vin_of(subject), position, payload)


def plans_of(partitions: Iterable[int], batch: int, max_pending: int) -> list[ConsumerPlan]:
    """All that this process consumes: its partitions, and the results with their states."""
    return [*(status_plan(n, batch, max_pending) for n in partitions), RESULT_PLAN]

"""The way in: what vehicles, and the other rooms, say over NATS."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from ecarus.remotecontrol.door.v1 import room_event_pb2
from google.protobuf.message import DecodeError
from nats.js.api import AckPolicy, ConsumerConfig

from protocol import broker as layout
from protocol.envelope import unpack
from services.command import vehicle_translate
from services.command.mqtt_queue import forward_waiting
from services.command.usecases import record_status_checks, take_in_reports, vehicle_connected
from services.runtime.consumer import ConsumerPlan, Poison
from services.runtime.inbox import DeadLetter
from services.runtime.logs import masked_vin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from nats.aio.msg import Msg

    from services.command.domain import Condition
    from services.command.usecases import Desk, Report
    from services.runtime.consumer import Delivery
    from services.runtime.jetstream import Broker

EVENTS = ConsumerPlan(
    layout.VEHICLE_EVENTS,
    "command-events",
    tuple(
        f"vehicle.*.evt.{event.value}"
        for event in (layout.Event.HELLO, layout.Event.RECEIVED, layout.Event.RESULT, layout.Event.CANCEL)
    ),
)
CHECKS = ConsumerPlan(layout.ROOM_EVENTS, "command-status-checks", (layout.STATUS_CHECKS_SUBJECT,))

_ACK_WAIT_SECONDS = 10
_GONE_AFTER_SECONDS = 30
_MOST_AT_ONCE = 16
_MOST_CONDITIONS = 100_000

_log = structlog.get_logger()


class VehicleEvents:
    """What vehicles say of commands, and their hellos."""

    def __init__(self, desk: Desk, broker: Broker) -> None:
        self._desk = desk
        self._broker = broker

    async def handle(self, deliveries: Sequence[Delivery]) -> list[Poison]:
        """Take in a batch; what can not be understood or believed is poison."""
        poison: list[Poison] = []
        reports: list[Report] = []
        hellos: dict[str, bool] = {}  # VIN: whether over MQTT
        delivery_of: dict[Report, Delivery] = {}
        for delivery in deliveries:
            try:
                unpacked = unpack(delivery.data, vin=layout.vin_of(delivery.subject))
                report = vehicle_translate.report(unpacked, self._desk.now())
            except ValueError as error:  # no VIN in the subject, EnvelopeRefused, NotUnderstood
                poison.append(Poison(delivery, str(error)))
                continue
            if report is None:
                hellos[unpacked.vin] = layout.MQTT_QOS_HEADER in delivery.headers
            else:
                reports.append(report)
                delivery_of[report] = delivery
        if reports:
            disbelieved = await take_in_reports(self._desk, reports)
            poison += [Poison(delivery_of[report], why) for report, why in disbelieved.items()]
        await asyncio.gather(*(self._welcome(vin, over_mqtt=mqtt) for vin, mqtt in hellos.items()))
        return poison

    async def _welcome(self, vin: str, *, over_mqtt: bool) -> None:
        """Open the vehicle's queue, which it may only pull from; send again what the broker may have lost.

        Nobody can pull over MQTT: there what the queue holds is put into the vehicle's session.
        """
        await self._broker.jetstream.add_consumer(
            layout.VEHICLE_COMMANDS,
            ConsumerConfig(
                name=vin,
                filter_subject=f"vehicle.{vin}.cmd.*",
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=_ACK_WAIT_SECONDS,
                max_deliver=-1,
                max_ack_pending=_MOST_AT_ONCE,
                inactive_threshold=_GONE_AFTER_SECONDS,
                mem_storage=True,
            ),
        )
        if over_mqtt:
            await forward_waiting(self._broker, vin, self._desk.now())
        await vehicle_connected(self._desk, vin)
        _log.info("vehicle_connected", vin=masked_vin(vin))


async def handle_status_checks(desk: Desk, deliveries: Sequence[Delivery]) -> list[Poison]:
    """Take looks at the door status into the history."""
    poison: list[Poison] = []
    for delivery in deliveries:
        try:
            checks = vehicle_translate.status_checks(room_event_pb2.StatusChecks.FromString(delivery.data))
        except (DecodeError, ValueError) as error:
            poison.append(Poison(delivery, f"not status checks: {error}"))
        else:
            await record_status_checks(desk, checks)
    return poison


def dead_letters_of(poison: Sequence[Poison], at: datetime) -> list[DeadLetter]:
    """Poison as it is kept."""
    return [DeadLetter(p.delivery.subject, p.delivery.data, p.reason, at) for p in poison]


class HeardConditions:
    """What vehicles said moments ago (usecases.Conditions), as the status service passes it on."""

    def __init__(self, broker: Broker, now: Callable[[], datetime]) -> None:
        self._broker = broker
        self._now = now
        self._latest: dict[str, Condition] = {}

    async def listen(self) -> None:
        """Begin to hear. A hint that is lost costs nothing: the vehicle itself decides."""
        await self._broker.client.subscribe(layout.condition_subject("*"), cb=self._hear)

    async def _hear(self, message: Msg) -> None:
        try:
            heard = room_event_pb2.VehicleCondition.FromString(message.data)
            condition = vehicle_translate.condition(heard)
        except (DecodeError, ValueError) as error:
            _log.warning("condition_not_understood", reason=str(error))
            return
        known = self._latest.get(heard.vin)
        if known is not None and known.observed_at > condition.observed_at:
            return
        if len(self._latest) >= _MOST_CONDITIONS:
            self._latest.clear()
        self._latest[heard.vin] = condition

    def of(self, vin: str) -> Condition | None:
        """See usecases.Conditions."""
        return self._latest.get(vin)

"""What the cloud orders: door commands, cancellations, settings. Each acts at most once.

A command's life: it waits in memory; when the actuators are free it is written to the journal
(from here on it has begun), acknowledged with CommandReceived, checked, carried out, and its result
is written to the journal before it is published. The broker's message is acknowledged last. Before
the journal has it, a crash leaves it to redelivery; after that, to the journal.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, cast
from uuid import uuid4

import structlog
from ecarus.remotecontrol.vehicle.v1 import command_pb2, report_pb2

from protocol.broker import Command as CommandKind
from protocol.broker import Event
from protocol.envelope import EnvelopeRefused, unpack
from vehicle import translate
from vehicle.command import Cancellation, CancelOutcome, Command, NotUnderstood, Result
from vehicle.executor import Execution, interrupted, not_understood, target_doors, withdrawn
from vehicle.journal import Answer, AnswerKind, Journal
from vehicle.link import Delivery, LinkDown
from vehicle.settings import SettingsRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vehicle.car import Car
    from vehicle.clock import Clock
    from vehicle.outbox import Outbox

logger = structlog.get_logger(__name__)

_Order = TypeVar("_Order", command_pb2.DoorCommand, command_pb2.CancelCommand, command_pb2.ApplyConfig)

_EVENTS = {AnswerKind.RESULT: Event.RESULT, AnswerKind.CANCEL: Event.CANCEL}
_PAYLOADS: dict[AnswerKind, type[report_pb2.CommandResult | report_pb2.CancelResult]] = {
    AnswerKind.RESULT: report_pb2.CommandResult,
    AnswerKind.CANCEL: report_pb2.CancelResult,
}
_ORDER = {CommandKind.DOOR: 0, CommandKind.CANCEL: 1, CommandKind.CONFIG: 2, None: 3}


@dataclass(slots=True)
class _Waiting:
    """A command that has not begun."""

    command: Command
    kept: bytes
    deliveries: list[Delivery]


@dataclass(slots=True)
class _Running:
    """The command being carried out, and the forced cancellations that wait for its end."""

    command_id: str
    execution: Execution
    deliveries: list[Delivery]
    stops: list[tuple[Cancellation, Delivery]] = field(default_factory=list)


class Orders:
    """The orders of one car. `recover` first, then `work` runs for as long as the agent lives."""

    def __init__(
        self,
        car: Car,
        journal: Journal,
        outbox: Outbox,
        clock: Clock,
        status_now: Callable[[], report_pb2.StatusReport],
    ) -> None:
        self._car = car
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._status_now = status_now
        self._waiting: dict[str, _Waiting] = {}
        self._arrived = asyncio.Event()
        self._running: _Running | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a command is being carried out or waits for it."""
        return self._running is not None or bool(self._waiting)

    def recover(self) -> None:
        """Answers what a crash cut short, and sends again what the broker never confirmed."""
        for began_at, kept in self._journal.interrupted():
            command = translate.command_from_bytes(kept)
            now = self._clock.now()
            result = interrupted(command, self._car, began_at, now)
            self._journal.answer(now, self._result_answer(result))
            logger.warning("command_interrupted", vin_tail=self._car.vin[-6:], command_id=command.command_id)
        for answer in self._journal.unsent():
            self._send(answer)

    def take(self, deliveries: list[Delivery]) -> None:
        """Takes what arrived together. A command in it begins only afterwards, so none that the same
        batch withdraws ever does; commands are sorted in front so that the withdrawal knows their doors.
        """
        for delivery in sorted(deliveries, key=lambda one: _ORDER[one.kind]):
            try:
                self._take_one(delivery)
            except EnvelopeRefused as refused:
                logger.warning("message_refused", vin_tail=self._car.vin[-6:], reason=str(refused))
                self._outbox.run(self._settle([delivery], terminate=True))

    def forget_waiting(self) -> None:
        """Leaves what has not begun to the broker, which delivers it again on the next connection."""
        self._waiting.clear()

    async def work(self) -> None:
        """Carries out commands one by one, forever."""
        while True:
            await self._arrived.wait()
            async with self._car.actuators:
                if not self._waiting:
                    self._arrived.clear()
                    continue
                waiting = self._waiting.pop(next(iter(self._waiting)))
                await self._carry_out(waiting)

    def _take_one(self, delivery: Delivery) -> None:
        if delivery.kind is CommandKind.DOOR:
            self._take_command(delivery, self._unpack(delivery, command_pb2.DoorCommand))
        elif delivery.kind is CommandKind.CANCEL:
            self._take_cancellation(delivery, self._unpack(delivery, command_pb2.CancelCommand))
        elif delivery.kind is CommandKind.CONFIG:
            self._take_settings(delivery, self._unpack(delivery, command_pb2.ApplyConfig))
        else:
            raise EnvelopeRefused("a subject this car does not know")

    def _unpack(self, delivery: Delivery, expect: type[_Order]) -> _Order:
        payload = unpack(delivery.data, vin=self._car.vin, expect=expect).payload
        return cast("_Order", payload)  # unpack promises the class it was told to expect

    def _take_command(self, delivery: Delivery, message: command_pb2.DoorCommand) -> None:
        command_id = message.command_id
        if not command_id:
            raise EnvelopeRefused("a command without an id")
        known = self._journal.result_of(command_id)
        if known:
            self._send(known, delivery)
        elif self._running and self._running.command_id == command_id:
            self._running.deliveries.append(delivery)
        elif command_id in self._waiting:
            self._waiting[command_id].deliveries.append(delivery)
        else:
            self._queue(delivery, message)

    def _queue(self, delivery: Delivery, message: command_pb2.DoorCommand) -> None:
        try:
            command = translate.command_from(message)
        except NotUnderstood as reason:
            now = self._clock.now()
            answer = self._result_answer(not_understood(message.command_id, str(reason), now))
            self._journal.answer(now, answer)
            self._send(answer, delivery)
            return
        self._waiting[command.command_id] = _Waiting(command, message.SerializeToString(), [delivery])
        self._arrived.set()

    async def _carry_out(self, waiting: _Waiting) -> None:
        command = waiting.command
        now = self._clock.now()
        self._journal.begin(command.command_id, waiting.kept, now)
        self._outbox.post(Event.RECEIVED, uuid4().hex, translate.received(command.command_id, now))
        await asyncio.sleep(0)  # the message is on its way before the first door moves
        execution = Execution(command, self._car, self._clock)
        self._running = running = _Running(command.command_id, execution, waiting.deliveries)
        try:
            result = await execution.run()
        finally:
            self._running = None
        # No await from here on: a cancellation finds the command either running or answered.
        answer = self._result_answer(result)
        outcome = CancelOutcome.STOPPED if result.stopped else CancelOutcome.TOO_LATE
        stops = [(self._cancel_answer(cancellation, outcome), one) for cancellation, one in running.stops]
        self._journal.answer(self._clock.now(), answer, *(stop for stop, _ in stops))
        self._send(answer, *running.deliveries)
        for stop, delivery in stops:
            self._send(stop, delivery)
        logger.info(
            "command_finished",
            vin_tail=self._car.vin[-6:],
            command_id=command.command_id,
            outcome=result.outcome.value,
            fault=result.fault.value if result.fault else None,
        )

    def _take_cancellation(self, delivery: Delivery, message: command_pb2.CancelCommand) -> None:
        cancellation = translate.cancellation_from(message)
        if not cancellation.cancel_id or not cancellation.command_id:
            raise EnvelopeRefused("a cancellation without its ids")
        known = self._journal.cancel_answer(cancellation.cancel_id)
        if known:
            self._send(known, delivery)
            return
        running = self._running
        if running and running.command_id == cancellation.command_id and cancellation.force:
            running.execution.stop()
            running.stops.append((cancellation, delivery))
            return
        outcome, answers, settled = self._decide(cancellation)
        answer = self._cancel_answer(cancellation, outcome)
        self._journal.answer(self._clock.now(), *answers, answer)
        for withdrawn_result in answers:
            self._send(withdrawn_result, *settled)
        self._send(answer, delivery)

    def _decide(self, cancellation: Cancellation) -> tuple[CancelOutcome, list[Answer], list[Delivery]]:
        """The outcome; the tombstone, if this makes one; the command's deliveries, which it settles."""
        command_id = cancellation.command_id
        result = self._journal.result_of(command_id)
        if result:
            will_not_act = translate.was_cancelled(result.payload)
            return (CancelOutcome.WILL_NOT_ACT if will_not_act else CancelOutcome.TOO_LATE), [], []
        if self._journal.has_begun(command_id):
            return CancelOutcome.TOO_LATE, [], []
        waiting = self._waiting.pop(command_id, None)
        doors = target_doors(waiting.command, self._car) if waiting else ()
        tombstone = self._result_answer(withdrawn(command_id, doors, self._clock.now()))
        return CancelOutcome.WILL_NOT_ACT, [tombstone], waiting.deliveries if waiting else []

    def _take_settings(self, delivery: Delivery, message: command_pb2.ApplyConfig) -> None:
        refused, version = "", message.version
        if version > self._car.config_version:
            try:
                self._car.configure(version, translate.settings_from(message.settings))
            except SettingsRefused as reason:
                refused = str(reason)
        else:
            version = self._car.config_version
        report = translate.config_report(version, self._car.settings, self._clock.now(), refused)
        self._outbox.post(Event.CONFIG, uuid4().hex, report, self._settling([delivery]))

    def _result_answer(self, result: Result) -> Answer:
        message = translate.result_into(result, self._car.body, self._status_now())
        return Answer(AnswerKind.RESULT, result.command_id, uuid4().hex, message.SerializeToString())

    def _cancel_answer(self, cancellation: Cancellation, outcome: CancelOutcome) -> Answer:
        payload = translate.cancel_result(cancellation, outcome).SerializeToString()
        return Answer(AnswerKind.CANCEL, cancellation.cancel_id, uuid4().hex, payload)

    def _send(self, answer: Answer, *deliveries: Delivery) -> None:
        async def settle() -> None:
            self._journal.stored(answer.message_id)
            await self._settle(list(deliveries))

        message = _PAYLOADS[answer.kind].FromString(answer.payload)
        self._outbox.post(_EVENTS[answer.kind], answer.message_id, message, settle)

    def _settling(self, deliveries: list[Delivery]) -> Callable[[], Awaitable[None]]:
        return lambda: self._settle(deliveries)

    async def _settle(self, deliveries: list[Delivery], *, terminate: bool = False) -> None:
        for delivery in deliveries:
            try:
                await (delivery.terminate() if terminate else delivery.acknowledge())
            except LinkDown as error:
                # It comes again on the next connection, and the answer is known then.
                logger.info("not_settled", vin_tail=self._car.vin[-6:], reason=str(error))

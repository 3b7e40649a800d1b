"""What the cloud orders: door commands, cancellations, settings. Each acts at most once.

A command's life: it waits in memory; when the actuators are free it is written to the journal
(from here on it has begun), acknowledged with CommandReceived, checked, carried out, and its result
is written to the journal before it is published. The broker's message is acknowledged last. Before
the journal has it, a crash forgets it: what the broker then delivers again was signed for the epoch
before. After that, the journal answers for it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from ecarus.remotecontrol.vehicle.v1 import command_pb2

from vehicle.doors.command import Cancellation, CancelOutcome, MalformedCommandError, Result
from vehicle.doors.executor import Execution, cancelled, interrupted, not_understood, target_doors
from vehicle.doors.settings import DoorSettingsError
from vehicle.messages import translate
from vehicle.messages.channel import new_message_id
from vehicle.messages.journal import AnswerKind, BegunCommand, Journal, StoredAnswer
from vehicle.messages.pending import PendingCommands, PendingStop, RunningCommand, WaitingCommand

if TYPE_CHECKING:
    from collections.abc import Callable

    from ecarus.remotecontrol.vehicle.v1 import report_pb2

    from protocol.vehicle_side import AcceptedOrder, KnownOrder
    from vehicle.clock import Clock
    from vehicle.doors.car import Car
    from vehicle.link.port import CloudDelivery
    from vehicle.messages.answers import Answers
    from vehicle.messages.channel import Channel

logger = structlog.get_logger(__name__)


class OrderProcessor:
    """The orders of one car. `recover` first, then `work` runs for as long as the agent lives.

    `status_now` makes a status report and `sequence_now` says which was made last; `concluded` is called whenever a
    command has its result.
    """

    def __init__(
        self,
        car: Car,
        channel: Channel,
        journal: Journal,
        pending: PendingCommands,
        answers: Answers,
        clock: Clock,
        status_now: Callable[[], report_pb2.StatusReport],
        concluded: Callable[[], None],
        *,
        sequence_now: Callable[[], int],
    ) -> None:
        self._car = car
        self._channel = channel
        self._journal = journal
        self._pending = pending
        self._answers = answers
        self._clock = clock
        self._status_now = status_now
        self._sequence_now = sequence_now
        self._concluded = concluded
        self._arrived = asyncio.Event()

    def recover(self) -> None:
        """Answer what a crash cut short, and send again what the broker never confirmed."""
        for begun in self._journal.interrupted():
            command = translate.begun_command_from(begun.command)
            now = self._clock.now()
            result = interrupted(command, self._car, begun.at, now)
            self._journal.answer(now, self._result_answer(result, begun.request_hash))
            logger.warning("command_interrupted", vin_tail=self._car.vin[-6:], command_id=command.command_id)
        for answer in self._journal.unsent():
            self._answers.send(answer)

    def accept(self, accepted: AcceptedOrder, delivery: CloudDelivery) -> None:
        """Take an order that the protocol accepted. Its counter is spent: whatever becomes of it, it becomes here."""
        match accepted.order:
            case command_pb2.DoorCommand() as message:
                self._accept_command(message, accepted, delivery)
            case command_pb2.CancelCommand() as message:
                self._accept_cancellation(message, accepted, delivery)
            case command_pb2.ApplyConfig() as message:
                self._accept_settings(message, accepted, delivery)

    def repeat(self, known: KnownOrder, delivery: CloudDelivery) -> None:
        """Take an order that was taken before: it gets the answer the first one got, or will get."""
        match known.order:
            case command_pb2.DoorCommand():
                self._repeat(
                    self._pending.find(known.order_id),
                    self._journal.result_of(known.order_id),
                    known.request_hash,
                    delivery,
                )
            case command_pb2.CancelCommand():
                self._repeat(
                    self._pending.find_stop(known.order_id),
                    self._journal.cancel_answer(known.order_id),
                    known.request_hash,
                    delivery,
                )
            case command_pb2.ApplyConfig():
                report = translate.config_report(
                    self._car.config_version, self._car.settings, self._clock.now()
                )
                self._answers.configured_before(known.request_hash, report, delivery)

    def clear_waiting(self) -> list[CloudDelivery]:
        """Give up what was accepted and has not begun: the messages it came in."""
        forgotten = [one for waiting in self._pending.waiting.values() for one in waiting.deliveries]
        self._pending.waiting.clear()
        return forgotten

    async def work(self) -> None:
        """Carry out commands one by one, forever."""
        while True:
            await self._arrived.wait()
            async with self._car.actuators:
                waiting = self._pending.waiting
                if not waiting:
                    self._arrived.clear()
                    continue
                await self._carry_out(waiting.pop(next(iter(waiting))))

    def _accept_command(
        self, message: command_pb2.DoorCommand, accepted: AcceptedOrder, delivery: CloudDelivery
    ) -> None:
        try:
            command = translate.command_from(message, self._channel.deadline_millis(accepted))
        except MalformedCommandError as reason:
            now = self._clock.now()
            result = not_understood(message.command_id, str(reason), now)
            answer = self._result_answer(result, accepted.request_hash)
            self._journal.answer(now, answer)
            self._conclude(answer, delivery)
            return
        self._pending.waiting[command.command_id] = WaitingCommand(
            command, message.SerializeToString(), accepted.request_hash, [delivery]
        )
        self._arrived.set()

    async def _carry_out(self, waiting: WaitingCommand) -> None:
        command = waiting.command
        execution = Execution(command, self._car, self._clock)
        running = RunningCommand(command.command_id, execution, waiting.request_hash, waiting.deliveries)
        self._pending.running = running
        try:
            now = self._clock.now()
            began_after = self._sequence_now()
            self._journal.begin(command.command_id, BegunCommand(now, waiting.kept, waiting.request_hash))
            self._answers.received(waiting.request_hash, translate.received(command.command_id, now))
            await asyncio.sleep(0)  # the message is on its way before the first door moves
            result = await execution.run()
        finally:
            self._pending.running = None
        # No await from here on: a cancellation finds the command either running or answered.
        answer = self._result_answer(result, running.request_hash, began_after)
        outcome = CancelOutcome.STOPPED if result.stopped else CancelOutcome.TOO_LATE
        stops = [
            (self._cancel_answer(stop.cancellation, outcome, stop.request_hash), stop.deliveries)
            for stop in running.stops.values()
        ]
        self._journal.answer(self._clock.now(), answer, *(stop for stop, _ in stops))
        self._conclude(answer, *running.deliveries)
        for stop, deliveries in stops:
            self._answers.send(stop, *deliveries)
        logger.info(
            "command_finished",
            vin_tail=self._car.vin[-6:],
            command_id=command.command_id,
            outcome=result.outcome.value,
            fault=result.fault.value if result.fault else None,
        )

    def _accept_cancellation(
        self, message: command_pb2.CancelCommand, accepted: AcceptedOrder, delivery: CloudDelivery
    ) -> None:
        cancellation = translate.cancellation_from(message)
        running = self._pending.running
        named = running is not None and running.command_id == cancellation.command_id
        if running and named and cancellation.force and running.execution.stop():
            running.stops[cancellation.cancel_id] = PendingStop(
                cancellation, accepted.request_hash, [delivery]
            )
            return
        outcome, cancelled_answer, settled = self._decide(cancellation, accepted.request_hash)
        answer = self._cancel_answer(cancellation, outcome, accepted.request_hash)
        self._journal.answer(self._clock.now(), *(one for one in (cancelled_answer, answer) if one))
        if cancelled_answer:
            self._conclude(cancelled_answer, *settled)
        self._answers.send(answer, delivery)

    def _decide(
        self, cancellation: Cancellation, request_hash: bytes
    ) -> tuple[CancelOutcome, StoredAnswer | None, list[CloudDelivery]]:
        """Return the outcome; the cancellation, if this makes one; the command's deliveries, which it settles.

        A cancellation names the command's own request. If the command is not here yet, it names the cancellation's:
        that is the one request of which both ends know that it speaks of this command.
        """
        command_id = cancellation.command_id
        result = self._journal.result_of(command_id)
        if result:
            will_not_act = translate.was_cancelled(result.payload)
            return (CancelOutcome.WILL_NOT_ACT if will_not_act else CancelOutcome.TOO_LATE), None, []
        if self._journal.has_begun(command_id):
            return CancelOutcome.TOO_LATE, None, []
        waiting = self._pending.waiting.pop(command_id, None)
        doors = target_doors(waiting.command, self._car) if waiting else ()
        result_now = cancelled(command_id, doors, self._clock.now())
        cancelled_answer = self._result_answer(result_now, waiting.request_hash if waiting else request_hash)
        return CancelOutcome.WILL_NOT_ACT, cancelled_answer, waiting.deliveries if waiting else []

    def _accept_settings(
        self, message: command_pb2.ApplyConfig, accepted: AcceptedOrder, delivery: CloudDelivery
    ) -> None:
        refused = left_out = ""
        try:
            settings, left_out = translate.settings_from(message.settings, self._car.body.equipment)
            self._car.configure(message.version, settings)
        except DoorSettingsError as reason:
            refused = str(reason)
        report = translate.config_report(
            message.version, self._car.settings, self._clock.now(), refused, left_out
        )
        self._answers.configured(accepted.request_hash, report, delivery)

    def _repeat(
        self,
        pending: WaitingCommand | RunningCommand | PendingStop | None,
        answer: StoredAnswer | None,
        request_hash: bytes,
        delivery: CloudDelivery,
    ) -> None:
        if answer:
            self._answers.repeat(answer, request_hash, delivery)
        elif pending:
            pending.request_hash = request_hash
            pending.deliveries.append(delivery)
        # Neither: it began, and the journal did not take its result. This agent ends, and the next one answers.

    def _conclude(self, answer: StoredAnswer, *deliveries: CloudDelivery) -> None:
        self._answers.send(answer, *deliveries)
        self._concluded()

    def _result_answer(
        self, result: Result, request_hash: bytes, began_after: int | None = None
    ) -> StoredAnswer:
        message = translate.result_into(result, self._car.body, self._status_now(), began_after)
        return StoredAnswer(
            AnswerKind.RESULT,
            result.command_id,
            new_message_id(),
            message.SerializeToString(),
            request_hash,
        )

    def _cancel_answer(
        self, cancellation: Cancellation, outcome: CancelOutcome, request_hash: bytes
    ) -> StoredAnswer:
        payload = translate.cancel_result(cancellation, outcome).SerializeToString()
        return StoredAnswer(
            AnswerKind.CANCEL, cancellation.cancel_id, new_message_id(), payload, request_hash
        )

"""Faults of what is done with an accepted order: expiry, disk, acknowledgement, cancellation, settings."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from protocol.domains import Domain
from protocol.subjects import CommandKind as Kind
from tests.mutants.mutant import Swap, mutant, to
from vehicle.agent import Agent
from vehicle.doors.command import Command, CommandFault
from vehicle.doors.executor import Execution
from vehicle.doors.safety import refusal
from vehicle.doors.settings import DoorSettingsError
from vehicle.messages import journal, translate
from vehicle.messages.answers import Answers
from vehicle.messages.inbox import AgentInbox
from vehicle.messages.journal import AnswerKind, Journal
from vehicle.messages.memory import Memory
from vehicle.messages.orders import OrderProcessor
from vehicle.messages.outbox import AgentOutbox
from vehicle.messages.pending import WaitingCommand
from vehicle.simulator.simulated_car import SimulatedCar

if TYPE_CHECKING:
    from ecarus.remotecontrol.vehicle.v1 import report_pb2


@mutant("expiry-is-looked-at-again", "expiry-is-looked-at-before-each-door")
def expiry_on_arrival_only(swap: Swap) -> None:
    """What was in time when it came acts whenever its turn comes."""
    swap(Command, "is_expired", to(lambda _self, _clock: False))


@mutant("expiry-is-looked-at-before-each-door")
def expiry_before_the_first_door_only(swap: Swap) -> None:
    """A command that has begun goes on after its expiry."""

    def fault_for(self: Execution, door: Any) -> CommandFault | None:
        if self._stop_asked:
            return CommandFault.CANCELLED
        refused = refusal(self._command.action, self._command.mode, (door,), self._car.body)
        return refused.fault if refused else None

    swap(Execution, "_fault_for", to(fault_for))


@mutant("wall-clock-does-not-shorten")
def wall_clock_heeded(swap: Swap) -> None:
    """A command that is over by the wall clock does not act."""

    def command_from(was: Any) -> Any:
        def heeding(message: Any, deadline_millis: int) -> Command:
            is_over = message.expires_at.ToDatetime(tzinfo=UTC) <= datetime.now(UTC)
            command: Command = was(message, 0 if is_over else deadline_millis)
            return command

        return heeding

    swap(translate, "command_from", command_from)


@mutant("acknowledged-last")
def acknowledged_on_arrival(swap: Swap) -> None:
    """The broker may forget a command before the journal has it."""

    def take(was: Any) -> Any:
        def at_once(self: AgentInbox, delivery: Any) -> None:
            was(self, delivery)
            if delivery.kind is Kind.DOOR:
                self._answers.settle(delivery)

        return at_once

    swap(AgentInbox, "_take_one", take)


@mutant("acknowledged-last", link="mqtt")
def acknowledged_on_arrival_over_mqtt(swap: Swap) -> None:
    """PUBACK before the journal."""
    acknowledged_on_arrival(swap)


@mutant("lost-reply-is-sent-again")
def acknowledged_before_the_answer_is_stored(swap: Swap) -> None:
    """The order is settled while nobody has its answer."""

    def send(was: Any) -> Any:
        def early(self: Answers, answer: Any, *deliveries: Any) -> None:
            self.settle(*deliveries)
            was(self, answer)

        return early

    swap(Answers, "send", send)


@mutant("everything-is-acknowledged")
def nothing_acknowledged(swap: Swap) -> None:
    """Everything comes again for ever."""

    async def keep(_self: Answers, _deliveries: Any) -> None:
        return

    swap(Answers, "_settle", to(keep))


@mutant("everything-is-acknowledged", besides=("unsigned-is-ignored",))
def noise_comes_again(swap: Swap) -> None:
    """What was not understood is left with the broker."""
    swap(Answers, "drop", to(lambda _self, _delivery: None))


@mutant("lost-reply-is-sent-again")
def answers_sent_once(swap: Swap) -> None:
    """An answer that the broker did not confirm is forgotten."""

    async def deliver(self: AgentOutbox, seal: Any, then: Any) -> None:
        await self._open.wait()
        try:
            await self._transmit(seal)
        except ConnectionError:
            return
        if then:
            await then()

    swap(AgentOutbox, "_deliver", to(deliver))


@mutant("crash-interrupts-for-good")
def begun_without_the_journal(swap: Swap) -> None:
    """A command acts before the disk knows of it."""
    swap(Journal, "begin", to(lambda _self, _command_id, _begun: None))


@mutant("crash-interrupts-for-good")
def begun_without_its_hash(swap: Swap) -> None:
    """After a crash the unit does not know which order to answer."""
    swap(
        journal,
        "_begun_record",
        lambda was: lambda command_id, begun: was(command_id, replace(begun, request_hash=bytes(32))),
    )


@mutant("crash-interrupts-for-good")
def acts_again_after_a_crash(swap: Swap) -> None:
    """What a crash cut short is done again."""

    def recover(was: Any) -> Any:
        def again(self: OrderProcessor) -> None:
            for begun in self._journal.interrupted():
                command = translate.begun_command_from(begun.command)
                command = replace(command, deadline_millis=self._clock.uptime_millis() + 30_000)
                self._pending.waiting[command.command_id] = WaitingCommand(
                    command, begun.command, begun.request_hash, []
                )
                self._arrived.set()
            if not self._pending.waiting:
                was(self)

        return again

    swap(OrderProcessor, "recover", recover)


@mutant("memory-outlives-reboot")
def results_in_memory_only(swap: Swap) -> None:
    """A result does not reach the disk."""

    def append(was: Any) -> Any:
        def but_results(self: Journal, record: dict[str, Any], *, sync: bool) -> None:
            if not any(one[0] == AnswerKind.RESULT.value for one in record.get("answers", ())):
                was(self, record, sync=sync)

        return but_results

    swap(Journal, "_append", append)


@mutant("memory-outlives-reboot", "cancellation-outlives-reboot", "crash-interrupts-for-good")
def journal_lost_with_the_boot(swap: Swap) -> None:
    """The journal is in memory."""

    def boot(was: Any) -> Any:
        def afresh(self: SimulatedCar) -> Agent:
            if self.boot_count:
                (self._folder / "journal.jsonl").unlink()
            agent: Agent = was(self)
            return agent

        return afresh

    swap(SimulatedCar, "_boot", boot)


@mutant("known-while-it-runs")
def running_unknown(swap: Swap) -> None:
    """Only commands that have their result are known."""

    def is_known(was: Any) -> Any:
        def but_running(self: Memory, domain: Domain, order_id: str) -> bool:
            if domain is Domain.COMMAND:
                return self._journal.result_of(order_id) is not None
            return bool(was(self, domain, order_id))

        return but_running

    swap(Memory, "is_known", is_known)


@mutant("waiting-outlives-a-connection")
def waiting_lost_with_the_connection(swap: Swap) -> None:
    """Whoever loses the broker forgets what waits."""

    def session(was: Any) -> Any:
        async def forgetful(self: Agent) -> None:
            try:
                await was(self)
            finally:
                self._pending.waiting.clear()

        return forgetful

    swap(Agent, "_session", session)


@mutant("waiting-ends-with-the-epoch")
def waiting_kept_across_boots(swap: Swap) -> None:
    """What waited at a power cut acts after it."""

    def reboot(was: Any) -> Any:
        async def with_what_waited(self: SimulatedCar) -> None:
            waited = dict(self.agent._pending.waiting)
            await was(self)
            for command_id, one in waited.items():
                self.agent._pending.waiting[command_id] = replace(one, deliveries=[])
            self.agent._orders._arrived.set()

        return with_what_waited

    swap(SimulatedCar, "reboot", reboot)


@mutant("revoked-report-key-ends-what-waits")
def waiting_kept_across_epochs(swap: Swap) -> None:
    """A new epoch without a boot leaves what waits."""
    swap(OrderProcessor, "clear_waiting", to(lambda _self: []))


@mutant("good-order-acts", "report-agrees", stays_good=False)
def doors_that_do_not_move(swap: Swap) -> None:
    """The result says what the doors do not do."""

    def result_into(was: Any) -> Any:
        def boasting(*words: Any) -> report_pb2.CommandResult:
            message: report_pb2.CommandResult = was(*words)
            for one in message.doors:
                one.locked = not one.locked
            return message

        return boasting

    swap(translate, "result_into", result_into)
    swap(translate, "status_report", lambda was: lambda *words, **named: _turned(was(*words, **named)))


def _turned(status: report_pb2.StatusReport) -> report_pb2.StatusReport:
    for one in status.doors:
        one.locked = True
    return status


@mutant("settings-outlive-reboot")
def settings_lost_with_the_boot(swap: Swap) -> None:
    """The settings' version is in memory."""

    def boot(was: Any) -> Any:
        def afresh(self: SimulatedCar) -> Agent:
            if self.boot_count:
                self.car._config_version = 0
            agent: Agent = was(self)
            return agent

        return afresh

    swap(SimulatedCar, "_boot", boot)


@mutant("older-settings-change-nothing")
def older_settings_apply(swap: Swap) -> None:
    """The settings that come last are in force, whichever are newer."""

    def is_known(was: Any) -> Any:
        def but_settings(self: Memory, domain: Domain, order_id: str) -> bool:
            return domain is not Domain.CONFIG and bool(was(self, domain, order_id))

        return but_settings

    swap(Memory, "is_known", is_known)


@mutant("settings-are-applied-member-by-member")
def settings_whole_or_not_at_all(swap: Swap) -> None:
    """One member that the unit lacks costs all the others."""

    def read(was: Any) -> Any:
        def strictly(message: Any, equipment: Any) -> Any:
            if message.child_lock_enabled:
                raise DoorSettingsError("no child locks")
            return was(message, equipment)

        return strictly

    swap(translate, "settings_from", read)

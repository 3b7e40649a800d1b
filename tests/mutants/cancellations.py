"""Faults around cancellations: before a command, while it moves, and after it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from protocol.domains import Domain
from tests.mutants.mutant import Swap, mutant, to
from vehicle.doors.executor import Execution
from vehicle.messages.answers import Answers
from vehicle.messages.journal import AnswerKind, Journal
from vehicle.messages.memory import Memory
from vehicle.messages.orders import OrderProcessor


@mutant("cancellation-outlives-reboot")
def tombstones_in_memory_only(swap: Swap) -> None:
    """A cancellation that came before its command is forgotten with the boot."""

    def append(was: Any) -> Any:
        def but_tombstones(self: Journal, record: dict[str, Any], *, sync: bool) -> None:
            kinds = [one[0] for one in record.get("answers", ())]
            if kinds != [AnswerKind.RESULT.value, AnswerKind.CANCEL.value]:
                was(self, record, sync=sync)

        return but_tombstones

    swap(Journal, "_append", append)


@mutant("cancellation-before-the-command", "cancellation-outlives-reboot")
def tombstones_forgotten(swap: Swap) -> None:
    """A command that was cancelled before it came acts."""

    def decide(was: Any) -> Any:
        def forgetful(self: OrderProcessor, *words: Any) -> Any:
            outcome, _tombstone, settled = was(self, *words)
            return outcome, None, settled

        return forgetful

    swap(OrderProcessor, "_decide", decide)


@mutant("cancellation-after-the-command")
def withdrawn_after_the_fact(swap: Swap) -> None:
    """A command that acted is said to be withdrawn."""

    def decide(was: Any) -> Any:
        def kindly(self: OrderProcessor, *words: Any) -> Any:
            outcome, tombstone, settled = was(self, *words)
            return type(outcome).WILL_NOT_ACT, tombstone, settled

        return kindly

    swap(OrderProcessor, "_decide", decide)


@mutant("cancellation-again")
def cancellations_unknown(swap: Swap) -> None:
    """A cancellation that comes again is decided again."""

    def is_known(was: Any) -> Any:
        def but_cancellations(self: Memory, domain: Domain, order_id: str) -> bool:
            return domain is not Domain.CANCEL and bool(was(self, domain, order_id))

        return but_cancellations

    def decide(was: Any) -> Any:
        asked: set[str] = set()

        def otherwise(self: OrderProcessor, cancellation: Any, request_hash: bytes) -> Any:
            outcome, tombstone, settled = was(self, cancellation, request_hash)
            if cancellation.cancel_id in asked:
                outcome = type(outcome).TOO_LATE
            asked.add(cancellation.cancel_id)
            return outcome, tombstone, settled

        return otherwise

    swap(Memory, "is_known", is_known)
    swap(OrderProcessor, "_decide", decide)


@mutant("cancelled-while-asleep")
def withdrawn_acts_all_the_same(swap: Swap) -> None:
    """What withdraws a command that waits does not take it out of the queue."""

    def decide(was: Any) -> Any:
        def leaving(self: OrderProcessor, cancellation: Any, request_hash: bytes) -> Any:
            waiting = self._pending.waiting.get(cancellation.command_id)
            decided = was(self, cancellation, request_hash)
            if waiting:
                self._pending.waiting[cancellation.command_id] = replace(waiting, deliveries=[])
            return decided

        return leaving

    swap(OrderProcessor, "_decide", decide)


@mutant("forced-stop-between-doors")
def stop_ignored(swap: Swap) -> None:
    """A forced cancellation stops nothing."""
    swap(Execution, "stop", to(lambda _self: False))


@mutant("forced-stop-of-a-lock")
def locks_stopped(swap: Swap) -> None:
    """A forced cancellation leaves a car half locked."""

    def stop(self: Execution) -> bool:
        self._stop_asked = True
        return True

    swap(Execution, "stop", to(stop))


@mutant("forced-stop-between-doors")
def nothing_received(swap: Swap) -> None:
    """The unit does not say that a command is on its disk."""
    swap(Answers, "received", to(lambda *_words: None))

"""Faults of what is said to orders: ids, hashes, repetitions, budgets."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from protocol import order as orders
from tests.mutants.mutant import Swap, mutant, to
from vehicle.messages import translate
from vehicle.messages.answers import Answers
from vehicle.messages.budget import AnswerBudget
from vehicle.messages.channel import new_message_id


@mutant("good-order-acts", stays_good=False)
def hash_of_something_else(swap: Swap) -> None:
    """Answers name their order by another hash."""
    swap(orders, "request_hash", to(lambda envelope: hashlib.sha256(envelope[1:]).digest()))


@mutant("memory-outlives-reboot")
def new_message_id_each_time(swap: Swap) -> None:
    """An answer that is sent again has another message id."""
    swap(
        Answers,
        "_sealed",
        lambda was: (
            lambda self, _id, request_hash, message: was(self, new_message_id(), request_hash, message)
        ),
    )


@mutant("message-ids-are-unique")
def command_id_as_message_id(swap: Swap) -> None:
    """Receipt and result have one message id."""

    def sealed(was: Any) -> Any:
        def by_command(self: Answers, message_id: str, request_hash: bytes, message: Any) -> Any:
            return was(self, getattr(message, "command_id", message_id), request_hash, message)

        return by_command

    swap(Answers, "_sealed", sealed)


@mutant("duplicate-acts-once")
def the_same_bytes_again(swap: Swap) -> None:
    """An answer that is sent again is not signed anew."""
    sent: dict[tuple[str, bytes], Any] = {}

    def sealed(was: Any) -> Any:
        def once(self: Answers, message_id: str, request_hash: bytes, message: Any) -> Any:
            place = (message_id, request_hash)
            sent[place] = sent.get(place) or was(self, message_id, request_hash, message)
            return sent[place]

        return once

    swap(Answers, "_sealed", sealed)


@mutant("signed-anew-acts-once")
def answered_under_the_first_hash(swap: Swap) -> None:
    """An order that was signed again is answered as if it had not been."""
    swap(
        Answers,
        "repeat",
        lambda was: lambda self, answer, _hash, delivery: was(self, answer, answer.request_hash, delivery),
    )


@mutant("answer-again-is-stored")
def deduplicated_by_message_id(swap: Swap) -> None:
    """The broker takes the answer to another signing for a repetition."""

    def sealed(was: Any) -> Any:
        def by_id(self: Answers, message_id: str, *words: Any) -> Any:
            return replace(was(self, message_id, *words), message_id=message_id)

        return by_id

    swap(Answers, "_sealed", sealed)


def affordable(swap: Swap, *what: str) -> None:
    """These are always."""

    def is_affordable(was: Any) -> Any:
        return lambda self, otherwise: otherwise in what or was(self, otherwise)

    swap(Answers, "_is_affordable", is_affordable)


@mutant("faults-have-a-budget")
def faults_without_budget(swap: Swap) -> None:
    """Every refused order is answered."""
    affordable(swap, "fault not answered")


@mutant("repetitions-have-a-budget")
def repetitions_without_budget(swap: Swap) -> None:
    """Every known order is answered."""
    affordable(swap, "answer not repeated")


@mutant("session-requests-have-a-budget")
def session_requests_without_budget(swap: Swap) -> None:
    """Every session request is answered."""
    affordable(swap, "challenge not answered")


@mutant("budget-is-one")
def a_budget_for_each(swap: Swap) -> None:
    """Faults, repetitions and session requests have budgets of their own."""
    budgets: dict[tuple[int, str], AnswerBudget] = {}

    def is_affordable(self: Answers, otherwise: str) -> bool:
        own = budgets.setdefault((id(self), otherwise), AnswerBudget(self._budget._clock))
        return own.take()

    swap(Answers, "_is_affordable", to(is_affordable))


@mutant("good-order-acts", stays_good=False)
def success_without_doors(swap: Swap) -> None:
    """A result does not say what became of each door."""

    def result_into(was: Any) -> Any:
        def without(*words: Any) -> Any:
            message = was(*words)
            del message.doors[:]
            return message

        return without

    swap(translate, "result_into", result_into)

"""The car's answers to orders: sent until the broker has them, and then the orders are settled.

An answer is signed anew at each attempt. What was signed earlier would fall behind the counters of what was
sent meanwhile, and more than 63 behind the cloud does not look at it any more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog
from ecarus.remotecontrol.vehicle.v1 import report_pb2

from vehicle.link.port import CloudDelivery, LinkDownError
from vehicle.messages.channel import Channel, new_message_id
from vehicle.messages.journal import AnswerKind, Journal, StoredAnswer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from protocol.vehicle_side import Answer as AnswerMessage
    from protocol.vehicle_side import OutgoingEnvelope, RefusedOrder
    from vehicle.messages.budget import AnswerBudget
    from vehicle.messages.outbox import AgentOutbox

logger = structlog.get_logger(__name__)

_MESSAGES: dict[AnswerKind, type[report_pb2.CommandResult | report_pb2.CancelResult]] = {
    AnswerKind.RESULT: report_pb2.CommandResult,
    AnswerKind.CANCEL: report_pb2.CancelResult,
}
_HASH_CHARACTERS = 16


@dataclass(slots=True)
class _UnderWay:
    """An answer that the broker does not have yet, and what it settles."""

    request_hash: bytes
    deliveries: list[CloudDelivery]


class Answers:
    """The answers of one car's agent. `budget` limits what may be an answer to noise."""

    def __init__(
        self, vin: str, channel: Channel, journal: Journal, outbox: AgentOutbox, budget: AnswerBudget
    ) -> None:
        self._vin_tail = vin[-6:]
        self._channel = channel
        self._journal = journal
        self._outbox = outbox
        self._budget = budget
        self._under_way: dict[str, _UnderWay] = {}

    def send(self, answer: StoredAnswer, *deliveries: CloudDelivery) -> None:
        """Send what the journal keeps, and settle what it answers."""
        under_way = _UnderWay(answer.request_hash, list(deliveries))
        self._under_way[answer.message_id] = under_way
        message = _MESSAGES[answer.kind].FromString(answer.payload)

        def seal() -> OutgoingEnvelope:
            return self._sealed(answer.message_id, under_way.request_hash, message)

        async def stored() -> None:
            del self._under_way[answer.message_id]
            self._journal.stored(answer.message_id)
            await self._settle(under_way.deliveries)

        self._outbox.post(seal, stored)

    def repeat(self, answer: StoredAnswer, request_hash: bytes, delivery: CloudDelivery) -> None:
        """Send it once more, as the answer to the order that came just now."""
        under_way = self._under_way.get(answer.message_id)
        if under_way:
            under_way.request_hash = request_hash
            under_way.deliveries.append(delivery)
        elif self._is_affordable("answer not repeated"):
            self.send(replace(answer, request_hash=request_hash), delivery)
        else:
            self.settle(delivery)

    def received(self, request_hash: bytes, message: report_pb2.CommandReceived) -> None:
        """Say that a command is on the disk. Settles nothing."""
        message_id = new_message_id()
        self._outbox.post(lambda: self._sealed(message_id, request_hash, message))

    def configured(
        self, request_hash: bytes, message: report_pb2.ConfigReport, delivery: CloudDelivery
    ) -> None:
        """Say which settings are in force."""
        message_id = new_message_id()
        self._outbox.post(
            lambda: self._sealed(message_id, request_hash, message), lambda: self._settle([delivery])
        )

    def configured_before(
        self, request_hash: bytes, message: report_pb2.ConfigReport, delivery: CloudDelivery
    ) -> None:
        """Say so once more."""
        if self._is_affordable("answer not repeated"):
            self.configured(request_hash, message, delivery)
        else:
            self.settle(delivery)

    def refuse(self, faulted: RefusedOrder, delivery: CloudDelivery) -> None:
        """Say that the protocol refused it, where that is said, and never wants to see it again."""
        logger.warning(
            "order_refused", vin_tail=self._vin_tail, fault=faulted.fault.name, detail=faulted.detail
        )
        outgoing = faulted.answer
        if outgoing and self._is_affordable("fault not answered"):
            self._outbox.run(self._answer_once(lambda: outgoing, delivery.terminate))
        else:
            self.drop(delivery)

    def answer_challenge(self, seal_hello: Callable[[], OutgoingEnvelope], delivery: CloudDelivery) -> None:
        """Send the hello that was asked for."""
        if self._is_affordable("challenge not answered"):
            self._outbox.run(self._answer_once(seal_hello, delivery.acknowledge))
        else:
            self.drop(delivery)

    def settle(self, *deliveries: CloudDelivery) -> None:
        """Dealt with, without a word."""
        self._outbox.run(self._settle(deliveries))

    def drop(self, delivery: CloudDelivery) -> None:
        """Not understood, without a word."""
        self._outbox.run(self._finish(delivery.terminate))

    def _is_affordable(self, otherwise: str) -> bool:
        if self._budget.take():
            return True
        logger.warning("budget_spent", vin_tail=self._vin_tail, effect=otherwise)
        return False

    def _sealed(self, message_id: str, request_hash: bytes, message: AnswerMessage) -> OutgoingEnvelope:
        outgoing = self._channel.seal_answer(message_id, request_hash, message)
        # The broker must not take the answer to another signing of the order for a repetition.
        return replace(outgoing, message_id=f"{message_id}-{request_hash.hex()[:_HASH_CHARACTERS]}")

    async def _answer_once(
        self, seal: Callable[[], OutgoingEnvelope], settle: Callable[[], Awaitable[None]]
    ) -> None:
        try:
            await self._outbox.send(seal)
        except LinkDownError as error:
            # The message comes again on the next connection, and its answer is made afresh.
            logger.info("not_answered", vin_tail=self._vin_tail, reason=str(error))
        else:
            await self._finish(settle)

    async def _settle(self, deliveries: Iterable[CloudDelivery]) -> None:
        for delivery in deliveries:
            await self._finish(delivery.acknowledge)

    async def _finish(self, settle: Callable[[], Awaitable[None]]) -> None:
        try:
            await settle()
        except LinkDownError as error:
            # It comes again on the next connection, and the answer is known then.
            logger.info("not_settled", vin_tail=self._vin_tail, reason=str(error))

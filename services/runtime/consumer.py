"""Consuming from JetStream in batches: what was handled is committed first, and acknowledged only then."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import structlog
from nats.errors import Error as NatsError

from services.runtime.database import StorageUnavailable
from services.runtime.jetstream import kind_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from nats.aio.msg import Msg

    from services.runtime.jetstream import Broker

T = TypeVar("T")

LATER_AT_MOST = 24
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_MAX_ATTEMPTS = 5
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivered message."""

    subject: str
    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Poison:
    """A delivery that no retry will make understandable, and why."""

    delivery: Delivery
    reason: str


@dataclass(frozen=True, slots=True)
class Later:
    """A delivery that can not be understood yet, and why: it is delivered again after a pause.

    One that is still not understood after LATER_AT_MOST deliveries is poison.
    """

    delivery: Delivery
    reason: str


Unhandled = Poison | Later


@dataclass(frozen=True, slots=True)
class ConsumerPlan:
    """A durable consumer, the same for all replicas of a room.

    With `shared`, replicas divide the messages among them. Without, every replica that runs it sees all,
    and any one of them acknowledges for all. Each message is acknowledged by itself: an acknowledgement
    that covers everything before it would also cover what a crash or a broken connection has lost on the
    way, and the broker would never deliver that again.
    """

    stream: str
    name: str
    subjects: tuple[str, ...]
    shared: bool = True
    batch: int = 64
    max_pending: int = 2_000
    ack_wait_seconds: int = 10


class Consumer:
    """Runs a ConsumerPlan: batches are handled, committed by the handler, and only then acknowledged.

    A batch whose handler raises is tried again until the store is back; a single message that keeps
    failing for any other reason, and what the handler calls poison, is buried and never blocks the rest.
    What it calls for later is delivered again after a pause.
    """

    def __init__(
        self,
        broker: Broker,
        plan: ConsumerPlan,
        handle: Callable[[Sequence[Delivery]], Awaitable[Sequence[Unhandled]]],
        bury: Callable[[Sequence[Poison]], Awaitable[None]],
    ) -> None:
        self._broker = broker
        self._plan = plan
        self._handle = handle
        self._bury = bury
        self._waiting: OrderedDict[tuple[str, str], Msg] = OrderedDict()
        self._in_hand: dict[tuple[str, str], Msg] = {}
        self._arrived = asyncio.Event()

    async def run(self) -> None:
        """Consume until cancelled."""
        plan = self._plan
        await self._broker.ensure_consumers(plan)
        await self._broker.client.subscribe(
            f"deliver.{plan.name}",
            queue=plan.name if plan.shared else "",
            cb=self._arrive,
            pending_msgs_limit=plan.max_pending * 4,
        )
        while True:
            if not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            count = min(plan.batch, len(self._waiting))
            self._in_hand = dict(self._waiting.popitem(last=False) for _ in range(count))
            await self._take(list(self._in_hand.values()))
            self._in_hand = {}

    async def _arrive(self, message: Msg) -> None:
        # While the store is away the broker delivers again and again; each message waits here once.
        identity = _identity(message)
        if identity not in self._in_hand:
            self._waiting[identity] = message
            self._arrived.set()

    async def _take(self, messages: list[Msg]) -> None:
        deliveries = [_delivery(message) for message in messages]
        try:
            unhandled = await self._until_stored(deliveries)
        except Exception as error:  # noqa: BLE001  # whatever it raises, one message must not stop the rest
            if len(messages) > 1:  # find the one that does it
                for message in messages:
                    await self._take([message])
                return
            _log.exception("message_failed", consumer=self._plan.name, subject=kind_of(messages[0].subject))
            unhandled = [Poison(deliveries[0], f"{type(error).__name__}: {error}")]
        later, poison = self._sorted(unhandled, deliveries, messages)
        if poison:
            _log.warning("messages_buried", consumer=self._plan.name, reasons=[p.reason for p in poison])
            await self._keep_trying(lambda: self._bury(poison))
        await self._acknowledge(messages, later)

    def _sorted(
        self, unhandled: Sequence[Unhandled], deliveries: Sequence[Delivery], messages: Sequence[Msg]
    ) -> tuple[dict[int, float], list[Poison]]:
        """Index and pause of each message for later; and the poison."""
        if not unhandled:
            return {}, []
        places = {id(delivery): index for index, delivery in enumerate(deliveries)}
        later: dict[int, float] = {}
        poison: list[Poison] = []
        for one in unhandled:
            index = places[id(one.delivery)]
            times = _times_delivered(messages[index])
            if isinstance(one, Poison):
                poison.append(one)
            elif times >= LATER_AT_MOST:
                poison.append(Poison(one.delivery, one.reason))
            else:
                later[index] = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** (times - 1))
        return later, poison

    async def _until_stored(self, deliveries: list[Delivery]) -> Sequence[Unhandled]:
        attempts = 1 if len(deliveries) > 1 else _MAX_ATTEMPTS
        while True:
            try:
                return await self._keep_trying(lambda: self._handle(deliveries))
            except Exception:
                attempts -= 1
                if attempts == 0:
                    raise
                await asyncio.sleep(0.2)

    async def _keep_trying(self, work: Callable[[], Awaitable[T]]) -> T:
        """A store that is away is no fault of the message: wait for it."""
        pause = 0.1
        while True:
            try:
                return await work()
            except StorageUnavailable as error:
                _log.warning("consumer_waits_for_store", consumer=self._plan.name, reason=str(error))
                await asyncio.sleep(pause)
                pause = min(5.0, pause * 2)

    async def _acknowledge(self, messages: list[Msg], later: Mapping[int, float]) -> None:
        try:
            for index, message in enumerate(messages):
                pause = later.get(index)
                if pause is None:
                    await message.ack()
                else:
                    await message.nak(delay=pause)
        except NatsError as error:
            # It will be delivered again, and recognised as known.
            _log.warning("acknowledge_failed", consumer=self._plan.name, reason=str(error))


_SHORT_ACK_WORDS = 9


def _identity(message: Msg) -> tuple[str, str]:
    """Its sequence and time in the stream: a stream that was made anew counts from one again.

    Read straight from the acknowledgement subject ($JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.
    <consumer sequence>.<time>.<pending>, with two words more before the stream in its longer form),
    because the client's parsed metadata costs more than handling some messages does.
    """
    words = message.reply.split(".")
    sequence = 5 if len(words) == _SHORT_ACK_WORDS else 7
    return words[sequence], words[sequence + 2]


def _times_delivered(message: Msg) -> int:
    """This time included."""
    words = message.reply.split(".")
    return int(words[4 if len(words) == _SHORT_ACK_WORDS else 6])


def _delivery(message: Msg) -> Delivery:
    return Delivery(message.subject, message.data, message.headers or {})

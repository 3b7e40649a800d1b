"""Consuming from JetStream in batches: what was handled is committed first, and acknowledged only then."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import structlog
from nats.errors import Error as NatsError

from services.platform.fair_queue import FairQueue
from services.platform.free_text import readable
from services.platform.logs import kind_of
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from nats.aio.msg import Msg

    from services.platform.jetstream import Broker
    from services.platform.senders import Excess, SenderQuotas

    _Identity = tuple[str, str]
    """A message's sequence and time in its stream."""
    _Arrived = tuple[_Identity, str, Msg]
    """A message that waits or is in hand: its identity, its sender, itself."""

T = TypeVar("T")

RETRIES_AT_MOST = 6
"""So often a message that is for later is tried here, for about three seconds; then it is set aside."""
HELD_PER_SENDER = 8
"""So many messages of one sender wait here to be tried again; others are set aside at once."""
_FIRST_PAUSE_SECONDS = 0.1
_COUNT_SECONDS = 1.0
"""How long what muted senders said is counted before the count is kept."""
_TRACE_SECONDS = 5.0
_SHORT_ACK_WORDS = 9
_SHORT_ACK_AT, _LONG_ACK_AT = 4, 6
"""Where the number of deliveries stands in an acknowledgement subject, before sequence, consumer sequence and time:
$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<consumer sequence>.<time>.<pending>, with two words more before
the stream in its longer form. Read straight from there: the client's parsed metadata costs more than handling some
messages does. A stream that was made anew counts from one again, so the time belongs to a message's identity.
"""
_log = structlog.get_logger()


_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Delivery(NamedTuple):
    """One delivered message. `stored_at_ns`: when the broker stored it, since 1970; `sequence`: its place in its
    stream. Both are 0 when that is not known.
    """

    subject: str
    data: bytes
    headers: Mapping[str, str] = _NO_HEADERS
    stored_at_ns: int = 0
    sequence: int = 0

    def arrived_at_us(self, now_us: int) -> int:
        """Return when it arrived in the cloud, microseconds since 1970, and never later than `now_us`."""
        return min(self.stored_at_ns // 1_000 or now_us, now_us)


@dataclass(frozen=True, slots=True)
class PoisonMessage:
    """A delivery that becomes a dead letter, and why: no retry here makes it understandable.

    With `waits` it is to be tried again by whoever keeps what becomes a dead letter. With `merges` it stands for
    `count` deliveries of this subject that are kept as one. With `accepted` only parts of it were not
    understood, which the reason names: it counts in no quota of what becomes a dead letter.
    """

    delivery: Delivery
    reason: str
    waits: bool = False
    merges: bool = False
    count: int = 1
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class RetryLater:
    """A delivery that cannot be understood yet, and why: it is tried again, soon here and later from where it is
    set aside. It never occupies what is on its way from the broker for long.

    With `when` it is tried again as soon as that is done, and never set aside: whoever names it sees to it that it is
    done soon, and bounds how many wait.
    """

    delivery: Delivery
    reason: str
    when: asyncio.Future[None] | None = None


Unhandled = PoisonMessage | RetryLater


@dataclass(frozen=True, slots=True)
class ConsumerPlan:
    """A durable consumer, the same for all replicas of a service.

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

    Only a store that is away is waited for. A message for which the handler raises anything else is found by
    halves; it, and what the handler calls poison, becomes a dead letter and never blocks the rest. What is for
    later is held here for seconds, in small number, and then set aside. Senders, whose names stand in their subjects
    at `sender_at`, take turns, and with `quotas` say no more than those allow: what is more is counted, dead-lettered
    as one letter, and dropped.
    """

    def __init__(
        self,
        broker: Broker,
        plan: ConsumerPlan,
        handle: Callable[[Sequence[Delivery]], Awaitable[Sequence[Unhandled]]],
        dead_letter: Callable[[Sequence[PoisonMessage]], Awaitable[None]],
        quotas: SenderQuotas | None = None,
        sender_at: slice | None = None,
    ) -> None:
        self._broker = broker
        self._plan = plan
        self._handle = handle
        self._dead_letter = dead_letter
        self._quotas = quotas
        # Of messages without senders the whole subject is their one sender.
        self._sender_at = sender_at or slice(None)
        share = plan.max_pending * 4 if sender_at is None else max(1, plan.batch // 16)
        self._waiting: FairQueue[_Identity, Msg] = FairQueue(share)
        self._in_hand: set[_Identity] = set()
        self._done: set[_Identity] = set()
        self._done_until = 0.0
        self._held: dict[_Identity, tuple[str, Msg]] = {}
        self._tries: dict[_Identity, int] = {}
        self._held_of: dict[str, int] = {}
        self._refused: list[tuple[Msg, Excess]] = []
        self._counted: dict[str, PoisonMessage] = {}
        self._count_is_due = False
        self._trace_from = 0.0
        self._arrived = asyncio.Event()

    async def run(self) -> None:
        """Consume until cancelled."""
        plan = self._plan
        await self._broker.ensure_consumer(plan)
        await self._broker.client.subscribe(
            f"deliver.{plan.name}",
            queue=plan.name if plan.shared else "",
            cb=self._arrive,
            pending_msgs_limit=plan.max_pending * 4,
        )
        while True:
            if not (self._waiting or self._refused or self._count_is_due):
                self._arrived.clear()
                await self._arrived.wait()
            if self._refused or self._count_is_due:
                await self._dismiss()
            if self._waiting:
                taken = self._waiting.take(plan.batch)
                self._in_hand = {identity for identity, _, _ in taken}
                await self._take(self._audible(taken))
                self._done, self._in_hand = self._in_hand, set()
                self._done_until = asyncio.get_running_loop().time() + plan.ack_wait_seconds / 2

    async def _arrive(self, message: Msg) -> None:
        # While the store is away the broker delivers again and again; each message waits here once.
        words = message.reply.split(".")
        at = _SHORT_ACK_AT if len(words) == _SHORT_ACK_WORDS else _LONG_ACK_AT
        identity = (words[at + 1], words[at + 3])
        if identity in self._in_hand or identity in self._held:
            return
        subject = message.subject
        first = words[at] == "1"
        # What was delivered again while this process was busy with it crossed its acknowledgement.
        if not first and identity in self._done and asyncio.get_running_loop().time() < self._done_until:
            return
        if self._quotas is not None:
            excess = self._quotas.excess(subject, len(message.data), int(identity[1]), first=first)
            if excess is not None:
                self._refused.append((message, excess))
                self._arrived.set()
                return
        self._waiting.put(identity, subject[self._sender_at], message)
        self._arrived.set()

    async def _dismiss(self) -> None:
        """Dead-letter what is beyond its sender's quota, and acknowledge it. What muted senders said is only
        counted.
        """
        refused, self._refused = self._refused, []
        first: list[PoisonMessage] = []
        for message, excess in refused:
            if excess.muted:
                self._count(message.subject, excess.reason)
            else:
                over = excess.reason.startswith("OVER_QUOTA")
                first.append(PoisonMessage(_delivery(message), excess.reason, merges=over))
        if self._count_is_due:
            self._count_is_due = False
            counted, self._counted = self._counted, {}
            first += counted.values()
        if first:
            await self._write_dead_letters(first)
        await self._acknowledge([message for message, _ in refused])

    def _count(self, subject: str, reason: str) -> None:
        counted = self._counted.get(subject)
        if counted is None:
            if not self._counted:
                asyncio.get_running_loop().call_later(_COUNT_SECONDS, self._count_due)
            self._counted[subject] = PoisonMessage(Delivery(subject, b""), reason, merges=True)
        else:
            self._counted[subject] = replace(counted, count=counted.count + 1)

    def _count_due(self) -> None:
        self._count_is_due = True
        self._arrived.set()

    def _audible(self, arrived: list[_Arrived]) -> list[_Arrived]:
        """Without those whose senders were muted while they waited."""
        if self._quotas is None or not self._quotas.mutes:
            return arrived
        audible: list[_Arrived] = []
        for each in arrived:
            (_, stored_at), _, message = each
            excess = self._quotas.excess(message.subject, len(message.data), int(stored_at), first=False)
            if excess is None:
                audible.append(each)
            else:
                self._refused.append((message, excess))
        return audible

    async def _take(self, arrived: list[_Arrived]) -> None:
        """Handle them together; where that fails, either half."""
        if not arrived:
            return
        deliveries = [
            _delivery(message, int(stored_at), int(sequence)) for (sequence, stored_at), _, message in arrived
        ]
        try:
            unhandled = await self._keep_trying(lambda: self._handle(deliveries))
        except Exception as error:  # noqa: BLE001  # whatever it raises, one message must not stop the rest
            if len(arrived) > 1:
                half = len(arrived) // 2
                await self._take(arrived[:half])
                await self._take(arrived[half:])
                return
            self._log_failure(deliveries[0], error)
            unhandled = [PoisonMessage(deliveries[0], f"{type(error).__name__}: {error}", waits=True)]
        kept: set[int] = set()
        if unhandled:
            poison, kept = self._sorted(unhandled, deliveries, arrived)
            if poison:
                await self._write_dead_letters(poison)
        if kept or self._tries:
            arrived = [each for index, each in enumerate(arrived) if index not in kept]
            for identity, _, _ in arrived:
                self._tries.pop(identity, None)
        await self._acknowledge([message for _, _, message in arrived])

    def _log_failure(self, delivery: Delivery, error: Exception) -> None:
        """With its traceback, but not with one for each of many: that costs more than handling them."""
        now = asyncio.get_running_loop().time()
        traced = now >= self._trace_from
        if traced:
            self._trace_from = now + _TRACE_SECONDS
        _log.error(
            "message_failed",
            consumer=self._plan.name,
            subject=kind_of(delivery.subject),
            reason=readable(f"{type(error).__name__}: {error}"),
            exc_info=error if traced else None,
        )

    def _sorted(
        self, unhandled: Sequence[Unhandled], deliveries: Sequence[Delivery], arrived: Sequence[_Arrived]
    ) -> tuple[list[PoisonMessage], set[int]]:
        """Return what is to be dead-lettered or set aside; and the index of each message that is held."""
        places = {id(delivery): index for index, delivery in enumerate(deliveries)}
        poison: list[PoisonMessage] = []
        held: set[int] = set()
        for one in unhandled:
            index = places[id(one.delivery)]
            if isinstance(one, PoisonMessage):
                poison.append(one)
                if self._quotas is not None and not one.accepted:
                    (_, stored_at), _, _ = arrived[index]
                    mute = self._quotas.dead_lettered(one.delivery.subject, int(stored_at))
                    if mute is not None:
                        poison.append(PoisonMessage(one.delivery, mute.reason, merges=True))
            elif self._hold(arrived[index], one.when):
                held.add(index)
            else:
                poison.append(PoisonMessage(one.delivery, one.reason, waits=True))
        return poison, held

    def _hold(self, each: _Arrived, when: asyncio.Future[None] | None) -> bool:
        """Try it again after a pause, unless it or its sender did that enough; or when that is done."""
        identity, sender, message = each
        tries = self._tries.get(identity, 0)
        of_sender = self._held_of.get(sender, 0)
        if when is not None:
            self._held[identity] = (sender, message)
            self._held_of[sender] = of_sender + 1
            when.add_done_callback(lambda _: self._try_again(identity))
            return True
        too_many = of_sender >= HELD_PER_SENDER or len(self._held) >= self._plan.max_pending // 4
        if tries >= RETRIES_AT_MOST - 1 or too_many:
            return False
        self._tries[identity] = tries + 1
        self._held[identity] = (sender, message)
        self._held_of[sender] = of_sender + 1
        asyncio.get_running_loop().call_later(_FIRST_PAUSE_SECONDS * 2**tries, self._try_again, identity)
        return True

    def _try_again(self, identity: _Identity) -> None:
        sender, message = self._held.pop(identity)
        left = self._held_of[sender] - 1
        if left:
            self._held_of[sender] = left
        else:
            del self._held_of[sender]
        self._waiting.put(identity, sender, message)
        self._arrived.set()

    async def _write_dead_letters(self, poison: Sequence[PoisonMessage]) -> None:
        _log.warning(
            "messages_dead_lettered",
            consumer=self._plan.name,
            count=sum(each.count for each in poison),
            reasons=sorted({readable(each.reason) for each in poison})[:10],
        )
        await self._keep_trying(lambda: self._dead_letter(poison))

    async def _keep_trying(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return a store that is away is no fault of the message: wait for it."""
        pause = 0.1
        while True:
            try:
                return await work()
            except StorageUnavailableError as error:
                _log.warning("consumer_waits_for_store", consumer=self._plan.name, reason=str(error))
                await asyncio.sleep(pause)
                pause = min(5.0, pause * 2)

    async def _acknowledge(self, messages: Sequence[Msg]) -> None:
        try:
            await self._broker.acknowledge([message.reply for message in messages])
        except NatsError as error:
            # It will be delivered again, and recognised as known.
            _log.warning("acknowledge_failed", consumer=self._plan.name, reason=str(error))


def _delivery(message: Msg, stored_at_ns: int = 0, sequence: int = 0) -> Delivery:
    return Delivery(message.subject, message.data, message.headers or _NO_HEADERS, stored_at_ns, sequence)

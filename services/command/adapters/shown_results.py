"""What keeps a command's end behind its doors: who sees a SUCCESS and asks for the status is shown no earlier doors.

The status service and this one hear the same results, each by itself. A result waits here until the status service says
that its doors are in the record and that their changes have left for those who watch.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING

import structlog
from ecarus.remotecontrol.door.v1 import room_event_pb2
from google.protobuf.message import DecodeError

from protocol.subjects import SHOWN_RESULTS_SUBJECT, EventKind, vin_of
from services.platform.consumer import RetryLater

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nats.aio.msg import Msg

    from services.platform.consumer import Delivery, Unhandled
    from services.platform.jetstream import Broker

    _Key = tuple[str, int]
    """The VIN, and when the broker stored the result, nanoseconds since 1970."""

MOST_WAITING = 500
MOST_WAITING_OF_ONE = 8
"""So many results wait, and of one vehicle: one that sends more makes nobody wait for it."""
MOST_REMEMBERED = 20_000
_RESULT = f".{EventKind.RESULT.value}"
_log = structlog.get_logger()


class ShownResults:
    """Knows which results' doors are shown. `now_us` is the cloud's clock, microseconds since 1970.

    No result waits for longer than `patience_seconds` after the broker stored it, nor after it came: a status service
    that is away, or does not accept the result, makes no command time out, and neither does a clock that was set back.
    """

    def __init__(self, now_us: Callable[[], int], patience_seconds: float) -> None:
        self._now_us = now_us
        self._patience_seconds = patience_seconds
        self._shown: OrderedDict[_Key, None] = OrderedDict()
        self._waiting: dict[_Key, asyncio.Future[None]] = {}
        self._waiting_of: Counter[str] = Counter()

    async def listen(self, broker: Broker) -> None:
        """Begin to hear. What is lost is waited for, and no longer."""
        await broker.client.subscribe(SHOWN_RESULTS_SUBJECT, cb=self._receive)

    async def _receive(self, message: Msg) -> None:
        try:
            told = room_event_pb2.ShownResults.FromString(message.data)
        except DecodeError as error:
            _log.warning("shown_results_not_understood", reason=str(error))
            return
        for each in told.results:
            self.note(each.vin, each.stored_at_nanos)

    def note(self, vin: str, stored_at_ns: int) -> None:
        """Note that the doors of this result are shown."""
        self._let_pass((vin, stored_at_ns))

    def _let_pass(self, key: _Key) -> None:
        """Let a result wait no longer, now or when it comes: its doors are shown, or its time is up."""
        self._shown[key] = None
        if len(self._shown) > MOST_REMEMBERED:
            self._shown.popitem(last=False)
        self._release(key)

    def sort(self, deliveries: Sequence[Delivery]) -> tuple[list[Delivery], list[Unhandled]]:
        """Return what may be ingested now, and the results that wait."""
        ready: list[Delivery] = []
        waiting: list[Unhandled] = []
        for delivery in deliveries:
            when = self._when(delivery) if delivery.subject.endswith(_RESULT) else None
            if when is None:
                ready.append(delivery)
            else:
                waiting.append(RetryLater(delivery, "its doors are not shown yet", when))
        return ready, waiting

    def _when(self, delivery: Delivery) -> asyncio.Future[None] | None:
        """Return None for a result that needs not wait, or not any more."""
        try:
            key = (vin_of(delivery.subject), delivery.stored_at_ns)
        except ValueError:
            return None
        waits_already = self._waiting.get(key)
        if waits_already is not None:
            return waits_already
        # Never more than the patience, also where the broker's clock is ahead of this one.
        age_seconds = max(0.0, (self._now_us() - delivery.stored_at_ns // 1_000) / 1_000_000)
        left = self._patience_seconds - age_seconds
        full = len(self._waiting) >= MOST_WAITING or self._waiting_of[key[0]] >= MOST_WAITING_OF_ONE
        if key in self._shown or left <= 0 or full:
            return None
        loop = asyncio.get_running_loop()
        self._waiting[key] = loop.create_future()
        self._waiting_of[key[0]] += 1
        loop.call_later(left, self._let_pass, key)
        return self._waiting[key]

    def _release(self, key: _Key) -> None:
        waiting = self._waiting.pop(key, None)
        if waiting is None:
            return
        self._waiting_of[key[0]] -= 1
        if not self._waiting_of[key[0]]:
            del self._waiting_of[key[0]]
        waiting.set_result(None)

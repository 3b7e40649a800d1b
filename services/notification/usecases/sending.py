"""Sending what waits: each push by itself, each push service within its own bound."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Protocol

import structlog

from services.notification.domain.messages import PushKind, PushOutcome, PushResult
from services.notification.usecases.addressing import may_still_be_told
from services.notification.usecases.host_places import HostPlaces
from services.notification.usecases.ports import NotKnownNowError
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from services.notification.domain.messages import PushMessage
    from services.notification.domain.notices import Notice
    from services.notification.domain.preferences import Preferences
    from services.notification.usecases.ports import DuePush, NoticeRecord, People, PushSender

SEND_SECONDS = 30.0
"""A sender that does not come back is given up after so long: less than the push is this replica's (SEND_LEASE)."""
_AT_ONCE = 100
"""So many are taken with one look."""
_FIRST_PAUSE = timedelta(seconds=2)
_LONGEST_PAUSE = timedelta(minutes=10)
_LONGEST_WISH = timedelta(hours=1)
"""What a push service asks for at most."""
MOST_ATTEMPTS = 30
_HUNG = frozenset({"no answer", "TIMEOUT", "BUSY"})
"""Why a message is sent later where its host let it wait until its time was over."""
_log = structlog.get_logger()


def _nobody_waits() -> None:
    """Do nothing."""


class MessageTexts(Protocol):
    """What a device shows of a notice."""

    def message(self, notice: Notice, wanted: Preferences, device: str, now: datetime) -> PushMessage:
        """Return it, as it reads when it is sent now."""


class PushSending:
    """Sends what is due. A push is sent again until the push service has taken it, or it is no news any more.

    `most` are under way with each push service, and `per_host` with one host of Web Push, fewer with one that hung.
    `freed` hears that there is room again where there was none.
    """

    def __init__(
        self,
        record: NoticeRecord,
        people: People,
        senders: Mapping[PushKind, PushSender],
        texts: MessageTexts,
        now: Callable[[], datetime],
        *,
        most: int,
        per_host: int,
    ) -> None:
        self.freed: Callable[[], None] = _nobody_waits
        self._record = record
        self._people = people
        self._senders = senders
        self._texts = texts
        self._now = now
        self._places = {
            kind: HostPlaces(most, per_host if kind is PushKind.WEB_PUSH else most) for kind in senders
        }
        self._under_way: dict[PushKind, dict[asyncio.Task[None], str]] = {kind: {} for kind in senders}
        self._failed: Exception | None = None

    async def step(self) -> bool:
        """Begin to send what is due; return whether there may be more that there is room for.

        Raises StorageUnavailableError.
        """
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed
        more = False
        for kind, under_way in self._under_way.items():
            places = self._places[kind]
            room = min(_AT_ONCE, places.left)
            if room <= 0:
                continue
            due = await self._record.due(kind, self._now(), room, full=places.full, take=places.planner())
            for push in due:
                places.begin(push.host)
                task = asyncio.create_task(self._send(kind, push))
                under_way[task] = push.host
                task.add_done_callback(partial(self._done, kind))
            # What there was no room for at one host may have stood before what there is room for.
            more = more or bool(due)
        return more

    def _done(self, kind: PushKind, task: asyncio.Task[None]) -> None:
        if self._places[kind].end(self._under_way[kind].pop(task)):
            self.freed()

    async def finish(self) -> None:
        """Wait for what is under way: what is cut off is sent again by another replica, with the same id."""
        tasks = [task for tasks in self._under_way.values() for task in tasks]
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, kind: PushKind, push: DuePush) -> None:
        try:
            await self._send_one(kind, push)
        except StorageUnavailableError as error:
            self._failed = error  # its lease ends, and it is sent again
        except Exception as error:  # noqa: BLE001  # whatever it is, one push must not stop the others
            _log.error("push_failed", kind=kind.value, exc_info=True)
            await self._keep(push, f"{type(error).__name__}: {error}")

    async def _send_one(self, kind: PushKind, push: DuePush) -> None:
        notice, device = push.notice, push.device
        if notice is None or device is None:
            await self._record.set_push_aside(push, "its notice or device is gone")
            return
        if not await self._is_wanted(kind, push, notice):
            return
        if not await self._record.still_waits(push):
            return
        message = self._texts.message(notice, push.wanted, device.id, self._now())
        try:
            async with asyncio.timeout(SEND_SECONDS):
                sent = await self._senders[kind].send(device, message)
        except TimeoutError:
            sent = PushResult(PushOutcome.LATER, reason="no answer")
        if kind is PushKind.WEB_PUSH:  # the others are one host, which all their devices need
            self._places[kind].note(push.host, hung=sent.reason in _HUNG)
        match sent.outcome:
            case PushOutcome.DELIVERED:
                await self._record.delivered(push, self._now())
            case PushOutcome.GONE:
                _log.info("push_device_gone", kind=kind.value, reason=sent.reason)
                await self._record.device_gone(device)
                await self._record.sent(push)
            case PushOutcome.REFUSED:
                _log.warning("push_refused", kind=kind.value, notice=notice.text, reason=sent.reason)
                await self._record.set_push_aside(push, f"refused: {sent.reason}")
            case PushOutcome.LATER:
                await self._later(push, sent, kind)

    async def _is_wanted(self, kind: PushKind, push: DuePush, notice: Notice) -> bool:
        """Return whether it is to be sent now; where not, it is dropped or put off."""
        if not push.wanted.wants(notice.kind):
            await self._record.sent(push)
            return False
        if quiet := push.wanted.quiet_until(notice.kind, self._now()):
            await self._record.send_later(push, quiet, counts=False)
            return False
        try:
            allowed = await may_still_be_told(self._people, notice, push.person)
        except NotKnownNowError as error:
            await self._later(push, PushResult(PushOutcome.LATER, reason=str(error)[:64]), kind)
            return False
        if not allowed:
            _log.info("push_not_allowed_any_more", kind=kind.value, notice=notice.text)
            await self._record.sent(push)
        return allowed

    async def _later(self, push: DuePush, sent: PushResult, kind: PushKind) -> None:
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(push.attempts - 1, 16))
        if sent.retry_after is not None:
            pause = max(pause, min(_LONGEST_WISH, timedelta(seconds=max(0.0, sent.retry_after))))
        _log.info("push_postponed", kind=kind.value, attempts=push.attempts, reason=sent.reason)
        await self._record.send_later(push, self._now() + pause, counts=True)

    async def _keep(self, push: DuePush, reason: str) -> None:
        try:
            if push.attempts >= MOST_ATTEMPTS:
                await self._record.set_push_aside(push, reason)
            else:
                await self._record.send_later(
                    push, self._now() + min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**push.attempts), counts=True
                )
        except StorageUnavailableError as error:
            self._failed = error

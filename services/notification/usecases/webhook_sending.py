"""Sending what waits for webhooks: each URL by itself, within bounds, and what happened to a vehicle in its order."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from services.notification.domain.webhooks import (
    CHALLENGE_PAUSES,
    CallOutcome,
    CallResult,
    pause_after,
    rest_after,
)
from services.notification.usecases.ports import NotKnownNowError
from services.notification.usecases.webhook_ports import ReadQuestion, WebhookCall
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from datetime import datetime
    from typing import Any

    from services.notification.domain.webhooks import DisabledReason, DisableRule, Webhook
    from services.notification.usecases.host_places import HostPlaces
    from services.notification.usecases.webhook_ports import (
        DueChallenge,
        DueDelivery,
        DueHeartbeat,
        OwnMessages,
        ReadingRights,
        WebhookCaller,
        WebhookOutbox,
    )

CALL_SECONDS = 40.0
"""A call that does not come back is given up after so long: less than a delivery is this replica's (DELIVERY_LEASE)."""
CHALLENGE_SECONDS = 5.0
_AT_ONCE = 100
_NOT_KNOWN_PAUSE = timedelta(seconds=5)
_COUNT_EVERY = timedelta(minutes=1)
"""So often it is counted how much waits for each webhook."""
_log = structlog.get_logger()


def _nobody_waits() -> None:
    """Do nothing."""


class WebhookSending:
    """Sends what is due, challenges URLs and tells of backlogs. All of it takes `places` with the URL's host.

    `changed` makes what is known in memory of webhooks so again. `freed` hears that there is room again where there was
    none, and that more is due.
    """

    def __init__(
        self,
        outbox: WebhookOutbox,
        rights: ReadingRights,
        caller: WebhookCaller,
        places: HostPlaces,
        host_of: Callable[[str], str],
        messages: OwnMessages,
        now: Callable[[], datetime],
        luck: Callable[[], float],
        *,
        rule: DisableRule,
        heartbeat: timedelta,
        most_waiting: int,
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        self.freed: Callable[[], None] = _nobody_waits
        self._outbox = outbox
        self._rights = rights
        self._caller = caller
        self._places = places
        self._host_of = host_of
        self._messages = messages
        self._now = now
        self._luck = luck
        self._rule = rule
        self._heartbeat = heartbeat
        self._most_waiting = most_waiting
        self._changed = changed
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: Exception | None = None
        self._counted_at: datetime | None = None

    async def step(self) -> bool:
        """Begin to send what is due; return whether there may be more that there is room for. Raises
        StorageUnavailableError.
        """
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed
        room = self._room
        if not room:
            return False
        begun = 0
        for due in await self._outbox.due(
            self._now(), room, full=self._places.full, take=self._places.planner()
        ):
            self._begin(due.webhook, self._send(due))
            begun += 1
        return begun > 0

    async def look(self) -> None:
        """Challenge URLs, tell of backlogs, and give up what was tried for too long. Raises StorageUnavailableError."""
        now = self._now()
        for challenge in await self._outbox.challenges(
            now, self._room, full=self._places.full, take=self._places.planner()
        ):
            self._begin(challenge.webhook, self._challenge(challenge))
        for heartbeat in await self._outbox.heartbeats(
            now, self._heartbeat, self._room, full=self._places.full, take=self._places.planner()
        ):
            self._begin(heartbeat.webhook, self._tell(heartbeat))
        await self._outbox.give_up(now)
        if self._counted_at is not None and timedelta() <= now - self._counted_at < _COUNT_EVERY:
            return
        self._counted_at = now
        for _, reason in await self._outbox.disable_crowded(now, self._most_waiting):
            await self._disabled(reason)

    @property
    def _room(self) -> int:
        return min(_AT_ONCE, max(0, self._places.left))

    async def finish(self) -> None:
        """Wait for what is under way: what is cut off is sent again by another replica, under the same id."""
        tasks = list(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, webhook: Webhook, work: Coroutine[Any, Any, None]) -> None:
        host = self._host_of(webhook.wish.url)
        self._places.begin(host)
        task = asyncio.create_task(self._guarded(work))
        self._tasks.add(task)

        def done(ended: asyncio.Task[None]) -> None:
            self._tasks.discard(ended)
            self._places.end(host)
            self.freed()  # what waits for the same vehicle, or for the place, is next

        task.add_done_callback(done)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except StorageUnavailableError as error:
            self._failed = error  # its lease ends, and it is sent again
        except Exception:  # noqa: BLE001  # whatever it is, one webhook must not stop the others
            _log.error("webhook_failed", exc_info=True)

    async def _call(self, call: WebhookCall, webhook: Webhook, seconds: float | None = None) -> CallResult:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                result = await self._caller.call(call, seconds)
        except TimeoutError:
            result = CallResult(CallOutcome.FAILED, failure="TIMEOUT", timed_out=True)
        self._places.note(self._host_of(webhook.wish.url), hung=result.timed_out)
        return result

    async def _send(self, due: DueDelivery) -> None:
        webhook, event = due.webhook, due.event
        if not webhook.wish.has(event):  # it was narrowed while this waited
            await self._outbox.not_allowed(due, self._now())
            return
        try:
            allowed = not event.vin or await self._rights.may_read(
                ReadQuestion(webhook.registrant, event.vin, event.owners_only, event.occurred_at)
            )
        except NotKnownNowError as error:
            _log.info("webhook_put_off", reason=str(error))
            await self._outbox.put_off(due, self._now() + _NOT_KNOWN_PAUSE)
            return
        if not allowed:
            _log.info("webhook_not_allowed", event_type=event.type)
            await self._outbox.not_allowed(due, self._now())
            return
        call = WebhookCall(webhook.id, webhook.wish.url, event.shown_id, event.body, due.secrets)
        result = await self._call(call, webhook)
        now = self._now()
        if result.outcome is CallOutcome.TAKEN:
            await self._outbox.delivered(due, result.status, now)
            return
        _log.info("webhook_postponed", attempts=due.attempts, reason=result.failure)
        rest = rest_after(webhook.failures + 1, self._luck(), result.retry_after)
        pause = max(pause_after(due.attempts, self._luck()), rest if result.retry_after else timedelta())
        reason = await self._outbox.failed(due, result, pause=pause, rest=rest, rule=self._rule, at=now)
        if reason is not None:
            await self._disabled(reason)

    async def _challenge(self, challenge: DueChallenge) -> None:
        webhook, now = challenge.webhook, self._now()
        event, value = self._messages.challenge(webhook, now)
        call = WebhookCall(
            webhook.id, webhook.wish.url, event.shown_id, event.body, challenge.secrets, is_answered=True
        )
        result = await self._call(call, webhook, CHALLENGE_SECONDS)
        now = self._now()
        if result.outcome is CallOutcome.TAKEN and self._messages.answers(result.body, value):
            await self._outbox.challenge_answered(webhook, now)
            await self._changed()
            self.freed()
            return
        failure = result.failure or "WRONG_ANSWER"
        tried = challenge.attempts
        again = now + CHALLENGE_PAUSES[tried - 1] if tried <= len(CHALLENGE_PAUSES) else None
        _log.info("webhook_challenge_failed", attempts=challenge.attempts, reason=failure)
        reason = await self._outbox.challenge_failed(webhook, failure, again, now)
        if reason is not None:
            await self._disabled(reason)

    async def _tell(self, heartbeat: DueHeartbeat) -> None:
        webhook = heartbeat.webhook
        event = self._messages.heartbeat(webhook, heartbeat.backlog, self._heartbeat, self._now())
        call = WebhookCall(webhook.id, webhook.wish.url, event.shown_id, event.body, heartbeat.secrets)
        result = await self._call(call, webhook)
        rest = rest_after(webhook.failures + 1, self._luck(), result.retry_after)
        reason = await self._outbox.heartbeat_done(
            webhook, result, rest=rest, rule=self._rule, at=self._now()
        )
        if reason is not None:
            await self._disabled(reason)
        elif result.outcome is CallOutcome.TAKEN and webhook.failures:
            self.freed()

    async def _disabled(self, reason: DisabledReason) -> None:
        _log.warning("webhook_disabled", reason=reason.value)
        await self._changed()
        self.freed()  # the registrant's others are sent that

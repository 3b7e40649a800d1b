"""Calling a webhook's URL: signed, bounded in time and size, and never led elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from services.notification.adapters.senders.peer import BodyUse, PeerUnavailableError
from services.notification.adapters.webhooks.secrets import WebhookKeyError, signature
from services.notification.domain.webhooks import CallOutcome, CallResult, UrlRefusedError

if TYPE_CHECKING:
    from services.notification.adapters.senders.names import NameResolver
    from services.notification.adapters.senders.peer import PushPeer
    from services.notification.adapters.webhooks.secrets import SecretBox
    from services.notification.adapters.webhooks.urls import UrlRules
    from services.notification.usecases.webhook_ports import WebhookCall
    from services.platform.clock import Clock

USER_AGENT = "ecarus-webhooks/1"
NOT_OPENED = "SECRET_NOT_OPENED"
"""What is wrong where a webhook's secret was sealed under another key than the service has."""
_TAKEN = range(200, 300)
_GONE = 410
_HUNG = frozenset({"TIMEOUT", "CONNECT_TIMEOUT", "READ_TIMEOUT", "WRITE_TIMEOUT", "POOL_TIMEOUT", "BUSY"})
_log = structlog.get_logger()


class HttpWebhookCaller:
    """usecases.webhook_ports.WebhookCaller over HTTP."""

    def __init__(
        self, peer: PushPeer, rules: UrlRules, box: SecretBox, clock: Clock, resolver: NameResolver
    ) -> None:
        self._peer = peer
        self._resolver = resolver
        self._rules = rules
        self._box = box
        self._clock = clock

    async def check(self, url: str) -> None:
        """Raise UrlRefusedError for a URL that may not be called, by its form or by where it leads now."""
        await self._rules.check(url, self._resolver)

    async def call(self, call: WebhookCall, seconds: float | None = None) -> CallResult:
        """Post it and return what became of it; see the port."""
        body, at = call.body.encode(), int(self._clock.seconds())
        try:
            self._rules.require(call.url)
        except UrlRefusedError:
            return CallResult(CallOutcome.FAILED, failure="URL_NOT_ALLOWED")
        opened = self._opened(call)
        if not opened:
            return CallResult(CallOutcome.FAILED, failure=NOT_OPENED)
        headers = {
            "content-type": "application/json",
            "user-agent": USER_AGENT,
            "webhook-id": call.message_id,
            "webhook-timestamp": str(at),
            "webhook-signature": signature(call.message_id, at, body, opened),
        }
        try:
            use = BodyUse.BEGINNING if call.is_answered else BodyUse.NOTHING
            answer = await self._peer.post(call.url, headers, body, seconds=seconds, body=use)
        except PeerUnavailableError as error:
            return CallResult(CallOutcome.FAILED, failure=error.reason, timed_out=error.reason in _HUNG)
        if answer.status in _TAKEN:
            return CallResult(CallOutcome.TAKEN, answer.status, body=answer.body)
        failure = f"STATUS_{answer.status}"
        if answer.status == _GONE:
            return CallResult(CallOutcome.GONE, answer.status, failure)
        wish = answer.retry_after(self._clock.now())
        return CallResult(CallOutcome.FAILED, answer.status, failure, wish)

    def new_secret(self, webhook: str) -> tuple[str, bytes]:
        """Return a secret as it is shown, and sealed as it is kept."""
        return self._box.new(webhook)

    def shown_secret(self, webhook: str, sealed: bytes) -> str:
        """Return a sealed secret as it is shown; nothing of one that cannot be opened."""
        try:
            return self._box.shown(webhook, sealed)
        except WebhookKeyError as error:
            _log.error("webhook_secret_not_opened", reason=str(error))
            return ""

    def _opened(self, call: WebhookCall) -> list[bytes]:
        """Return those of its secrets that can be opened: after a rotation the new one signs by itself."""
        opened = []
        for sealed in call.secrets:
            try:
                opened.append(self._box.open(call.webhook, sealed))
            except WebhookKeyError as error:
                _log.error("webhook_secret_not_opened", reason=str(error))
        return opened

    async def close(self) -> None:
        """End its connections."""
        await self._peer.close()

"""Web Push (RFC 8030): one POST to the subscription's endpoint, encrypted for it and signed by us."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from services.notification.adapters.senders.endpoints import EndpointRefusedError
from services.notification.adapters.senders.peer import PeerUnavailableError, later
from services.notification.adapters.senders.web_push_encryption import (
    MAX_PLAINTEXT_BYTES,
    SubscriptionKeyError,
    encrypt,
)
from services.notification.domain.messages import PushOutcome, PushResult

if TYPE_CHECKING:
    from services.notification.adapters.senders.endpoints import EndpointRules
    from services.notification.adapters.senders.peer import PeerAnswer, PushPeer
    from services.notification.adapters.senders.vapid import VapidHeaders
    from services.notification.domain.messages import PushDevice, PushMessage
    from services.platform.clock import Clock

SLOW_SECONDS = 60.0
_TAKEN = frozenset({200, 201, 202, 204})
_DEAD = frozenset({404, 410})
_TOO_MANY, _SERVER, _REQUEST_TIMEOUT = 429, 500, 408


class WebPushSender:
    """Sends to the push services of browsers, as far as `endpoints` allows their hosts."""

    def __init__(self, vapid: VapidHeaders, peer: PushPeer, endpoints: EndpointRules, clock: Clock) -> None:
        self._vapid = vapid
        self._peer = peer
        self._endpoints = endpoints
        self._clock = clock

    async def send(self, device: PushDevice, message: PushMessage) -> PushResult:
        """Send one message, and return what became of it."""
        seconds = int((message.expires_at - self._clock.now()).total_seconds())
        if seconds <= 0:
            return PushResult(PushOutcome.REFUSED, reason="EXPIRED")
        plaintext = _plaintext(message)
        if len(plaintext) > MAX_PLAINTEXT_BYTES:
            return PushResult(PushOutcome.REFUSED, reason="TOO_LARGE")
        try:
            self._endpoints.require(device.token)
            content = encrypt(plaintext, device.p256dh, device.auth)
        except EndpointRefusedError:
            return PushResult(PushOutcome.REFUSED, reason="ENDPOINT_NOT_ALLOWED")
        except SubscriptionKeyError:
            return PushResult(PushOutcome.GONE, reason="BAD_SUBSCRIPTION_KEYS")
        parts = urlsplit(device.token)
        headers = {
            "authorization": self._vapid.for_origin(f"https://{parts.netloc.lower()}"),
            "ttl": str(seconds),
            "urgency": "high" if message.is_urgent else "normal",
            "topic": message.collapse,
            "content-encoding": "aes128gcm",
            "content-type": "application/octet-stream",
        }
        try:
            return self._outcome(await self._peer.post(device.token, headers, content))
        except PeerUnavailableError as error:
            return PushResult(PushOutcome.LATER, reason=error.reason)

    async def close(self) -> None:
        """End its connections."""
        await self._peer.close()

    def _outcome(self, answer: PeerAnswer) -> PushResult:
        if answer.status in _TAKEN:
            return PushResult(PushOutcome.DELIVERED)
        reason = f"STATUS_{answer.status}"
        if answer.status in _DEAD:
            return PushResult(PushOutcome.GONE, reason=reason)
        if answer.status == _TOO_MANY:
            return later(answer, self._clock.now(), reason, at_least=SLOW_SECONDS)
        if answer.status >= _SERVER or answer.status == _REQUEST_TIMEOUT:
            return later(answer, self._clock.now(), reason)
        return PushResult(PushOutcome.REFUSED, reason=reason)


def _plaintext(message: PushMessage) -> bytes:
    """Return what the service worker reads (gateway/pages/app/worker.js)."""
    whole = {
        "id": message.id,
        "event": message.event,
        "title": message.title,
        "body": message.body,
        "tag": message.collapse,
        "data": dict(message.data),
    }
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()

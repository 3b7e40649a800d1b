"""Apple's push service over HTTP/2, under an authentication token signed ES256.

https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns. A fault that may be
ours (credentials, topic, payload) never removes a device.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import jwt
import structlog

from services.notification.adapters.senders.peer import PeerUnavailableError, later, word
from services.notification.domain.messages import PushOutcome, PushResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from services.notification.adapters.senders.peer import PeerAnswer, PushPeer
    from services.notification.domain.messages import PushDevice, PushMessage
    from services.platform.clock import Clock

MAX_CONTENT_BYTES = 4_096
RENEW_SECONDS = 2_700.0
"""A token is good for an hour."""
LEAST_SECONDS = 1_200.0
"""A token may not be renewed more often."""
SLOW_SECONDS = 60.0
_OK, _BAD, _FORBIDDEN, _GONE, _TOO_MANY, _SERVER = 200, 400, 403, 410, 429, 500
_DEAD = frozenset({"BadDeviceToken", "Unregistered", "ExpiredToken"})
_log = structlog.get_logger()


class ProviderToken:
    """Who we are, signed: renewed well before its end, and no more often than Apple takes."""

    def __init__(self, key: EllipticCurvePrivateKey, key_id: str, team: str, clock: Clock) -> None:
        self._key = key
        self._key_id = key_id
        self._team = team
        self._clock = clock
        self._token = ""
        self._made_at = 0.0

    def get(self) -> str:
        """Return one that is good."""
        if not self._token or self._age >= RENEW_SECONDS:
            self._make()
        return self._token

    def renew(self, token: str) -> bool:
        """Return whether there is a newer one than this, which was refused: one may be made, or was made just now."""
        if token == self._token and self._age >= LEAST_SECONDS:
            self._make()
        return token != self._token

    @property
    def _age(self) -> float:
        return self._clock.monotonic() - self._made_at

    def _make(self) -> None:
        claims = {"iss": self._team, "iat": int(self._clock.seconds())}
        self._token = jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self._key_id})
        self._made_at = self._clock.monotonic()


class ApnsSender:
    """Sends to APNs. `topics` are the apps that may be told, the default first."""

    def __init__(
        self, token: ProviderToken, peer: PushPeer, url: str, topics: Sequence[str], clock: Clock
    ) -> None:
        self._token = token
        self._peer = peer
        self._url = url
        self._topics = topics
        self._clock = clock

    async def send(self, device: PushDevice, message: PushMessage) -> PushResult:
        """Send one message, and return what became of it."""
        if message.expires_at <= self._clock.now():
            return PushResult(PushOutcome.REFUSED, reason="EXPIRED")
        topic = device.app or self._topics[0]
        if topic not in self._topics:
            return PushResult(PushOutcome.REFUSED, reason="UNKNOWN_APP")
        if not _is_token(device.token):
            return PushResult(PushOutcome.GONE, reason="BadDeviceToken")
        content = _content(message)
        if len(content) > MAX_CONTENT_BYTES:
            return PushResult(PushOutcome.REFUSED, reason="TOO_LARGE")
        try:
            return self._outcome(await self._posted(device.token.lower(), topic, message, content))
        except PeerUnavailableError as error:
            return PushResult(PushOutcome.LATER, reason=error.reason)

    async def close(self) -> None:
        """End its connections."""
        await self._peer.close()

    async def _posted(self, token: str, topic: str, message: PushMessage, content: bytes) -> PeerAnswer:
        """Post it, and once more with a new provider token where the one we had has ended."""
        ours = self._token.get()
        answer = await self._post(ours, token, topic, message, content)
        if (
            answer.status == _FORBIDDEN
            and _reason_of(answer) == "ExpiredProviderToken"
            and self._token.renew(ours)
        ):
            answer = await self._post(self._token.get(), token, topic, message, content)
        return answer

    async def _post(
        self, ours: str, token: str, topic: str, message: PushMessage, content: bytes
    ) -> PeerAnswer:
        headers = {
            "authorization": f"bearer {ours}",
            "apns-topic": topic,
            "apns-push-type": "alert",
            "apns-priority": "10" if message.is_urgent else "5",
            "apns-expiration": str(int(message.expires_at.timestamp())),
            "apns-collapse-id": message.collapse,
            "apns-id": message.id,
            "content-type": "application/json",
        }
        return await self._peer.post(f"{self._url}/3/device/{token}", headers, content)

    def _outcome(self, answer: PeerAnswer) -> PushResult:
        if answer.status == _OK:
            return PushResult(PushOutcome.DELIVERED)
        reason = _reason_of(answer)
        if answer.status == _GONE or (answer.status == _BAD and reason in _DEAD):
            return PushResult(PushOutcome.GONE, reason=reason)
        if answer.status == _TOO_MANY:
            return later(answer, self._clock.now(), reason, at_least=SLOW_SECONDS)
        if answer.status == _FORBIDDEN:
            # Somebody has to set our credentials right, and may in time.
            _log.warning("apns_refused_credentials", reason=reason)
            return later(answer, self._clock.now(), reason, at_least=SLOW_SECONDS)
        if answer.status >= _SERVER:
            return later(answer, self._clock.now(), reason)
        return PushResult(PushOutcome.REFUSED, reason=reason)


def _content(message: PushMessage) -> bytes:
    aps: dict[str, object] = {
        "alert": {"title": message.title, "body": message.body},
        "thread-id": message.event,
    }
    if message.is_urgent:
        aps["sound"] = "default"
    whole = {**message.data, "id": message.id, "event": message.event, "aps": aps}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def _reason_of(answer: PeerAnswer) -> str:
    return word(answer.members().get("reason"), f"STATUS_{answer.status}")


def _is_token(text: str) -> bool:
    try:
        return text.isascii() and text.isalnum() and len(bytes.fromhex(text)) > 0
    except ValueError:
        return False

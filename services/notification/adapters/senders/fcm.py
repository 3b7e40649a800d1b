"""Firebase Cloud Messaging, HTTP v1: one POST a message, under a service account's access token.

A fault that may be ours (credentials, project, payload) never removes a device.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from services.notification.adapters.senders.peer import PeerUnavailableError, later, word
from services.notification.domain.messages import PushOutcome, PushResult

if TYPE_CHECKING:
    from services.notification.adapters.senders.google_tokens import GoogleAccessToken
    from services.notification.adapters.senders.peer import PeerAnswer, PushPeer
    from services.notification.domain.messages import PushDevice, PushMessage
    from services.platform.clock import Clock

MAX_CONTENT_BYTES = 4_096
QUOTA_SECONDS = 60.0
"""Where it is told to slow down and not for how long (Google's own advice)."""
_FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
_OK, _BAD, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY, _SERVER = 200, 400, 401, 403, 404, 429, 500


class FcmSender:
    """Sends to FCM. `url` is the project's `messages:send`."""

    def __init__(self, token: GoogleAccessToken, peer: PushPeer, url: str, clock: Clock) -> None:
        self._token = token
        self._peer = peer
        self._url = url
        self._clock = clock

    async def send(self, device: PushDevice, message: PushMessage) -> PushResult:
        """Send one message, and return what became of it."""
        seconds = int((message.expires_at - self._clock.now()).total_seconds())
        if seconds <= 0:
            return PushResult(PushOutcome.REFUSED, reason="EXPIRED")
        content = _content(device, message, seconds)
        if len(content) > MAX_CONTENT_BYTES:
            return PushResult(PushOutcome.REFUSED, reason="TOO_LARGE")
        try:
            return self._outcome(await self._posted(content))
        except PeerUnavailableError as error:
            return PushResult(PushOutcome.LATER, reason=error.reason)

    async def close(self) -> None:
        """End its connections."""
        await self._token.close()
        await self._peer.close()

    async def _posted(self, content: bytes) -> PeerAnswer:
        """Post it, and once more with a new token where the one we had is taken no longer."""
        token = await self._token.get()
        answer = await self._post(token, content)
        if answer.status == _UNAUTHORIZED and _error_of(answer)[0] != "THIRD_PARTY_AUTH_ERROR":
            self._token.drop(token)
            answer = await self._post(await self._token.get(), content)
        return answer

    async def _post(self, token: str, content: bytes) -> PeerAnswer:
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json; charset=utf-8"}
        return await self._peer.post(self._url, headers, content)

    def _outcome(self, answer: PeerAnswer) -> PushResult:
        if answer.status == _OK:
            return PushResult(PushOutcome.DELIVERED)
        code, fields = _error_of(answer)
        if (answer.status, code) == (_NOT_FOUND, "UNREGISTERED") or (
            answer.status == _BAD and "message.token" in fields
        ):
            return PushResult(PushOutcome.GONE, reason=code)
        if answer.status == _TOO_MANY:
            return later(answer, self._clock.now(), code, at_least=QUOTA_SECONDS)
        # Whatever it is that we may not, or that is not there: somebody has to set it right, and may in time.
        may_pass = answer.status >= _SERVER or answer.status in {_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND}
        if may_pass and code != "SENDER_ID_MISMATCH":
            return later(answer, self._clock.now(), code)
        return PushResult(PushOutcome.REFUSED, reason=code)


def _content(device: PushDevice, message: PushMessage, seconds: int) -> bytes:
    android = {
        "priority": "HIGH" if message.is_urgent else "NORMAL",
        "ttl": f"{seconds}s",
        "collapse_key": message.collapse,
        "notification": {"tag": message.collapse},
    }
    whole = {
        "message": {
            "token": device.token,
            "notification": {"title": message.title, "body": message.body},
            "data": {**message.data, "id": message.id, "event": message.event},
            "android": android,
        }
    }
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def _error_of(answer: PeerAnswer) -> tuple[str, frozenset[str]]:
    """Return FCM's word for what was wrong, and the fields of the request that it names."""
    error = answer.members().get("error")
    members: dict[str, Any] = error if isinstance(error, dict) else {}
    code, fields = word(members.get("status"), f"STATUS_{answer.status}"), set()
    details = members.get("details")
    for detail in details if isinstance(details, list) else []:
        if not isinstance(detail, dict):
            continue
        if detail.get("@type") == _FCM_ERROR:
            code = word(detail.get("errorCode"), code)
        violations = detail.get("fieldViolations")
        if detail.get("@type") == _BAD_REQUEST and isinstance(violations, list):
            fields |= {str(each.get("field")) for each in violations if isinstance(each, dict)}
    return code, frozenset(fields)

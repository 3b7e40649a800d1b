"""A browser's push service (RFC 8030), which takes messages from the application server subscribed to (RFC 8292).

The browser is here as well: what arrives is decrypted with the subscription's keys.
"""

from __future__ import annotations

import json
import re
import secrets
from typing import TYPE_CHECKING, Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from phones.directory import Phone, PhoneFailure, PhoneKind
from phones.http2_server import Http2Answer
from phones.service_answers import json_answer, next_failure, retry_after
from phones.web_push_keys import UnreadableMessageError, decrypt, from_base64url, to_base64url

if TYPE_CHECKING:
    from collections.abc import Callable

    from phones.directory import FailureOrder, PhoneDirectory
    from phones.http2_server import Http2Request

PATH = "/wpush/"
MAX_CONTENT_BYTES = 4_096
LONGEST_TTL_SECONDS = 2_419_200
LONGEST_TOKEN_SECONDS = 86_400
_POINT_BYTES = 65
_VAPID = re.compile(r"vapid\s+(?:t=([\w.-]+)\s*,\s*k=([\w-]+)|k=([\w-]+)\s*,\s*t=([\w.-]+))", re.IGNORECASE)
_URGENCIES = {"very-low", "low", "normal", "high"}


class WebPushRefusedError(Exception):
    """An answer other than 201."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class WebPushService:
    """The service. `url` is where senders reach it; `now` is seconds since 1970."""

    def __init__(self, directory: PhoneDirectory, url: str, now: Callable[[], float]) -> None:
        self._directory = directory
        self._url = url
        self._now = now

    def endpoint(self, token: str) -> str:
        """Return the URL of a subscription."""
        return f"{self._url}{PATH}{token}"

    async def send(self, request: Http2Request) -> Http2Answer:
        """Take one message."""
        try:
            phone, message = self._read(request)
            if (order := await next_failure(phone)) is not None:
                return _failed(order)
        except WebPushRefusedError as refused:
            return json_answer(refused.status, {"code": refused.status, "message": str(refused)})
        await self._directory.receive(phone, message)
        return Http2Answer(
            201,
            {"location": f"{self._url}/messages/{secrets.token_urlsafe(16)}", "ttl": request.headers["ttl"]},
        )

    def _read(self, request: Http2Request) -> tuple[Phone, dict[str, Any]]:
        headers = request.headers
        if request.method != "POST":
            raise WebPushRefusedError(405, "a message is sent with POST")
        phone = self._directory.with_token(PhoneKind.WEB_PUSH, self.endpoint(request.path.removeprefix(PATH)))
        if phone is None:
            raise WebPushRefusedError(410, "the subscription has ended")
        self._check_sender(headers.get("authorization", ""), phone.secrets["applicationServerKey"])
        if not re.fullmatch(r"[0-9]{1,10}", headers.get("ttl", "")):
            raise WebPushRefusedError(400, "TTL is missing")
        if headers.get("urgency", "normal") not in _URGENCIES:
            raise WebPushRefusedError(400, "Urgency is none")
        if not re.fullmatch(r"[A-Za-z0-9_-]{0,32}", headers.get("topic", "")):
            raise WebPushRefusedError(400, "Topic has at most 32 characters of base64url")
        if headers.get("content-encoding") != "aes128gcm":
            raise WebPushRefusedError(415, "Content-Encoding must be aes128gcm")
        if len(request.body) > MAX_CONTENT_BYTES:
            raise WebPushRefusedError(413, "a message has at most 4096 bytes")
        shown = {
            "receivedAt": self._now(),
            "service": "WEB_PUSH",
            "collapse": headers.get("topic", ""),
            "isUrgent": headers.get("urgency") == "high",
            "ttlSeconds": min(int(headers["ttl"]), LONGEST_TTL_SECONDS),
        }
        return phone, {**shown, **_read_plaintext(request.body, phone)}

    def _check_sender(self, authorization: str, expected: str) -> None:
        found = _VAPID.fullmatch(authorization.strip())
        if found is None:
            raise WebPushRefusedError(401, "the application server must say who it is (RFC 8292)")
        token, key = found[1] or found[4], found[2] or found[3]
        if key != expected:
            raise WebPushRefusedError(403, "the subscription is for another application server")
        try:
            claims = jwt.decode(token, _public_key(key), algorithms=["ES256"]).claims
        except (JoseError, ValueError) as error:
            raise WebPushRefusedError(403, "the token is not signed with this key") from error
        ends = claims.get("exp")
        if claims.get("aud") != self._url:
            raise WebPushRefusedError(403, "the token is for another push service")
        if not isinstance(ends, int) or not self._now() < ends <= self._now() + LONGEST_TOKEN_SECONDS:
            raise WebPushRefusedError(403, "the token has ended, or ends in more than a day")
        if not re.match(r"mailto:|https:", str(claims.get("sub", ""))):
            raise WebPushRefusedError(403, "the token names nobody to be asked")


def _public_key(text: str) -> ECKey:
    point = from_base64url(text)
    if len(point) != _POINT_BYTES or point[0] != 4:  # noqa: PLR2004  # an uncompressed point
        raise ValueError("the key is no point of P-256")
    members: dict[str, str | list[str]] = {
        "kty": "EC",
        "crv": "P-256",
        "x": to_base64url(point[1:33]),
        "y": to_base64url(point[33:]),
    }
    return ECKey.import_key(members)


def _read_plaintext(content: bytes, phone: Phone) -> dict[str, Any]:
    """Return what the service worker sees; a real browser drops what it cannot read without a word."""
    try:
        plaintext = decrypt(content, phone.secrets).decode()
    except (UnreadableMessageError, UnicodeDecodeError) as error:
        return {"title": "", "body": "", "data": {}, "unreadable": str(error)}
    try:
        members = json.loads(plaintext)
    except (ValueError, RecursionError):
        members = None
    members = members if isinstance(members, dict) else {}
    data = members.get("data")
    data = dict(data) if isinstance(data, dict) else {}
    return {
        "title": members.get("title", ""),
        "body": members.get("body", ""),
        "data": {**data, "id": members.get("id", ""), "event": members.get("event", "")},
        "plaintext": plaintext,
    }


def _failed(order: FailureOrder) -> Http2Answer:
    """Return what a push service says when it is told to fail so."""
    statuses = {PhoneFailure.GONE: 410, PhoneFailure.THROTTLED: 429, PhoneFailure.REDIRECT: 307}
    status = statuses.get(order.failure, 503)
    if order.failure is PhoneFailure.REDIRECT:
        return Http2Answer(status, {"location": "https://localhost/elsewhere"})
    return json_answer(status, {"code": status, "message": order.failure.value}, **retry_after(order))

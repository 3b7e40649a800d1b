"""Apple's push service: token-based connections over HTTP/2.

https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

from joserfc import jwt
from joserfc.errors import JoseError

from phones.directory import Phone, PhoneFailure, PhoneKind
from phones.http2_server import Http2Answer
from phones.service_answers import json_answer, json_object, next_failure, retry_after

if TYPE_CHECKING:
    from collections.abc import Callable

    from phones.credentials import SenderCredentials
    from phones.directory import FailureOrder, PhoneDirectory
    from phones.http2_server import Http2Request

PATH = "/3/device/"
TOKEN_SECONDS = 3_600
LEAST_TOKEN_SECONDS = 1_200
"""Provider tokens may not change more often."""
MAX_PAYLOAD_BYTES = 4_096
MAX_COLLAPSE_BYTES = 64
_MAX_CONNECTIONS = 1_000
_DEVICE = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_PUSH_TYPES = {
    "alert",
    "background",
    "location",
    "voip",
    "complication",
    "fileprovider",
    "mdm",
    "liveactivity",
}


class ApnsRefusedError(Exception):
    """An answer other than 200: the status, and Apple's word for it."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class ApnsService:
    """The service. `now` is seconds since 1970."""

    def __init__(
        self, directory: PhoneDirectory, credentials: SenderCredentials, now: Callable[[], float]
    ) -> None:
        self._directory = directory
        self._credentials = credentials
        self._now = now
        self._seen: dict[int, tuple[str, float]] = {}
        """By connection: the provider token, and when it was first seen."""

    async def send(self, request: Http2Request) -> Http2Answer:
        """Take one message."""
        message_id = request.headers.get("apns-id") or str(uuid.uuid4()).upper()
        try:
            phone, message = self._read(request)
            if (order := await next_failure(phone)) is not None:
                return self._failed(order, message_id)
        except ApnsRefusedError as refused:
            members: dict[str, Any] = {"reason": str(refused)}
            if refused.status == 410:  # noqa: PLR2004  # Gone
                members["timestamp"] = int(self._now() * 1_000)
            return json_answer(refused.status, members, apns_id=message_id)
        await self._directory.receive(phone, {**message, "apnsId": message_id})
        return Http2Answer(200, {"apns-id": message_id, "apns-unique-id": str(uuid.uuid4())})

    def _read(self, request: Http2Request) -> tuple[Phone, dict[str, Any]]:
        headers = request.headers
        if request.method != "POST":
            raise ApnsRefusedError(405, "MethodNotAllowed")
        self._check_provider(request)
        device = request.path.removeprefix(PATH).lower()
        if not device:
            raise ApnsRefusedError(400, "MissingDeviceToken")
        if not _DEVICE.fullmatch(device):
            raise ApnsRefusedError(400, "BadDeviceToken")
        self._check_headers(headers)
        if not request.body:
            raise ApnsRefusedError(400, "PayloadEmpty")
        if len(request.body) > MAX_PAYLOAD_BYTES:
            raise ApnsRefusedError(413, "PayloadTooLarge")
        payload = json_object(request.body)
        aps = payload.get("aps") if payload else None
        alert = aps.get("alert") if isinstance(aps, dict) else None
        if payload is None or not isinstance(aps, dict) or not isinstance(alert, dict):
            raise ApnsRefusedError(400, "PayloadEmpty")
        phone = self._directory.with_token(PhoneKind.APNS, device)
        if phone is None:
            raise ApnsRefusedError(410, "Unregistered")
        return phone, {
            "receivedAt": self._now(),
            "service": "APNS",
            "title": alert.get("title", ""),
            "body": alert.get("body", ""),
            "data": {name: value for name, value in payload.items() if name != "aps"},
            "collapse": headers.get("apns-collapse-id", ""),
            "isUrgent": headers.get("apns-priority", "10") == "10",
            "ttlSeconds": max(0, int(headers.get("apns-expiration", "0")) - int(self._now())),
            "topic": headers["apns-topic"],
        }

    def _check_headers(self, headers: Any) -> None:
        if "apns-topic" not in headers:
            raise ApnsRefusedError(400, "MissingTopic")
        if headers["apns-topic"] not in self._credentials.apns_topics:
            raise ApnsRefusedError(400, "DeviceTokenNotForTopic")
        if headers.get("apns-push-type") not in _PUSH_TYPES:
            raise ApnsRefusedError(400, "InvalidPushType")
        if headers.get("apns-priority", "10") not in {"1", "5", "10"}:
            raise ApnsRefusedError(400, "BadPriority")
        if not re.fullmatch(r"[0-9]{1,12}", headers.get("apns-expiration", "0")):
            raise ApnsRefusedError(400, "BadExpirationDate")
        if "apns-id" in headers and not _ID.fullmatch(headers["apns-id"]):
            raise ApnsRefusedError(400, "BadMessageId")
        if len(headers.get("apns-collapse-id", "").encode()) > MAX_COLLAPSE_BYTES:
            raise ApnsRefusedError(400, "BadCollapseId")

    def _check_provider(self, request: Http2Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not token:
            raise ApnsRefusedError(403, "MissingProviderToken")
        try:
            parsed = jwt.decode(token, self._credentials.apns_key, algorithms=["ES256"])
        except (JoseError, ValueError) as error:
            raise ApnsRefusedError(403, "InvalidProviderToken") from error
        known = (self._credentials.apns_key_id, self._credentials.apns_team)
        issued = parsed.claims.get("iat")
        if scheme.lower() != "bearer" or (parsed.header.get("kid"), parsed.claims.get("iss")) != known:
            raise ApnsRefusedError(403, "InvalidProviderToken")
        if not isinstance(issued, int) or not abs(self._now() - issued) <= TOKEN_SECONDS:
            raise ApnsRefusedError(403, "ExpiredProviderToken")
        before, first_seen = self._seen.get(request.connection, ("", 0.0))
        if before and before != token and self._now() - first_seen < LEAST_TOKEN_SECONDS:
            raise ApnsRefusedError(429, "TooManyProviderTokenUpdates")
        if before != token:
            self._seen[request.connection] = (token, self._now())
        while len(self._seen) > _MAX_CONNECTIONS:
            del self._seen[next(iter(self._seen))]

    def _failed(self, order: FailureOrder, message_id: str) -> Http2Answer:
        """Return what APNs says when it is told to fail so."""
        if order.failure is PhoneFailure.GONE:
            members = {"reason": "Unregistered", "timestamp": int(self._now() * 1_000)}
            return json_answer(410, members, apns_id=message_id)
        if order.failure is PhoneFailure.THROTTLED:
            return json_answer(429, {"reason": "TooManyRequests"}, apns_id=message_id, **retry_after(order))
        if order.failure is PhoneFailure.REDIRECT:
            return Http2Answer(307, {"location": "https://localhost/elsewhere"})
        return json_answer(503, {"reason": "ServiceUnavailable"}, apns_id=message_id, **retry_after(order))

"""Firebase Cloud Messaging, HTTP v1, with Google's token endpoint (RFC 7523).

https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send and .../ErrorCode.
"""

from __future__ import annotations

import json
import re
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

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

TOKEN_PATH = "/token"  # noqa: S105  # a path
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
TOKEN_SECONDS = 3_599
LONGEST_ASSERTION_SECONDS = 3_600
LEEWAY_SECONDS = 60
MAX_TOKENS = 100
MAX_PAYLOAD_BYTES = 4_096
LONGEST_TTL_SECONDS = 2_419_200
_TOKEN = re.compile(r"[A-Za-z0-9_:-]{32,4096}")
_TTL = re.compile(r"([0-9]{1,7})(\.[0-9]{1,9})?s")
_RESERVED = re.compile(r"from|message_type|(google|gcm)\..*")
_MESSAGE = {"token", "notification", "data", "android"}
_ANDROID = {"collapse_key", "priority", "ttl", "notification", "data"}


class FcmRefusedError(Exception):
    """An answer other than 200, in Google's words. `fields` are the members of the request that are wrong."""

    def __init__(
        self, status: int, word: str, text: str, *, code: str = "", fields: tuple[str, ...] = ()
    ) -> None:
        super().__init__(text)
        self.status = status
        self.word = word
        self.code = code
        self.fields = fields

    def answer(self, **headers: str) -> Http2Answer:
        """Return it as google.rpc.Status in JSON."""
        details: list[dict[str, Any]] = []
        if self.code:
            details.append(
                {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": self.code}
            )
        if self.fields:
            violations = [{"field": each, "description": str(self)} for each in self.fields]
            details.append(
                {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}
            )
        error = {"code": self.status, "message": str(self), "status": self.word, "details": details}
        return json_answer(self.status, {"error": error}, **headers)


class FcmService:
    """The service. `url` is where senders reach it; `now` is seconds since 1970."""

    def __init__(
        self, directory: PhoneDirectory, credentials: SenderCredentials, url: str, now: Callable[[], float]
    ) -> None:
        self._directory = directory
        self._credentials = credentials
        self._audience = url + TOKEN_PATH
        self._now = now
        self._tokens: dict[str, float] = {}
        self.token_requests = 0

    async def token(self, request: Http2Request) -> Http2Answer:
        """Give an access token for a signed assertion."""
        self.token_requests += 1
        if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
            return _no_token("invalid_request", "the form has another content type")
        form = parse_qs(request.body.decode("latin-1"))
        if form.get("grant_type") != ["urn:ietf:params:oauth:grant-type:jwt-bearer"]:
            return _no_token("unsupported_grant_type", "Invalid grant_type")
        try:
            parsed = jwt.decode(
                (form.get("assertion") or [""])[0], self._credentials.fcm_key, algorithms=["RS256"]
            )
        except (JoseError, ValueError):
            return _no_token("invalid_grant", "Invalid JWT Signature.")
        if reason := self._wrong_in(parsed.header, parsed.claims):
            return _no_token("invalid_grant", reason)
        token = f"ya29.{secrets.token_urlsafe(64)}"
        self._tokens[token] = self._now() + TOKEN_SECONDS
        while len(self._tokens) > MAX_TOKENS:
            del self._tokens[next(iter(self._tokens))]
        return json_answer(
            200,
            {"access_token": token, "expires_in": TOKEN_SECONDS, "token_type": "Bearer"},
            cache_control="no-store",
        )

    def forget_tokens(self) -> None:
        """Take no token that was given until now."""
        self._tokens.clear()

    def _wrong_in(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        now, issued, ends = self._now(), claims.get("iat"), claims.get("exp")
        if not isinstance(issued, int) or not isinstance(ends, int):
            return "Invalid JWT: iat and exp are needed"
        is_timely = now - LONGEST_ASSERTION_SECONDS <= issued <= now + LEEWAY_SECONDS and ends > now
        is_short = ends - issued <= LONGEST_ASSERTION_SECONDS
        checks = (
            (header.get("kid") == self._credentials.fcm_key_id, "Invalid grant: the key is not known"),
            (claims.get("iss") == self._credentials.fcm_email, "Invalid grant: account not found"),
            (claims.get("aud") == self._audience, "Invalid JWT: Failed audience check."),
            (claims.get("scope") == SCOPE, "Invalid scope"),
            (is_timely and is_short, "Invalid JWT: Token must be a short-lived token (60 minutes)"),
        )
        return next((reason for holds, reason in checks if not holds), "")

    async def send(self, request: Http2Request) -> Http2Answer:
        """Take one message."""
        try:
            phone, message = self._read(request)
            if (order := await next_failure(phone)) is not None:
                return _failed(order)
        except FcmRefusedError as refused:
            return refused.answer()
        await self._directory.receive(phone, message)
        return json_answer(
            200, {"name": f"projects/{self._credentials.fcm_project}/messages/{secrets.token_hex(8)}"}
        )

    def _read(self, request: Http2Request) -> tuple[Phone, dict[str, Any]]:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or self._tokens.get(token, 0.0) <= self._now():
            raise FcmRefusedError(
                401,
                "UNAUTHENTICATED",
                "Request had invalid authentication credentials. Expected OAuth 2 access token",
            )
        if request.path != f"/v1/projects/{self._credentials.fcm_project}/messages:send":
            raise FcmRefusedError(403, "PERMISSION_DENIED", "Permission denied on resource project")
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise _invalid("Content-Type must be application/json", "")
        whole = json_object(request.body)
        if whole is None or whole.keys() - {"message", "validate_only"}:
            raise _invalid("Invalid JSON payload received.", "")
        message = _read_message(whole.get("message"))
        phone = self._directory.with_token(PhoneKind.FCM, message["token"])
        if phone is None:
            raise FcmRefusedError(404, "NOT_FOUND", "Requested entity was not found.", code="UNREGISTERED")
        android, notification = message.get("android", {}), message.get("notification", {})
        shown = {
            "receivedAt": self._now(),
            "service": "FCM",
            "title": notification.get("title", ""),
            "body": notification.get("body", ""),
            "data": message.get("data", {}),
            "collapse": android.get("collapse_key", ""),
            "isUrgent": android.get("priority") == "HIGH",
            "ttlSeconds": int(str(android.get("ttl", f"{LONGEST_TTL_SECONDS}s"))[:-1].partition(".")[0]),
        }
        return phone, shown


def _read_message(message: Any) -> dict[str, Any]:
    if not isinstance(message, dict) or message.keys() - _MESSAGE:
        raise _invalid("Unknown name in message", "message")
    token = message.get("token")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise _invalid("The registration token is not a valid FCM registration token", "message.token")
    notification, data, android = (
        message.get("notification", {}),
        message.get("data", {}),
        message.get("android", {}),
    )
    if not _are_texts(notification) or notification.keys() - {"title", "body", "image"}:
        raise _invalid("Invalid value at 'message.notification'", "message.notification")
    if not _are_texts(data) or any(_RESERVED.fullmatch(name) for name in data):
        raise _invalid("Invalid value at 'message.data'", "message.data")
    if not isinstance(android, dict) or android.keys() - _ANDROID:
        raise _invalid("Unknown name in 'message.android'", "message.android")
    if android.get("priority", "NORMAL") not in {"NORMAL", "HIGH"}:
        raise _invalid("Invalid value at 'message.android.priority'", "message.android.priority")
    ttl = _TTL.fullmatch(str(android.get("ttl", "0s")))
    if ttl is None or int(ttl[1]) > LONGEST_TTL_SECONDS:
        raise _invalid("Invalid value at 'message.android.ttl'", "message.android.ttl")
    if len(json.dumps([notification, data], ensure_ascii=False).encode()) > MAX_PAYLOAD_BYTES:
        raise _invalid("Android message is too big", "message")
    return message


def _are_texts(members: Any) -> bool:
    return isinstance(members, dict) and all(isinstance(value, str) for value in members.values())


def _invalid(text: str, field: str) -> FcmRefusedError:
    return FcmRefusedError(
        400, "INVALID_ARGUMENT", text, code="INVALID_ARGUMENT", fields=(field,) if field else ()
    )


def _no_token(error: str, text: str) -> Http2Answer:
    return json_answer(400, {"error": error, "error_description": text})


def _failed(order: FailureOrder) -> Http2Answer:
    """Return what FCM says when it is told to fail so."""
    if order.failure is PhoneFailure.GONE:
        return FcmRefusedError(
            404, "NOT_FOUND", "Requested entity was not found.", code="UNREGISTERED"
        ).answer()
    if order.failure is PhoneFailure.THROTTLED:
        refused = FcmRefusedError(429, "RESOURCE_EXHAUSTED", "Quota exceeded.", code="QUOTA_EXCEEDED")
        return refused.answer(**retry_after(order))
    if order.failure is PhoneFailure.REDIRECT:
        return Http2Answer(307, {"location": "https://localhost/elsewhere"})
    return FcmRefusedError(
        503, "UNAVAILABLE", "The service is currently unavailable.", code="UNAVAILABLE"
    ).answer(**retry_after(order))

"""Access tokens of a Google service account: the JWT bearer grant (RFC 7523), signed RS256, and kept until they end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import jwt
import structlog

from services.notification.adapters.senders.peer import PeerUnavailableError, word

if TYPE_CHECKING:
    from services.notification.adapters.senders.credentials import ServiceAccount
    from services.notification.adapters.senders.peer import PushPeer
    from services.platform.clock import Clock

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_SECONDS = 3_600
SPARE_SECONDS = 300.0
"""So long before its end a token is renewed."""
AGAIN_SECONDS = 5.0
"""After a refusal it is not asked again before."""
_LONGEST_SECONDS = 86_400
_MAX_TOKEN = 8_192
_OK = 200
_log = structlog.get_logger()


class GoogleAccessToken:
    """The token: fetched once for all who need it at the same time."""

    def __init__(self, account: ServiceAccount, peer: PushPeer, clock: Clock) -> None:
        self._account = account
        self._peer = peer
        self._clock = clock
        self._token = ""
        self._renew_at = 0.0
        self._refused: PeerUnavailableError | None = None
        self._again_at = 0.0
        self._fetching: asyncio.Task[None] | None = None

    async def get(self) -> str:
        """Return one that is good. Raises PeerUnavailableError."""
        if self._token and self._clock.monotonic() < self._renew_at:
            return self._token
        if self._refused is not None and self._clock.monotonic() < self._again_at:
            raise PeerUnavailableError(self._refused.reason)
        if self._fetching is None:
            self._fetching = asyncio.get_running_loop().create_task(self._fetch())
            self._fetching.add_done_callback(self._fetch_ended)
        await asyncio.shield(self._fetching)
        if self._refused is not None:
            raise PeerUnavailableError(self._refused.reason)
        return self._token

    def drop(self, token: str) -> None:
        """Use this one no more: it was refused."""
        if token == self._token:
            self._token = ""

    async def close(self) -> None:
        """End the connections."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])
        await self._peer.close()

    def _fetch_ended(self, _task: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _fetch(self) -> None:
        try:
            self._token, seconds = await self._asked()
        except PeerUnavailableError as error:
            self._refused = error
            self._again_at = self._clock.monotonic() + AGAIN_SECONDS
            _log.warning("fcm_token_not_fetched", reason=error.reason)
        else:
            self._refused = None
            self._renew_at = self._clock.monotonic() + max(seconds - SPARE_SECONDS, seconds / 2)

    async def _asked(self) -> tuple[str, float]:
        form = urlencode({"grant_type": GRANT, "assertion": self._assertion()})
        answer = await self._peer.post(
            self._account.token_url,
            {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"},
            form.encode(),
        )
        members = answer.members()
        if answer.status != _OK:
            raise PeerUnavailableError(word(members.get("error"), f"TOKEN_STATUS_{answer.status}"))
        token, seconds = members.get("access_token"), members.get("expires_in")
        if not _is_token(token) or not isinstance(seconds, int) or not 0 < seconds <= _LONGEST_SECONDS:
            raise PeerUnavailableError("TOKEN_ANSWER_UNREADABLE")
        return str(token), float(seconds)

    def _assertion(self) -> str:
        now = int(self._clock.seconds())
        claims = {
            "iss": self._account.email,
            "scope": SCOPE,
            "aud": self._account.token_url,
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        }
        return jwt.encode(claims, self._account.key, algorithm="RS256", headers={"kid": self._account.key_id})


def _is_token(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_TOKEN and value.isascii() and value.isprintable()

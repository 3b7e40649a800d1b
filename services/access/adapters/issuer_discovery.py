"""The issuer's keys, found as OpenID Connect Discovery 1.0 and RFC 8414 say: its metadata name where they are.

Whoever answers there decides who may open cars, so an answer is read strictly, within bounds of time and size, and
redirects are not followed. No request waits for it but one whose token names a key that is not known yet.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import structlog

from services.access.adapters.issuer_keys import ALGORITHMS, KeyRing, keys_in
from services.platform import strict_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from services.platform.health import HealthCondition

FETCH_SECONDS = 5.0
"""How long finding the keys may take in all."""
LEARN_SECONDS = 2.0
"""How long a request may wait because its token names a key that is not known yet."""
MAX_DOCUMENT_BYTES = 65_536
LEARN_AGAIN_SECONDS = 10.0
"""Unknown key ids make us ask no more often than this, however many come in."""
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
"""After a failure the next try waits twice as long as before, within these."""
LOOK_SECONDS = 5.0
"""How often it is looked whether the keys have become too old."""
MAX_URL = 2_048
_LEAST_SLEEP_SECONDS = 0.05
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_OK = 200
_log = structlog.get_logger()


class DiscoveryError(ValueError):
    """The issuer's answer is not taken; the text says why."""


def checked_url(text: str) -> str:
    """Return the URL of a document of the issuer: https, or http on the loopback. Raises ValueError."""
    parts = urlsplit(text)
    if not text.isascii() or not text.isprintable() or len(text) > MAX_URL or parts.username is not None:
        raise ValueError("must be a URL without a user")
    if not parts.hostname or parts.fragment:
        raise ValueError("must be a URL with a host and without a fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ValueError("must be https://, or http:// on the loopback address")
    return text


class DiscoveredKeys:
    """Finds the issuer's keys by its metadata at `url`, and goes on with those it knows while the issuer is away.

    They are fetched every `fetch_seconds`, and after failures with growing pauses. Keys that could not be confirmed for
    `stale_seconds` are trusted no longer. `condition` says how it is. `monotonic` counts seconds.
    """

    def __init__(
        self,
        *,
        url: str,
        issuer: str,
        ring: KeyRing,
        condition: HealthCondition,
        monotonic: Callable[[], float],
        algorithms: Sequence[str] = ALGORITHMS,
        fetch_seconds: float = 60.0,
        stale_seconds: float = 14_400.0,
        ca: Path | None = None,
    ) -> None:
        self._url = checked_url(url)
        self._issuer = issuer
        self._ring = ring
        self._condition = condition
        self._monotonic = monotonic
        self._algorithms = algorithms
        self._fetch_seconds = fetch_seconds
        self._stale_seconds = stale_seconds
        # Nothing of the environment's proxies or credentials is used, nor are cookies kept.
        trust = ssl.create_default_context(cafile=str(ca) if ca else None)
        self._client = httpx.AsyncClient(
            verify=trust, trust_env=False, follow_redirects=False, timeout=FETCH_SECONDS
        )
        self._due_at = monotonic()
        self._learn_at = monotonic()
        self._fetched_at: float | None = None
        self._pause = FIRST_PAUSE_SECONDS
        self._fetching: asyncio.Task[None] | None = None
        condition.bad("the issuer's keys were not fetched yet")

    @property
    def ring(self) -> KeyRing:
        """The keys that are trusted now."""
        return self._ring

    async def run(self) -> None:
        """Refresh whenever it is time to, until cancelled."""
        while True:
            await asyncio.sleep(
                min(max(self._due_at - self._monotonic(), _LEAST_SLEEP_SECONDS), LOOK_SECONDS)
            )
            await self.refresh()

    async def refresh(self) -> None:
        """Fetch the keys if it is time to, and let those go that are too old."""
        if self._monotonic() >= self._due_at:
            await self._fetch_once()
        if self._fetched_at is not None and self._monotonic() - self._fetched_at > self._stale_seconds:
            self._ring.expire()

    async def learn(self) -> bool:
        """Fetch the keys, or wait for whoever does; unless that was done, for the same reason, just before."""
        if self._fetching is None and self._monotonic() < self._learn_at:
            return False
        before = self._ring.credentials
        if self._fetching is None:
            self._learn_at = self._monotonic() + LEARN_AGAIN_SECONDS
        try:
            async with asyncio.timeout(LEARN_SECONDS):
                await self._fetch_once()
        except TimeoutError:
            return False  # it goes on, and the next one may find the key
        return self._ring.credentials != before

    async def close(self) -> None:
        """End the connections."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])
        await self._client.aclose()

    async def _fetch_once(self) -> None:
        """Fetch, once for all who want that at the same time; whoever stops to wait stops nobody else."""
        if self._fetching is None:
            self._fetching = asyncio.get_running_loop().create_task(self._fetch())
            self._fetching.add_done_callback(self._fetch_ended)
        await asyncio.shield(self._fetching)

    def _fetch_ended(self, _task: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                metadata = await self._document(self._url)
                if metadata.get("issuer") != self._issuer:
                    raise DiscoveryError("its metadata are those of another issuer")
                where = metadata.get("jwks_uri")
                if not isinstance(where, str):
                    raise DiscoveryError("its metadata do not say where its keys are")
                keys = keys_in(await self._document(checked_url(where)), self._algorithms)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            _log.warning("token_keys_not_fetched", reason=reason, again_in_seconds=self._pause)
            self._condition.bad(f"the issuer's keys could not be fetched: {reason}")
            self._due_at = self._monotonic() + self._pause
            # Who sends unknown key ids must not make us ask a struggling issuer more often than we would by ourselves.
            self._learn_at = max(self._learn_at, self._due_at)
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
            return
        self._fetched_at = self._monotonic()
        self._due_at = self._fetched_at + self._fetch_seconds
        self._pause = FIRST_PAUSE_SECONDS
        self._condition.good()
        self._ring.replace(keys)

    async def _document(self, url: str) -> dict[str, Any]:
        """Return one JSON object from there. Raises httpx.HTTPError, ValueError."""
        async with self._client.stream("GET", url, headers={"accept": "application/json"}) as answer:
            if answer.status_code != _OK:
                raise DiscoveryError(f"{url} answered {answer.status_code}")
            content = b""
            async for piece in answer.aiter_bytes(8_192):
                content += piece
                if len(content) > MAX_DOCUMENT_BYTES:
                    raise DiscoveryError(f"{url} answered more than {MAX_DOCUMENT_BYTES} bytes")
        self._client.cookies.clear()
        return strict_json.members(content)

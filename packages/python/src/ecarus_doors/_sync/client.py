"""The client: one caller at one service."""
# Generated from _async by `make generate` (tools/sync_twin.py): change that one.

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Literal, Self

import httpx

from ecarus_doors._sync.people import SyncPeople
from ecarus_doors._sync.raw import SyncRawDoors
from ecarus_doors._sync.runtime import SyncHttp, SyncTransport
from ecarus_doors._sync.session import SyncSession
from ecarus_doors._sync.tokens import SyncTokens
from ecarus_doors._sync.watch import SyncEventStream
from ecarus_doors._sync.watch_many import SyncEventFeed
from ecarus_doors._core.auth import ClientCredentials, RefreshToken
from ecarus_doors._core.retries import Retries
from ecarus_doors._core.settings import (
    HEARTBEAT_TIMEOUT,
    LIMITS,
    LONGEST_ANSWER,
    TIMEOUT,
    USER_AGENT,
    ClientSettings,
    check_transport,
    checked_origin,
    trust,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from ecarus_doors._sync.tokens import SyncStepUp, SyncTokenSource
    from ecarus_doors._core.auth import DpopKey
    from ecarus_doors.errors import DoorsError


class DoorsSync(SyncPeople):
    """A client of the Remote Door Control API, for one caller.

    `with DoorsSync("https://api.example", token=...) as doors:` closes its connections at the end.

    `token` is an access token, a function that returns one (asked before each request), ClientCredentials or
    RefreshToken; `api_key` an `sk_` key instead of it. `dpop` is the key that the tokens are bound to. `on_step_up`
    is called where a request needs a stronger or fresher sign-in: it returns the new token, with which the same
    request is sent again, once; or None. `verify` is the file of a CA or an ssl.SSLContext (a client certificate goes
    into that one). `heartbeat_timeout`: seconds without a word after which an event stream is broken;
    `longest_answer`: bytes that are read. `raw` has every operation of the API by its own name.

    Raise ValueError where nobody says who asks, or a token would go over the network in the clear.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: SyncTokenSource | None = None,
        api_key: str | None = None,
        dpop: DpopKey | None = None,
        on_step_up: SyncStepUp | None = None,
        retries: Retries | None = None,
        timeout: float | httpx.Timeout = TIMEOUT,
        limits: httpx.Limits = LIMITS,
        verify: bool | str | Path | ssl.SSLContext = True,
        heartbeat_timeout: float = HEARTBEAT_TIMEOUT,
        longest_answer: int = LONGEST_ANSWER,
        user_agent: str | None = None,
        transport: SyncTransport | None = None,
    ) -> None:
        source = token if token is not None else api_key
        if source is None or (token is not None and api_key is not None):
            raise ValueError("either token or api_key says who asks")
        if isinstance(source, ClientCredentials | RefreshToken):
            check_transport(source.token_url, "token_url")
        tls = trust(verify)
        self._settings = ClientSettings(
            origin=checked_origin(base_url),
            tls=tls if isinstance(tls, ssl.SSLContext) else None,
            retries=retries or Retries(),
            timeout=httpx.Timeout(timeout),
            user_agent=f"{user_agent} {USER_AGENT}" if user_agent else USER_AGENT,
            heartbeat_timeout=heartbeat_timeout,
            longest_answer=longest_answer,
        )
        self._http = SyncHttp(
            verify=tls,
            limits=limits,
            timeout=self._settings.timeout,
            transport=transport,
            mounts={"http://": None},  # this machine alone: a proxy would read the bearer
        )
        tokens = SyncTokens(source, self._http, dpop=dpop, on_step_up=on_step_up)
        self._session = SyncSession(self._http, self._settings, tokens)
        super().__init__(SyncRawDoors(self._session), self._session)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._settings.origin!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def watch(
        self,
        vin: str,
        *,
        last_event_id: str | None = None,
        give_up_seconds: float | None = None,
        on_reconnect: Callable[[DoorsError | None, float], object] | None = None,
    ) -> SyncEventStream:
        """Return the vehicle's live updates from now on, or from after `last_event_id` on, to be iterated over.

        `on_reconnect` is called each time that the stream is opened again, with the error, if it was one, and the
        seconds until then.
        """
        return SyncEventStream(
            self.raw,
            vin,
            retries=self._settings.retries,
            last_event_id=last_event_id,
            give_up_seconds=give_up_seconds,
            on_reconnect=on_reconnect,
        )

    def watch_many(
        self,
        vins: Iterable[str],
        *,
        types: Sequence[Literal["DOOR_STATUS_UPDATE", "COMMAND_STATUS_UPDATE", "SYSTEM_ALERT"]] | None = None,
        last_event_ids: Mapping[str, str] | None = None,
        on_reconnect: Callable[[DoorsError | None, float], object] | None = None,
    ) -> SyncEventFeed:
        """Return the live updates of up to 200 vehicles, over one WebSocket (extra `websocket`); `on_reconnect` as of
        `watch`.
        """
        return SyncEventFeed(
            self._session,
            vins,
            retries=self._settings.retries,
            types=types,
            last_event_ids=last_event_ids,
            on_reconnect=on_reconnect,
        )

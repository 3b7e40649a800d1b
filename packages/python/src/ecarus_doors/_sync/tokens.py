"""The bearer of each request, and the next one when it is good no longer."""
# Generated from _async by `make generate` (tools/sync_twin.py): change that one.

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import httpx

from ecarus_doors._sync.bodies import read_body
from ecarus_doors._sync.runtime import SyncHttp, SyncLock, settle
from ecarus_doors._core.auth import (
    ClientCredentials,
    DpopKey,
    GivenToken,
    RefreshToken,
    authorization,
    given_token,
    token_request,
)
from ecarus_doors.errors import NO_ANSWER, NoAnswerError

if TYPE_CHECKING:
    from ecarus_doors.errors import DoorsError, StepUpChallenge

LONGEST_TOKEN_ANSWER = 1 << 20
"""Bytes."""
SyncTokenSource = str | Callable[[], str | Awaitable[str]] | ClientCredentials | RefreshToken
SyncStepUp = Callable[["StepUpChallenge"], "str | Awaitable[str | None] | None"]


class SyncTokens:
    """Says who asks, with the token of `source`. A function is asked before each request: let it keep what is still
    good.
    """

    def __init__(
        self,
        source: SyncTokenSource,
        http: SyncHttp,
        *,
        dpop: DpopKey | None = None,
        on_step_up: SyncStepUp | None = None,
    ) -> None:
        self._source, self._http = source, http
        self._dpop, self._on_step_up = dpop, on_step_up
        self._stepped_up: str | None = None
        self._given: GivenToken | None = None
        self._refresh: str | None = None
        self._lock = SyncLock()

    def headers(self, method: str, url: str) -> dict[str, str]:
        """Return the headers of one request to `url`."""
        token = self._token()
        if self._dpop is None:
            return {"Authorization": authorization(token, "Bearer")}
        return {"Authorization": authorization(token, "DPoP"), "DPoP": self._dpop.proof(method, url, token)}

    def renew(self, error: DoorsError, refused: str) -> None:
        """Make the next request go with another token than that of the header `refused`, of which there may be one
        already: two requests that are refused at once ask for one. Raise `error` where there is none.
        """
        token = refused.partition(" ")[2]
        if self._stepped_up is not None:
            self._stepped_up = None if self._stepped_up == token else self._stepped_up
        elif isinstance(self._source, str):
            raise error
        elif self._given is not None and self._given.access == token:
            self._given = None

    def step_up(self, challenge: StepUpChallenge, error: DoorsError) -> None:
        """Have the person sign in as is asked for. Raise `error` where nobody does."""
        if self._on_step_up is None:
            raise error
        token = settle(self._on_step_up(challenge))
        if not token:
            raise error
        self._stepped_up = token

    def _token(self) -> str:
        if self._stepped_up is not None:
            return self._stepped_up
        if isinstance(self._source, str):
            return self._source
        if not isinstance(self._source, ClientCredentials | RefreshToken):
            return settle(self._source())
        with self._lock:
            if self._given is None or time.monotonic() >= self._given.renew_at:
                self._given = self._next(self._source)
            return self._given.access

    def _next(self, grant: ClientCredentials | RefreshToken) -> GivenToken:
        proof = self._dpop.proof("POST", grant.token_url, None) if self._dpop else None
        asked = token_request(grant, self._refresh, proof)
        try:
            # Never sent twice: a refresh token that comes twice ends all that came of the sign-in.
            request = self._http.build_request(
                "POST", asked.url, content=asked.content, headers=dict(asked.headers)
            )
            answer = self._http.send(request, stream=True)
            body = read_body(answer, LONGEST_TOKEN_ANSWER)
        except httpx.RequestError as error:
            raise NoAnswerError(
                f"the issuer did not answer: {type(error).__name__}", code=NO_ANSWER, retryable=True
            ) from error
        given = given_token(answer.status_code, body, time.monotonic(), answer.headers)
        if given.refresh is not None and isinstance(grant, RefreshToken):
            self._refresh = given.refresh
            if grant.on_rotated is not None:
                settle(grant.on_rotated(given.refresh))
        return given

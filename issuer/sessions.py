"""Browsers' sessions: who signed in with what, and which authorization request waits for it."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from issuer.authentication import SESSION_SECONDS, Demand, Factors
from issuer.store import SessionRow, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from issuer.store import IssuerStore

COOKIE = "issuer_session"
_SECRET_BYTES = 32
_MAX_AGE_SECONDS = 31_536_000
_MAX_CLASSES = 10


class DemandMalformedError(ValueError):
    """acr_values, max_age or prompt is not one; the text says which."""


@dataclass
class BrowserSession:
    """One browser's session. `cookie` is its secret; `request` the parameters of what waits, None for nothing."""

    cookie: str
    csrf: str
    account: str | None = None
    factors: Factors = field(default_factory=Factors)
    challenge: str | None = None
    request: dict[str, str] | None = None
    asked_at: int = 0

    def shown(self, account: str, method: str, at: int) -> None:
        """Note a factor. Another person's are not kept beside it, and the cookie is a new one (session fixation)."""
        before = self.factors if self.account == account else Factors()
        self.account, self.factors, self.challenge = account, before.shown(method, at), None


class BrowserSessions:
    """The sessions there are."""

    def __init__(self, store: IssuerStore, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now

    def find(self, cookie: str | None) -> BrowserSession:
        """Return the browser's session, or a new one that is not kept yet."""
        if cookie:
            with self._store.transaction() as session:
                row = session.get(SessionRow, digest(cookie))
            if row is not None and row.expires_at > self._now():
                return BrowserSession(
                    cookie,
                    row.csrf,
                    row.account,
                    Factors(json.loads(row.factors)),
                    row.challenge,
                    json.loads(row.request) if row.request else None,
                    row.asked_at,
                )
        return BrowserSession(secrets.token_urlsafe(_SECRET_BYTES), secrets.token_urlsafe(_SECRET_BYTES))

    def keep(self, browser: BrowserSession) -> None:
        """Keep it as it is now."""
        with self._store.transaction() as session:
            row = session.get(SessionRow, digest(browser.cookie))
            row = row or SessionRow(session_hash=digest(browser.cookie), csrf=browser.csrf, expires_at=0)
            row.account, row.factors = browser.account, json.dumps(browser.factors.times)
            row.challenge, row.asked_at = browser.challenge, browser.asked_at
            row.request = json.dumps(browser.request) if browser.request is not None else None
            row.expires_at = int(self._now()) + SESSION_SECONDS
            session.add(row)

    def renew(self, browser: BrowserSession) -> None:
        """Keep it under a new cookie, and know the old one no longer."""
        self.drop(browser)
        browser.cookie = secrets.token_urlsafe(_SECRET_BYTES)
        browser.csrf = secrets.token_urlsafe(_SECRET_BYTES)
        self.keep(browser)

    def drop(self, browser: BrowserSession) -> None:
        """Know it no longer."""
        with self._store.transaction() as session:
            row = session.get(SessionRow, digest(browser.cookie))
            if row is not None:
                session.delete(row)


def demand_in(parameters: Mapping[str, str], asked_at: int) -> Demand:
    """Return what a request asks of the sign-in. Raises DemandMalformedError."""
    classes = tuple(parameters.get("acr_values", "").split())
    if len(classes) > _MAX_CLASSES:
        raise DemandMalformedError("acr_values are too many")
    max_age = parameters.get("max_age")
    if max_age is not None and not (
        max_age.isascii() and max_age.isdecimal() and int(max_age[:10]) <= _MAX_AGE_SECONDS
    ):
        raise DemandMalformedError("max_age is not a number of seconds")
    prompt = parameters.get("prompt", "")
    if prompt not in {"", "none", "login"}:
        raise DemandMalformedError("prompt is none or login")
    return Demand(classes, int(max_age) if max_age is not None else None, prompt, asked_at)

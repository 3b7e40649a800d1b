"""The phones there are, what each received, and what its push service is to do wrong."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_PHONES = 100
MAX_RECEIVED = 200
"""So many messages a phone shows; the oldest go."""
MAX_FAILURES = 1_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,31}")


class PhoneError(Exception):
    """What was asked of a phone cannot be; `status` is HTTP's."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class PhoneKind(StrEnum):
    """Through which push service a phone is reached."""

    FCM = "FCM"
    APNS = "APNS"
    WEB_PUSH = "WEB_PUSH"


class PhoneFailure(StrEnum):
    """What the push service does instead of taking a message for a phone."""

    THROTTLED = "THROTTLED"
    """429"""
    GONE = "GONE"
    """The token is dead: 410, or FCM's UNREGISTERED"""
    UNAVAILABLE = "UNAVAILABLE"
    """503"""
    HANG = "HANG"
    """No answer at all"""
    RESET_STREAM = "RESET_STREAM"
    RESET_CONNECTION = "RESET_CONNECTION"
    REDIRECT = "REDIRECT"
    """307 to somewhere else"""


@dataclass(frozen=True, slots=True)
class FailureOrder:
    """A failure, and after how many seconds the push service says to try again (None: it does not say)."""

    failure: PhoneFailure
    retry_after: int | None = None


@dataclass(slots=True)
class Phone:
    """A phone with one app. `secrets` are a Web Push subscription's (web_push_keys)."""

    name: str
    kind: PhoneKind
    token: str
    secrets: dict[str, str] = field(default_factory=dict)
    received: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MAX_RECEIVED))
    failures: deque[FailureOrder] = field(default_factory=deque)
    count: int = 0
    """How many messages it has received in all."""


class PhoneDirectory:
    """The phones, kept in a file (their inboxes are not). `changed` is told of every message."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._phones: dict[str, Phone] = {}
        self._by_token: dict[tuple[PhoneKind, str], Phone] = {}
        self._received = asyncio.Condition()
        for members in json.loads(file.read_bytes()) if file is not None and file.is_file() else []:
            self._enter(
                Phone(members["name"], PhoneKind(members["kind"]), members["token"], dict(members["secrets"]))
            )

    def __iter__(self) -> Iterator[Phone]:
        return iter(self._phones.values())

    def named(self, name: str) -> Phone:
        """Return the phone. Raises PhoneError."""
        if (phone := self._phones.get(name)) is None:
            raise PhoneError(404, "there is no such phone")
        return phone

    def with_token(self, kind: PhoneKind, token: str) -> Phone | None:
        """Return the phone that a push service knows by this token."""
        return self._by_token.get((kind, token))

    def add(self, phone: Phone) -> None:
        """Add a phone. Raises PhoneError."""
        if not _NAME.fullmatch(phone.name):
            raise PhoneError(422, "a name has 1 to 32 letters, digits and hyphens")
        if phone.name in self._phones:
            raise PhoneError(409, "there is a phone of this name")
        if len(self._phones) >= MAX_PHONES:
            raise PhoneError(409, f"there are {MAX_PHONES} phones already")
        self._enter(phone)
        self._keep()

    def remove(self, name: str) -> None:
        """Remove a phone: its token is dead from now on. Raises PhoneError."""
        phone = self.named(name)
        del self._phones[name]
        del self._by_token[phone.kind, phone.token]
        self._keep()

    def fail(self, phone: Phone, order: FailureOrder, times: int) -> None:
        """Have the next `times` messages for it fail. Raises PhoneError."""
        if not 1 <= times <= MAX_FAILURES - len(phone.failures):
            raise PhoneError(422, f"up to {MAX_FAILURES} failures may be waiting")
        phone.failures.extend([order] * times)

    async def receive(self, phone: Phone, message: dict[str, Any]) -> None:
        """Show a message on the phone."""
        async with self._received:
            phone.count += 1
            phone.received.append({"number": phone.count, **message})
            self._received.notify_all()

    async def until_received(self, phone: Phone, count: int, seconds: float) -> None:
        """Return once it has received so many in all, or the time is over."""
        async with self._received:
            try:
                async with asyncio.timeout(seconds):
                    await self._received.wait_for(lambda: phone.count >= count)
            except TimeoutError:
                return

    def _enter(self, phone: Phone) -> None:
        self._phones[phone.name] = phone
        self._by_token[phone.kind, phone.token] = phone

    def _keep(self) -> None:
        if self._file is None:
            return
        members = [
            {"name": each.name, "kind": each.kind, "token": each.token, "secrets": each.secrets}
            for each in self
        ]
        fresh = self._file.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            json.dump(members, out)
        fresh.replace(self._file)

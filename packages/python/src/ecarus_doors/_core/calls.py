"""One operation as it is asked for: how it is sent, and what its answers are read as."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import quote, urlencode

from ecarus_doors._core.codec import Model, decode, encode, time_text
from ecarus_doors.errors import InvalidAnswerError

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")
CORRELATION_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
READS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True)
class Call(Generic[T]):
    """An operation with its arguments. `answers` are the kinds of its good statuses; `path` is a template of
    `values`.
    """

    operation: str
    method: str
    template: str
    answers: Mapping[int, type]
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, object] = field(default_factory=dict)
    body: Model | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    correlation_id: str | None = None

    @property
    def changes(self) -> bool:
        """Whether it changes anything, so that nobody knows what became of it when its answer is lost."""
        return self.method not in READS

    def target(self) -> str:
        """Return path and query. An empty value in the path raises ValueError."""
        for name, value in self.path.items():
            if not value or value in {".", ".."}:
                raise ValueError(f"{name}: a value is needed, not {value!r}")
        quoted = {name: quote(value, safe="") for name, value in self.path.items()}
        path = re.sub(r"\{(\w+)\}", lambda found: quoted[found[1]], self.template)
        query = urlencode(
            {name: _query_text(value) for name, value in self.query.items() if value is not None}
        )
        return f"{path}?{query}" if query else path

    def content(self) -> bytes | None:
        """Return the body as it is sent."""
        if self.body is None:
            return None
        return json.dumps(encode(self.body), ensure_ascii=False, separators=(",", ":")).encode()

    def read(self, status: int, body: bytes) -> T:
        """Return a good answer. Raise InvalidAnswerError where it is none of this operation's."""
        kind = self.answers.get(status) or next(iter(self.answers.values()))
        if kind is bytes:
            return body  # type: ignore[return-value]  # what `answers` says
        try:
            if kind is str:
                return body.decode()  # type: ignore[return-value]  # what `answers` says
            return decode(kind, json.loads(body))
        except (ValueError, RecursionError) as error:
            raise InvalidAnswerError(
                f"{self.operation} was answered with {status} and no such document"
            ) from error


def new_correlation_id() -> str:
    """Return a fresh correlation id: 128 random bits."""
    return secrets.token_hex(16)


def checked_correlation_id(given: str | None) -> str:
    """Return the id that was given, or a fresh one. Raise ValueError where it could not be sent."""
    if given is None:
        return new_correlation_id()
    if not CORRELATION_ID.fullmatch(given):
        raise ValueError("a correlation id is 1 to 64 of A-Z a-z 0-9 . _ -")
    return given


def _query_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return time_text(value)
    plain: Any = encode(value)
    return str(plain)

"""Structured logs: one JSON object a line on standard error.

A log only observes: whatever becomes of a line, the code that logs goes on as if it had been written. So
nothing here raises, and nothing here waits for whoever reads the log. What could not be written is
counted, and the count is the first thing that is written when there is room again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import select
import stat
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO, cast

import structlog

from services.platform.clock import CLOCK

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

_ROOM_IN_A_PIPE = select.PIPE_BUF
"""A pipe that takes anything at all takes this much without blocking (POSIX, PIPE_BUF)."""
_IDENTIFIER = re.compile(r"[A-Z0-9]{17}")
_IDENTIFIER_IN_TEXT = re.compile(r"\b[A-Z0-9]{17}\b", re.IGNORECASE)
"""What a message is about, of which logs hold no whole one: whatever is of this form, be it one or not."""


class LogStream:
    """A descriptor that lines are written to. It never raises, and never blocks on a pipe, socket or terminal.

    A line that finds no room (the disk is full, the reader of the pipe is slow or gone) is dropped and
    counted. A regular file is written to directly: a disk gives no sign of whether it would be slow.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._service: select.poll | None = None
        self._torn = False
        self.lost = 0
        """Lines dropped since the last one that was written."""
        with contextlib.suppress(OSError):  # a closed descriptor: every line will be lost, and counted
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                self._service = select.poll()
                self._service.register(descriptor, select.POLLOUT)

    def write(self, text: str) -> int:
        """Write these whole lines, or drop them. Always the length of `text`, as a file says it."""
        line = text.encode("utf-8", "backslashreplace")
        if self._torn:
            line = b"\n" + line
        if self.lost:
            note = {"event": "log_lines_lost", "level": "warning", "count": self.lost, "timestamp": _now()}
            line = b"\n" * self._torn + json.dumps(note).encode() + b"\n" + line.lstrip(b"\n")
        written = 0
        try:
            while written < len(line):
                if self._service is None:
                    written += os.write(self._descriptor, line[written:])
                elif self._takes_more():
                    written += os.write(self._descriptor, line[written : written + _ROOM_IN_A_PIPE])
                else:
                    break
        except OSError:
            pass  # there is nowhere to say so: the count below is what is told, once there is
        if written == len(line):
            self._torn, self.lost = False, 0
        else:
            self._torn = self._torn or written > 0
            self.lost += text.count("\n") or 1
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def _takes_more(self) -> bool:
        return self._service is not None and any(ready & select.POLLOUT for _, ready in self._service.poll(0))


class _JsonLine(logging.Formatter):
    """A library's record as one line of JSON, its traceback included."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "service": self._service,
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def configure(level: str, service: str, stream: TextIO | None = None) -> None:
    """Write structlog's and the standard library's records alike, at `level` and above.

    They go to `stream`, by default a LogStream on standard error; what else is printed to standard error
    goes the same way. Whatever `stream` or a value in a record does, no call of a logger raises.
    """
    if stream is None:
        stream = sys.stderr = cast("TextIO", LogStream(sys.stderr.fileno()))
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=_unfailing(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_JsonLine(service))
    logging.basicConfig(level=max(logging.getLevelNamesMapping()[level], logging.WARNING), handlers=[handler])
    # Its last resort for a record that cannot be formatted or written is a traceback, on the same stream.
    logging.raiseExceptions = False


def _unfailing(level: int) -> type[FilteringBoundLogger]:
    """Return a logger's class that says in place of a record that it could not be written, where that can be said."""

    class Unfailing(structlog.make_filtering_bound_logger(level)):  # type: ignore[misc]  # made at run time
        def _proxy_to_logger(self, method_name: str, event: Any = None, *args: Any, **fields: Any) -> Any:
            try:
                return super()._proxy_to_logger(method_name, event, *args, **fields)
            except Exception as error:  # noqa: BLE001  # what only observes never fails what it observes
                with contextlib.suppress(Exception):
                    note = {
                        "event": "log_failed",
                        "level": "error",
                        "record": str(event),
                        "timestamp": _now(),
                    }
                    self._logger.msg(json.dumps({**note, "reason": type(error).__name__}))

    return cast("type[FilteringBoundLogger]", Unfailing)


def _now() -> str:
    return CLOCK.now().isoformat().replace("+00:00", "Z")


def masked_id(whole: str) -> str:
    """Return an identifier as logs may hold it: the first three and the last four characters."""
    return f"{whole[:3]}…{whole[-4:]}" if len(whole) > 7 else "…"  # noqa: PLR2004  # three and four


def person_tag(principal: str) -> str:
    """Return what logs call a person: the same for the same one, and no name. Whoever has a name can find out whether
    it is theirs: it is a pseudonym.
    """
    return f"p-{hashlib.sha256(principal.encode()).hexdigest()[:12]}"


def kind_of(subject: str) -> str:
    """Return a message's subject without the identifier in it."""
    return ".".join("*" if _IDENTIFIER.fullmatch(word) else word for word in subject.split("."))


def without_identifiers(text: str) -> str:
    """Return what others say, without identifiers, whatever their letters have become."""
    return _IDENTIFIER_IN_TEXT.sub("*", text)

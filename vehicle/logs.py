"""The unit's log: one JSON object a line. It only observes, so it never fails and never delays what it observes."""

from __future__ import annotations

import contextlib
import os
import select
import stat
from typing import TYPE_CHECKING, Any, TextIO, cast

import structlog

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


class AgentLogStream:
    """A descriptor for whole lines: it never raises, never waits for a reader, and drops what finds no room."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._readiness: select.poll | None = None
        self._torn = False
        with contextlib.suppress(OSError):  # a closed descriptor: every line will be dropped
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                self._readiness = select.poll()
                self._readiness.register(descriptor, select.POLLOUT)

    def write(self, text: str) -> int:
        """Write it, or drop it."""
        line = b"\n" * self._torn + text.encode("utf-8", "backslashreplace")
        # What can be polled takes PIPE_BUF bytes without blocking, or is not ready; a file takes all.
        step = len(line) if self._readiness is None else select.PIPE_BUF
        written = 0
        with contextlib.suppress(OSError):  # no room, or nobody there: there is nowhere to say so
            while written < len(line) and self._is_ready():
                written += os.write(self._descriptor, line[written : written + step])
        if written:
            self._torn = written < len(line)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def _is_ready(self) -> bool:
        return self._readiness is None or any(ready & select.POLLOUT for _, ready in self._readiness.poll(0))


def configure(level: int, stream: AgentLogStream) -> None:
    """Write what is logged at `level` and above to `stream`."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=_unfailing(level),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", stream)),
    )


def _unfailing(level: int) -> type[FilteringBoundLogger]:
    class Unfailing(structlog.make_filtering_bound_logger(level)):  # type: ignore[misc]  # made at run time
        def _proxy_to_logger(self, method_name: str, event: Any = None, *args: Any, **fields: Any) -> Any:
            try:
                return super()._proxy_to_logger(method_name, event, *args, **fields)
            except Exception as error:  # noqa: BLE001  # a value that cannot be written is no reason to stop
                with contextlib.suppress(Exception):
                    self._logger.msg(f'{{"event": "log_failed", "reason": "{type(error).__name__}"}}')

    return cast("type[FilteringBoundLogger]", Unfailing)

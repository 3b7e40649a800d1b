"""Live updates: their places in the log, what a reader gets of them, and why a stream of them ends. Rules only."""

from __future__ import annotations

import math
from dataclasses import dataclass

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class StreamEndedError(Exception):
    """A stream of updates ends before its reader wanted it to."""


class ReaderTooSlowError(StreamEndedError):
    """This reader is too far behind its updates, in time or in bytes."""


class StreamEvictedError(StreamEndedError):
    """There were too many streams, and this one was the oldest of whoever had the most."""


class ShuttingDownError(StreamEndedError):
    """This process goes away; another one takes over."""


class TooManyStreamsError(Exception):
    """This process serves as many streams as it can."""


class ForeignUpdateError(Exception):
    """A live update that its publisher may not tell of; the text is who that was."""


class LogUnavailableError(Exception):
    """What was missed cannot be looked up now."""


@dataclass(frozen=True, slots=True)
class LogPosition:
    """A place in the log of updates: `epoch` names the log, `sequence` counts within it."""

    epoch: str
    sequence: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.sequence}"


UNKNOWN_PLACE = LogPosition("", 0)
"""No place in any log."""


def base36(number: int) -> str:
    """Return `number`, not negative, in digits and small letters."""
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
        if number == 0:
            return digits


@dataclass(slots=True)
class Update:
    """One update on its way to readers. `rendered` and `watched` are made by the first who sends it so,
    for all.

    `subject` is where the broker keeps it: it names the vehicle, and the service that published it.
    """

    position: LogPosition
    payload: bytes
    subject: str = ""
    rendered: object = None
    watched: object = None
    published_at: float = math.inf
    """By the broker's clock, seconds since 1970; known of what is read from the log."""


@dataclass(frozen=True, slots=True)
class Reset:
    """From here on; what came before is not known any more."""

    position: LogPosition


class Heartbeat:
    """Nothing happened; the stream lives."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the log of updates still keeps."""

    epoch: str
    first_sequence: int
    last_sequence: int

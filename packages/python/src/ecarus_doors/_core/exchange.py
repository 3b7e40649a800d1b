"""What follows an answer, or that there was none: it is what was asked for, the same request is sent again, or it
failed.

No connection is touched here: both halves of the package do what this says.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from ecarus_doors._core.calls import Call, T, checked_correlation_id
from ecarus_doors._core.problems import PASSING, challenge_of, error_of
from ecarus_doors.errors import NO_ANSWER, AuthenticationError, DoorsError, InvalidAnswerError, NoAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ecarus_doors._core.retries import Retries
    from ecarus_doors.errors import StepUpChallenge

UNAUTHENTICATED = 401
STALE = frozenset({"TOKEN_EXPIRED", "TOKEN_INVALID"})
"""What a fresh token may mend."""


def failed_call(error: Exception, correlation_id: str | None) -> NoAnswerError:
    """Return what a caller's function raised as an error of a request that may have been carried out."""
    return NoAnswerError(
        f"the request could not be sent again: {type(error).__name__}",
        code=NO_ANSWER,
        correlation_id=correlation_id,
        may_have_succeeded=True,
    )


@dataclass(frozen=True)
class Answered(Generic[T]):
    """The answer."""

    value: T
    status: int


@dataclass(frozen=True)
class SendAgain:
    """Send the same request once more, in `after` seconds."""

    after: float


@dataclass(frozen=True)
class RenewToken:
    """Ask for another token and send the same request with it; where there is none, raise `error`."""

    error: DoorsError


@dataclass(frozen=True)
class StepUp:
    """Have the person sign in as `challenge` says, and send the same request; where they do not, raise `error`."""

    challenge: StepUpChallenge
    error: DoorsError


class Exchange(Generic[T]):
    """One operation, from its first request to its end: each of its requests has the same correlation id and body.

    Where an answer was lost, the service knows the id and gives the first answer again (docs: Requests), so that
    nothing is done twice. What may have happened at any attempt may have happened, whatever a later one says.
    """

    def __init__(
        self, call: Call[T], retries: Retries, *, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.call = call
        self.correlation_id = checked_correlation_id(call.correlation_id)
        self.authorization = ""
        """The header of the last request."""
        self._retries, self._clock = retries, clock
        self._ends = clock() + seconds
        self._attempt = 0
        self._may_have_succeeded = False
        self._is_renewed = False
        self._is_stepped_up = False

    def begin(self) -> None:
        """Count an attempt."""
        self._attempt += 1

    def on_answer(
        self, status: int, headers: Mapping[str, str], body: bytes
    ) -> Answered[T] | SendAgain | RenewToken | StepUp:
        """Return what follows an answer. Raise DoorsError where it is the end."""
        if status in self.call.answers:
            return Answered(self._read(status, body), status)
        error = error_of(status, headers, body, self.correlation_id, changes=self.call.changes)
        self._may_have_succeeded = self._may_have_succeeded or error.may_have_succeeded
        if status == UNAUTHENTICATED:
            return self._on_unauthenticated(headers, error)
        if status in PASSING and error.retryable:
            return self._again(error)
        raise self._ended(error)

    def _read(self, status: int, body: bytes) -> T:
        try:
            return self.call.read(status, body)
        except InvalidAnswerError as error:
            error.status = status
            raise self.unread(error) from error.__cause__

    def unread(self, error: InvalidAnswerError) -> InvalidAnswerError:
        """Return the error of an answer that cannot be read: it was done, only what was said of it is not known."""
        error.correlation_id = self.correlation_id
        error.may_have_succeeded = self.call.changes
        return error

    def on_no_answer(self, reason: str, *, was_sent: bool) -> SendAgain:
        """Return what follows when no answer came. `was_sent`: whether the request may have arrived."""
        error = NoAnswerError(
            reason,
            code=NO_ANSWER,
            correlation_id=self.correlation_id,
            retryable=True,
            may_have_succeeded=was_sent and self.call.changes,
        )
        return self._again(error)

    @contextmanager
    def asking_for_token(self) -> Iterator[None]:
        """Tell of what fails while a token is had as of this request: an earlier attempt may have been carried out, and
        then what a caller's function raises is a NoAnswerError that says so.
        """
        try:
            yield
        except DoorsError as error:
            error.correlation_id = error.correlation_id or self.correlation_id
            self._ended(error)
            raise
        except Exception as error:
            if not self._may_have_succeeded:
                raise
            raise failed_call(error, self.correlation_id) from error

    def _on_unauthenticated(self, headers: Mapping[str, str], error: DoorsError) -> RenewToken | StepUp:
        challenge = challenge_of(headers, error, self.call.operation, self.correlation_id)
        if isinstance(error, AuthenticationError):
            error.challenge = challenge
        self._ended(error)
        if challenge is not None and not self._is_stepped_up:
            self._is_stepped_up = True
            return StepUp(challenge, error)
        if challenge is None and error.code in STALE and not self._is_renewed:
            self._is_renewed = True
            return RenewToken(error)
        raise error

    def _again(self, error: DoorsError) -> SendAgain:
        self._may_have_succeeded = self._may_have_succeeded or error.may_have_succeeded
        pause = self._retries.pause(self._attempt, error.retry_after)
        if self._attempt >= self._retries.attempts or self._clock() + pause > self._ends:
            raise self._ended(error)
        return SendAgain(pause)

    def _ended(self, error: DoorsError) -> DoorsError:
        error.may_have_succeeded = error.may_have_succeeded or self._may_have_succeeded
        return error

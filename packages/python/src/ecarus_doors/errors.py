"""What can go wrong, by what to do about it. Each says whether something may have happened all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NO_ANSWER = "NO_ANSWER"
"""`code` where nothing was answered: no connection, or it was lost."""
INVALID_ANSWER = "INVALID_ANSWER"
"""`code` where an answer came that is none of the API's: something else stands in front of it."""
COMMAND_NOT_DONE = "COMMAND_NOT_DONE"
"""`code` of CommandNotDoneError."""


class DoorsError(Exception):
    """A request was refused, or nobody knows what became of it.

    `code` is the API's word for it (models.ErrorCode has those of this version), or NO_ANSWER, INVALID_ANSWER. `status`
    is that of HTTP; None where nothing was answered. `may_have_succeeded` is true where the request may have been
    carried out all the same: do not say that it was not. `retryable`: the same request may succeed later.
    `retry_after`: seconds until then, where it is known. `errors` are the fields that are wrong, each with `field`
    and `reason`; `door_results` what became of each door; `problem` the whole document (RFC 9457).
    """

    def __init__(
        self,
        detail: str,
        *,
        code: str,
        status: int | None = None,
        title: str = "",
        correlation_id: str | None = None,
        command_id: str | None = None,
        retryable: bool = False,
        may_have_succeeded: bool = False,
        retry_after: float | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
        door_results: Sequence[Mapping[str, Any]] = (),
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.status = status
        self.title = title
        self.correlation_id = correlation_id
        self.command_id = command_id
        self.retryable = retryable
        self.may_have_succeeded = may_have_succeeded
        self.retry_after = retry_after
        self.errors = tuple(errors)
        self.door_results = tuple(door_results)
        self.problem = dict(problem or {})

    def __str__(self) -> str:
        about = "; it may have been carried out all the same" if self.may_have_succeeded else ""
        fields = "".join(f"; {each.get('field')}: {each.get('reason')}" for each in self.errors)
        return f"{self.code}: {self.detail}{fields}{about}"


class InvalidRequestError(DoorsError):
    """The request is wrong (400, 413, 415, 422): change it."""


class AuthenticationError(DoorsError):
    """Nobody is signed in, or not strongly or freshly enough (401): `challenge` says what is missing."""

    def __init__(self, detail: str, **rest: Any) -> None:
        super().__init__(detail, **rest)
        self.challenge: StepUpChallenge | None = None


class PermissionDeniedError(DoorsError):
    """Who asks may not do this (403)."""


class NotFoundError(DoorsError):
    """There is no such thing, or none that the caller may know of (404)."""


class ConflictError(DoorsError):
    """Not now: the vehicle or the thing is in another state (409). `retryable` says whether that passes."""


class RateLimitedError(DoorsError):
    """Too often (429): `retry_after` says when to come again."""


class UnavailableError(DoorsError):
    """A part of the service is away (5xx)."""


class NoAnswerError(DoorsError):
    """Nothing was answered: there is no connection, or it was lost while the answer was waited for."""


class InvalidAnswerError(DoorsError):
    """An answer came that is none of the API's."""

    def __init__(self, detail: str, **rest: Any) -> None:
        super().__init__(detail, code=INVALID_ANSWER, **rest)


class CommandNotDoneError(DoorsError):
    """A command ended otherwise than with success: of CommandResult.raise_for_status. `code` is COMMAND_NOT_DONE."""


class StepUpChallenge:
    """What sign-in a request needs (RFC 9470): one of the classes `acr_values`, at most `max_age` seconds old."""

    __slots__ = ("acr_values", "correlation_id", "max_age", "operation")

    def __init__(
        self, acr_values: str | None, max_age: int | None, *, operation: str, correlation_id: str
    ) -> None:
        self.acr_values = acr_values
        self.max_age = max_age
        self.operation = operation
        self.correlation_id = correlation_id

    def __repr__(self) -> str:
        return (
            f"StepUpChallenge({self.operation!r}, acr_values={self.acr_values!r}, max_age={self.max_age!r})"
        )

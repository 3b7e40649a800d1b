"""Refusals as exceptions: problem documents (RFC 9457), challenges (RFC 9470), and answers that are neither."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from ecarus_doors.errors import (
    AuthenticationError,
    ConflictError,
    DoorsError,
    InvalidAnswerError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    StepUpChallenge,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS: dict[int, type[DoorsError]] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    413: InvalidRequestError,
    415: InvalidRequestError,
    422: InvalidRequestError,
    429: RateLimitedError,
}
PASSING = frozenset({429, 502, 503, 504})
"""Statuses that pass: whoever answers so."""
CLIENT_FAULT, SERVER_FAULT = 400, 500
LONGEST_DETAIL = 500
LONGEST_RETRY_AFTER = 86_400.0
_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s",]+))')


def error_of(
    status: int, headers: Mapping[str, str], body: bytes, correlation_id: str, *, changes: bool
) -> DoorsError:
    """Return a refusal as an exception. `headers` are looked up in lower case; `changes`: whether the request would
    have changed something.
    """
    problem = _problem(headers, body) if status >= CLIENT_FAULT else None
    is_doubtful = changes and not CLIENT_FAULT <= status < SERVER_FAULT
    retry_after = retry_after_of(headers)
    if problem is None:
        return _without_document(status, correlation_id, retry_after, is_doubtful=is_doubtful)
    said = problem.get("mayHaveSucceeded")
    kind = KINDS.get(status, UnavailableError if status >= SERVER_FAULT else DoorsError)
    return kind(
        _text(problem, "detail") or _text(problem, "title") or f"refused with status {status}",
        code=_text(problem, "code") or "UNKNOWN",
        status=status,
        title=_text(problem, "title") or "",
        correlation_id=_text(problem, "correlationId") or correlation_id,
        command_id=_text(problem, "commandId"),
        retryable=problem.get("retryable") is True,
        may_have_succeeded=is_doubtful if said is None else said is True,
        retry_after=retry_after,
        errors=_objects(problem, "errors"),
        door_results=_objects(problem, "doorResults"),
        problem=problem,
    )


def challenge_of(
    headers: Mapping[str, str], error: DoorsError, operation: str, correlation_id: str
) -> StepUpChallenge | None:
    """Return what sign-in is asked for, from the challenge or the document; None where it is another refusal."""
    said = headers.get("www-authenticate", "")
    parameters = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(said)}
    if parameters.get("error") != "insufficient_user_authentication" and error.code != "STEP_UP_REQUIRED":
        return None
    acr_values = parameters.get("acr_values") or _text(error.problem, "acrValues")
    told = parameters.get("max_age") or error.problem.get("maxAge")
    max_age = int(told) if isinstance(told, int) or (isinstance(told, str) and told.isdigit()) else None
    return StepUpChallenge(acr_values, max_age, operation=operation, correlation_id=correlation_id)


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of `Retry-After`, a number or a date; None where it is neither."""
    said = headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():
        return min(float(said[:9]), LONGEST_RETRY_AFTER)
    try:
        until = parsedate_to_datetime(said)
    except ValueError:
        return None
    if until.tzinfo is None:
        return None
    return min(max(0.0, (until - datetime.now(UTC)).total_seconds()), LONGEST_RETRY_AFTER)


def _problem(headers: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
    if "json" not in headers.get("content-type", ""):
        return None
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) and "code" in document else None


def _without_document(
    status: int, correlation_id: str, retry_after: float | None, *, is_doubtful: bool
) -> DoorsError:
    if status == 429:  # noqa: PLR2004  # Too Many Requests
        return RateLimitedError(
            "something in front of the service answered that this is too often",
            code="RATE_LIMITED",
            status=status,
            correlation_id=correlation_id,
            retryable=True,
            retry_after=retry_after,
        )
    return InvalidAnswerError(
        f"status {status} without a problem document: something that is not the service answered",
        status=status,
        correlation_id=correlation_id,
        retryable=status in PASSING,
        may_have_succeeded=is_doubtful,
        retry_after=retry_after,
    )


def _text(problem: Mapping[str, Any], name: str) -> str | None:
    value = problem.get(name)
    return value[:LONGEST_DETAIL] if isinstance(value, str) else None


def _objects(problem: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    value = problem.get(name)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []

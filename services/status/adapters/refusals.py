"""How the refusals of this service are told, and why a stream ends."""

from __future__ import annotations

from services.platform import errors
from services.platform.errors import Refusal
from services.status.domain import doors as domain
from services.status.domain import updates
from services.status.domain.event_stream import GAVE_WAY_RETRY_MILLISECONDS
from services.status.domain.rights import EndingCause, WatchRightEndedError

_RIGHT_ENDED = {
    EndingCause.GRANT: (errors.ACTION_NOT_GRANTED, "Your right to watch this vehicle has ended."),
    EndingCause.ACCOUNT: (
        errors.ACCOUNT_LOCKED,
        "This account is locked and watches nothing; contact customer support to unlock it.",
    ),
    EndingCause.CREDENTIAL: (
        errors.TOKEN_INVALID,
        "What you signed in with is not accepted any more; sign in again.",
    ),
    EndingCause.CASE: (
        errors.TOKEN_INVALID,
        "The case because of which you watched this vehicle was closed; open another case.",
    ),
    EndingCause.TOKEN: (
        errors.TOKEN_EXPIRED,
        "The token has expired; get a new one and resume with your last id.",
    ),
}


def ended_refusal(error: updates.StreamEndedError) -> Refusal:
    """Return why a stream ends, and what its reader can do."""
    if isinstance(error, WatchRightEndedError):
        return Refusal(*_RIGHT_ENDED[error.cause])
    if isinstance(error, updates.StreamEvictedError):
        return Refusal(
            errors.RATE_LIMITED,
            "A newer stream took the place of this one, the oldest of those you have; close what you do not read.",
            retry_after_seconds=GAVE_WAY_RETRY_MILLISECONDS // 1_000,
        )
    if isinstance(error, updates.ReaderTooSlowError):
        return Refusal(
            errors.RATE_LIMITED,
            "You are too far behind your updates; resume with your last id.",
            retry_after_seconds=1,
        )
    return Refusal(
        errors.DEPENDENCY_UNAVAILABLE,
        "This instance is shutting down; resume with your last id.",
        retry_after_seconds=1,
    )


def refusal_of(error: Exception) -> Refusal | None:
    """Return what the caller reads of this service's own exceptions."""
    if isinstance(error, domain.StatusNotYetReportedError):
        return Refusal(
            errors.NOT_YET_REPORTED,
            "The vehicle has not reported yet. One that sleeps is woken by a command (lock, unlock), and reports then.",
            retry_after_seconds=5,
        )
    if isinstance(error, updates.StreamEndedError):
        return ended_refusal(error)
    if isinstance(error, updates.TooManyStreamsError):
        return Refusal(
            errors.RATE_LIMITED,
            "All streams of this instance are taken; try again shortly.",
            retry_after_seconds=5,
        )
    if isinstance(error, updates.LogUnavailableError):
        return Refusal(
            errors.DEPENDENCY_UNAVAILABLE,
            "What you missed cannot be looked up now; try again shortly.",
            retry_after_seconds=2,
        )
    return None

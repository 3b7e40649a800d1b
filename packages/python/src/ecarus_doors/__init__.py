"""Lock, unlock and watch vehicles over the Remote Door Control API.

    async with Doors("https://api.example", token=token) as doors:
        result = await doors.unlock(vin, wait=30)

`DoorsSync` is the same without asyncio. What goes wrong is a DoorsError, which says whether something may have
happened all the same; `models` has the API's messages and words.
"""

from ecarus_doors import models
from ecarus_doors._async.client import Doors
from ecarus_doors._async.watch import AsyncEventStream as EventStream
from ecarus_doors._async.watch_many import AsyncEventFeed as EventFeed
from ecarus_doors._core.auth import ClientCredentials, DpopKey, RefreshToken
from ecarus_doors._core.events import Event, StreamEnd
from ecarus_doors._core.results import CommandResult
from ecarus_doors._core.retries import NO_RETRIES, Retries
from ecarus_doors._sync.client import DoorsSync
from ecarus_doors._sync.watch import SyncEventStream as EventStreamSync
from ecarus_doors._sync.watch_many import SyncEventFeed as EventFeedSync
from ecarus_doors._version import VERSION
from ecarus_doors.errors import (
    AuthenticationError,
    CommandNotDoneError,
    ConflictError,
    DoorsError,
    InvalidAnswerError,
    InvalidRequestError,
    NoAnswerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    StepUpChallenge,
    UnavailableError,
)

__version__ = VERSION
__all__ = [
    "NO_RETRIES",
    "VERSION",
    "AuthenticationError",
    "ClientCredentials",
    "CommandNotDoneError",
    "CommandResult",
    "ConflictError",
    "Doors",
    "DoorsError",
    "DoorsSync",
    "DpopKey",
    "Event",
    "EventFeed",
    "EventFeedSync",
    "EventStream",
    "EventStreamSync",
    "InvalidAnswerError",
    "InvalidRequestError",
    "NoAnswerError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitedError",
    "RefreshToken",
    "Retries",
    "StepUpChallenge",
    "StreamEnd",
    "UnavailableError",
    "models",
]

"""What threads do otherwise than asyncio: the one module, beside its namesake in `_async`, that is written twice."""

from __future__ import annotations

import inspect
import threading
import time
from typing import TYPE_CHECKING, TypeVar

import httpx

if TYPE_CHECKING:
    from collections.abc import Awaitable

SyncHttp = httpx.Client
SyncTransport = httpx.BaseTransport
SyncLock = threading.Lock
_T = TypeVar("_T")


def sleep(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)


def settle(value: _T | Awaitable[_T]) -> _T:
    """Return what a caller's function gave. Raise TypeError where that is to be awaited."""
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        raise TypeError("an async function was given to DoorsSync: give a plain one, or use Doors")
    return value

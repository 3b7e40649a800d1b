"""What asyncio does otherwise than threads: the one module, beside its namesake in `_sync`, that is written twice."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, TypeVar

import httpx

if TYPE_CHECKING:
    from collections.abc import Awaitable

AsyncHttp = httpx.AsyncClient
AsyncTransport = httpx.AsyncBaseTransport
AsyncLock = asyncio.Lock
_T = TypeVar("_T")


async def sleep(seconds: float) -> None:
    """Wait."""
    await asyncio.sleep(seconds)


async def settle(value: _T | Awaitable[_T]) -> _T:
    """Return what a caller's function gave, awaited where it is to be."""
    if inspect.isawaitable(value):
        return await value
    return value

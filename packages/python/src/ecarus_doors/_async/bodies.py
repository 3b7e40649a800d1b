"""Answers, read up to a bound."""

from __future__ import annotations

import math
import time

import httpx

from ecarus_doors.errors import InvalidAnswerError


async def read_body(response: httpx.Response, most: int, *, seconds: float = math.inf) -> bytes:
    """Return the body of an open answer, and close it. Raise InvalidAnswerError where it is of more than `most`
    bytes, httpx.ReadTimeout where it still comes after `seconds`.
    """
    pieces, size, ends = [], 0, time.monotonic() + seconds
    try:
        async for piece in response.aiter_bytes():
            size += len(piece)
            if size > most:
                raise InvalidAnswerError(f"an answer of more than {most} bytes", status=response.status_code)
            if time.monotonic() > ends:
                raise httpx.ReadTimeout(f"the answer was not whole in {seconds:g} seconds")
            pieces.append(piece)
    finally:
        await response.aclose()
    return b"".join(pieces)

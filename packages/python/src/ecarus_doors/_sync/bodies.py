"""Answers, read up to a bound."""
# Generated from _async by `make generate` (tools/sync_twin.py): change that one.

from __future__ import annotations

import math
import time

import httpx

from ecarus_doors.errors import InvalidAnswerError


def read_body(response: httpx.Response, most: int, *, seconds: float = math.inf) -> bytes:
    """Return the body of an open answer, and close it. Raise InvalidAnswerError where it is of more than `most`
    bytes, httpx.ReadTimeout where it still comes after `seconds`.
    """
    pieces, size, ends = [], 0, time.monotonic() + seconds
    try:
        for piece in response.iter_bytes():
            size += len(piece)
            if size > most:
                raise InvalidAnswerError(f"an answer of more than {most} bytes", status=response.status_code)
            if time.monotonic() > ends:
                raise httpx.ReadTimeout(f"the answer was not whole in {seconds:g} seconds")
            pieces.append(piece)
    finally:
        response.close()
    return b"".join(pieces)

"""Answers, read up to a bound."""
# Generated from _async by `make generate` (tools/sync_twin.py): change that one.

from __future__ import annotations

from typing import TYPE_CHECKING

from ecarus_doors.errors import InvalidAnswerError

if TYPE_CHECKING:
    import httpx


def read_body(response: httpx.Response, most: int) -> bytes:
    """Return the body of an open answer, and close it. Raise InvalidAnswerError where it is of more than `most`
    bytes.
    """
    pieces, size = [], 0
    try:
        for piece in response.iter_bytes():
            size += len(piece)
            if size > most:
                raise InvalidAnswerError(f"an answer of more than {most} bytes", status=response.status_code)
            pieces.append(piece)
    finally:
        response.close()
    return b"".join(pieces)

"""What all three push services share: JSON in and out, and the failures that they were told to have."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from phones.directory import PhoneFailure
from phones.http2_server import ConnectionRefusedNowError, Http2Answer, StreamRefusedError

if TYPE_CHECKING:
    from phones.directory import FailureOrder, Phone


def json_answer(status: int, members: dict[str, Any], **headers: str) -> Http2Answer:
    """Return an answer in JSON; underscores in names of headers stand for hyphens."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Http2Answer(status, {"content-type": "application/json", **given}, json.dumps(members).encode())


def json_object(body: bytes) -> dict[str, Any] | None:
    """Return the object in a body; None where there is none."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def retry_after(order: FailureOrder) -> dict[str, str]:
    """Return the header that says when to try again, if it says so."""
    return {} if order.retry_after is None else {"retry_after": str(order.retry_after)}


async def next_failure(phone: Phone) -> FailureOrder | None:
    """Return how this message fails, where the push service has words for it. Hangs, and raises, where it has none."""
    if not phone.failures:
        return None
    order = phone.failures.popleft()
    if order.failure is PhoneFailure.HANG:
        await asyncio.get_running_loop().create_future()
    if order.failure is PhoneFailure.RESET_STREAM:
        raise StreamRefusedError
    if order.failure is PhoneFailure.RESET_CONNECTION:
        raise ConnectionRefusedNowError
    return order

"""What comes in, read within bounds and in one way only."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_BODY_BYTES = 16_384
MAX_PARAMETERS = 32
MAX_VALUE = 4_096
BODY_SECONDS = 10.0


class RequestRefusedError(Exception):
    """The request cannot be read; the text says why."""


def address_of(request: Request) -> str:
    """Return where a request comes from."""
    return request.client.host if request.client else ""


async def read_body(request: Request) -> bytes:
    """Return the body, within bounds. Raises RequestRefusedError."""
    body = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > MAX_BODY_BYTES:
                    raise RequestRefusedError("it is too long")
    except TimeoutError as slow:
        raise RequestRefusedError("it took too long to arrive") from slow
    return body


async def read_form(request: Request) -> dict[str, str]:
    """Return the parameters of a form, each once. Raises RequestRefusedError."""
    kind = request.headers.get("content-type", "application/x-www-form-urlencoded").partition(";")[0].strip()
    if kind.lower() != "application/x-www-form-urlencoded":
        raise RequestRefusedError("it is not a form (application/x-www-form-urlencoded)")
    return parameters_in(await read_body(request))


def parameters_in(text: bytes) -> dict[str, str]:
    """Return the parameters of a form or a query, each once. Raises RequestRefusedError."""
    try:
        pairs = parse_qsl(
            text.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS, errors="strict"
        )
    except ValueError as error:
        raise RequestRefusedError("its parameters are not readable") from error
    named = dict(pairs)
    if len(named) < len(pairs):
        raise RequestRefusedError("a parameter is given more than once")
    if any(len(value) > MAX_VALUE or not value.isprintable() for value in named.values()):
        raise RequestRefusedError("a parameter is too long or holds control characters")
    return named


async def read_json(request: Request) -> dict[str, Any]:
    """Return a JSON object. Raises RequestRefusedError."""
    try:
        document = json.loads(await read_body(request))
    except (ValueError, RecursionError) as error:
        raise RequestRefusedError("it is not JSON") from error
    if not isinstance(document, dict):
        raise RequestRefusedError("it is not a JSON object")
    return document

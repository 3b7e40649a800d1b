"""Whether what REST answers is what the OpenAPI document says: looked at in every test that asks a running mesh."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    from collections.abc import Iterator

OF_THE_EDGE = frozenset({"431"})
"""What Envoy refuses by itself, of any request: described once, as `default`."""
OF_EVERY_ANSWER = frozenset(
    {"content-type", "content-length", "transfer-encoding", "date", "cache-control", "x-content-type-options"}
    | {"connection", "vary", "upgrade", "keep-alive", "strict-transport-security", "server"}
)
"""Headers of HTTP itself, and those that say the same of all: the document names none of them for each operation."""
DOCUMENT = Path(__file__).resolve().parents[2] / "gen" / "openapi.json"


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document as it is committed."""
    read: dict[str, Any] = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    return read


@cache
def _operations() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    found = []
    for path, operations in document()["paths"].items():
        pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)))
        found.append((pattern, operations))
    return found


@cache
def _validator(path: str, method: str, status: str, media_type: str) -> Draft202012Validator | str:
    operation = next(found for pattern, found in _operations() if pattern.fullmatch(path))[method]
    response = operation["responses"].get("default" if status in OF_THE_EDGE else status)
    if response is None:
        return f"no status {status} is described; those are: {', '.join(operation['responses'])}"
    content = response["content"].get(media_type)
    if content is None:
        return f"{status} is described as {', '.join(response['content'])}, not as {media_type!r}"
    schema = {**content["schema"], "components": document()["components"]}
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def fault_of(response: httpx.Response) -> str | None:
    """What is not as described in an answer that was read; None where all is, or nothing describes its request."""
    request = response.request
    path, method = request.url.path, request.method.lower()
    operations = next((found for pattern, found in _operations() if pattern.fullmatch(path)), None)
    if operations is None or method not in operations:
        return None
    media_type = response.headers.get("content-type", "").partition(";")[0]
    place = re.sub(r"[^/]+", _stand_in, path)
    validator = _validator(place, method, str(response.status_code), media_type)
    if isinstance(validator, str):
        return validator
    described = _headers(place, method, str(response.status_code))
    if unknown := sorted({name.lower() for name in response.headers} - OF_EVERY_ANSWER - described):
        return f"no header {', '.join(unknown)} is described of a {response.status_code}"
    if not media_type.endswith("json"):
        return None
    return _fault_in(response.json(), validator, _codes(place, method, str(response.status_code)))


def _fault_in(body: Any, validator: Draft202012Validator, codes: tuple[str, ...] | None) -> str | None:
    if error := next(validator.iter_errors(body), None):
        return f"{error.json_path}: {error.message}"
    if codes is not None and body["code"] not in codes:
        return f"{body['code']} is no code that is described of it: {', '.join(codes)}"
    return None


@cache
def _codes(path: str, method: str, status: str) -> tuple[str, ...] | None:
    """The codes of a problem that are described of a refusal; None where it is none, or the edge's own."""
    operation = next(found for pattern, found in _operations() if pattern.fullmatch(path))[method]
    codes = operation["responses"].get(status, {}).get("x-codes")
    return None if codes is None else tuple(codes)


@cache
def _headers(path: str, method: str, status: str) -> frozenset[str]:
    """The names of the headers that are described of an answer, which is."""
    operation = next(found for pattern, found in _operations() if pattern.fullmatch(path))[method]
    response = operation["responses"].get("default" if status in OF_THE_EDGE else status)
    return frozenset(name.lower() for name in response.get("headers", {}))


def _stand_in(part: re.Match[str]) -> str:
    """A path's part, where it is no word of the contract: so that what is remembered is few."""
    return part[0] if any(f"/{part[0]}" in path for path in document()["paths"]) else "x"


@contextmanager
def described_answers(*ports: int) -> Iterator[None]:
    """Have every answer from these ports that httpx reads whole checked. Raises AssertionError where it was asked."""
    send, send_soon = httpx.Client.send, httpx.AsyncClient.send

    def check(response: httpx.Response) -> httpx.Response:
        if response.is_closed and response.request.url.port in ports:
            fault = fault_of(response)
            asked = f"{response.request.method} {response.request.url.path}: {response.status_code}"
            assert fault is None, f"not as the OpenAPI document says: {asked}: {fault}; {response.text[:600]}"
        return response

    def sent(self: httpx.Client, *args: Any, **kwargs: Any) -> httpx.Response:
        return check(send(self, *args, **kwargs))

    async def sent_soon(self: httpx.AsyncClient, *args: Any, **kwargs: Any) -> httpx.Response:
        return check(await send_soon(self, *args, **kwargs))

    httpx.Client.send, httpx.AsyncClient.send = sent, sent_soon  # type: ignore[method-assign]
    try:
        yield
    finally:
        httpx.Client.send, httpx.AsyncClient.send = send, send_soon  # type: ignore[method-assign]

"""Whether what streams and sockets tell is what the AsyncAPI document says: looked at for every event that a test is
told by a running mesh, whichever library reads it.
"""

from __future__ import annotations

import json
import re
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import httpx
import websockets.asyncio.client
import websockets.sync.client
from google.protobuf.json_format import MessageToDict
from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from google.protobuf.message import Message

    from protocol.domains import Domain

DOCUMENT = Path(__file__).resolve().parents[2] / "gen" / "asyncapi.json"
STREAM, SOCKET = "doorUpdateStream", "eventSocket"
MEDIA_TYPE = "text/event-stream"
_faults: list[str] = []


@cache
def document() -> dict[str, Any]:
    """The AsyncAPI document as it is committed."""
    read: dict[str, Any] = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    return read


def resolved(reference: str) -> Any:
    """What a reference in the document stands for."""
    found: Any = document()
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def message_of(channel: str, name: str) -> dict[str, Any]:
    """A message of a channel, by its name there."""
    message: dict[str, Any] = resolved(document()["channels"][channel]["messages"][name]["$ref"])
    return message


@cache
def _components() -> dict[str, Any]:
    return {"schemas": closed(document()["components"]["schemas"])}


def closed(schema: Any) -> Any:
    """The schema with no member allowed that it does not name: what is sent must be described, whole."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: closed(each) for name, each in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        made.setdefault("additionalProperties", False)
    return made


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """What says whether a value is of this schema of the document, and has no member besides."""
    whole = {**closed(schema), "components": _components()}
    return Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)


@cache
def _parts(channel: str, name: str) -> dict[str, Draft202012Validator]:
    message = message_of(channel, name)
    return {part: validator(message[part]) for part in ("headers", "payload") if part in message}


@cache
def _names(channel: str) -> dict[str, str]:
    """The messages that a channel's readers are told, by what calls itself so: `type`, or `event`."""
    found = {}
    for name in document()["channels"][channel]["messages"]:
        message = message_of(channel, name)
        if message["payload"].get("properties", {}).get("action") is None:
            found[message["name"]] = name
    return found


def fault_of_event(fields: dict[str, Any]) -> str | None:
    """What is not as described in a Server-Sent Event, of which these are the fields; None where all is."""
    name = _names(STREAM).get(fields.get("event", ""))
    if name is None:
        return f"there is no event {fields.get('event')!r}"
    try:
        data = json.loads(fields["data"])
    except (KeyError, ValueError) as error:
        return f"its data is no JSON: {error!r}"
    headers = {key: int(value) if key == "retry" else value for key, value in fields.items() if key != "data"}
    return _fault(_parts(STREAM, name), {"headers": headers, "payload": data})


def fault_of_message(text: str | bytes) -> str | None:
    """What is not as described in a message that a client of the WebSocket is told; None where all is."""
    try:
        message = json.loads(text)
    except ValueError as error:
        return f"it is no JSON: {error!r}"
    kind = message.get("type") if isinstance(message, dict) else None
    name = _names(SOCKET).get(str(kind))
    if name is None:
        return f"there is no message of the type {kind!r}"
    return _fault(_parts(SOCKET, name), {"payload": message})


@cache
def _unit_messages(domain: Domain) -> dict[str, Draft202012Validator]:
    """What a unit may say in a domain: messages by their names, as protobuf's JSON."""
    (channel,) = (
        each
        for each in document()["channels"].values()
        if each["address"] == f"vehicle.{{vin}}.{domain.value}"
    )
    return {
        name: validator({"$ref": f"#/components/schemas/vehicle.v1.{name}"}) for name in channel["messages"]
    }


def fault_of_unit_message(domain: Domain, message: Message) -> str | None:
    """What is not as described in what a unit says in this domain, opened and verified; None where all is."""
    name = message.DESCRIPTOR.name
    checks = _unit_messages(domain).get(name)
    if checks is None:
        return f"there is no {name} in {domain.value}"
    return _fault({name: checks}, {name: MessageToDict(message)})


def _fault(parts: dict[str, Draft202012Validator], values: dict[str, Any]) -> str | None:
    for part, checks in parts.items():
        for error in checks.iter_errors(values[part]):
            return f"{part}{error.json_path[1:]}: {error.message}"
    return None


class StreamCheck:
    """Reads the bytes of one event stream, in whatever parts they come, and notes what is not as described."""

    def __init__(self, *, resumed: bool) -> None:
        self._rest = b""
        self._fields: dict[str, Any] = {}
        self._opens = not resumed

    def feed(self, data: bytes) -> list[str]:
        """What is wrong in what these bytes complete."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [fault for line in lines if (fault := self._line(line.decode())) is not None]

    def _line(self, line: str) -> str | None:
        if not line:
            fields, self._fields = self._fields, {}
            return self._event(fields) if fields.keys() - {"retry"} else None
        if line.startswith(":"):
            return self._comment(line.removeprefix(":").strip())
        name, _, value = line.partition(": ")
        if name not in {"id", "event", "data", "retry"}:
            return f"there is no field {name!r}"
        if name in self._fields and name != "retry":
            return f"one event has two {name!r}"
        self._fields[name] = value
        return None

    def _event(self, fields: dict[str, Any]) -> str | None:
        opens, self._opens = self._opens, False
        first = resolved(document()["channels"][STREAM]["x-first-event"]["message"]["$ref"])["name"]
        if opens != (fields.get("event") == first):
            return f"{first} is the first event of a stream that starts, and of no other: {fields}"
        fault = fault_of_event(fields)
        return None if fault is None else f"{fault}; {fields}"

    def _comment(self, comment: str) -> str | None:
        ending = document()["channels"][STREAM]["x-last-comment"]
        if not comment.startswith("the stream ends"):
            return None
        codes = resolved(ending["code"]["$ref"])["enum"]
        if not re.fullmatch(ending["pattern"].strip("^$"), comment) or comment.split(": ")[1] not in codes:
            return f"no stream ends with {comment!r}"
        return None


def is_of(channel: str, url: str, ports: tuple[int, ...] = ()) -> bool:
    """Whether this is where a channel is, at one of these ports where there are any."""
    address = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(document()["channels"][channel]["address"]))
    parts = urlsplit(url)
    return (not ports or parts.port in ports) and re.fullmatch(address, parts.path) is not None


def note(fault: str | None, what: str = "") -> None:
    """Have the test that runs now fail for this."""
    if fault is not None:
        _faults.append(f"not as the AsyncAPI document says: {fault}{what}")


def noted() -> list[str]:
    """What was noted since this was asked last."""
    found = list(_faults)
    _faults.clear()
    return found


def _check_of(response: httpx.Response, ports: tuple[int, ...]) -> StreamCheck | None:
    is_stream = response.headers.get("content-type", "").partition(";")[0] == MEDIA_TYPE
    if not is_stream or not is_of(STREAM, str(response.request.url), ports):
        return None
    # Who is refused as a stream, or resumes, is shown no place where it starts.
    return StreamCheck(
        resumed="last-event-id" in response.request.headers or "lastEventId" in response.request.url.params
    )


def _http_readers(ports: tuple[int, ...]) -> Iterator[tuple[type, str, Any]]:
    """What httpx reads with, checking what it reads."""
    pieces, pieces_soon = httpx.Response.iter_bytes, httpx.Response.aiter_bytes

    def iter_bytes(self: httpx.Response, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        check = _check_of(self, ports)
        for piece in pieces(self, *args, **kwargs):
            _note_all(check, piece)
            yield piece

    async def aiter_bytes(self: httpx.Response, *args: Any, **kwargs: Any) -> AsyncIterator[bytes]:
        check = _check_of(self, ports)
        async for piece in pieces_soon(self, *args, **kwargs):
            _note_all(check, piece)
            yield piece

    yield httpx.Response, "iter_bytes", iter_bytes
    yield httpx.Response, "aiter_bytes", aiter_bytes


def _socket_readers(ports: tuple[int, ...]) -> Iterator[tuple[type, str, Any]]:
    """What websockets and aiohttp read with, checking what they read."""
    sync, soon = websockets.sync.client.ClientConnection, websockets.asyncio.client.ClientConnection
    recv, recv_soon = sync.recv, soon.recv
    receive = aiohttp.ClientWebSocketResponse.receive

    def look_at(connection: Any, message: Any) -> Any:
        path = connection.request.path if connection.request is not None else ""
        if is_of(SOCKET, f"ws://localhost:{connection.remote_address[1]}{path}", ports):
            note(fault_of_message(message), f"; {message!r}")
        return message

    def wrapped_recv(self: Any, *args: Any, **kwargs: Any) -> Any:
        return look_at(self, recv(self, *args, **kwargs))

    async def wrapped_recv_soon(self: Any, *args: Any, **kwargs: Any) -> Any:
        return look_at(self, await recv_soon(self, *args, **kwargs))

    async def wrapped_receive(self: Any, *args: Any, **kwargs: Any) -> Any:
        message = await receive(self, *args, **kwargs)
        if message.type is aiohttp.WSMsgType.TEXT and is_of(SOCKET, str(self._response.url), ports):
            note(fault_of_message(message.data), f"; {message.data!r}")
        return message

    yield sync, "recv", wrapped_recv
    yield soon, "recv", wrapped_recv_soon
    yield aiohttp.ClientWebSocketResponse, "receive", wrapped_receive


@contextmanager
def described_events(*ports: int) -> Iterator[None]:
    """Have every event that httpx, websockets or aiohttp is told from these ports checked. What is not as described is
    noted (`noted`): many readers are threads, which can fail no test.
    """
    with ExitStack() as changed:
        for owner, name, ours in (*_http_readers(ports), *_socket_readers(ports)):
            changed.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, ours)
        yield


def _note_all(check: StreamCheck | None, piece: bytes) -> None:
    if check is not None:
        for fault in check.feed(piece):
            note(fault)

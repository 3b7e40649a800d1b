"""What common readers of Server-Sent Events make of the bytes of our streams, above all of where a stream opens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from services.status.adapters import translate
from services.status.adapters.event_ids import EventIds
from services.status.domain.event_stream import RETRY_MILLISECONDS
from services.status.domain.updates import LogPosition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

VIN = "KMHSH81C7LU123456"
PLACE = EventIds(bytes(32)).id_of(LogPosition("e1", 7))
NOW_US = 1_768_228_200_000_000
OPENING = translate.opening_body(VIN, PLACE, NOW_US).data


@dataclass
class Seen:
    """What a reader has: events as (type, id, data), the id it would come back with, and its delay."""

    events: list[tuple[str, str, str]] = field(default_factory=list)
    last_event_id: str = ""
    retry_milliseconds: int | None = None


def read(text: str, *, keeps_ids_of_empty_blocks: bool, shows_empty_blocks: bool = False) -> Seen:
    """Read as the WHATWG's "event stream interpretation" says; the switches are how readers differ from it.

    `eventsource` on npm keeps no id of a block without data; `httpx-sse` shows every block once it has had an id, and
    before that whatever has a name or a delay.
    """
    seen = Seen()
    name = data = block_id = ""
    named = delayed = False
    for line in text.removesuffix("\n").split("\n"):
        if not line:
            if keeps_ids_of_empty_blocks or data:
                seen.last_event_id = block_id if named else seen.last_event_id
            if data or (shows_empty_blocks and (name or seen.last_event_id or delayed)):
                seen.events.append((name or "message", seen.last_event_id, data.removesuffix("\n")))
            name = data = ""
            named = delayed = False
        elif not line.startswith(":"):
            key, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if key == "event":
                name = value
            elif key == "data":
                data += value + "\n"
            elif key == "id" and "\0" not in value:
                block_id, named = value, True
            elif key == "retry" and value.isdecimal():
                seen.retry_milliseconds, delayed = int(value), True
    return seen


@pytest.mark.parametrize(
    ("keeps", "shows"), [(True, False), (False, False), (True, True)], ids=["WHATWG", "npm", "httpx-sse"]
)
def test_every_reader_learns_where_the_stream_opened_and_sees_nothing_empty(
    *, keeps: bool, shows: bool
) -> None:
    alert = translate.event_body(translate.reset_message(VIN, "next", NOW_US)).data
    whole = (OPENING + translate.comment_body("heartbeat").data).decode()
    seen = read(whole, keeps_ids_of_empty_blocks=keeps, shows_empty_blocks=shows)
    [(kind, place, data)] = seen.events
    assert (kind, place, seen.last_event_id) == ("STREAM_OPENED", PLACE, PLACE)
    assert json.loads(data)["type"] == "STREAM_OPENED"
    assert seen.retry_milliseconds == RETRY_MILLISECONDS
    later = read(whole + alert.decode(), keeps_ids_of_empty_blocks=keeps, shows_empty_blocks=shows)
    assert later.last_event_id == "next"
    resumed = read(
        translate.resumed_body().data.decode(), keeps_ids_of_empty_blocks=keeps, shows_empty_blocks=shows
    )
    assert resumed.events == []


@dataclass
class OneGap:
    """A server whose first stream breaks after its opening; it keeps the Last-Event-ID of each request."""

    asked_after: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue)
    asked: int = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        given = [line.partition(":")[2].strip() for line in head if line.lower().startswith("last-event-id:")]
        self.asked_after.put_nowait(given[0] if given else None)
        self.asked += 1
        start = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        writer.write(start + OPENING.replace(b"retry: 2000", b"retry: 10"))
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()


@pytest.fixture
async def gap() -> AsyncIterator[tuple[OneGap, str]]:
    server = OneGap()
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    async with listening:
        yield server, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"


async def installed(folder: Path, version: int) -> None:
    """Have npm's `eventsource` in this folder, or skip the test with the reason."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    words = ("install", "--no-audit", "--no-fund", "--prefer-offline", f"eventsource@{version}")
    process = await asyncio.create_subprocess_exec(
        npm, *words, cwd=folder, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(40):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
    if process.returncode != 0:
        pytest.skip("npm cannot install eventsource here")


@pytest.mark.timeout(90)
@pytest.mark.parametrize("version", [3, 4])
async def test_the_npm_package_comes_back_after_where_it_opened(
    gap: tuple[OneGap, str], tmp_path: Path, version: int
) -> None:
    server, url = gap
    (tmp_path / "package.json").write_text('{"private": true}')
    await installed(tmp_path, version)
    program = f"const {{EventSource}} = require('eventsource'); new EventSource('{url}');"
    node = await asyncio.create_subprocess_exec("node", "-e", program, cwd=tmp_path)
    try:
        async with asyncio.timeout(30):
            assert await server.asked_after.get() is None
            assert await server.asked_after.get() == PLACE
    finally:
        node.kill()
        await node.wait()

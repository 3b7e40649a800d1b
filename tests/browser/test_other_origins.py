"""A page of another origin in a real Chromium: what it does with the API, and what a page that is not listed cannot.

The examples of docs/browsers.md are run as they stand there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.app import App, Car
from tests.support.dpop import DpopKey
from tests.system.documents import blocks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.chromium import ChromiumBrowser, ChromiumPage
    from tests.support.running_mesh import Mesh

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

DOCUMENT = "docs/browsers.md"
EXPOSED = (
    "X-Correlation-ID",
    "Retry-After",
    "WWW-Authenticate",
    "RateLimit",
    "RateLimit-Policy",
    "Location",
    "Allow",
)
ASK = """fetch(%s, %s).then(async (answer) => ({
  status: answer.status,
  headers: Object.fromEntries(%s.map((name) => [name, answer.headers.get(name)])),
  text: (answer.headers.get("Content-Type") ?? "").includes("json") ? await answer.text() : "",
}), (error) => ({status: 0, headers: {}, text: error.message}))"""


@contextlib.asynccontextmanager
async def served_at(host: str) -> AsyncIterator[str]:
    """Somebody's own page, on this address and a port of its own."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            text = b'<!doctype html><link rel="icon" href="data:,"><title>elsewhere</title>'
            length = f"Content-Length: {len(text)}\r\n".encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n"
                + length
                + b"\r\n"
                + text
            )
        writer.close()

    async with await asyncio.start_server(serve, host, 0) as server:
        yield f"http://{host}:{server.sockets[0].getsockname()[1]}/"


async def asked(page: ChromiumPage, url: str, **options: Any) -> dict[str, Any]:
    """What its script reads of an answer; status 0 is what it hears where it may read nothing."""
    answer = await page.run(ASK % (json.dumps(url), json.dumps(options), json.dumps(EXPOSED)))
    return dict(answer)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def in_the_document(mesh: Mesh, heading: str) -> str:
    """The scripts below a heading, at this mesh."""
    return "\n".join(blocks(DOCUMENT, heading, "js")).replace(
        "127.0.0.1:8080", f"127.0.0.1:{mesh.ports.http}"
    )


async def test_it_reads_and_commands_as_the_document_says(mesh: Mesh, browser: ChromiumBrowser) -> None:
    Car(mesh).meet()
    Car(mesh).do("door-time", seconds=0)
    page = await browser.new_page()
    async with served_at("127.0.0.1") as elsewhere:
        await page.open(elsewhere)
        script = in_the_document(mesh, "## What a page may send and read")

        async def once() -> list[Any]:
            said = "const said = []; const console = {log: (...words) => said.push(words)};"
            told: list[Any] = await page.run(f"(async () => {{ {said} {script}; return said; }})()")
            return told

        async with asyncio.timeout(120):
            while (told := await once())[1][0] != "accepted":  # another test's command may be in flight
                assert told[1][0] == "COMMAND_IN_PROGRESS", told
                await asyncio.sleep(0.2)
        assert told[0][0].keys() >= {"driver", "trunk"}
        command_id = told[1][1].rpartition("/")[2]
    assert (await asyncio.to_thread(App(mesh).end_of, command_id))["status"] == "SUCCESS"
    await page.close()


async def test_it_reads_why_it_was_refused(mesh: Mesh, browser: ChromiumBrowser) -> None:
    page, app = await browser.new_page(), App(mesh)
    token = mesh.token("user-123")
    async with served_at("127.0.0.1") as elsewhere:
        await page.open(elsewhere)
        nobody = await asked(page, f"{app.door}/status")
        assert (nobody["status"], json.loads(nobody["text"])["code"]) == (401, "AUTHENTICATION_REQUIRED")
        assert nobody["headers"]["WWW-Authenticate"].startswith("Bearer ")
        assert nobody["headers"]["X-Correlation-ID"]
        foreign = await asked(
            page, f"{mesh.base_url}/vehicles/KMHSH81C7LU999999/door/status", headers=bearer(token)
        )
        assert (foreign["status"], json.loads(foreign["text"])["code"]) == (404, "VEHICLE_NOT_FOUND")
        no_path = await asked(page, f"{app.door}/nope")
        assert (no_path["status"], json.loads(no_path["text"])["code"]) == (404, "PATH_NOT_FOUND")
        wrong_method = await asked(page, f"{app.door}/unlock")
        assert (wrong_method["status"], wrong_method["headers"]["Allow"]) == (405, "POST")
        weak = await asked(
            page,
            f"{app.door}/unlock",
            method="POST",
            headers={
                **bearer(mesh.token("user-123", age_seconds=86_400)),
                "Content-Type": "application/json",
            },
            body=json.dumps({"targetDoors": ["all"]}),
        )
        assert weak["status"] == 401
        assert "insufficient_user_authentication" in weak["headers"]["WWW-Authenticate"]
        read = await asked(page, f"{app.door}/status", headers=bearer(token))
        assert read["status"] == 200
        assert read["headers"]["RateLimit"]
    await page.close()


async def test_a_token_that_is_bound_to_a_key_works_from_there(mesh: Mesh, browser: ChromiumBrowser) -> None:
    page, app, key = await browser.new_page(), App(mesh), DpopKey()
    token = mesh.token("user-123", jkt=key.thumbprint)
    url = f"{app.door}/status"
    async with served_at("127.0.0.1") as elsewhere:
        await page.open(elsewhere)
        headers = {"Authorization": f"DPoP {token}", "DPoP": key.proof("GET", url, token, time.time())}
        assert (await asked(page, url, headers=headers))["status"] == 200
        again = await asked(page, url, headers=headers)
        assert (again["status"], json.loads(again["text"])["code"]) == (401, "PROOF_INVALID")
        assert again["headers"]["WWW-Authenticate"].startswith("DPoP ")
    await page.close()


async def moved(app: App) -> str:
    """The command of a lock that has ended."""
    return await asyncio.to_thread(app.done, "lock")


def has_ended(command_id: str, told: str = "self.told") -> str:
    return (
        f"{told}.some((m) => m.data?.commandId === {json.dumps(command_id)} && m.data.status === 'SUCCESS')"
    )


@pytest.mark.parametrize("reading", ["readStream", "follow"])
async def test_it_reads_the_stream_as_the_document_says(
    mesh: Mesh, browser: ChromiumBrowser, reading: str
) -> None:
    Car(mesh).meet()
    page, app = await browser.new_page(), App(mesh)
    script = in_the_document(mesh, "## The event stream")
    constants = in_the_document(mesh, "## What a page may send and read").partition("const status")[0]
    async with served_at("127.0.0.1") as elsewhere:
        await page.open(elsewhere)
        await page.run(
            f"(() => {{ self.told = []; {constants} {script}; {reading}((e) => self.told.push(e)); }})()"
        )
        await page.until("self.told.some((m) => m.type === 'STREAM_OPENED')")
        command_id = await moved(app)
        await page.until(has_ended(command_id))
    await page.close()


async def test_an_event_source_goes_on_without_a_gap_when_its_stream_was_cut(
    mesh: Mesh, browser: ChromiumBrowser
) -> None:
    """The ticket is used when the browser comes back by itself; the page opens the next one where it was."""
    Car(mesh).meet()
    page, app = await browser.new_page(), App(mesh)
    script = in_the_document(mesh, "## The event stream")
    constants = in_the_document(mesh, "## What a page may send and read").partition("const status")[0]
    watched = (
        "self.opened = []; const Native = self.EventSource; "
        "self.EventSource = class extends Native { constructor(url) { super(url); self.opened.push(this); } };"
    )
    async with served_at("127.0.0.1") as elsewhere:
        await page.open(elsewhere)
        await page.run(
            f"(() => {{ self.told = []; {watched} {constants} {script}; "
            "follow((event) => self.told.push(event)); })()"
        )
        await page.until("self.told.some((m) => m.type === 'STREAM_OPENED')")
        first = await moved(app)
        await page.until(has_ended(first))
        # What cuts it is the network: the page hears an error, as of any stream that breaks.
        await page.is_offline(offline=True)
        await page.run("self.opened[0].dispatchEvent(new Event('error')); 0")
        missed = [await moved(app) for _ in range(2)]
        await page.is_offline(offline=False)
        await page.until(has_ended(missed[1]))
        urls = await page.run("self.opened.map(({url}) => new URL(url).searchParams.get('lastEventId'))")
        assert urls[0] is None
        assert all(urls[1:])
        told = await page.run(
            "self.told.filter((m) => m.type === 'COMMAND_STATUS_UPDATE')"
            ".map((m) => `${m.data.commandId} ${m.data.status}`)"
        )
        assert [each for each in told if each.startswith(missed[0])] == [
            f"{missed[0]} {status}" for status in ("PENDING", "IN_PROGRESS", "SUCCESS")
        ]
        assert len(set(told)) == len(told)
        assert await page.run("self.told.filter((m) => m.type === 'STREAM_OPENED').length") == 1
        # The browser's own way back leads to 401, after which it stays away: no stream, and nothing told twice.
        used = await page.run("self.opened.at(-1).url")
        refused = await asked(page, used)
        assert (refused["status"], json.loads(refused["text"])["code"]) == (401, "TOKEN_INVALID")
    await page.close()


async def test_a_page_that_is_not_listed_reads_nothing_but_the_documents(
    mesh: Mesh, browser: ChromiumBrowser
) -> None:
    page, app = await browser.new_page(), App(mesh)
    async with served_at("127.0.0.2") as elsewhere:  # the sandbox lists localhost and 127.0.0.1
        await page.open(elsewhere)
        for options in ({"headers": bearer(mesh.token("user-123"))}, {}):
            assert (await asked(page, f"{app.door}/status", **options))["status"] == 0
        name = f"foreign-{uuid.uuid4()}"
        own = {"Content-Type": "application/json", "X-Correlation-ID": name}
        command = {
            "method": "POST",
            "headers": bearer(mesh.token("user-123")) | own,
            "body": json.dumps({"targetDoors": ["all"]}),
        }
        assert (await asked(page, f"{app.door}/lock", **command))["status"] == 0
        assert name not in json.dumps(await asyncio.to_thread(app.history, limit=50))  # nothing was sent
        assert name not in json.dumps(await asyncio.to_thread(app.audit))
        document = await asked(page, f"http://127.0.0.1:{mesh.ports.http}/openapi.json")
        assert json.loads(document["text"])["openapi"] == "3.1.0"
        assert "/vehicles/{vin}/door/status" in document["text"]
        # So is what the type of a problem leads to, as a list and as it is named.
        for place in ("index.json", "DOOR_OPEN"):
            problems = f"http://127.0.0.1:{mesh.ports.http}/portal/problems/{place}"
            read = await asked(page, problems, headers={"Accept": "application/json"})
            assert "DOOR_OPEN" in json.dumps(json.loads(read["text"]))
    await page.close()

"""A real Chromium, driven over its debugging pipe (Chrome DevTools Protocol): pages with cookies of their own,
each with an authenticator.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from tests.support.described_events import SOCKET, fault_of_event, fault_of_message, is_of, note

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
COMMAND_SECONDS = 60.0
TEXT_FRAME = 1
FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-proxy-server",
    "--lang=en",
    # Nothing but what the test serves is opened, and a container's root has no other way.
    "--no-sandbox",
)
_REFUSED_BY_POLICY = ("Content Security Policy", "TrustedScript", "TrustedHTML", "Permissions policy")


def browser_binary() -> str | None:
    """Where a Chromium is; None where there is none."""
    return os.environ.get("CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)


class ChromiumBrowser:
    """The browser: one pipe, over which commands go out and answers and events of all pages come in."""

    def __init__(self, reader: asyncio.StreamReader, writer: int) -> None:
        self._reader = reader
        self._writer = writer
        self._count = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, ChromiumPage] = {}
        self._reading = asyncio.create_task(self._read())

    async def command(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its result."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        answer = self._answers[self._count] = asyncio.get_running_loop().create_future()
        os.write(self._writer, json.dumps(message).encode() + b"\0")
        told = await asyncio.wait_for(answer, COMMAND_SECONDS)
        assert "error" not in told, told
        result: dict[str, Any] = told["result"]
        return result

    async def new_page(self) -> ChromiumPage:
        """A page as of another person: no cookies or storage of the others'."""
        context = await self.command("Target.createBrowserContext")
        target = await self.command(
            "Target.createTarget", url="about:blank", browserContextId=context["browserContextId"]
        )
        attached = await self.command("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = ChromiumPage(self, attached["sessionId"], context["browserContextId"])
        self._pages[attached["sessionId"]] = page
        await page.attach()
        return page

    async def end(self) -> None:
        """Stop reading."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        while True:
            message: dict[str, Any] = json.loads((await self._reader.readuntil(b"\0"))[:-1])
            waiting = self._answers.pop(message.get("id", 0), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
            page = self._pages.get(message.get("sessionId", ""))
            if page is not None and "method" in message:
                page.happened(message)


class ChromiumPage:
    """One page. Commands are those of the protocol, in the page's session."""

    def __init__(self, browser: ChromiumBrowser, session: str, context: str) -> None:
        self._browser = browser
        self._session = session
        self._context = context
        self._news = asyncio.Event()
        self._sockets: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []
        """What happened, oldest first."""

    async def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its result."""
        return await self._browser.command(method, self._session, **parameters)

    def happened(self, event: dict[str, Any]) -> None:
        """Note an event; what a service of ours tells the page is held to the AsyncAPI document."""
        self.events.append(event)
        said = event["params"]
        if event["method"] == "Network.webSocketCreated":
            self._sockets[said["requestId"]] = said["url"]
        elif event["method"] == "Network.webSocketFrameReceived":
            if said["response"]["opcode"] == TEXT_FRAME and is_of(SOCKET, self._sockets[said["requestId"]]):
                note(fault_of_message(said["response"]["payloadData"]))
        elif event["method"] == "Network.eventSourceMessageReceived":
            note(fault_of_event({"id": said["eventId"], "event": said["eventName"], "data": said["data"]}))
        self._news.set()

    async def event(self, method: str, *path: str) -> Any:
        """What an event says at this path, once it has happened."""
        async with asyncio.timeout(COMMAND_SECONDS):
            while not (seen := [each for each in self.events if each["method"] == method]):
                self._news.clear()
                await self._news.wait()
        value: Any = seen[0]["params"]
        for name in path:
            value = value[name]
        return value

    def forget_events(self) -> None:
        """Have `event` return none that was before."""
        self.events.clear()

    async def attach(self) -> None:
        """Have it tell what it logs, and give it an authenticator whose user always agrees and is verified."""
        for domain in ("Page", "Runtime", "Log", "Network", "WebAuthn"):
            await self.command(f"{domain}.enable")
        await self.command(
            "WebAuthn.addVirtualAuthenticator",
            options={
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            },
        )

    async def run(self, script: str) -> Any:
        """Run it in the page, and return what it comes to."""
        answer = await self.command(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, script: str) -> Any:
        """What it comes to, once that is true; while a page is left there is no answer."""
        deadline = asyncio.get_running_loop().time() + COMMAND_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            with contextlib.suppress(AssertionError):
                if await self.run("document.readyState === 'complete'") and (value := await self.run(script)):
                    return value
            await asyncio.sleep(0.1)
        shown = await self.run("location.href + ' ' + document.documentElement.innerText")
        raise TimeoutError(f"{script} was not so; the page shows: {shown}; it said: {self.complaints()}")

    async def open(self, url: str) -> None:
        await self.command("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def complaints(self) -> list[str]:
        """Every exception that nobody caught, and what the policy of a page refused."""
        found = []
        for event in self.events:
            said = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                details = said["exceptionDetails"]
                found.append(details.get("exception", {}).get("description", details["text"]))
            elif event["method"] == "Log.entryAdded":
                entry = said["entry"]
                if any(words in entry["text"] for words in _REFUSED_BY_POLICY):
                    found.append(entry["text"])
        return found

    async def is_offline(self, *, offline: bool) -> None:
        """Cut it off from the network, or no longer."""
        await self.command(
            "Network.emulateNetworkConditions",
            offline=offline,
            latency=0,
            downloadThroughput=-1,
            uploadThroughput=-1,
        )

    async def prefer(self, *, dark: bool) -> None:
        """Have the person prefer dark or light, and nothing that moves: what is looked at is not on its way."""
        preferred = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in preferred.items()]
        await self.command("Emulation.setEmulatedMedia", features=features)

    async def screenshot(self, width: int, height: int = 900, *, dark: bool = False) -> bytes:
        """The whole page as PNG, on a screen so wide."""
        await self.prefer(dark=dark)
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        await self.command("Emulation.setDeviceMetricsOverride", **screen)
        taken = await self.command("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(taken["data"])

    async def close(self) -> None:
        """Close it, and forget its cookies."""
        await self._browser.command("Target.disposeBrowserContext", browserContextId=self._context)


def _started(binary: str, profile: Path, commands_read: int, answers_write: int) -> subprocess.Popen[bytes]:
    """The browser, which reads commands from descriptor 3 and writes answers to 4."""

    def as_three_and_four() -> None:
        low, high = os.dup(commands_read), os.dup(answers_write)
        os.dup2(low, 3)
        os.dup2(high, 4)

    return subprocess.Popen(
        [binary, *FLAGS, f"--user-data-dir={profile}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        close_fds=False,
        preexec_fn=as_three_and_four,  # noqa: PLW1509  # there is no other way to say which descriptors
    )


@contextlib.asynccontextmanager
async def chromium(binary: str, profile: Path) -> AsyncIterator[ChromiumBrowser]:
    """A browser with a profile of its own, which ends with it."""
    commands_read, commands_write = os.pipe()
    answers_read, answers_write = os.pipe()

    process = _started(binary, profile, commands_read, answers_write)
    os.close(commands_read)
    os.close(answers_write)
    reader = asyncio.StreamReader(limit=1 << 26)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(answers_read, "rb")
    )
    browser = ChromiumBrowser(reader, commands_write)
    try:
        yield browser
    finally:
        process.kill()
        process.wait()
        await browser.end()
        transport.close()
        os.close(commands_write)


@contextlib.asynccontextmanager
async def chromium_page(binary: str, profile: Path) -> AsyncIterator[ChromiumPage]:
    """A page of a browser with a profile of its own, which ends with it."""
    async with chromium(binary, profile) as browser:
        yield await browser.new_page()

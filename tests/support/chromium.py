"""A real Chromium, driven over its debugging pipe (Chrome DevTools Protocol), with an authenticator of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
COMMAND_SECONDS = 60.0
FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-proxy-server",
    # Nothing but the issuer of the test is opened, and a container's root has no other way.
    "--no-sandbox",
)


def browser_binary() -> str | None:
    """Where a Chromium is; None where there is none."""
    return os.environ.get("CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)


class ChromiumPage:
    """One page. Commands are those of the protocol, in the page's session."""

    def __init__(self, reader: asyncio.StreamReader, writer: int) -> None:
        self._reader = reader
        self._writer = writer
        self._count = 0
        self._session: str | None = None
        self._events: list[dict[str, Any]] = []

    async def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its result."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._writer, json.dumps(message).encode() + b"\0")
        async with asyncio.timeout(COMMAND_SECONDS):
            while True:
                answer = await self._read()
                if "method" in answer:
                    self._events.append(answer)
                if answer.get("id") == self._count:
                    assert "error" not in answer, answer
                    result: dict[str, Any] = answer["result"]
                    return result

    async def event(self, method: str, *path: str) -> Any:
        """What an event says at this path, once it has happened."""
        async with asyncio.timeout(COMMAND_SECONDS):
            while not (seen := [each for each in self._events if each["method"] == method]):
                self._events.append(await self._read())
        value: Any = seen[0]["params"]
        for name in path:
            value = value[name]
        return value

    def forget_events(self) -> None:
        """Have `event` return none that was before."""
        self._events.clear()

    async def _read(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads((await self._reader.readuntil(b"\0"))[:-1])
        return message

    async def attach(self) -> None:
        """Open the page, with an authenticator whose user always agrees and is verified."""
        target = await self.command("Target.createTarget", url="about:blank")
        attached = await self.command("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        await self.command("WebAuthn.enable")
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
        raise TimeoutError(f"{script} was not so; the page shows: {shown}")

    async def open(self, url: str) -> None:
        await self.command("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")


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
async def chromium_page(binary: str, profile: Path) -> AsyncIterator[ChromiumPage]:
    """A page of a browser with a profile of its own, which ends with it."""
    commands_read, commands_write = os.pipe()
    answers_read, answers_write = os.pipe()

    process = _started(binary, profile, commands_read, answers_write)
    os.close(commands_read)
    os.close(answers_write)
    reader = asyncio.StreamReader(limit=1 << 24)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(answers_read, "rb")
    )
    try:
        page = ChromiumPage(reader, commands_write)
        await page.attach()
        yield page
    finally:
        process.kill()
        process.wait()
        transport.close()
        os.close(commands_write)

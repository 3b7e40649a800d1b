"""The driver page's service worker in a real Chromium shows what was pushed.

A headless Chromium cannot subscribe at a push service of ours: which one it uses is built in. So the simulated phone
makes the subscription, and receives and decrypts the real message that the notification service encrypted and signed;
what it decrypted is handed to the worker as the browser would (`ServiceWorker.deliverPushMessage`). What is not tried
here is therefore Chromium's own subscribing and decrypting; the latter is held to the example of RFC 8291 elsewhere.
Skipped where there is no Chromium.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.app import SAMPLE, Car
from tests.support.chromium import COMMAND_SECONDS, browser_binary, chromium_page
from tests.support.phones import OWNER, PhoneOwner
from tests.system.test_push_notifications import ordered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.chromium import ChromiumPage
    from tests.support.running_mesh import Mesh

BINARY = browser_binary()
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(BINARY is None, reason="there is no Chromium"),
    pytest.mark.timeout(300),
]

REGISTERED = """(async () => {
  const made = trustedTypes.createPolicy("worker-url", { createScriptURL: () => "worker.js" });
  await navigator.serviceWorker.register(made.createScriptURL("worker.js"), { scope: "./" });
  return (await navigator.serviceWorker.ready).scope;
})()"""
SHOWN = """navigator.serviceWorker.ready.then((registration) => registration.getNotifications()).then((all) =>
  all.map(({ title, body, tag, data }) => ({ title, body, tag, data })))"""


class Worker:
    """The worker of a page's registration, by the debugging protocol."""

    def __init__(self, page: ChromiumPage, origin: str, registration: str) -> None:
        self._page = page
        self._origin = origin
        self._registration = registration

    async def push(self, data: str) -> None:
        """As the browser does once it has decrypted a message."""
        await self._page.command(
            "ServiceWorker.deliverPushMessage",
            origin=self._origin,
            registrationId=self._registration,
            data=data,
        )

    async def shown(self, count: int) -> list[dict[str, Any]]:
        """What is on the screen, once there is so much."""
        await self._page.until(f"{SHOWN}.then((all) => all.length === {count})")
        found: list[dict[str, Any]] = await self._page.run(SHOWN)
        return found

    async def run(self, script: str) -> Any:
        """Run it in the worker."""
        browser = self._page._browser
        targets = (await browser.command("Target.getTargets"))["targetInfos"]
        (worker,) = [each for each in targets if each["type"] == "service_worker"]
        attached = await browser.command("Target.attachToTarget", targetId=worker["targetId"], flatten=True)
        answer = await browser.command(
            "Runtime.evaluate",
            attached["sessionId"],
            expression=script,
            awaitPromise=True,
            returnByValue=True,
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")


@contextlib.asynccontextmanager
async def driver_page(mesh: Mesh, profile: Path) -> AsyncIterator[tuple[ChromiumPage, Worker]]:
    """The driver's page, whose worker is registered and may show notifications."""
    assert BINARY is not None
    origin = f"http://localhost:{mesh.ports.http}"
    async with chromium_page(BINARY, profile) as page:
        await page._browser.command(
            "Browser.grantPermissions",
            origin=origin,
            permissions=["notifications"],
            browserContextId=page._context,
        )
        await page.command("ServiceWorker.enable")
        await page.open(f"{origin}/app/")
        assert await page.run(REGISTERED) == f"{origin}/app/"
        yield page, Worker(page, origin, await registration_of(page, f"{origin}/app/"))


async def registration_of(page: ChromiumPage, scope: str) -> str:
    """The id of the registration with this scope, once the browser has told of it."""
    async with asyncio.timeout(COMMAND_SECONDS):
        while True:
            for event in page.events:
                if event["method"] == "ServiceWorker.workerRegistrationUpdated":
                    for each in event["params"]["registrations"]:
                        if each["scopeURL"] == scope:
                            return str(each["registrationId"])
            page._news.clear()
            await page._news.wait()


async def test_the_worker_shows_what_was_pushed_for_a_command(mesh: Mesh, tmp_path: Path) -> None:
    owner, car = PhoneOwner(mesh, mesh.token(OWNER)), Car(mesh)
    await asyncio.to_thread(car.meet)
    async with driver_page(mesh, tmp_path / "profile") as (_page, worker):
        with owner.phone("WEB_PUSH") as phone:
            command_id = await asyncio.to_thread(ordered, mesh, "unlock")
            told = await asyncio.to_thread(phone.message, command_id)
            await worker.push(told["plaintext"])
            (shown,) = await worker.shown(1)
            assert (shown["title"], shown["body"]) == ("Unlocked", "Your car is unlocked.")
            assert shown["tag"] == told["collapse"]
            assert shown["data"]["commandId"] == command_id
            assert SAMPLE not in told["plaintext"]
            # The same once more stands in its place.
            await worker.push(told["plaintext"])
            assert await worker.shown(1) == [shown]


async def test_whatever_is_pushed_something_is_shown_and_a_click_leads_to_the_page_alone(
    mesh: Mesh, tmp_path: Path
) -> None:
    async with driver_page(mesh, tmp_path / "profile") as (page, worker):
        for at, pushed in enumerate(("", "nonsense", "[]", "null", '{"title": 7, "body": {}, "data": 3}')):
            await worker.push(pushed)
            shown = await worker.shown(at + 1)
            assert {each["title"] for each in shown} == {"Remote Door Control"}
        hostile = {
            "title": "T",
            "body": "B",
            "tag": "one",
            "data": {"url": "https://evil.test/", "commandId": "c"},
        }
        await worker.push(json.dumps(hostile))
        (last,) = [each for each in await worker.shown(6) if each["tag"] == "one"]
        assert last["data"] == {"commandId": "c", "kind": ""}
        opened = await worker.run(
            """(async () => {
              const opened = [];
              self.clients.matchAll = async () => [];
              self.clients.openWindow = async (url) => opened.push(url);
              const [notification] = await self.registration.getNotifications({ tag: "one" });
              self.dispatchEvent(new NotificationEvent("notificationclick", { notification }));
              while (!opened.length) await new Promise((resolve) => setTimeout(resolve, 10));
              return opened;
            })()"""
        )
        assert opened == [f"http://localhost:{mesh.ports.http}/app/"]
        await page.until(f'{SHOWN}.then((all) => !all.some(({{ tag }}) => tag === "one"))')

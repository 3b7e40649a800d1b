"""An agent before the console: signed in once, with a case for each test."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import TYPE_CHECKING

import httpx
import pytest_asyncio

from issuer.command_line import CommandLineClient
from mesh.sandbox import Sandbox
from tests.browser.conftest import sign_in
from tests.support.app import FOREIGN, App, Car, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.chromium import ChromiumBrowser, ChromiumPage
    from tests.support.running_mesh import Mesh

AGENT, CUSTOMER, VIN = "agent-7", "user-456", FOREIGN
OTHER_CUSTOMER = "user-123"
AREAS = ("history", "failures", "diagnostics", "settings", "security", "audit")
LIVE = "document.querySelector('[data-live=live]') !== null"
FAILURE = "document.querySelector('[data-part=failure]')"
AT_DESK = "document.querySelector('#spoken-code') !== null"


class Desk:
    """An agent before the console."""

    def __init__(self, page: ChromiumPage, mesh: Mesh) -> None:
        self.page = page
        self.mesh = mesh
        self.car = Car(mesh, VIN)
        self.owner = App(mesh, VIN, mesh.token(CUSTOMER))

    async def open_case(self, vin: str = VIN, customer: str = CUSTOMER) -> str:
        """Open a case by the code that the customer reads out, and see the car live. Returns its number."""
        number = f"case-{uuid.uuid4()}"
        if not await self.page.run(AT_DESK):
            await self.page.run("document.querySelector('.case-bar button').click()")
        code = await asyncio.to_thread(self._spoken_code, number, vin, customer)
        await self.page.until(AT_DESK)
        await self.page.run(f"document.getElementById('spoken-code').value = {json.dumps(code)}")
        await self.page.run("document.querySelector('[data-form=spoken]').requestSubmit()")
        await self.page.until(LIVE)
        return number

    def _spoken_code(self, number: str, vin: str, customer: str) -> str:
        """What the customer's own device shows."""
        with httpx.Client(trust_env=False, timeout=30) as http:
            client = CommandLineClient(Sandbox(self.mesh.data).issuer, http=http)
            return str(client.speak(self.mesh.token(customer), vin, number)["code"])

    async def press(self, command: str) -> None:
        """Press a button once it can be pressed."""
        button = f"document.querySelector('[data-command={command}]')"
        await self.page.until(f"{button} !== null && !{button}.disabled")
        await self.page.run(f"{button}.click()")

    async def choose(self, name: str, value: str) -> None:
        field = f"document.querySelector('[name={name}]')"
        await self.page.run(f"{field}.value = {json.dumps(value)}")

    async def read(self, door: str, member: str) -> str:
        """What the table says of a door."""
        return str(await self.page.run(f"document.querySelector('{cell(door, member)}').textContent"))

    async def ended(self, status: str) -> str:
        """The command that is shown, once it has ended so."""
        await self.page.until(f"document.querySelector('main h3 + [data-status={status}]') !== null")
        await self.page.until("document.querySelector('[data-stage=FINISHED][data-state=done]') !== null")
        shown = await self.page.run(
            "[...document.querySelectorAll('dl.facts dd')].map((each) => each.textContent)"
            ".find((text) => text.startsWith('cmd-'))"
        )
        return str(shown)

    def lock(self) -> None:
        """Have the car locked and at rest, by its owner, whatever was before."""
        self.car.do("park")
        for door in ("driver", "rearLeft"):
            self.car.do(f"doors/{door}/close")
            self.car.do(f"actuators/{door}/repair")
        eventually(lambda: self.owner.get("status").json().get("connectivity") == "ONLINE")
        self.owner.done("lock")


def cell(door: str, member: str) -> str:
    return f"tr[data-door={door}] td[data-member={member}]"


def shows(door: str, member: str, text: str) -> str:
    return f"document.querySelector('{cell(door, member)}')?.textContent === {json.dumps(text)}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(mesh: Mesh, browser: ChromiumBrowser) -> AsyncIterator[Desk]:
    """An agent who is signed in. Nothing that the console did may have been refused by its policy, or failed unseen."""
    page = await browser.new_page()
    await sign_in(page, mesh, "/console/", AGENT, two_factors=True)
    Car(mesh, VIN).do("door-time", seconds=0.3)
    yield Desk(page, mesh)
    complaints = page.complaints()
    await page.close()
    assert complaints == []

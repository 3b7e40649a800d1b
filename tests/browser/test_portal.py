"""The developers' page in a real Chromium: Swagger UI's "Try it out" unlocks the sample car."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import BINARY, base_of, keep_pictures, show_code, sign_in, violations
from tests.support.app import SAMPLE, App, Car, eventually
from tests.support.described_events import document

if TYPE_CHECKING:
    from tests.support.chromium import ChromiumPage
    from tests.support.running_mesh import Mesh

pytestmark = [
    pytest.mark.system,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(BINARY is None, reason="there is no Chromium"),
    pytest.mark.timeout(300),
]

UNLOCK = "document.querySelector('#operations-Door_Command-unlockDoors')"
STREAM = "document.querySelector('#operations-Door_Status-streamDoorUpdates')"
STATUS = "document.querySelector('#operations-Door_Status-getDoorStatus')"


async def execute(page: ChromiumPage, operation: str, body: str = "") -> None:
    """Open an operation, try it out and send what stands there."""
    await page.until(f"{operation} !== null")
    await page.run(f"{operation}.querySelector('.opblock-summary-control').click()")
    await send(page, operation, body)


async def send(page: ChromiumPage, operation: str, body: str = "") -> None:
    """Try an operation that is open out, and send what stands there."""
    await page.until(f"{operation}.querySelector('.try-out__btn') !== null")
    await page.run(f"{operation}.querySelector('.try-out__btn').click()")
    await page.until(f"{operation}.querySelector('.execute') !== null")
    if body:
        text = f"{operation}.querySelector('.body-param__text')"
        await page.until(f"{text} !== null")
        setter = "Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value').set"
        await page.run(
            f"{setter}.call({text}, {body!r}); {text}.dispatchEvent(new Event('input', {{bubbles: true}}))"
        )
    await page.run(f"{operation}.querySelector('.execute').click()")


def answered(operation: str, status: int) -> str:
    shown = f"{operation}.querySelector('.live-responses-table .response .response-col_status')"
    return f"{shown}?.innerText.startsWith('{status}') === true"


async def test_try_it_out_unlocks_the_sample_car(page: ChromiumPage, mesh: Mesh) -> None:
    car = Car(mesh, SAMPLE)
    await asyncio.to_thread(car.do, "door-time", seconds=0)
    await asyncio.to_thread(car.do, "doors/trunk/lock")
    await page.open(f"{base_of(mesh)}/portal/")
    await page.until("!document.getElementById('sample').hidden")
    await page.run("document.getElementById('sample').click()")
    await execute(page, UNLOCK, '{"targetDoors": ["trunk"], "unlockMode": "NORMAL"}')
    await page.until(answered(UNLOCK, 202))
    owner = App(mesh)
    await asyncio.to_thread(
        eventually, lambda: owner.get("status").json()["doors"]["trunk"].get("locked") is False
    )
    await keep_pictures(page, "portal")


async def test_whoever_signs_in_asks_as_themselves(page: ChromiumPage, mesh: Mesh) -> None:
    await sign_in(page, mesh, "/portal/", "user-123", two_factors=False)
    await page.until("document.getElementById('who').innerText.includes('user-123')")
    await execute(page, STATUS)
    await page.until(answered(STATUS, 200))


async def test_whoever_signs_in_unlocks_after_the_second_factor(page: ChromiumPage, mesh: Mesh) -> None:
    car = Car(mesh, SAMPLE)
    await asyncio.to_thread(car.do, "door-time", seconds=0)
    await asyncio.to_thread(car.do, "doors/trunk/lock")
    body = '{"targetDoors": ["trunk"], "unlockMode": "NORMAL"}'
    await sign_in(page, mesh, "/portal/", "user-123", two_factors=False)
    assert await page.run("document.getElementById('step-up').hidden")
    await execute(page, UNLOCK, body)
    await page.until(answered(UNLOCK, 401))
    button = "document.getElementById('step-up-sign-in')"
    await page.until(
        f"!document.getElementById('step-up').hidden && {button}.innerText.includes('second factor')"
    )
    await page.run(f"{button}.click()")
    await show_code(page, mesh, "user-123")
    await page.until("document.querySelector('[data-part=sign-out]') !== null")
    # The page comes back to the endpoint that was refused, open.
    await page.until(f"{UNLOCK}?.classList.contains('is-open') === true")
    await send(page, UNLOCK, body)
    await page.until(answered(UNLOCK, 202))
    assert await page.run("document.getElementById('step-up').hidden")
    owner = App(mesh)
    await asyncio.to_thread(
        eventually, lambda: owner.get("status").json()["doors"]["trunk"].get("locked") is False
    )


async def test_only_what_swagger_ui_can_do_is_offered_to_authorize(page: ChromiumPage, mesh: Mesh) -> None:
    await page.open(f"{base_of(mesh)}/portal/")
    await page.until("document.querySelector('.auth-wrapper .authorize') !== null")
    await page.run("document.querySelector('.auth-wrapper .authorize').click()")
    await page.until("document.querySelector('.dialog-ux .auth-container') !== null")
    offered = await page.run(
        "[...document.querySelectorAll('.dialog-ux .auth-container h4')].map((each) => each.innerText)"
    )
    assert sorted(each.split()[0] for each in offered) == ["bearer", "ticket"]
    assert "unsupported" not in (await page.run("document.querySelector('.dialog-ux').innerText")).lower()


async def test_try_it_out_shows_what_an_event_stream_begins_with(page: ChromiumPage, mesh: Mesh) -> None:
    await page.open(f"{base_of(mesh)}/portal/")
    await page.until("!document.getElementById('sample').hidden")
    await page.run("document.getElementById('sample').click()")
    await execute(page, STREAM)
    await page.until(answered(STREAM, 200))
    shown = await page.run(f"{STREAM}.querySelector('.live-responses-table').innerText")
    assert "event: STREAM_OPENED" in shown
    assert "curl -N" in shown


async def test_the_events_are_shown_and_accessible(page: ChromiumPage, mesh: Mesh, axe_script: str) -> None:
    await page.open(f"{base_of(mesh)}/portal/")
    await page.run("document.querySelector('a[href$=\"asyncapi.html\"]').click()")
    await page.until("document.querySelectorAll('#messages article').length > 0")
    spec = document()
    shown = await page.run(
        "[...document.querySelectorAll('article')].map((each) => [each.id, each.innerText])"
    )
    texts = dict(shown)
    assert all(each["address"] in texts[f"channel-{name}"] for name, each in spec["channels"].items())
    messages = spec["components"]["messages"]
    assert all(each["name"] in texts[f"message-{name}"] for name, each in messages.items())
    links = await page.run(
        "[...document.querySelectorAll('a[href^=\"#\"]')].map((each) => each.getAttribute('href').slice(1))"
        ".filter((id) => document.getElementById(id) === null)"
    )
    assert links == []
    for dark in (False, True):
        await page.prefer(dark=dark)
        assert await violations(page, axe_script) == []
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    await page.command(
        "Emulation.setDeviceMetricsOverride", width=390, height=900, deviceScaleFactor=1, mobile=True
    )
    assert await page.run(wide) <= 0
    await page.command("Emulation.clearDeviceMetricsOverride")

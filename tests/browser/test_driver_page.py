"""The driver's page in a real Chromium, on the whole mesh: sign-in, step-up, doors that move, a network that is cut."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio

from mesh.issuer_seed import issuer_url
from tests.browser.conftest import (
    BINARY,
    account,
    base_of,
    fill,
    keep_pictures,
    show_code,
    sign_in,
    violations,
)
from tests.support.app import FOREIGN, PLAINLY, SAMPLE, App, Car, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.chromium import ChromiumBrowser, ChromiumPage
    from tests.support.running_mesh import Mesh

pytestmark = [
    pytest.mark.system,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(BINARY is None, reason="there is no Chromium"),
    pytest.mark.timeout(300),
]

OWNER = "user-456"
"""Of one car, so that nobody asks which."""


def command(name: str) -> str:
    return f"document.querySelector('[data-command={name}]')"


def outcome(name: str) -> str:
    return f"document.querySelector('[data-outcome={name}]')?.innerText"


def shown(door: str, member: str) -> str:
    return f"document.querySelector('tr[data-door={door}] td[data-member={member}]')?.innerText"


LIVE = "document.querySelector('[data-live=live]') !== null"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def driver(browser: ChromiumBrowser, mesh: Mesh) -> AsyncIterator[ChromiumPage]:
    """An owner who has signed in with a password alone, at their car, all of whose doors are closed and locked."""
    car = Car(mesh, FOREIGN)
    await asyncio.to_thread(car.do, "door-time", seconds=0)
    for door in ("driver", "passenger", "rearLeft", "rearRight", "trunk"):
        await asyncio.to_thread(car.do, f"doors/{door}/lock")
    page = await browser.new_page()
    await sign_in(page, mesh, "/app/", OWNER, two_factors=False)
    await page.until(LIVE)
    yield page
    complaints = page.complaints()
    await page.close()
    assert complaints == []


async def press(page: ChromiumPage, name: str) -> None:
    """Press a button, once it may be pressed."""
    await page.until(f"{command(name)} && !{command(name)}.disabled")
    await page.run(f"{command(name)}.click()")


async def test_an_unlock_asks_for_a_second_factor_and_the_same_request_is_offered_again(
    driver: ChromiumPage, mesh: Mesh
) -> None:
    await driver.until(f"{shown('driver', 'locked')} === 'Locked'")
    await press(driver, "unlock")
    await driver.until("document.querySelector('[data-part=step-up]') !== null")
    refused = await sent_with_id(driver, "/door/unlock")
    await driver.run("document.querySelector('[data-part=step-up]').click()")
    await show_code(driver, mesh, OWNER)
    # Nothing moves by itself: the person says that it is still wanted.
    await driver.until("document.querySelector('dialog[open]')?.innerText.includes('Nothing was sent yet')")
    assert Car(mesh, FOREIGN).state_locked()
    await driver.run("document.querySelector('dialog[open] button.primary').click()")
    assert await driver.until(outcome("SUCCESS")) == "Unlocked"
    assert await sent_with_id(driver, "/door/unlock") == refused
    await driver.until(f"{shown('driver', 'locked')} === 'Unlocked'")
    assert not Car(mesh, FOREIGN).state_locked()


async def sent_with_id(page: ChromiumPage, ending: str) -> str:
    """The X-Correlation-ID of the last request to a path that ends so."""
    sent = [
        each["params"]["request"]
        for each in page.events
        if each["method"] == "Network.requestWillBeSent"
        and each["params"]["request"]["url"].endswith(ending)
        and each["params"]["request"]["method"] == "POST"
    ]
    found: str = sent[-1]["headers"]["X-Correlation-ID"]
    return found


async def test_tokens_are_kept_nowhere_and_bound_to_a_key(driver: ChromiumPage) -> None:
    kept = await driver.run("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert "eyJ" not in kept
    assert "verifier" not in kept
    sent = [
        each["params"]["request"]["headers"]
        for each in driver.events
        if each["method"] == "Network.requestWillBeSent"
        and "/door/status" in each["params"]["request"]["url"]
    ]
    assert sent[-1]["Authorization"].startswith("DPoP ")
    assert sent[-1]["DPoP"]


async def test_what_keeps_a_door_from_locking_is_said_with_what_to_do(
    driver: ChromiumPage, mesh: Mesh
) -> None:
    car = Car(mesh, FOREIGN)
    await asyncio.to_thread(car.do, "doors/driver/open")
    await driver.until(f"{shown('driver', 'open')} === 'Open'")
    await press(driver, "lock")
    told = await driver.until("document.querySelector('[data-code=DOOR_OPEN]')?.innerText")
    assert "A door stands open" in told
    assert "Close the open door" in told
    await asyncio.to_thread(car.do, "doors/driver/close")
    await driver.until(f"{shown('driver', 'open')} === 'Closed'")
    await press(driver, "lock")
    assert await driver.until(outcome("SUCCESS")) == "Locked"


async def test_what_happened_while_the_network_was_away_is_there_when_it_is_back(
    driver: ChromiumPage, mesh: Mesh
) -> None:
    await driver.until(f"{LIVE} && {shown('trunk', 'locked')} === 'Locked'")
    await driver.is_offline(offline=True)
    await driver.until("document.querySelector('[data-live=reconnecting]') !== null")
    # What was known is shown as old, and nothing is lost.
    await driver.until("document.querySelector('.car.is-stale') !== null")
    assert await driver.run(shown("trunk", "locked")) == "Locked"
    await asyncio.to_thread(Car(mesh, FOREIGN).do, "doors/trunk/unlock")
    await press(driver, "lock")
    told = await driver.until(outcome("unclear"))
    assert "still one command" in told
    await driver.is_offline(offline=False)
    await driver.until(f"{LIVE} && {shown('trunk', 'locked')} === 'Unlocked'")
    await driver.until("document.querySelector('.car.is-stale') === null")
    await driver.run("document.querySelector('[data-outcome=unclear] button').click()")
    assert await driver.until(outcome("SUCCESS")) == "Locked"


async def test_what_comes_again_by_itself_takes_no_button_away(driver: ChromiumPage) -> None:
    # The page's own connection, whose service says what one does that is busy; then the real one is asked again.
    await driver.run(
        "{const send = WebSocket.prototype.send; WebSocket.prototype.send = function (text) {"
        " WebSocket.prototype.send = send; window.ours = this; send.call(this, text); }; 0}"
    )
    await driver.run("dispatchEvent(new Event('offline'))")
    await driver.until(f"window.ours && {LIVE}")
    await driver.run(
        "ours.addEventListener('message', ({ data }) => { window.misread ||= JSON.parse(data).type === 'ERROR'; });"
        " ours.send('{}')"
    )
    await driver.until("window.misread")
    both = f"!{command('unlock')}.disabled && !{command('lock')}.disabled"
    assert await driver.run(both)
    busy = {
        "type": "ENDED",
        "vin": FOREIGN,
        "code": "RATE_LIMITED",
        "detail": "Busy.",
        "retryAfterSeconds": 1,
    }
    await driver.run(f"ours.onmessage({{ data: JSON.stringify({json.dumps(busy)}) }})")
    assert await driver.run(f"{both} && document.querySelector('[data-live=reconnecting]') !== null")
    await driver.until(f"{LIVE} && {both}")


async def test_history_and_settings_are_there(driver: ChromiumPage, mesh: Mesh) -> None:
    await driver.run("document.querySelector('[data-box=history]').open = true")
    rows = await driver.until("document.querySelectorAll('table[data-part=history] tbody tr').length")
    assert rows >= 1
    await driver.run("document.querySelector('[data-box=settings]').open = true")
    await driver.until("document.querySelector('[name=autoLockDelay]')?.value")
    await driver.run("document.querySelector('[name=autoLockDelay]').value = '45'")
    await driver.run("document.querySelector('[data-part=settings] form').requestSubmit()")
    await driver.until("document.querySelector('[data-part=settings] .alert.good') !== null")
    app = App(mesh, FOREIGN, mesh.token(OWNER))
    assert await asyncio.to_thread(lambda: app.get("config").json()["autoLockDelay"]) == 45


async def test_a_code_for_an_agent_is_shown_to_who_has_just_shown_a_second_factor(
    driver: ChromiumPage,
) -> None:
    await driver.run("document.querySelector('[data-box=help]').open = true")
    await driver.run("document.querySelector('[name=case]').value = 'C-4711'")
    await driver.run("document.querySelector('[data-part=help] form').requestSubmit()")
    code = await driver.until("document.querySelector('[data-part=spoken-code]')?.dataset.code")
    assert len(code) == 8


async def test_privacy_mode_is_said_and_the_doors_are_shown_as_old(driver: ChromiumPage, mesh: Mesh) -> None:
    car = Car(mesh, FOREIGN)
    look = "document.dispatchEvent(new Event('visibilitychange'))"  # as one that comes back to the page
    for access, state, is_old in (("PRIVACY_MODE", "PRIVACY_MODE", True), ("ENABLED", "ONLINE", False)):
        await asyncio.to_thread(car.do, "remote-access", remoteAccess=access)
        await asyncio.to_thread(told_to_be, App(mesh, FOREIGN, mesh.token(OWNER)), state)
        await driver.run(look)
        await driver.until(f"document.querySelector('[data-connectivity={state}]') !== null")
        await driver.until(f"(document.querySelector('.car.is-stale') !== null) === {str(is_old).lower()}")


def told_to_be(app: App, state: str) -> None:
    """Wait until the service says so of the car."""
    eventually(lambda: app.get("capabilities").json()["reachability"]["state"] == state)


async def test_notifications_say_what_this_browser_can(driver: ChromiumPage) -> None:
    await driver.run("document.querySelector('[data-box=notifications]').open = true")
    told = await driver.until(
        "document.querySelector('[data-part=notifications] > p:not(.skeleton)')?.innerText"
    )
    assert "notifications" in told
    # And nothing besides: no value of a script that was left out.
    assert "false" not in await driver.run("document.querySelector('[data-part=notifications]').innerText")


async def test_it_speaks_korean_and_can_be_used_by_everybody(driver: ChromiumPage, axe_script: str) -> None:
    for language, word in (("ko", "잠그기"), ("en", "Lock")):
        await driver.run(f"document.querySelector('[data-language={language}]').click()")
        await driver.until(f"{command('lock')}.innerText === {json.dumps(word)}")
        assert await driver.run("document.documentElement.lang") == language
        await keep_pictures(driver, f"app-{language}")
        for dark in (False, True):
            await driver.prefer(dark=dark)
            assert await violations(driver, axe_script) == []
    await driver.command("Emulation.setEmulatedMedia", features=[])


async def test_on_a_phone_nothing_is_wider_than_the_screen(driver: ChromiumPage) -> None:
    await driver.screenshot(360)
    wide = await driver.run("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    await driver.command("Emulation.clearDeviceMetricsOverride")
    assert not wide


async def test_the_buttons_are_reached_and_pressed_by_keyboard(driver: ChromiumPage) -> None:
    await driver.run("document.activeElement.blur(); document.querySelector('.skip').focus()")
    reached: list[Any] = []
    for _ in range(30):
        for kind in ("keyDown", "keyUp"):
            await driver.command(
                "Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9
            )
        reached.append(await driver.run("document.activeElement.dataset.command ?? null"))
        if reached[-1] == "lock":
            break
    assert "unlock" in reached
    before = await sent_with_id(driver, "/door/lock")
    for kind, more in (("keyDown", {"text": "\r"}), ("keyUp", {})):
        await driver.command(
            "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, **more
        )
    # An earlier request's end still stands there: it has to be that of a new one.
    async with asyncio.timeout(60):
        while await sent_with_id(driver, "/door/lock") == before:
            await driver.until("document.querySelector('[data-outcome]') !== null")
    assert await driver.until(outcome("SUCCESS")) == "Locked"


async def test_a_reload_signs_in_again_and_a_sign_out_asks_who_it_is(
    driver: ChromiumPage, mesh: Mesh
) -> None:
    await driver.command("Page.reload")
    await driver.until(LIVE)
    # As a browser that is registered for notifications: they are for who is signed in.
    await driver.run("localStorage.setItem('push-device', 'web-of-this-test')")
    before = len(driver.events)
    await driver.run("document.querySelector('[data-part=sign-out]').click()")
    await driver.until("document.querySelector('[data-part=sign-in]') !== null")
    deleted = [
        request["headers"]["Authorization"].split()[0]
        for each in driver.events[before:]
        if each["method"] == "Network.requestWillBeSent"
        and (request := each["params"]["request"])["method"] == "DELETE"
        and request["url"].endswith("/notifications/devices/web-of-this-test")
    ]
    assert deleted == ["DPoP"]
    assert await driver.run("localStorage.getItem('push-device')") is None
    assert FOREIGN not in await driver.run("JSON.stringify({...sessionStorage})")
    await driver.run("document.querySelector('[data-part=sign-in]').click()")
    await driver.until("document.querySelector('form[action=\"/sign-in\"]') !== null")
    await fill(driver, "/sign-in", name=OWNER, password=account(mesh, OWNER)["password"])
    await driver.until(LIVE)


async def test_a_restricted_account_is_restored_by_its_person(page: ChromiumPage, mesh: Mesh) -> None:
    employee = mesh.token("employee-1", client="operations", scope="security.watch security.act")
    office = App(mesh, FOREIGN, employee)
    url = f"{mesh.base_url}/security/accounts/restrict"
    restriction = {"principal": OWNER, "reason": "reported by phone"}
    told = await asyncio.to_thread(
        lambda: httpx.post(url, headers=office.headers, json=restriction, **PLAINLY)
    )
    assert told.status_code == 200, told.text
    try:
        await sign_in(page, mesh, "/app/", OWNER, two_factors=True)
        await page.until(LIVE)
        await press(page, "unlock")
        await page.until(
            "document.querySelector('[data-code=ACCOUNT_RESTRICTED] [data-part=restore]') !== null"
        )
        await page.run("document.querySelector('[data-part=restore]').click()")
        # The second factor was fresh; where it is not any more it is asked for, and the same is offered again.
        either = "document.querySelector('[data-outcome=restored], [data-part=step-up]')?.dataset"
        if (await page.until(f"{either} && JSON.stringify({either})")).find("step-up") >= 0:
            await page.run("document.querySelector('[data-part=step-up]').click()")
            await show_code(page, mesh, OWNER)
            await page.until("document.querySelector('dialog[open] button.primary') !== null")
            await page.run("document.querySelector('dialog[open] button.primary').click()")
        assert "restored" in await page.until(outcome("restored"))
        unrestricted = App(mesh, FOREIGN, mesh.token(OWNER))
        assert (await asyncio.to_thread(unrestricted.order, "unlock")).status_code == 202
    finally:
        await asyncio.to_thread(App(mesh, FOREIGN, mesh.token(OWNER)).send, "POST", "account/restore", None)


async def test_an_answer_that_this_tab_did_not_ask_for_signs_nobody_in(
    page: ChromiumPage, mesh: Mesh
) -> None:
    await page.open(f"{base_of(mesh)}/app/?code=stolen&state=made-up&iss={issuer_url(mesh.ports)}")
    told = await page.until("document.querySelector('[data-code=unknown_answer]')?.innerText")
    assert "not begun here" in told
    assert await page.run("location.search") == ""
    assert await page.run("document.querySelector('[data-part=sign-out]')") is None


async def test_who_has_several_cars_says_which(page: ChromiumPage, mesh: Mesh, axe_script: str) -> None:
    await sign_in(page, mesh, "/app/", "user-123", two_factors=False)
    await page.until(f"document.querySelector('[data-vin={SAMPLE}]') !== null")
    await page.run(f"document.querySelector('[data-vin={SAMPLE}]').click()")
    await page.until(LIVE)
    assert await violations(page, axe_script) == []


def post(app: App, path: str) -> int:
    return httpx.post(f"{app.door}/{path}", headers=app.headers, **PLAINLY).status_code


async def test_the_end_of_a_right_is_said_at_once_and_the_buttons_are_off(
    page: ChromiumPage, mesh: Mesh
) -> None:
    owner = App(mesh, FOREIGN, mesh.token(OWNER))
    offer = {"principal": "user-123", "kind": "DIGITAL_KEY", "label": "Weekend"}
    given = await asyncio.to_thread(owner.send, "POST", "grants", offer)
    assert given.status_code == 200, given.text
    grant = f"grants/{given.json()['grantId']}"
    assert await asyncio.to_thread(post, App(mesh, FOREIGN, mesh.token("user-123")), f"{grant}/accept") == 200
    await sign_in(page, mesh, "/app/", "user-123", two_factors=False)
    await page.until(f"document.querySelector('[data-vin={FOREIGN}]') !== null")
    await page.run(f"document.querySelector('[data-vin={FOREIGN}]').click()")
    await page.until(LIVE)
    assert await asyncio.to_thread(post, owner, f"{grant}/end") == 200
    await page.until("document.querySelector('[data-code=ACTION_NOT_GRANTED]') !== null")
    assert await page.run(f"{command('unlock')}.disabled && {command('lock')}.disabled")
    # Who is given it again asks again, and goes on without loading the page anew.
    given = await asyncio.to_thread(owner.send, "POST", "grants", offer)
    again = f"grants/{given.json()['grantId']}"
    assert await asyncio.to_thread(post, App(mesh, FOREIGN, mesh.token("user-123")), f"{again}/accept") == 200
    await page.run("document.querySelector('[data-part=told] button').click()")
    await page.until(f"{LIVE} && !{command('unlock')}.disabled && !{command('lock')}.disabled")
    await page.until("document.querySelector('[data-part=told] .alert') === null")
    assert await asyncio.to_thread(post, owner, f"{again}/end") == 200

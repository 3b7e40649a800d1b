"""The agents' console in a real Chromium, on the whole mesh: a customer's car unlocked, refused, cut off and left.

One agent signs in once, and opens a case by the customer's spoken code for each test.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio
from typer.testing import CliRunner

from doorctl.__main__ import app as app_of_doorctl
from issuer.command_line import CommandLineClient
from mesh.sandbox import COUPE_VIN, VAN_VIN, Sandbox
from tests.browser.conftest import BINARY, keep_pictures, show_code, sign_in, violations
from tests.support.app import FOREIGN, PLAINLY, App, Car, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.chromium import ChromiumBrowser, ChromiumPage
    from tests.support.running_mesh import Mesh

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(BINARY is None, reason="there is no Chromium"),
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]

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
        accepted = eventually(lambda: (a := self.owner.order("lock")).status_code == 202 and a)
        assert self.owner.end_of(accepted.json()["commandId"])["status"] == "SUCCESS"


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


async def test_an_agent_unlocks_a_customers_car_and_sees_it_happen(desk: Desk) -> None:
    await asyncio.to_thread(desk.lock)
    await desk.open_case()
    await desk.page.until(shows("driver", "locked", "Locked"))
    await desk.press("unlock")
    command = await desk.ended("SUCCESS")
    for door in ("driver", "passenger", "rearLeft", "rearRight", "trunk"):
        await desk.page.until(shows(door, "locked", "Unlocked"))
    picture = "document.querySelector('.car svg [data-lock=driver]').classList.contains('is-unlocked')"
    assert await desk.page.run(picture)
    stages = await desk.page.run(
        "[...document.querySelectorAll('[data-stage]')].map((each) => each.dataset.stage)"
    )
    assert stages == ["ACCEPTED", "QUEUED", "SENT", "RECEIVED", "FINISHED"]
    assert desk.car.moved(command), "the console's SUCCESS is the car's"
    await desk.page.until(f"document.querySelector('tr[data-command={command}]') !== null")
    row = await desk.page.run(f"document.querySelector('tr[data-command={command}]').textContent")
    assert AGENT in row
    assert CUSTOMER in row
    # A hand opens a door: the picture follows.
    await asyncio.to_thread(desk.car.do, "doors/driver/open")
    await desk.page.until(shows("driver", "open", "Open"))
    assert await desk.page.run("document.querySelector('.car .door-driver').classList.contains('is-open')")
    await asyncio.to_thread(desk.car.do, "doors/driver/close")
    await desk.page.until(shows("driver", "open", "Closed"))


async def test_a_case_is_opened_by_a_colleagues_approval(desk: Desk) -> None:
    number = f"case-{uuid.uuid4()}"
    if not await desk.page.run(AT_DESK):
        await desk.page.run("document.querySelector('.case-bar button').click()")
        await desk.page.until(AT_DESK)
    for field, value in (("case", number), ("customer", CUSTOMER), ("vin", VIN.lower())):
        await desk.page.run(f"document.getElementById('approved-{field}').value = {json.dumps(value)}")
    await desk.page.run("document.querySelector('[data-form=approved]').requestSubmit()")
    opening = "document.querySelector('[data-form=approved] [data-part=answer] button')"
    await desk.page.until(f"{opening} !== null")
    await desk.page.run(f"{opening}.click()")
    await desk.page.until("document.querySelector('[data-form=approved] .alert.bad') !== null")
    colleague = {"Authorization": f"Bearer {desk.mesh.token('agent-8', client='call-center')}"}
    approved = await asyncio.to_thread(
        httpx.post,
        f"{Sandbox(desk.mesh.data).issuer}/mandates/cases/{number}/approval",
        data={"agent": AGENT, "customer": CUSTOMER, "vin": VIN},
        headers=colleague,
        **PLAINLY,
    )
    assert approved.status_code < 300, approved.text
    await desk.page.run(f"{opening}.click()")
    await desk.page.until(LIVE)
    assert number in await desk.page.run("document.querySelector('.case-bar').textContent")


async def test_what_stands_in_the_way_is_said_at_once(desk: Desk) -> None:
    await asyncio.to_thread(desk.lock)
    await desk.open_case()
    await asyncio.to_thread(desk.car.do, "doors/driver/unlock")
    await asyncio.to_thread(desk.car.do, "doors/driver/open")
    await desk.page.until(shows("driver", "open", "Open"))
    await desk.press("lock")
    await desk.page.until("document.querySelector('[data-part=answer] [data-code=DOOR_OPEN]') !== null")
    said = await desk.page.run("document.querySelector('[data-code=DOOR_OPEN]').textContent")
    assert "Close the open door, then lock again." in said
    await asyncio.to_thread(desk.car.do, "doors/driver/close")
    await desk.page.until(shows("driver", "open", "Closed"))
    await asyncio.to_thread(desk.car.do, "drive", speedKmh=30)
    await asyncio.to_thread(
        eventually, lambda: (desk.owner.get("status").json().get("vehicleSpeed") or 0) > 0
    )
    await desk.press("unlock")
    await desk.page.until("document.querySelector('[data-part=answer] [data-code=VEHICLE_MOVING]') !== null")
    await asyncio.to_thread(desk.car.do, "park")


async def test_a_broken_actuator_is_told_door_by_door(desk: Desk) -> None:
    await asyncio.to_thread(desk.lock)
    await desk.open_case()
    await asyncio.to_thread(desk.car.do, "actuators/rearLeft/fail")
    try:
        await desk.press("unlock")
        await desk.ended("FAILED")
        assert await desk.page.run(f"{FAILURE}.dataset.reason") == "PARTIAL_SUCCESS"
        results = await desk.page.run(
            "Object.fromEntries([...document.querySelectorAll('[data-part=results] tr[data-door]')]"
            ".map((row) => [row.dataset.door, row.textContent]))"
        )
        assert "As asked" in results["driver"]
        assert "A lock did not move" in results["rearLeft"]
    finally:
        await asyncio.to_thread(desk.car.do, "actuators/rearLeft/repair")


async def test_failures_and_the_trend_are_charted(desk: Desk) -> None:
    """Of the failure before, whose count comes within about a minute."""
    await asyncio.to_thread(
        eventually, lambda: desk.owner.get("failures", period="7d").json().get("failures"), 120
    )
    await desk.open_case()
    await desk.page.run("document.querySelector('#tab-tab-failures').click()")
    await desk.page.until("document.querySelector('#panel-tab-failures .chart canvas') !== null")
    rows = "document.querySelectorAll('[data-part=causes] tbody tr').length"
    assert await desk.page.run(rows) == len(desk.owner.get("failures", period="7d").json()["causes"])
    table = "document.querySelector('#panel-tab-failures .chart + details table')"
    assert await desk.page.run(f"{table}.tBodies[0].rows.length") == 7  # days
    await desk.page.run("document.querySelector('#tab-tab-diagnostics').click()")
    await desk.page.until("document.querySelector('#trend-component option[value=lock_module_01]') !== null")
    await desk.page.until("document.querySelector('#panel-tab-diagnostics .chart canvas') !== null")


async def test_a_sleeping_car_is_woken_and_the_timeline_says_so(desk: Desk) -> None:
    await asyncio.to_thread(desk.lock)
    await asyncio.to_thread(desk.car.do, "sleep")
    await asyncio.to_thread(
        eventually, lambda: desk.owner.get("status").json().get("connectivity") == "ASLEEP"
    )
    await desk.open_case()
    await desk.page.until("document.querySelector('[data-reach=ASLEEP]') !== null")
    await desk.press("unlock")
    await desk.page.until("document.querySelector('[data-stage=WAKING]') !== null")
    await desk.ended("SUCCESS")
    await desk.page.until(shows("driver", "locked", "Unlocked"))


@pytest.mark.alone
async def test_the_reason_is_read_within_a_second(desk: Desk) -> None:
    await asyncio.to_thread(desk.lock)
    await desk.open_case()
    await asyncio.to_thread(desk.car.do, "actuators/rearLeft/fail")
    try:
        await desk.page.run(
            "globalThis.shownAt = new Promise((resolve) => new MutationObserver("
            f"() => {FAILURE} && resolve(Date.now())).observe(document.body, {{subtree: true, childList: true}})); 0"
        )
        await desk.press("unlock")
        command = await desk.ended("FAILED")
        finished = next(
            each["time"] for each in desk.owner.command(command)["stages"] if each["name"] == "FINISHED"
        )
        assert await desk.page.run(f"shownAt.then((at) => at - Date.parse({json.dumps(finished)}))") < 1000
    finally:
        await asyncio.to_thread(desk.car.do, "actuators/rearLeft/repair")


async def test_a_cut_connection_resumes_without_a_gap(desk: Desk) -> None:
    await desk.open_case()
    for door in ("driver", "rearLeft"):
        await asyncio.to_thread(desk.car.do, f"doors/{door}/unlock")
        await desk.page.until(shows(door, "locked", "Unlocked"))
    with desk.owner.stream() as told:
        await asyncio.to_thread(desk.car.do, "doors/rearLeft/open")
        await desk.page.until(shows("rearLeft", "open", "Open"))
        await desk.page.is_offline(offline=True)
        try:
            await desk.page.until("document.querySelector('[data-live=reconnecting]') !== null")
            assert await desk.page.run("document.querySelector('.car').classList.contains('is-stale')")
            for hand in ("rearLeft/close", "driver/open", "driver/close", "rearLeft/open", "rearLeft/close"):
                await asyncio.to_thread(desk.car.do, f"doors/{hand}")
                await asyncio.to_thread(_told_of, told, hand)
        finally:
            await desk.page.is_offline(offline=False)
        await desk.page.until(LIVE)
        await desk.page.until(shows("rearLeft", "open", "Closed"))
        ids = [each["id"] for each in told.events if each.get("event") == "DOOR_STATUS_UPDATE"]
        assert len(ids) >= 6  # one before the cut, five in it
        await desk.page.until(f"document.querySelector('[data-event={json.dumps(ids[-1])}]') !== null")
    seen = await desk.page.run(
        "[...document.querySelectorAll('.feed [data-type=DOOR_STATUS_UPDATE]')].map((each) => each.dataset.event)"
    )
    assert [each for each in reversed(seen) if each in ids] == ids, "in order, once, and all of them"


def _told_of(told: Any, hand: str) -> None:
    """Once it is told to others: two changes between two reports of the car would be none."""
    door, _, what = hand.partition("/")
    change = "OPENED" if what == "open" else "CLOSED"

    def is_last(_: dict[str, Any]) -> bool:
        doors = [each["data"]["data"] for each in told.events if each.get("event") == "DOOR_STATUS_UPDATE"]
        return bool(doors) and (doors[-1]["doorId"], doors[-1]["changeType"]) == (door, change)

    told.wait_for(is_last)


async def test_an_emergency_needs_a_colleague(desk: Desk) -> None:
    case = await desk.open_case()
    await desk.choose("unlockMode", "EMERGENCY")
    await desk.press("unlock")
    await desk.page.until("document.querySelector('dialog[open]') !== null")
    await desk.page.run("document.querySelector('dialog [value=yes]').click()")
    await desk.page.until("document.querySelector('[data-code=APPROVAL_REQUIRED]') !== null")
    colleague = App(desk.mesh, VIN, desk.mesh.token(CUSTOMER, vin=VIN, actor="agent-8", case=case))
    approved = await asyncio.to_thread(colleague.send, "POST", "emergency/approve", {"agent": AGENT})
    assert approved.status_code == 200, approved.text
    await desk.page.run("document.querySelector('[data-code=APPROVAL_REQUIRED] button').click()")
    await desk.ended("SUCCESS")


async def test_a_command_on_its_way_is_cancelled(desk: Desk) -> None:
    await asyncio.to_thread(desk.lock)
    await desk.open_case()
    await asyncio.to_thread(desk.car.do, "leave-coverage")
    try:
        await desk.press("unlock")
        await desk.page.until("document.querySelector('[data-stage=QUEUED]') !== null")
        await desk.press("cancel")
        answered = "document.querySelector('[data-command=cancel]').getAttribute('aria-busy') === 'false'"
        await desk.page.until(answered)
    finally:
        await asyncio.to_thread(desk.car.do, "enter-coverage")
    command = await desk.ended("CANCELLED")
    assert not desk.car.moved(command)


ONE_FACTOR = """
const asked = globalThis.fetch;
globalThis.fetch = async (url, options) => {
  const answer = await asked(url, options);
  if (!String(url).endsWith("/console/config.json")) return answer;
  const config = {...await answer.json(), acrValues: "urn:ecarus:acr:1fa"};
  return new Response(JSON.stringify(config), {headers: answer.headers});
};
"""
"""A console that asks for one factor only, as another deployment's may."""


async def test_a_stronger_sign_in_leads_back_to_what_it_interrupted(mesh: Mesh, page: ChromiumPage) -> None:
    await page.command("Page.addScriptToEvaluateOnNewDocument", source=ONE_FACTOR)
    await sign_in(page, mesh, "/console/", AGENT, two_factors=False)
    agent = Desk(page, mesh)
    await asyncio.to_thread(agent.lock)
    await agent.open_case()
    await agent.press("unlock")
    challenge = "document.querySelector('[data-code=STEP_UP_REQUIRED] button')"
    await page.until(f"{challenge} !== null")
    await page.run(f"{challenge}.click()")
    await show_code(page, mesh, AGENT)
    await page.until(f"location.pathname === '/console/' && {AT_DESK}")
    await agent.open_case()
    offered = "document.querySelector('[data-part=answer] button.primary')"
    await page.until(f"{offered} !== null")
    assert not await page.run("document.querySelector('[data-stage]') !== null"), "it is not sent by itself"
    await page.run(f"{offered}.click()")
    assert agent.car.moved(await agent.ended("SUCCESS"))


async def test_what_a_car_lacks_has_no_button(desk: Desk) -> None:
    """A coupe of two doors, and a van that opens none remotely; the case says of which model they are."""
    choices = "[...document.querySelectorAll('.doors input')].map((each) => each.value).join()"
    await desk.open_case(COUPE_VIN, OTHER_CUSTOMER)
    await desk.page.until(f"{choices} === 'all,driver,passenger,trunk'")
    await desk.page.until("document.querySelector('.car table tr[data-door=rearLeft]') === null")
    assert await desk.page.run("document.querySelector('.car .door-rearLeft') === null")
    owner = App(desk.mesh, COUPE_VIN, desk.mesh.token(OTHER_CUSTOMER))
    model = owner.get("capabilities").json()["model"]
    await desk.page.until(f"document.querySelector('.case-bar').textContent.includes({json.dumps(model)})")
    await desk.open_case(VAN_VIN, OTHER_CUSTOMER)
    await desk.page.until("document.querySelector('[data-command=unlock]') === null")
    assert await desk.page.run("document.querySelector('[data-command=lock]') !== null")


async def test_settings_are_changed_for_the_customer(desk: Desk) -> None:
    await desk.open_case()
    await desk.page.run("document.querySelector('#tab-tab-settings').click()")
    await desk.page.until("document.querySelector('#setting-autoLockDelay') !== null")
    before = int(await desk.page.run("document.querySelector('#setting-autoLockDelay').value"))
    wanted = 45 if before != 45 else 50
    await desk.choose("autoLockDelay", str(wanted))
    await desk.page.run("document.querySelector('[role=tabpanel] form').requestSubmit()")
    await desk.page.until(f"document.querySelector('#setting-autoLockDelay')?.value === '{wanted}'")
    await asyncio.to_thread(
        eventually, lambda: desk.owner.get("config").json().get("autoLockDelay") == wanted
    )


async def test_an_account_is_restricted_by_an_agent_and_restored_by_its_person(desk: Desk) -> None:
    await desk.open_case()
    await desk.page.run("document.querySelector('#tab-tab-security').click()")
    await desk.page.until("document.querySelector('#restrict-reason') !== null")
    await desk.page.run("document.querySelector('#panel-tab-security details').open = true")
    await desk.page.run("document.querySelector('#restrict-reason').value = 'The customer asks for it'")
    await desk.page.run("document.querySelector('#restrict-reason').form.requestSubmit()")
    await desk.page.until("document.querySelector('dialog[open]') !== null")
    await desk.page.run("document.querySelector('dialog [value=yes]').click()")
    try:
        await desk.page.until(
            "document.querySelector('#panel-tab-security .alert.good[role=alert]') !== null"
        )
        refused = await asyncio.to_thread(desk.owner.order, "unlock")
        assert (refused.status_code, refused.json()["code"]) == (403, "ACCOUNT_RESTRICTED")
    finally:
        restored = await asyncio.to_thread(desk.owner.send, "POST", "account/restore", None)
        assert restored.status_code == 200, restored.text


async def test_history_is_filtered_and_everything_is_reached_by_keys(desk: Desk) -> None:
    await asyncio.to_thread(desk.lock)
    await asyncio.to_thread(eventually, lambda: desk.owner.history(action="LOCK")["total"])
    await desk.open_case()
    await desk.page.until("document.querySelector('[data-part=history]') !== null")
    select = "document.querySelector('#history-action')"
    await desk.page.run(f"{select}.value = 'LOCK'; {select}.dispatchEvent(new Event('change'))")
    rows = "[...document.querySelectorAll('[data-part=history] tbody tr')].map((row) => row.dataset.action)"
    await desk.page.until(f"{rows}.length > 0 && {rows}.every((action) => action === 'LOCK')")
    await _key(desk.page, "KeyU", alt_and_shift=True)
    assert await desk.page.run("document.activeElement.dataset.command") == "unlock"
    await _key(desk.page, "Digit2", alt_and_shift=True)
    assert await desk.page.run("document.activeElement.id") == "tab-tab-failures"
    await _key(desk.page, "ArrowLeft")
    assert await desk.page.run("document.activeElement.id") == "tab-tab-history"
    assert not await desk.page.run("document.querySelector('#panel-tab-history').hidden")


async def _key(page: ChromiumPage, code: str, *, alt_and_shift: bool = False) -> None:
    """Press a key as a person does: Alt is 1, Shift is 8."""
    pressed = {"code": code, "key": code.removeprefix("Key"), "modifiers": 9 if alt_and_shift else 0}
    await page.command("Input.dispatchKeyEvent", type="rawKeyDown", **pressed)
    await page.command("Input.dispatchKeyEvent", type="keyUp", **pressed)


async def test_a_console_left_open_over_night_ends_when_the_lid_is_opened(desk: Desk) -> None:
    await desk.open_case()
    await desk.page.run("globalThis.clock = Date.now; Date.now = () => clock() + 12 * 3600 * 1000")
    try:
        await desk.page.run("dispatchEvent(new Event('focus'))")
        assert (
            await desk.page.run("document.querySelector('[data-part=ended]')?.dataset.code")
            == "TOKEN_EXPIRED"
        )
        assert VIN not in await desk.page.run("document.documentElement.outerHTML")
    finally:
        await desk.page.run("Date.now = clock; 0")


async def test_nothing_of_the_customer_is_left_when_the_case_is_closed(desk: Desk) -> None:
    number = await desk.open_case()
    await desk.page.until(f"document.body.textContent.includes({json.dumps(VIN)})")
    words = ["case", "open", number, CUSTOMER, "--vin", VIN]
    for said in (words, ["case", "close", number]):
        done = await asyncio.to_thread(
            CliRunner().invoke, app_of_doorctl, said, env={"DOORS_DATA_DIR": str(desk.mesh.data)}
        )
        assert done.exit_code == 0, done.output
    await desk.page.until("document.querySelector('[data-part=ended]') !== null")
    left = await desk.page.run("document.documentElement.outerHTML")
    for word in (VIN, CUSTOMER, number, "data-command"):
        assert word not in left
    stored = await desk.page.run("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    for word in (VIN, CUSTOMER, number):
        assert word not in stored


async def test_the_console_is_for_everybody(desk: Desk, axe_script: str) -> None:
    """Light in English and dark in Korean, every area: nothing that axe finds, no picture wider than a phone."""
    await desk.open_case()
    for scheme, language in (("light", "en"), ("dark", "ko")):
        feature = [{"name": "prefers-color-scheme", "value": scheme}]
        await desk.page.command("Emulation.setEmulatedMedia", features=feature)
        await desk.page.run(f"document.querySelector('[data-language={language}]').click()")
        await desk.page.until(f"document.documentElement.lang === '{language}'")
        for area in AREAS:
            await desk.page.run(f"document.querySelector('#tab-tab-{area}').click()")
            await desk.page.until(
                f"document.querySelector('#panel-tab-{area} :is(.skeleton, [aria-busy])') === null"
            )
            assert await desk.page.run(
                f"document.querySelector('#panel-tab-{area} [role=alert]') === null"
            ), area
            assert await violations(desk.page, axe_script) == [], (scheme, language, area)
            if language == "en":
                await keep_pictures(desk.page, f"console-{area}")
    await desk.page.command(
        "Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True
    )
    assert await desk.page.run("document.documentElement.scrollWidth <= innerWidth")
    await desk.page.command("Emulation.clearDeviceMetricsOverride")
    await desk.page.run("document.querySelector('[data-language=en]').click()")
    await desk.page.run("document.querySelector('.case-bar button').click()")
    await desk.page.until(AT_DESK)
    assert await violations(desk.page, axe_script) == []

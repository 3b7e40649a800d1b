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

from mesh.sandbox import Sandbox
from mesh.sandbox_fleet import COUPE_VIN, VAN_VIN
from tests.browser.conftest import BINARY, show_code, sign_in
from tests.browser.desk import (
    AGENT,
    AT_DESK,
    CUSTOMER,
    FAILURE,
    LIVE,
    OTHER_CUSTOMER,
    VIN,
    Desk,
    desk,
    shows,
)
from tests.support.app import PLAINLY, App, eventually

if TYPE_CHECKING:
    from tests.support.chromium import ChromiumPage
    from tests.support.running_mesh import Mesh

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(BINARY is None, reason="there is no Chromium"),
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]

__all__ = ["desk"]


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
    offered = "document.querySelector('[data-part=interrupted] button.primary')"
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


async def test_a_check_is_asked_for_by_its_button(desk: Desk) -> None:
    await desk.open_case()
    await desk.page.run("document.querySelector('#tab-tab-diagnostics').click()")
    await desk.page.until("document.querySelector('[data-part=check]') !== null")
    await desk.page.run("document.querySelector('[data-part=check]').click()")
    answered = "document.querySelector('#panel-tab-diagnostics [role=alert]')"
    await desk.page.until(f"{answered} !== null")
    assert await desk.page.run(f"{answered}.classList.contains('good')"), await desk.page.run(
        f"{answered}.textContent"
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

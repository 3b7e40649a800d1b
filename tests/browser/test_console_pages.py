"""The agents' console as people use it: by keys, in two languages, over night, and closed with nothing left."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from doorctl.__main__ import app as app_of_doorctl
from tests.browser.conftest import BINARY, keep_pictures, violations
from tests.browser.desk import (
    AREAS,
    AT_DESK,
    CUSTOMER,
    VIN,
    Desk,
    desk,
)
from tests.support.app import eventually

if TYPE_CHECKING:
    from tests.support.chromium import ChromiumPage

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(BINARY is None, reason="there is no Chromium"),
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]

__all__ = ["desk"]


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
    # Nor is a table cut off: its rows are cards then. What a chart has beside it, a column for each line, is scrolled.
    for area in AREAS:
        await desk.page.run(f"document.querySelector('#tab-tab-{area}').click()")
        await desk.page.until(
            f"document.querySelector('#panel-tab-{area} :is(.skeleton, [aria-busy])') === null"
        )
        cut = (
            f"[...document.querySelectorAll('#panel-tab-{area} .scroll:has(table.cards)')]"
            ".filter((each) => each.scrollWidth > each.clientWidth)"
            ".map((each) => `${each.getAttribute('aria-label')} ${each.scrollWidth} > ${each.clientWidth}`)"
        )
        assert await desk.page.run(cut) == [], area
    await desk.page.command("Emulation.clearDeviceMetricsOverride")
    await desk.page.run("document.querySelector('[data-language=en]').click()")
    await desk.page.run("document.querySelector('.case-bar button').click()")
    await desk.page.until(AT_DESK)
    assert await violations(desk.page, axe_script) == []

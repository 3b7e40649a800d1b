"""One Chromium for all tests of pages, and what people do in it.

Without a Chromium they are skipped; without axe-core (from npm) what needs that. `DOORS_SCREENSHOTS=<folder>` keeps
what the pages looked like.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyotp
import pytest
import pytest_asyncio

from mesh.sandbox import Sandbox
from tests.support.chromium import browser_binary, chromium
from tests.support.npm import installed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.chromium import ChromiumBrowser, ChromiumPage
    from tests.support.running_mesh import Mesh

BINARY = browser_binary()
AXE = "axe-core@4.14.1"
WIDTHS = {"phone": 390, "desk": 1280}
SCREENSHOTS = Path(folder) if (folder := os.environ.get("DOORS_SCREENSHOTS")) else None
"""A folder that is there, outside of the repository."""
_STEP_SECONDS = 30
_TYPING_SECONDS = 15
"""So long a code is good at least once it is shown."""
_last_steps: dict[str, int] = {}


def base_of(mesh: Mesh) -> str:
    """The origin at which people open the pages: the issuer's site, so that its session is known."""
    return f"http://localhost:{mesh.ports.http}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ChromiumBrowser]:
    if BINARY is None:
        pytest.skip("there is no Chromium")
    async with chromium(BINARY, tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: ChromiumBrowser) -> AsyncIterator[ChromiumPage]:
    """A person's page. Nothing that it did may have been refused by its policy, or have failed unseen."""
    opened = await browser.new_page()
    yield opened
    complaints = opened.complaints()
    await opened.close()
    assert complaints == []


@pytest.fixture(scope="session")
def axe_script(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core's own script."""
    modules = installed(tmp_path_factory.mktemp("axe"), AXE)
    return (modules / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


async def violations(page: ChromiumPage, axe_script: str, *, leave_out: str | None = None) -> list[str]:
    """What axe finds against WCAG 2.2 A and AA: the rule and where. `leave_out` selects others' work."""
    await page.run(f"{axe_script}; 0")
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    options = json.dumps({"runOnly": {"type": "tag", "values": tags}, "resultTypes": ["violations"]})
    looked_at = "document" if leave_out is None else json.dumps({"exclude": [[leave_out]]})
    found = await page.run(
        f"axe.run({looked_at}, {options}).then(({{violations}}) => violations.map((each) => "
        "each.id + ': ' + each.nodes.map((node) => node.target.join(' ') + ' ' + node.failureSummary).join(' | ')))"
    )
    return list(found)


async def keep_pictures(page: ChromiumPage, name: str) -> None:
    """Take pictures at two widths, light and dark, where they are wanted."""
    if SCREENSHOTS is None:
        return
    for size, width in WIDTHS.items():
        for dark in (False, True):
            taken = await page.screenshot(width, dark=dark)
            picture = SCREENSHOTS / f"{name}-{size}{'-dark' if dark else ''}.png"
            await asyncio.to_thread(picture.write_bytes, taken)
    await page.command("Emulation.clearDeviceMetricsOverride")


def account(mesh: Mesh, name: str) -> dict[str, Any]:
    """Password and TOTP secret."""
    found: dict[str, Any] = json.loads(Sandbox(mesh.data).issuer_seed.read_text())["accounts"][name]
    return found


async def code_of(mesh: Mesh, name: str) -> str:
    """A code that was not used yet. The issuer takes those of one step before and after now, each once."""
    secret = account(mesh, name)["totpSecret"]
    step = max(int(time.time() + _TYPING_SECONDS) // _STEP_SECONDS - 1, _last_steps.get(secret, 0) + 1)
    # All three are used: an app shows the next one then, too.
    await asyncio.sleep(max(0.0, (step - 1) * _STEP_SECONDS - time.time() + 0.1))
    _last_steps[secret] = step
    return pyotp.TOTP(secret).at(step * _STEP_SECONDS)


async def fill(page: ChromiumPage, action: str, **values: str) -> None:
    """Fill in a form of the issuer and send it, as a person does."""
    await page.until(f"document.querySelector('form[action=\"{action}\"]') !== null")
    for name, value in values.items():
        field = f"document.querySelector('form[action=\"{action}\"] [name={name}]')"
        await page.run(f"{field}.value = {json.dumps(value)}")
    await page.run(f"document.querySelector('form[action=\"{action}\"] button').click()")


async def show_code(page: ChromiumPage, mesh: Mesh, name: str) -> None:
    """Show the second factor on the issuer's page: a code of when it asks for one."""
    await page.until("document.querySelector('form[action=\"/sign-in/totp\"]') !== null")
    await fill(page, "/sign-in/totp", code=await code_of(mesh, name))


async def sign_in(page: ChromiumPage, mesh: Mesh, path: str, name: str, *, two_factors: bool) -> None:
    """Open a page of ours and sign in with its button, on the issuer's pages."""
    await page.open(f"{base_of(mesh)}{path}")
    await page.until("document.querySelector('[data-part=sign-in]') !== null")
    await page.run("document.querySelector('[data-part=sign-in]').click()")
    await fill(page, "/sign-in", name=name, password=account(mesh, name)["password"])
    if two_factors:
        await show_code(page, mesh, name)
    await page.until(
        f"location.pathname === {json.dumps(path)} && document.querySelector('[data-part=sign-out]') !== null"
    )

"""The portal's pages in a real Chromium: the way of a new integrator from the first one, the documentation's search and
pictures, light and dark, for a phone and for axe.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from mesh.page_settings import DOCS
from tests.browser.conftest import BINARY, base_of, keep_pictures, violations
from tests.support.app import App

if TYPE_CHECKING:
    from tests.support.chromium import ChromiumPage
    from tests.support.running_mesh import Mesh

pytestmark = [
    pytest.mark.system,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(BINARY is None, reason="there is no Chromium"),
    pytest.mark.timeout(300),
]
with_docs = pytest.mark.skipif(not (DOCS / "index.html").is_file(), reason="make docs was not run here")
SWAGGER_UI = "#try > *"
"""Others' work, vendored as it is published."""


async def follow(page: ChromiumPage, words: str) -> None:
    """Press the link with these words, and wait for the page behind it."""
    link = (
        f"[...document.querySelectorAll('a')].find((each) => each.innerText.trim() === {json.dumps(words)})"
    )
    await page.until(f"{link} !== undefined")
    before = await page.run("document.URL")
    await page.run(f"{link}.click()")
    await page.until(f"document.URL !== {json.dumps(before)} && document.readyState === 'complete'")


@with_docs
async def test_a_new_integrator_finds_everything_from_the_first_page(page: ChromiumPage, mesh: Mesh) -> None:
    await page.open(f"{base_of(mesh)}/portal/")
    steps = await page.run("[...document.querySelectorAll('.steps h3')].map((each) => each.innerText)")
    assert steps[:2] == ["Be somebody", "Try an endpoint"]
    await follow(page, "How an app signs people in")
    await page.until("document.querySelector('h2#sign-in') !== null")
    await page.open(f"{base_of(mesh)}/portal/")
    await follow(page, "The catalogue of problems")
    await follow(page, "VEHICLE_NOT_FOUND")
    await page.until("document.querySelector('h1').innerText === 'Vehicle not found'")
    await follow(page, "Changelog")
    await page.until("document.querySelector('h1').innerText.startsWith('Changelog')")


async def test_the_type_of_a_refusal_opens_what_to_do_about_it(page: ChromiumPage, mesh: Mesh) -> None:
    refused = App(mesh, vin="KMHSH81C7LU999999").get("status").json()
    await page.open(refused["type"])
    shown = await page.run("document.querySelector('main').innerText")
    assert "VEHICLE_NOT_FOUND" in shown
    assert "Is a retry safe?" in shown
    await keep_pictures(page, "problem")


@with_docs
async def test_the_documentation_is_searched_without_a_server(page: ChromiumPage, mesh: Mesh) -> None:
    await page.open(f"{base_of(mesh)}/portal/docs/")
    query = "document.querySelector('[data-md-component=search-query]')"
    await page.until(f"{query} !== null")
    await page.run(f"{query}.focus()")
    await page.run(
        f"{query}.value = 'quiet hours'; {query}.dispatchEvent(new Event('keyup', {{bubbles: true}}))"
    )
    found = "[...document.querySelectorAll('.md-search-result__link')]"
    await page.until(f"{found}.some((each) => each.href.includes('/docs/notifications/'))")


@with_docs
async def test_a_picture_is_drawn_here(page: ChromiumPage, mesh: Mesh) -> None:
    await page.open(f"{base_of(mesh)}/portal/docs/docs/architecture/")
    # What is drawn is in a closed shadow root: its place has a size, and the text has gone.
    drawn = "document.querySelector('div.mermaid')?.getBoundingClientRect().height > 100"
    await page.until(drawn)
    await keep_pictures(page, "documentation")


@with_docs
@pytest.mark.parametrize(
    "path",
    [
        "/portal/",
        "/portal/problems/",
        "/portal/problems/door-open",
        "/portal/docs/",
        "/portal/docs/docs/clients/",
    ],
)
async def test_the_pages_are_for_everybody_and_for_a_phone(
    page: ChromiumPage, mesh: Mesh, axe_script: str, path: str
) -> None:
    for dark in (False, True):
        await page.prefer(dark=dark)
        await page.open(f"{base_of(mesh)}{path}")
        await page.until("document.readyState === 'complete' && document.querySelector('main') !== null")
        assert await violations(page, axe_script, leave_out=SWAGGER_UI) == [], (
            "dark" if dark else "light",
            path,
        )
    await page.command(
        "Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True
    )
    try:
        assert await page.run("document.documentElement.scrollWidth <= 390")
    finally:
        await page.command("Emulation.clearDeviceMetricsOverride")

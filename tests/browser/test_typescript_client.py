"""The TypeScript client in a real Chromium: on a page of another origin, from its tarball, against the mesh."""

from __future__ import annotations

import asyncio
import json
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from aiohttp import web

from tests.support.app import SAMPLE, App, owner_of_a_locked_car
from tests.support.node import built_package

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.chromium import ChromiumBrowser, ChromiumPage
    from tests.support.running_mesh import Mesh

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

PAGE = '<!doctype html><link rel="icon" href="data:,"><title>an app</title>'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Somebody's site, which serves the package's modules beside its page."""
    folder = tmp_path_factory.mktemp("site")
    tarball = await asyncio.to_thread(built_package, "@ecarus/doors")
    with tarfile.open(tarball) as packed:
        packed.extractall(folder, filter="data")

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    serving = web.Application()
    serving.router.add_get("/", page)
    serving.router.add_static("/doors", folder / "package" / "dist")
    runner = web.AppRunner(serving)
    await runner.setup()
    listening = web.TCPSite(runner, "127.0.0.1", 0)
    await listening.start()
    address = runner.addresses[0]
    yield f"http://{address[0]}:{address[1]}/"
    await runner.cleanup()


@pytest.fixture
def app(mesh: Mesh) -> App:
    return owner_of_a_locked_car(mesh, mesh.token("user-123"))


async def run(page: ChromiumPage, site: str, app: App, body: str) -> Any:
    """What a script of the page comes to that has `doors` and `vin`."""
    await page.open(site)
    options = {"baseUrl": app.mesh.base_url.removesuffix("/api/v1/remotecontrol"), "token": app.bearer}
    start = (
        f"const {{Doors}} = await import('/doors/index.js'); const doors = new Doors({json.dumps(options)});"
    )
    return await page.run(f"(async () => {{ {start} const vin = {json.dumps(SAMPLE)}; {body} }})()")


async def test_a_page_unlocks_and_waits(browser: ChromiumBrowser, site: str, app: App) -> None:
    page = await browser.new_page()
    told = await run(
        page, site, app, "return (await doors.unlock(vin, {doors: ['driver'], wait: 30})).status;"
    )
    assert told == "SUCCESS"
    assert page.complaints() == []
    await page.close()


async def test_a_page_reads_why_it_was_refused(browser: ChromiumBrowser, site: str, app: App) -> None:
    page = await browser.new_page()
    refused = "const error = await doors.status('KMHSH81C7LU999999').catch((each) => each);"
    told = await run(
        page, site, app, f"{refused} return [error.name, error.code, error.correlationId.length];"
    )
    assert told == ["DoorsError", "VEHICLE_NOT_FOUND", 36]
    await page.close()


@pytest.mark.parametrize("watching", ["doors.watch(vin,", "doors.watchAll([vin],"])
async def test_a_page_watches(browser: ChromiumBrowser, site: str, app: App, watching: str) -> None:
    page = await browser.new_page()
    loop = f"for await (const {{type, data}} of {watching} {{onOpen: () => void doors.unlock(vin)}}))"
    until = "{ seen.push(type); if (data.status === 'SUCCESS') return seen; }"
    told = await run(page, site, app, f"const seen = []; {loop} {until}")
    assert {"DOOR_STATUS_UPDATE", "COMMAND_STATUS_UPDATE"} <= set(told)
    assert page.complaints() == []
    await page.close()

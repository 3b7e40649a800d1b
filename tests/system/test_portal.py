"""The developers' portal through Envoy: every link of it leads somewhere, and every problem's type to its entry."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urldefrag, urljoin, urlsplit

import httpx
import pytest
from ecarus.remotecontrol.door.v1.error_reason_pb2 import ErrorReason

from tests.support.app import SAMPLE, App
from tools.site_finish import Links

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.running_mesh import Mesh

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

CODES = [code for code, number in ErrorReason.items() if number]
MOST_PAGES = 2_000


@pytest.fixture(scope="module")
def browser(mesh: Mesh) -> Iterator[httpx.Client]:
    """Who asks as a browser does."""
    with httpx.Client(
        base_url=f"http://localhost:{mesh.ports.http}",
        headers={"accept": "text/html,*/*"},
        trust_env=False,
        timeout=60,
    ) as client:
        yield client


def test_every_link_of_the_portal_leads_somewhere(browser: httpx.Client) -> None:
    waiting, seen, anchors, asked = (
        ["/portal/"],
        dict[str, str](),
        dict[str, set[str]](),
        list[tuple[str, str]](),
    )
    while waiting:
        path = waiting.pop()
        answer = browser.get(path, follow_redirects=True)
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
        seen[path] = place = answer.url.path
        assert len(seen) < MOST_PAGES
        if place in anchors or not answer.headers["content-type"].startswith("text/html"):
            continue
        links = Links()
        links.feed(answer.text)
        anchors[place] = links.ids
        assert links.forbidden == [], path
        for load in links.loads:
            assert not urlsplit(load).netloc, f"{path} loads {load}"
        for target in (*links.leads, *links.loads):
            if urlsplit(target).scheme or urlsplit(target).netloc:
                continue
            whole, anchor = urldefrag(urljoin(place, target))
            if anchor and not anchor.startswith("/"):  # what begins so is a place of Swagger UI's
                asked.append((whole, anchor))
            if whole not in seen and whole not in waiting:
                waiting.append(whole)
    dead = sorted(
        {f"{page}#{anchor}" for page, anchor in asked if anchor not in anchors.get(seen[page], {anchor})}
    )
    assert dead == []
    assert {"/portal/docs/docs/api/", "/portal/problems/", "/portal/docs/CHANGELOG/", "/openapi.json"} <= {
        *seen.values()
    }


@pytest.mark.parametrize("code", CODES)
def test_every_problem_has_an_entry(browser: httpx.Client, code: str) -> None:
    answer = browser.get(f"/portal/problems/{code}", follow_redirects=True)
    assert answer.url.path == f"/portal/problems/{code.lower().replace('_', '-')}"
    assert answer.status_code == 200
    assert f"<code>{code}</code>" in answer.text
    assert "Could the vehicle have acted?" in answer.text
    entry = browser.get(answer.url, headers={"accept": "application/json"})
    assert entry.headers["content-type"] == "application/json"
    assert (entry.json()["code"], bool(entry.json()["remedy"]), bool(entry.json()["guidance"])) == (
        code,
        True,
        True,
    )


def test_the_type_of_an_answer_leads_to_its_entry_whoever_answers(browser: httpx.Client, mesh: Mesh) -> None:
    owner = App(mesh)
    json_type = {"content-type": "application/json"}
    door = f"/api/v1/remotecontrol/vehicles/{SAMPLE}/door"
    auth = {"authorization": f"Bearer {owner.bearer}"}
    answers = {
        "PATH_NOT_FOUND": browser.get("/api/v1/nothing"),  # Envoy
        "UNSUPPORTED_MEDIA_TYPE": browser.post(
            f"{door}/lock", headers=auth | {"content-type": "application/grpc"}, content=b""
        ),  # its Lua
        "AUTHENTICATION_REQUIRED": browser.get(f"{door}/status"),  # access
        "COMMAND_NOT_FOUND": browser.get(f"{door}/commands/cmd-none", headers=auth),  # a service
        "INVALID_REQUEST": browser.post(f"{door}/lock", headers=auth | json_type, content=b'{"a": 1}'),
    }
    for code, answer in answers.items():
        problem = answer.json()
        assert problem["code"] == code
        assert problem["type"] == f"{browser.base_url}/portal/problems/{code.lower().replace('_', '-')}"
        followed = httpx.get(problem["type"], trust_env=False, timeout=60)
        assert followed.status_code == 200
        assert re.search(rf"<code>{code}</code>", followed.text)
        assert answer.headers["content-length"] == str(len(answer.content))

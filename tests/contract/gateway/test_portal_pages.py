"""The portal's documentation and catalogue, over real mutual TLS as Envoy asks for them."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import httpx
import pytest

from gateway.page_files import PageFilesError
from gateway.page_server import PageServer
from gateway.portal_pages import MOST_DOCS_BYTES, read_portal
from mesh.edge_config import ROOT
from tests.contract.gateway.test_pages import make_settings, tls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from gateway.settings import GatewaySettings
    from tests.support.certificates import Certificates

__all__ = ["make_settings"]
OPENAPI = ROOT / "gen" / "openapi.json"
FIRST = "<!doctype html><title>Documentation</title>" + "<p>about doors</p>" * 100


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A documentation."""
    for name, text in {"index.html": FIRST, "CHANGELOG/index.html": "<p>new", "assets/a.js": "1;"}.items():
        (tmp_path / "site" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / name).write_text(text)
    return tmp_path / "site"


@pytest.fixture
async def edge(
    make_settings: Callable[..., GatewaySettings], site: Path, pki: Certificates
) -> AsyncIterator[httpx.AsyncClient]:
    """Who asks as Envoy does."""
    server = PageServer(make_settings(pages_docs=site, pages_openapi=OPENAPI))
    server.start()
    base = f"https://localhost:{server.port}"
    async with httpx.AsyncClient(base_url=base, verify=tls(pki), trust_env=False, timeout=30) as client:
        yield client
    await server.stop()


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("br, GZIP;q=0.5", "gzip"),
        ("identity", None),
        ("br", None),
        ("gzip;q=0", None),
        ("gzip; q=0.000", None),
        ("", None),
    ],
)
async def test_the_documentation_is_sent_as_the_client_takes_it(
    edge: httpx.AsyncClient, accepted: str, coding: str | None
) -> None:
    asked = {"accept-encoding": accepted}
    async with edge.stream("GET", "/portal/docs/", headers=asked) as answer:
        raw = b"".join([part async for part in answer.aiter_raw()])
    assert (answer.status_code, answer.headers.get("content-encoding")) == (200, coding)
    assert answer.headers["vary"] == "accept-encoding"
    assert int(answer.headers["content-length"]) == len(raw)
    assert (gzip.decompress(raw) if coding else raw).decode() == FIRST
    again = await edge.get("/portal/docs/", headers=asked | {"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", answer.headers["etag"])


async def test_both_forms_have_a_tag_of_their_own(edge: httpx.AsyncClient) -> None:
    tags = {
        (await edge.get("/portal/docs/", headers={"accept-encoding": coding})).headers["etag"]
        for coding in ("gzip", "identity")
    }
    assert len(tags) == 2


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/portal/docs", "/portal/docs/"),
        ("/portal/docs/index.html", "/portal/docs/"),
        ("/portal/docs/CHANGELOG", "/portal/docs/CHANGELOG/"),
        ("/portal/changelog", "/portal/docs/CHANGELOG/"),
        ("/portal/changelog/", "/portal/docs/CHANGELOG/"),
        ("/portal/problems", "/portal/problems/"),
        ("/portal/problems/DOOR_OPEN", "/portal/problems/door-open"),
        ("/portal/problems/door-open/", "/portal/problems/door-open"),
    ],
)
async def test_a_page_has_one_address(edge: httpx.AsyncClient, path: str, place: str) -> None:
    answer = await edge.get(path)
    assert (answer.status_code, answer.headers["location"]) == (308, place)
    assert "content-security-policy" in answer.headers
    assert (await edge.get(place)).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/portal/docs/none/",
        "/portal/docs/../../settings.py",
        "/portal/problems/none",
        "/portal/problems/none.json",
    ],
)
async def test_there_is_nothing_else(edge: httpx.AsyncClient, path: str) -> None:
    assert (await edge.get(path)).status_code == 404


async def test_the_documentation_runs_files_of_its_own_alone_and_the_catalogue_nothing(
    edge: httpx.AsyncClient,
) -> None:
    docs = (await edge.get("/portal/docs/")).headers["content-security-policy"]
    assert "script-src 'self';" in docs
    assert "default-src 'none';" in docs
    problem = (await edge.get("/portal/problems/door-open")).headers["content-security-policy"]
    assert "style-src 'self';" in problem
    assert "require-trusted-types-for 'script'" in problem


async def test_an_entry_says_what_to_do_to_people_and_to_programs(edge: httpx.AsyncClient) -> None:
    page = (await edge.get("/portal/problems/command-in-progress", headers={"accept": "text/html, */*"})).text
    assert "<h1>Command in progress</h1>" in page
    assert "<dt>Is a retry safe?</dt><dd>Yes:" in page
    assert 'href="/portal/#/Door_Command/unlockDoors"' in page
    assert "&quot;" not in page
    for path, headers in {
        "/portal/problems/command-in-progress": {"accept": "application/json"},
        "/portal/problems/command-in-progress.json": {},
    }.items():
        answer = await edge.get(path, headers=headers)
        assert answer.headers["content-type"] == "application/json"
        entry = answer.json()
        assert (entry["code"], entry["status"], entry["retryable"]) == ("COMMAND_IN_PROGRESS", 409, True)
        assert {"operationId": "unlockDoors", "method": "POST"}.items() <= entry["operations"][0].items()
    listed = await edge.get("/portal/problems/", headers={"accept": "application/json"})
    assert "COMMAND_IN_PROGRESS" in [each["code"] for each in listed.json()]
    assert listed.headers["vary"] == "accept"


@pytest.mark.parametrize(
    ("accepted", "kind"),
    [
        ("", "text/html"),
        ("*/*", "text/html"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("text/html, application/json", "text/html"),
        ("text/html, application/json;q=0.9", "text/html"),
        ("application/json;q=0", "text/html"),
        ("application/json;q=0, */*", "text/html"),
        ("application/json;q=many, text/html;q=0.1", "text/html"),
        ("text/html;q=0,application/json", "application/json"),
        ("text/html; q=0.000, APPLICATION/JSON ;Q=0.1", "application/json"),
        ("text/html;q=0.5, application/json", "application/json"),
        ("application/problem+json", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("text/html;q=0, */*;q=0.1", "application/json"),
        ("application/*", "application/json"),
    ],
)
async def test_an_entry_is_of_the_kind_that_is_asked_for_most(
    edge: httpx.AsyncClient, accepted: str, kind: str
) -> None:
    for path in ("/portal/problems/", "/portal/problems/door-open"):
        answer = await edge.get(path, headers={"accept": accepted})
        assert answer.headers["content-type"].partition(";")[0] == kind


def test_every_problem_of_the_contract_says_what_to_do() -> None:
    problems = json.loads(OPENAPI.read_text())["components"]["schemas"]["Problem"]["x-problems"]
    for each in problems:
        assert each["remedy"].endswith("."), (
            f"{each['code']}: say in the contract what a client does about it"
        )
        assert each["guidance"].endswith("."), f"{each['code']}: say in the contract what its user reads"
    again = {each["code"] for each in problems if each["mayHaveSucceeded"]}
    assert again == {"DEPENDENCY_UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL_ERROR"}


async def test_without_documentation_it_is_said_where_it_is(
    make_settings: Callable[..., GatewaySettings], pki: Certificates
) -> None:
    server = PageServer(make_settings(pages_openapi=OPENAPI))
    server.start()
    base = f"https://localhost:{server.port}"
    async with httpx.AsyncClient(base_url=base, verify=tls(pki), trust_env=False, timeout=30) as client:
        for path in ("/portal/docs/", "/portal/docs/docs/api/", "/portal/changelog/"):
            answer = await client.get(path)
            assert answer.status_code == 200
            assert "DOORS_PAGES_DOCS" in answer.text
    await server.stop()


class TestFilesThatAreRefused:
    """What is wrong with the files stops the start, and names them."""

    def refused(self, settings: GatewaySettings) -> str:
        with pytest.raises(PageFilesError) as refused:
            read_portal(settings)
        return str(refused.value)

    def test_a_folder_without_a_site_is(
        self, make_settings: Callable[..., GatewaySettings], tmp_path: Path
    ) -> None:
        assert "make docs" in self.refused(make_settings(pages_docs=tmp_path))

    @pytest.mark.parametrize("name", ["code.py", ".env", "a.html.bak"])
    def test_a_kind_that_no_page_has_is(
        self, make_settings: Callable[..., GatewaySettings], site: Path, name: str
    ) -> None:
        (site / name).write_text("x")
        assert f"{name} is of no kind" in self.refused(make_settings(pages_docs=site))

    def test_a_link_is(self, make_settings: Callable[..., GatewaySettings], site: Path) -> None:
        (site / "more").symlink_to("/etc")
        assert "more is no file of its own" in self.refused(make_settings(pages_docs=site))

    def test_a_large_one_is(self, make_settings: Callable[..., GatewaySettings], site: Path) -> None:
        (site / "a.js").write_bytes(b" " * (MOST_DOCS_BYTES + 1))
        assert "a.js is larger" in self.refused(make_settings(pages_docs=site))

    @pytest.mark.parametrize("bound", ["MOST_DOCS_FILES", "MOST_DOCS_BYTES_ALL"])
    def test_too_many_or_too_much_is(
        self,
        make_settings: Callable[..., GatewaySettings],
        site: Path,
        monkeypatch: pytest.MonkeyPatch,
        bound: str,
    ) -> None:
        monkeypatch.setattr(f"gateway.portal_pages.{bound}", 2)
        assert "holds more than" in self.refused(make_settings(pages_docs=site))

    @pytest.mark.parametrize("text", ["{", "[]", '{"paths": {}}'])
    def test_a_document_without_a_catalogue_is(
        self, make_settings: Callable[..., GatewaySettings], tmp_path: Path, text: str
    ) -> None:
        (tmp_path / "openapi.json").write_text(text)
        assert "catalogue" in self.refused(make_settings(pages_openapi=tmp_path / "openapi.json"))

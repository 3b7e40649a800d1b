"""The pages for people, over real mutual TLS as Envoy asks for them."""

from __future__ import annotations

import json
import re
import ssl
from typing import TYPE_CHECKING, Any

import httpx
import openapi_spec_validator
import pytest
from pydantic import ValidationError

from gateway.page_files import APPS, FOLDERS, MOST_BYTES, PAGES, PageFilesError, _configuration, read_pages
from gateway.page_server import PageServer
from gateway.settings import GatewaySettings
from tests.support.described_answers import DOCUMENT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.support.capabilities import Signer
    from tests.support.certificates import Certificates

ISSUER = "https://login.example.com/tenant"
PAGE_SETTINGS = {
    "pages_listen": "127.0.0.1:0",
    "pages_issuer": ISSUER,
    "pages_app_client": "web",
    "pages_console_client": "agent-console",
}

OPENAPI: dict[str, Any] = {
    "openapi": "3.1.0",
    "security": [{"bearer": []}],
    "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
    "paths": {"/a": {"get": {"security": [{"bearer": ["x.read"]}]}, "post": {}}},
}


@pytest.fixture
def make_settings(pki: Certificates, signer: Signer) -> Callable[..., GatewaySettings]:
    pair = pki.of("room/gateway")

    def make(**changed: Any) -> GatewaySettings:
        named = {
            "listen": "127.0.0.1:0",
            "tls_cert": pair.cert,
            "tls_key": pair.key,
            "tls_ca": pki.authority.ca,
            "capability_jwks": signer.jwks,
            "access_target": "127.0.0.1:1",
            "status_target": "127.0.0.1:1",
        }
        return GatewaySettings(**{**named, **PAGE_SETTINGS, **changed})

    return make


def tls(pki: Certificates, workload: str | None = "edge") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(pki.authority.ca))
    if workload is not None:
        pair = pki.of(workload)
        context.load_cert_chain(pair.cert, pair.key)
    return context


@pytest.fixture
async def server(make_settings: Callable[..., GatewaySettings]) -> AsyncIterator[PageServer]:
    pages = PageServer(make_settings())
    pages.start()
    yield pages
    await pages.stop()


@pytest.fixture
async def edge(server: PageServer, pki: Certificates) -> AsyncIterator[httpx.AsyncClient]:
    """Who asks as Envoy does."""
    base = f"https://localhost:{server.port}"
    async with httpx.AsyncClient(base_url=base, verify=tls(pki), trust_env=False, timeout=30) as client:
        yield client


async def test_every_file_is_answered_with_its_type_and_is_not_sent_twice(edge: httpx.AsyncClient) -> None:
    types = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".json": "application/json"}
    types |= {".svg": "image/svg+xml", ".webmanifest": "application/manifest+json"}
    files = [each for folder in FOLDERS for each in (PAGES / folder).rglob("*") if each.is_file()]
    assert {each.suffix for each in files} >= types.keys()
    for file in files:
        path = "/" + file.relative_to(PAGES).as_posix().removesuffix("index.html")
        answer = await edge.get(path)
        assert answer.status_code == 200, path
        assert answer.content == file.read_bytes()
        assert answer.headers["content-type"].partition(";")[0] == types.get(file.suffix, "text/plain")
        assert answer.headers["cache-control"] == "no-cache"
        again = await edge.get(path, headers={"if-none-match": f'"other", W/{answer.headers["etag"]}'})
        assert (again.status_code, again.content) == (304, b"")
        head = await edge.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == answer.headers["content-length"]


async def test_an_app_is_at_its_own_name_and_knows_where_people_sign_in(edge: httpx.AsyncClient) -> None:
    moved = await edge.get("/app")
    assert (moved.status_code, moved.headers["location"]) == (308, "/app/")
    assert (await edge.get("/app/")).content == (PAGES / "app" / "index.html").read_bytes()
    for app in APPS:
        # A page has one address, and so one policy.
        for other in (f"/{app}", f"/{app}/index.html"):
            answer = await edge.get(other)
            assert (answer.status_code, answer.headers["location"], answer.content) == (308, f"/{app}/", b"")
            assert "content-security-policy" in answer.headers
    assert (await edge.get("/app/config.json")).json() == {
        "issuer": ISSUER,
        "clientId": "web",
        "scope": "door person",
        "acrValues": "",
        "apiBase": "/api/v1/remotecontrol",
        "pushKey": "",
    }


async def test_every_answer_keeps_the_page_to_itself(edge: httpx.AsyncClient) -> None:
    for path in ("/app/", "/app", "/parts/api.js", "/nothing"):
        headers = (await edge.get(path)).headers
        policy = dict(each.split(" ", 1) for each in headers["content-security-policy"].split("; "))
        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "img-src": "'self' data:",
            "connect-src": "'self' https://login.example.com",
            "worker-src": "'self'",
            "manifest-src": "'self'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
            "base-uri": "'none'",
            "require-trusted-types-for": "'script'",
            "trusted-types": "worker-url",
        }
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert "geolocation=()" in headers["permissions-policy"]


async def test_the_developers_page_may_make_markup_and_still_runs_only_files(edge: httpx.AsyncClient) -> None:
    policy = (await edge.get("/portal/")).headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "trusted-types" not in policy
    assert "trusted-types" in (await edge.get("/portal/portal.js")).headers["content-security-policy"]


@pytest.mark.parametrize("name", ["openapi", "asyncapi"])
async def test_a_document_is_served_where_there_is_one(
    edge: httpx.AsyncClient, make_settings: Callable[..., GatewaySettings], tmp_path: Path, name: str
) -> None:
    assert (await edge.get(f"/{name}.json")).status_code == 404
    document = tmp_path / f"{name}.json"
    document.write_text(json.dumps(OPENAPI))
    page = read_pages(make_settings(**{f"pages_{name}": document}))[f"/{name}.json"]
    assert (list(json.loads(page.body)["paths"]), page.content_type) == (["/a"], "application/json")


async def test_the_openapi_document_says_where_to_sign_in(
    make_settings: Callable[..., GatewaySettings], tmp_path: Path
) -> None:
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(OPENAPI))
    settings = make_settings(pages_openapi=document, pages_issuer="https://login.example/realms/cars")
    told = json.loads(read_pages(settings)["/openapi.json"].body)
    scheme = told["components"]["securitySchemes"]["signIn"]
    assert scheme["type"] == "openIdConnect"
    assert scheme["openIdConnectUrl"] == "https://login.example/realms/cars/.well-known/openid-configuration"
    assert told["security"] == [{"bearer": []}, {"signIn": []}]
    assert told["paths"]["/a"]["get"]["security"] == [{"bearer": ["x.read"]}, {"signIn": ["x.read"]}]
    document.write_text("[]")
    with pytest.raises(PageFilesError, match="the OpenAPI document is none"):
        read_pages(settings)


async def test_the_contracts_own_document_says_it_too(make_settings: Callable[..., GatewaySettings]) -> None:
    settings = make_settings(pages_openapi=DOCUMENT, pages_issuer="https://login.example")
    told = json.loads(read_pages(settings)["/openapi.json"].body)
    openapi_spec_validator.validate(told)
    assert {"signIn": ["security.act"]} in told["paths"]["/api/v1/remotecontrol/security/accounts/lock"][
        "post"
    ]["security"]


@pytest.mark.parametrize(
    ("origin", "host", "protocols"),
    [
        ("http://localhost:8080", "localhost:8080", ("http", "ws")),
        ("https://api.example.com", "api.example.com", ("https", "wss")),
    ],
)
async def test_the_asyncapi_document_names_the_deployment_that_serves_it(
    make_settings: Callable[..., GatewaySettings],
    tmp_path: Path,
    origin: str,
    host: str,
    protocols: tuple[str, str],
) -> None:
    own = DOCUMENT.with_name("asyncapi.json")
    settings = make_settings(pages_asyncapi=own, pages_api_origin=origin)
    servers = json.loads(read_pages(settings)["/asyncapi.json"].body)["servers"]
    told = [(servers[name]["host"], servers[name]["protocol"]) for name in ("api", "sockets")]
    assert told == [(host, each) for each in protocols]
    assert not any("variables" in servers[name] for name in ("api", "sockets"))
    before = json.loads(own.read_bytes())["servers"]
    assert {"receiver", "nats", "mqtt"} == {name for name in servers if servers[name] == before[name]}
    unknown = read_pages(make_settings(pages_asyncapi=own))["/asyncapi.json"]
    assert unknown.body == own.read_bytes()
    assert b"localhost:8080" not in unknown.body
    (tmp_path / "asyncapi.json").write_text('{"servers": []}')
    with pytest.raises(PageFilesError, match="the AsyncAPI document is none"):
        read_pages(make_settings(pages_asyncapi=tmp_path / "asyncapi.json", pages_api_origin=origin))
    for wrong in ("api.example.com", "ftp://api.example.com", f"{origin}/api"):
        with pytest.raises(ValidationError, match="must be an origin"):
            make_settings(pages_api_origin=wrong)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/page_files.py",
        "/app/../page_files.py",
        "/app/..%2fpage_files.py",
        "/app/%2e%2e/settings.py",
        "/app//index.html",
        "/parts/",
        "/parts",
        "/app/index.html/",
        "/app/config.json.js",
        "/openapi.json/",
        "/asyncapi.json/",
        "/app/\\..\\settings.py",
    ],
)
async def test_there_is_nothing_but_the_files(server: PageServer, pki: Certificates, path: str) -> None:
    url = httpx.URL(scheme="https", host="localhost", port=server.port, raw_path=path.encode())
    async with httpx.AsyncClient(verify=tls(pki), trust_env=False, timeout=30) as client:
        answer = await client.get(url)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "No such page" in answer.text


async def test_who_writes_is_told_that_there_is_nothing_to_write(edge: httpx.AsyncClient) -> None:
    answer = await edge.post("/app/", content=b"x")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("workload", [None, "room/status", "team/fleet", "room/edge"])
async def test_nobody_but_the_edge_is_answered(server: PageServer, pki: Certificates, workload: str) -> None:
    async with httpx.AsyncClient(verify=tls(pki, workload), trust_env=False, timeout=30) as client:
        with pytest.raises(httpx.TransportError):
            await client.get(f"https://localhost:{server.port}/app/")


async def test_a_connection_stays_open_for_the_next_file(edge: httpx.AsyncClient) -> None:
    first, second = await edge.get("/app/"), await edge.get("/parts/api.js")
    sockets = [each.extensions["network_stream"].get_extra_info("socket") for each in (first, second)]
    assert sockets[0] is sockets[1]


def test_no_page_has_script_or_style_of_its_own() -> None:
    for app in APPS:
        for file in (PAGES / app).rglob("*.html"):
            text = file.read_text()
            assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text), file
            assert not re.search(r"<script(?![^>]*\ssrc=)", text), file
            assert not re.search(r"(src|href)=\"?(https?:)?//", text), file


def test_no_script_makes_code_or_markup_of_text() -> None:
    for folder in (*APPS, "parts"):
        for file in (PAGES / folder).rglob("*.js"):
            text = file.read_text()
            found = re.findall(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text
            )
            assert not found, file


class TestFilesThatAreRefused:
    """What is wrong with the files stops the start, and names them."""

    def refused(self, make_settings: Callable[..., GatewaySettings], root: Path) -> str:
        with pytest.raises(PageFilesError) as refused:
            read_pages(make_settings(), root)
        return str(refused.value)

    def test_a_link_is(self, make_settings: Callable[..., GatewaySettings], tmp_path: Path) -> None:
        (tmp_path / "app").mkdir()
        (tmp_path / "app" / "index.html").symlink_to("/etc/hostname")
        assert "index.html is no file of its own" in self.refused(make_settings, tmp_path)

    def test_a_linked_folder_is(self, make_settings: Callable[..., GatewaySettings], tmp_path: Path) -> None:
        (tmp_path / "app").mkdir()
        (tmp_path / "app" / "more").symlink_to("/etc")
        assert "more is no file of its own" in self.refused(make_settings, tmp_path)

    @pytest.mark.parametrize("name", ["page.py", "README", ".env", "page.js.bak"])
    def test_a_kind_that_no_page_has_is(
        self, make_settings: Callable[..., GatewaySettings], tmp_path: Path, name: str
    ) -> None:
        (tmp_path / "parts").mkdir()
        (tmp_path / "parts" / name).write_text("x")
        assert f"{name} is of no kind that a page has" in self.refused(make_settings, tmp_path)

    def test_a_large_one_is(self, make_settings: Callable[..., GatewaySettings], tmp_path: Path) -> None:
        (tmp_path / "vendor").mkdir()
        (tmp_path / "vendor" / "all.js").write_bytes(b" " * (MOST_BYTES + 1))
        assert "all.js is larger" in self.refused(make_settings, tmp_path)

    def test_one_that_is_no_text_is(
        self, make_settings: Callable[..., GatewaySettings], tmp_path: Path
    ) -> None:
        (tmp_path / "words").mkdir()
        (tmp_path / "words" / "en.json").write_bytes(b'"\xff"')
        assert "en.json is no UTF-8" in self.refused(make_settings, tmp_path)

    def test_too_many_are(
        self, make_settings: Callable[..., GatewaySettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gateway.page_files.MOST_FILES", 2)
        (tmp_path / "parts").mkdir()
        for number in range(3):
            (tmp_path / "parts" / f"{number}.js").write_text("")
        assert "more than 2 files" in self.refused(make_settings, tmp_path)


class TestSettings:
    """Where people sign in is known before anything is served."""

    @pytest.mark.parametrize("missing", ["pages_issuer", "pages_app_client", "pages_console_client"])
    def test_what_the_pages_need_is_asked_for(
        self, make_settings: Callable[..., GatewaySettings], missing: str
    ) -> None:
        with pytest.raises(ValidationError, match="DOORS_PAGES_LISTEN needs"):
            make_settings(**{missing: ""})

    @pytest.mark.parametrize(
        "issuer",
        [
            "login.example.com",
            "http://login.example.com",
            "https://login.example.com; script-src *",
            "https://login.example.com/?a=b",
            "https://user@login.example.com",
        ],
    )
    def test_an_issuer_is_a_url(self, make_settings: Callable[..., GatewaySettings], issuer: str) -> None:
        with pytest.raises(ValidationError, match="pages_issuer"):
            make_settings(pages_issuer=issuer)

    def test_scopes_and_classes_go_into_the_page(self, make_settings: Callable[..., GatewaySettings]) -> None:
        settings = make_settings(
            pages_app_scope="door.read", pages_console_scope="door", pages_console_acr_values="urn:x"
        )
        app, console, portal = (json.loads(_configuration(settings, each)) for each in APPS)
        assert (portal["scope"], portal["clientId"], "sampleKey" in portal) == ("door.read", "web", False)
        assert (app["scope"], app["acrValues"]) == ("door.read", "")
        assert (console["scope"], console["acrValues"], console["clientId"]) == (
            "door",
            "urn:x",
            "agent-console",
        )

    def test_a_key_is_shown_to_all_where_the_operator_says_so(
        self, make_settings: Callable[..., GatewaySettings]
    ) -> None:
        settings = make_settings(pages_sample_key=f"sk_{'a' * 32}")
        shown = {each: json.loads(_configuration(settings, each)).get("sampleKey") for each in APPS}
        assert shown == {"app": None, "console": None, "portal": f"sk_{'a' * 32}"}

    def test_a_push_key_is_a_point_and_is_the_driver_s(
        self, make_settings: Callable[..., GatewaySettings]
    ) -> None:
        settings = make_settings(pages_push_key="B" * 87)
        app, console, _ = (json.loads(_configuration(settings, each)) for each in APPS)
        assert (app["pushKey"], console["pushKey"]) == ("B" * 87, "")
        for wrong in ("B" * 86, "B" * 88, "+" * 87):
            with pytest.raises(ValidationError, match="pages_push_key"):
                make_settings(pages_push_key=wrong)

    def test_without_a_listener_nothing_is_needed(
        self, make_settings: Callable[..., GatewaySettings]
    ) -> None:
        settings = make_settings(pages_listen="", pages_issuer="", pages_app_client="")
        assert settings.pages_listen == ""

"""Pages of other origins at the edge: what a browser asks beforehand, and what its scripts may read of every answer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from services.platform.origins import allowlist_of
from tests.support.app import eventually
from tests.system.edge_harness import BASE, VIN, EdgeHarness
from tests.system.edge_rest.conftest import GOOD, UNLOCK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

pytestmark = pytest.mark.asyncio(loop_scope="module")

LISTED, ON_THIS_MACHINE, UNLISTED = (
    "https://app.example.com",
    "http://localhost:5173",
    "https://evil.example.com",
)
PERSON = "/api/v1/remotecontrol"
OPENAPI = json.loads((Path(__file__).parents[3] / "gen" / "openapi.json").read_text(encoding="utf-8"))
READ_BY_SCRIPTS_ANYWAY = {"content-type", "content-length", "cache-control"}
"""CORS-safelisted response headers (Fetch, 2.2.2)."""
FOR_NO_SCRIPT = {"x-content-type-options", "connection", "vary", "server", "transfer-encoding"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EdgeHarness]:
    envoy = Path(sys.executable).with_name("envoy")
    origins = allowlist_of(f"{LISTED},http://localhost:*")
    async with EdgeHarness(tmp_path_factory.mktemp("edge"), envoy, origins=origins) as harness:
        yield harness


def asking(method: str, origin: str = LISTED, headers: str = "authorization,content-type") -> dict[str, str]:
    """What a browser asks beforehand with."""
    return {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": headers,
    }


def listed(answer: httpx.Response, header: str) -> set[str]:
    return {word.strip().lower() for word in answer.headers.get(header, "").split(",")} - {""}


def cors(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


def assert_readable(answer: httpx.Response, origin: str = LISTED) -> None:
    """Its script may read the answer, and whatever it says."""
    assert answer.headers["access-control-allow-origin"] == origin
    assert "access-control-allow-credentials" not in answer.headers
    assert answer.headers["vary"].lower() == "origin"
    hidden = {name for name in answer.headers if not name.startswith("access-control-")}
    hidden -= listed(answer, "access-control-expose-headers") | READ_BY_SCRIPTS_ANYWAY | FOR_NO_SCRIPT
    assert not hidden


def operations() -> list[tuple[str, str]]:
    """Every path of the contract with its methods."""
    return [(path, ", ".join(method.upper() for method in found)) for path, found in OPENAPI["paths"].items()]


@pytest.mark.parametrize(("path", "methods"), operations())
async def test_every_path_is_asked_about_without_a_bearer(
    edge: EdgeHarness, client: httpx.AsyncClient, path: str, methods: str
) -> None:
    before = len(edge.access.checks)
    at = path.replace("{vin}", VIN).replace("{", "").replace("}", "")
    for origin in (LISTED, ON_THIS_MACHINE):
        answer = await client.options(at, headers=asking(methods.partition(",")[0], origin))
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["access-control-allow-origin"] == origin
        assert listed(answer, "access-control-allow-methods") - {"head"} == listed_words(methods)
        assert int(answer.headers["access-control-max-age"]) > 0
        assert answer.headers["vary"].lower() == "origin"
        assert "access-control-allow-credentials" not in answer.headers
        assert "content-type" not in answer.headers
    assert len(edge.access.checks) == before


def listed_words(text: str) -> set[str]:
    return {word.lower() for word in text.split(", ")}


async def test_a_page_may_send_whatever_is_read_here(client: httpx.AsyncClient) -> None:
    answer = await client.options(f"{BASE}/unlock", headers=asking("POST"))
    allowed = listed(answer, "access-control-allow-headers")
    named = {
        each["name"].lower()
        for each in OPENAPI["components"]["parameters"].values()
        if each["in"] == "header"
    }
    assert allowed >= named | {"authorization", "dpop", "content-type", "idempotency-key", "accept-language"}
    assert not allowed & {"*", "cookie", "x-ecarus-capability", "x-ecarus-session"}


async def test_a_page_may_read_whatever_the_contract_says_is_answered(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{BASE}/status", headers=GOOD | {"origin": LISTED})
    assert_readable(answer)
    exposed = listed(answer, "access-control-expose-headers")
    assert exposed >= {name.lower() for name in OPENAPI["components"]["headers"]} | {"allow", "date"}
    assert "*" not in exposed


@pytest.mark.parametrize(
    "origin", [UNLISTED, "null", f"{LISTED}.evil.example", f"{LISTED}:8443", "http://app.example.com"]
)
async def test_a_page_that_is_not_listed_is_answered_and_reads_nothing(
    client: httpx.AsyncClient, origin: str
) -> None:
    asked = await client.options(f"{BASE}/unlock", headers=asking("POST", origin))
    assert (asked.status_code, asked.json()["code"], cors(asked)) == (405, "METHOD_NOT_ALLOWED", {})
    for path in ("status", "nope"):
        answer = await client.get(f"{BASE}/{path}", headers=GOOD | {"origin": origin})
        assert answer.status_code == (200 if path == "status" else 404)
        assert cors(answer) == {}
        assert answer.headers["vary"].lower() == "origin"  # no cache may hand it to a page that is listed


async def test_two_origins_are_none(client: httpx.AsyncClient) -> None:
    headers = [*GOOD.items(), ("origin", LISTED), ("origin", LISTED)]
    assert cors(await client.get(f"{BASE}/status", headers=headers)) == {}


async def test_who_sends_no_origin_is_answered_as_ever(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{BASE}/status", headers=GOOD)
    assert (answer.status_code, cors(answer), answer.headers["vary"].lower()) == (200, {}, "origin")
    options = await client.options(f"{BASE}/unlock", headers={"origin": LISTED})
    assert (options.status_code, options.headers["allow"]) == (405, "POST")  # it asks about nothing
    assert_readable(options)


@pytest.mark.parametrize("path", [f"{BASE}/nope", f"{PERSON}/nope"])
async def test_of_a_path_that_there_is_not_nothing_is_allowed(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.options(path, headers=asking("GET"))
    assert answer.status_code == 404  # with which a preflight fails
    assert "access-control-allow-methods" not in answer.headers


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/app/", "/console/", "/portal/", "/"])
async def test_what_is_not_the_api_is_for_no_other_origin(client: httpx.AsyncClient, path: str) -> None:
    for answer in (
        await client.get(path, headers={"origin": LISTED}),
        await client.options(path, headers=asking("GET")),
    ):
        assert cors(answer) == {}


async def test_private_networks_are_let_in_where_the_page_is_listed(client: httpx.AsyncClient) -> None:
    private = {"access-control-request-private-network": "true"}
    answer = await client.options(f"{BASE}/status", headers=asking("GET") | private)
    assert answer.headers["access-control-allow-private-network"] == "true"
    assert (
        "access-control-allow-private-network"
        not in (await client.options(f"{BASE}/status", headers=asking("GET"))).headers
    )
    assert cors(await client.options(f"{BASE}/status", headers=asking("GET", UNLISTED) | private)) == {}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 503])
async def test_a_refusal_of_access_is_readable(client: httpx.AsyncClient, status: int) -> None:
    answer = await client.get(
        f"{BASE}/status", headers={"authorization": f"Bearer {status}", "origin": LISTED}
    )
    assert answer.status_code == status
    assert_readable(answer)
    assert {"www-authenticate", "retry-after", "ratelimit", "x-correlation-id"} <= answer.headers.keys()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (("GET", f"{BASE}/status", GOOD | {"x-fail": "document-409"}, None), 409),
        (("GET", f"{BASE}/status", GOOD | {"x-fail": "bare"}, None), 503),
        (("GET", f"{BASE}/status", GOOD | {"x-fail": "crash"}, None), 500),
        (("GET", f"{BASE}/status", GOOD | {"x-fail": "hang"}, None), 504),
        (("GET", f"{BASE}/nope", GOOD, None), 404),
        (("PATCH", f"{BASE}/status", GOOD, None), 405),
        (("POST", f"{BASE}/unlock", GOOD | {"content-type": "application/json"}, b"x" * 70_000), 413),
        (("GET", f"{BASE}/status", GOOD | {"content-type": "application/grpc"}, None), 415),
        (("GET", f"{BASE}%2fstatus", GOOD, None), 400),
        (("GET", "/readyz%2f", GOOD, None), 400),
    ],
)
async def test_every_kind_of_refusal_is_readable(
    client: httpx.AsyncClient, request_: tuple[str, str, dict[str, str], bytes | None], status: int
) -> None:
    method, path, headers, body = request_
    answer = await client.request(method, path, headers=headers | {"origin": LISTED}, content=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert_readable(answer)
    assert "x-correlation-id" in answer.headers
    unlisted = await client.request(method, path, headers=headers | {"origin": UNLISTED}, content=body)
    assert (unlisted.status_code, cors(unlisted)) == (status, {})


async def test_a_command_s_answer_says_where_it_is_found(client: httpx.AsyncClient) -> None:
    accepted = await client.post(f"{BASE}/unlock", headers=GOOD | {"origin": LISTED}, json=UNLOCK)
    assert (accepted.status_code, accepted.headers["location"]) == (202, f"{BASE}/commands/c1")
    assert_readable(accepted)
    waited = await client.post(
        f"{BASE}/unlock", headers=GOOD | {"origin": LISTED, "prefer": "wait=20"}, json=UNLOCK
    )
    assert waited.headers["preference-applied"] == "wait=20"
    assert_readable(waited)


async def test_a_page_reads_the_stream(client: httpx.AsyncClient) -> None:
    headers = GOOD | {"origin": LISTED, "accept": "text/event-stream"}
    async with client.stream("GET", f"{BASE}/updates/stream", headers=headers) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
        assert_readable(answer)
    # What passes is told as a stream that ends, to pages of other origins, too.
    passing = headers | {"authorization": "Bearer 503"}
    ended = await client.get(f"{BASE}/updates/stream", headers=passing)
    assert (ended.status_code, ended.text.split("\n")[0]) == (200, "retry: 7000")
    assert_readable(ended)


@pytest.mark.parametrize(
    "document",
    [
        "/openapi.json",
        "/asyncapi.json",
        "/portal/problems/",
        "/portal/problems/index.json",
        "/portal/problems/door-open.json",
        "/portal/problems/DOOR_OPEN",
    ],
)
async def test_the_documents_are_for_every_page(client: httpx.AsyncClient, document: str) -> None:
    answer = await client.get(document, headers={"origin": UNLISTED})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"


@pytest.mark.parametrize("page", ["/portal/", "/portal/config.json", "/portal/docs/", "/portal/problems/a/b"])
async def test_the_pages_are_for_their_own_origin(client: httpx.AsyncClient, page: str) -> None:
    assert cors(await client.get(page, headers={"origin": UNLISTED})) == {}


async def test_a_ticket_goes_no_further_than_to_who_is_asked_about_it(
    edge: EdgeHarness, client: httpx.AsyncClient
) -> None:
    query = "?lastEventId=abc&ticket=secret-of-the-test"
    headers = {"accept": "text/event-stream", "origin": LISTED}  # what an EventSource sends: no bearer
    async with client.stream("GET", f"{BASE}/updates/stream{query}", headers=headers) as answer:
        assert answer.status_code == 200
        assert_readable(answer)
    assert edge.access.checks[-1].attributes.request.http.path.endswith(query)
    request, metadata = edge.received.last
    assert request.last_event_id == "abc"
    assert "secret-of-the-test" not in str(request) + str(metadata)
    eventually(lambda: any(line["route"] == "status_stream" for line in edge.log_lines()))
    assert "secret-of-the-test" not in edge.log.read_text(encoding="utf-8")

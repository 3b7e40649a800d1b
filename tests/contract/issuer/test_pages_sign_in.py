"""What the scripts of pages may ask the issuer for (CORS), and the client through which agents' pages act."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from issuer.limits import RequestRates
from issuer.settings import IssuerSettings
from tests.contract.issuer.conftest import PAGE_ORIGIN
from tests.contract.issuer.test_bound_and_exchanged import ACCESS_TOKEN, EXCHANGE, SPOKEN, VIN, new_key

if TYPE_CHECKING:
    from tests.contract.issuer.conftest import IssuerHarness

ELSEWHERE = "http://localhost:9999"
FOR_SCRIPTS = ("/.well-known/openid-configuration", "/token", "/par", "/revoke", "/mandates/codes")
CONSOLE = f"{PAGE_ORIGIN}/console/"


def preflight(issuer: IssuerHarness, path: str, origin: str) -> dict[str, str]:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "dpop,authorization"}
    return dict(issuer.http.options(path, headers={"origin": origin, **asked}).headers)


@pytest.mark.parametrize("path", FOR_SCRIPTS)
def test_scripts_of_the_pages_may_ask_and_others_may_not(issuer: IssuerHarness, path: str) -> None:
    assert preflight(issuer, path, PAGE_ORIGIN)["access-control-allow-origin"] == PAGE_ORIGIN
    for other in (ELSEWHERE, "null", f"{PAGE_ORIGIN}.example.com"):
        assert "access-control-allow-origin" not in preflight(issuer, path, other)
        assert "access-control-allow-origin" not in issuer.http.get(path, headers={"origin": other}).headers
    shared = issuer.http.get(path, headers={"origin": PAGE_ORIGIN}).headers
    assert shared["access-control-allow-origin"] == PAGE_ORIGIN
    assert "access-control-allow-credentials" not in shared


@pytest.mark.parametrize("path", FOR_SCRIPTS)
def test_a_page_of_another_origin_that_a_public_client_is_sent_back_to_may_ask(
    issuer: IssuerHarness, path: str
) -> None:
    for origin in ("http://localhost:9000", "https://localhost:8443"):
        assert preflight(issuer, path, origin)["access-control-allow-origin"] == origin
    assert "access-control-allow-origin" not in preflight(issuer, path, "com.ecarus.app://")


def test_a_script_reads_that_it_asks_too_often(
    issuer: IssuerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RequestRates, "allows", lambda *_: False)
    answer = issuer.http.get("/.well-known/openid-configuration", headers={"origin": PAGE_ORIGIN})
    assert answer.status_code == 429
    assert answer.headers["access-control-allow-origin"] == PAGE_ORIGIN
    assert "retry-after" in answer.headers["access-control-expose-headers"].lower()


@pytest.mark.parametrize("path", ["/sign-in", "/account", "/authorize", "/healthz", "/tokens"])
def test_what_people_see_is_read_by_no_other_page(issuer: IssuerHarness, path: str) -> None:
    assert "access-control-allow-origin" not in preflight(issuer, path, PAGE_ORIGIN)
    answer = issuer.http.get(path, headers={"origin": PAGE_ORIGIN})
    assert "access-control-allow-origin" not in answer.headers


def agents_token(issuer: IssuerHarness, key: Any = None) -> dict[str, Any]:
    code = issuer.browser().sign_in("agent-7", client="agent-console", redirect_uri=CONSOLE)["code"]
    headers = {"dpop": issuer.proof(key)} if key is not None else {}
    answer = issuer.redeem(code, "agent-console", headers, redirect_uri=CONSOLE)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def exchange(issuer: IssuerHarness, agent: str, key: Any = None) -> Any:
    customer = issuer.token("user-123")["access_token"]
    asked = {"vin": VIN, "case": "C-1"}
    told = issuer.http.post("/mandates/codes", data=asked, headers={"authorization": f"Bearer {customer}"})
    form = {
        "grant_type": EXCHANGE,
        "client_id": "agent-console",
        "subject_token": told.json()["code"],
        "subject_token_type": SPOKEN,
        "actor_token": agent,
        "actor_token_type": ACCESS_TOKEN,
        "scope": "door",
    }
    headers = {"dpop": issuer.proof(key)} if key is not None else {}
    return issuer.http.post("/token", data=form, headers=headers)


def test_an_agent_s_page_acts_for_a_customer_with_its_key(issuer: IssuerHarness) -> None:
    key = new_key()
    agent = agents_token(issuer, key)["access_token"]
    given = exchange(issuer, agent, key).json()
    claims = issuer.claims(given["access_token"])
    assert (claims["sub"], claims["act"], claims["client_id"]) == (
        "user-123",
        {"sub": "agent-7"},
        "agent-console",
    )
    assert claims["cnf"] == issuer.claims(agent)["cnf"]


def test_a_page_without_a_key_acts_for_nobody(issuer: IssuerHarness) -> None:
    key = new_key()
    bound = agents_token(issuer, key)["access_token"]
    loose = agents_token(issuer)["access_token"]
    for agent, shown in ((loose, None), (loose, key), (bound, None), (bound, new_key())):
        refused = exchange(issuer, agent, shown)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant"), refused.text


def test_it_sends_people_back_to_its_own_pages_only(issuer: IssuerHarness) -> None:
    for uri in (f"{PAGE_ORIGIN}/app/", f"{PAGE_ORIGIN}/console", f"{ELSEWHERE}/console/", f"{CONSOLE}x"):
        answer = issuer.browser().authorize(client_id="agent-console", redirect_uri=uri)
        assert "location" not in answer.headers


@pytest.mark.parametrize(
    "origins", ["https://example.com", "*", "null", "http://localhost:1/", "http://localhost.evil"]
)
def test_only_pages_of_this_machine_are_listed(origins: str) -> None:
    with pytest.raises(ValidationError, match="issuer_page_origins"):
        IssuerSettings(issuer_page_origins=origins)  # type: ignore[call-arg]  # the rest is missing too

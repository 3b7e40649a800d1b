"""Authorization code, PKCE, pushed requests, refresh tokens and revocation."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from services.access.domain.scopes import SCOPES
from tests.contract.issuer.conftest import CALLBACK, CHALLENGE, ONE_FACTOR, TWO_FACTORS, answer_in

if TYPE_CHECKING:
    import httpx

    from tests.contract.issuer.conftest import IssuerHarness


def test_the_metadata_name_the_issuer_by_both_standards(issuer: IssuerHarness) -> None:
    openid = issuer.http.get("/.well-known/openid-configuration").json()
    assert openid == issuer.http.get("/.well-known/oauth-authorization-server").json()
    assert openid["issuer"] == issuer.url
    assert openid["code_challenge_methods_supported"] == ["S256"]
    assert openid["authorization_response_iss_parameter_supported"] is True
    keys = issuer.http.get(openid["jwks_uri"]).json()["keys"]
    assert [set(key) for key in keys] == [{"crv", "kty", "x", "kid", "alg", "use"}]


def test_a_sign_in_gives_a_token_as_rfc_9068_has_it(issuer: IssuerHarness) -> None:
    answer = issuer.browser().sign_in("user-123")
    assert answer["state"] == "s-1"
    assert answer["iss"] == issuer.url
    given = issuer.redeem(answer["code"]).json()
    assert (given["token_type"], given["expires_in"], given["scope"]) == ("Bearer", 600, "door")
    claims = issuer.claims(given["access_token"])
    assert (claims["sub"], claims["client_id"], claims["scope"]) == ("user-123", "mobile-app", "door")
    assert claims["exp"] - claims["iat"] == 600
    assert (claims["acr"], claims["amr"]) == (ONE_FACTOR, ["pwd"])
    assert claims["jti"]
    assert abs(claims["auth_time"] - issuer.at) < 60


def test_a_code_is_good_once_and_a_second_time_ends_what_came_of_it(issuer: IssuerHarness) -> None:
    code = issuer.browser().sign_in("user-123")["code"]
    first = issuer.redeem(code).json()
    again = issuer.redeem(code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert issuer.refresh(first["refresh_token"]).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "changed",
    [
        {"code_verifier": "w" * 64},
        {"code_verifier": "short"},
        {"code_verifier": ""},
        {"redirect_uri": "http://localhost:9000/other"},
        {"code": "unknown"},
    ],
)
def test_a_wrong_redemption_gives_nothing_and_uses_the_code_up(
    issuer: IssuerHarness, changed: dict[str, str]
) -> None:
    code = issuer.browser().sign_in("user-123")["code"]
    answer = issuer.redeem(**{"code": code, **changed})
    assert answer.status_code == 400
    assert answer.json()["error"] in {"invalid_grant", "invalid_request"}
    assert (issuer.redeem(code).status_code == 200) == ("code" in changed)


def test_a_code_is_for_its_client_and_for_a_minute(issuer: IssuerHarness) -> None:
    code = issuer.browser().sign_in("user-123")["code"]
    assert issuer.redeem(code, "web").json()["error"] == "invalid_grant"
    assert issuer.redeem(code).json()["error"] == "invalid_grant"
    late = issuer.browser().sign_in("user-123")["code"]
    issuer.at += 61
    assert issuer.redeem(late).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "changed",
    [
        {"client_id": "unknown"},
        {"client_id": None},
        {"redirect_uri": "https://evil.test/callback"},
        {"redirect_uri": "http://localhost:9000/callback/../evil"},
        {"redirect_uri": "http://localhost:9000/callback?x=1"},
        {"redirect_uri": "http://localhost:9000"},
        {"redirect_uri": None},
        {"request_uri": "urn:ietf:params:oauth:request_uri:unknown"},
        {"request_uri": "https://evil.test/request"},
    ],
)
def test_nobody_is_sent_where_the_client_does_not_live(
    issuer: IssuerHarness, changed: dict[str, str | None]
) -> None:
    page = issuer.browser().authorize(**changed)
    assert page.status_code == 400
    assert "location" not in page.headers


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"prompt": "consent"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"max_age": "9" * 400}, "invalid_request"),
        ({"prompt": "none"}, "login_required"),
    ],
)
def test_what_cannot_be_done_is_told_to_the_client_and_by_whom(
    issuer: IssuerHarness, changed: dict[str, str | None], error: str
) -> None:
    answer = answer_in(issuer.browser().authorize(**changed))
    assert (answer["error"], answer["state"], answer["iss"]) == (error, "s-1", issuer.url)


def test_a_parameter_that_is_given_twice_is_refused(issuer: IssuerHarness) -> None:
    twice = issuer.http.get("/authorize?client_id=web&client_id=mobile-app")
    assert twice.status_code == 400
    body = "grant_type=refresh_token&grant_type=authorization_code&client_id=web"
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert issuer.http.post("/token", content=body, headers=headers).status_code == 400
    many = "&".join(f"a{n}=1" for n in range(40))
    assert issuer.http.post("/token", content=many, headers=headers).status_code == 400
    assert issuer.http.post("/token", content="a=" + "x" * 20_000, headers=headers).status_code == 400
    assert issuer.http.post("/token", content="a=%0d%0a", headers=headers).status_code == 400
    assert issuer.http.post("/token", json={"grant_type": "x"}).status_code == 400


def pushed(issuer: IssuerHarness, client: str = "mobile-app", **changed: str) -> httpx.Response:
    form = {"response_type": "code", "redirect_uri": CALLBACK, "state": "s-2", "code_challenge": CHALLENGE}
    return issuer.post("/par", client, **{**form, "code_challenge_method": "S256", **changed})


def test_a_pushed_request_is_good_once_for_its_client(issuer: IssuerHarness) -> None:
    answer = pushed(issuer)
    assert answer.status_code == 201
    assert answer.json()["expires_in"] == 60
    uri = answer.json()["request_uri"]
    browser = issuer.browser()
    assert browser.go("/authorize", {"client_id": "web", "request_uri": uri}).status_code == 400
    browser.go("/authorize", {"client_id": "mobile-app", "request_uri": uri})
    assert answer_in(browser.password("user-123"))["state"] == "s-2"
    assert browser.go("/authorize", {"client_id": "mobile-app", "request_uri": uri}).status_code == 400
    late = pushed(issuer).json()["request_uri"]
    issuer.at += 61
    assert browser.go("/authorize", {"client_id": "mobile-app", "request_uri": late}).status_code == 400


@pytest.mark.parametrize(
    "changed",
    [
        {"redirect_uri": "https://evil.test/"},
        {"code_challenge_method": "plain"},
        {"request_uri": "urn:x"},
        {"response_type": "token"},
    ],
)
def test_what_is_wrong_is_refused_when_it_is_pushed(issuer: IssuerHarness, changed: dict[str, str]) -> None:
    answer = pushed(issuer, **changed)
    assert answer.status_code == 400
    assert "error" in answer.json()


def test_a_confidential_client_needs_its_secret(issuer: IssuerHarness) -> None:
    form = {"grant_type": "client_credentials", "client_id": "call-center"}
    for attempt in (
        issuer.http.post("/token", data=form),
        issuer.http.post("/token", data={**form, "client_secret": "wrong"}),
        issuer.http.post("/token", data=form, auth=("call-center", "wrong")),
    ):
        assert attempt.status_code in {400, 401}
        assert attempt.json()["error"] == "invalid_client"
    good = issuer.post("/token", "call-center", grant_type="client_credentials").json()
    claims = issuer.claims(good["access_token"])
    assert (claims["sub"], claims["client_id"]) == ("call-center", "call-center")
    assert not {"acr", "amr", "auth_time", "sid"} & claims.keys()
    assert "refresh_token" not in good
    public = issuer.post("/token", "mobile-app", grant_type="client_credentials")
    assert public.json()["error"] in {"invalid_client", "unauthorized_client"}


def test_refresh_tokens_rotate_and_a_reused_one_ends_the_family(issuer: IssuerHarness) -> None:
    first = issuer.token("user-123")
    before = issuer.claims(first["access_token"])
    issuer.at += 3_600
    second = issuer.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    after = issuer.claims(second["access_token"])
    # Nobody has signed in again: the new token says so.
    assert (after["auth_time"], after["acr"]) == (before["auth_time"], TWO_FACTORS)
    assert after["jti"] != before["jti"]
    stolen = issuer.refresh(first["refresh_token"])
    assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
    assert issuer.refresh(second["refresh_token"]).json()["error"] == "invalid_grant"


def test_a_refresh_token_is_for_its_client(issuer: IssuerHarness) -> None:
    mine = issuer.token("user-123")
    assert issuer.refresh(mine["refresh_token"], "web").json()["error"] == "invalid_grant"


def test_a_refresh_asks_for_no_more_than_was_granted(issuer: IssuerHarness) -> None:
    browser = issuer.browser()
    code = browser.sign_in("user-123", scope="door.read")["code"]
    first = issuer.redeem(code).json()
    assert first["scope"] == "door.read"
    more = issuer.post(
        "/token", grant_type="refresh_token", refresh_token=first["refresh_token"], scope="door"
    )
    assert more.json()["error"] == "invalid_scope"
    for wrong in (" ", "openid"):
        more = issuer.post(
            "/token", grant_type="refresh_token", refresh_token=first["refresh_token"], scope=wrong
        )
        assert more.json()["error"] == "invalid_scope"
    # The mistake has used nothing up.
    assert issuer.refresh(first["refresh_token"]).json()["scope"] == "door.read"


@pytest.mark.parametrize("scope", sorted(SCOPES))
def test_every_scope_that_access_asks_for_is_given(issuer: IssuerHarness, scope: str) -> None:
    who, client = (
        ("employee-1", "operations")
        if scope.startswith(("security.", "case.", "fleet."))
        else ("user-123", "mobile-app")
    )
    asked = {"client": client, "acr_values": TWO_FACTORS, "scope": f"openid {scope}"}
    code = issuer.browser().sign_in(who, **asked)["code"]
    given = issuer.redeem(code, client).json()
    # The answer says that it is not all that was asked for (RFC 6749, 3.3).
    assert given["scope"] == issuer.claims(given["access_token"])["scope"] == scope


def test_a_scope_that_is_not_known_is_not_taken_for_all_of_them(issuer: IssuerHarness) -> None:
    answer = answer_in(issuer.browser().authorize(scope="openid email"))
    assert (answer["error"], answer["state"]) == ("invalid_scope", "s-1")
    assert pushed(issuer, scope="openid").json()["error"] == "invalid_scope"
    own = issuer.post("/token", "call-center", grant_type="client_credentials", scope="openid")
    assert (own.status_code, own.json()["error"]) == (400, "invalid_scope")


def test_the_metadata_name_the_scopes_by_which_access_narrows(issuer: IssuerHarness) -> None:
    named = issuer.http.get("/.well-known/openid-configuration").json()["scopes_supported"]
    assert set(named) == set(SCOPES)


@pytest.mark.parametrize("path", ["/token", "/revoke", "/par"])
@pytest.mark.parametrize("credentials", [b"Basic //8=", b"Basic \xe9", b"Basic =", b"Basic ////:"])
def test_credentials_that_cannot_be_read_are_none(
    issuer: IssuerHarness, path: str, credentials: bytes
) -> None:
    answer = issuer.http.post(
        path, data={"grant_type": "client_credentials", "token": "x"}, headers={b"authorization": credentials}
    )
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_a_token_whose_header_never_ends_is_none(issuer: IssuerHarness) -> None:
    nested = base64.urlsafe_b64encode(b"[" * 2_900).rstrip(b"=").decode()
    assert issuer.post("/revoke", token=f"{nested}.e30.AA").status_code == 200
    headers = {"authorization": f"Bearer {nested}.e30.AA"}
    for path in ("/mandates/codes", "/mandates/cases", "/mandates/cases/C-1/approval"):
        answer = issuer.http.post(path, data={"case": "C-1"}, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")


@pytest.mark.parametrize("which", ["refresh_token", "access_token"])
def test_a_revoked_token_takes_its_family_with_it(issuer: IssuerHarness, which: str) -> None:
    given = issuer.token("user-123")
    assert issuer.post("/revoke", "web", token=given[which]).status_code == 200
    again: dict[str, Any] = issuer.refresh(given["refresh_token"]).json()
    assert "access_token" in again  # another client has revoked nothing
    token = again[which]
    assert issuer.post("/revoke", token=token).status_code == 200
    assert issuer.refresh(again["refresh_token"]).json()["error"] == "invalid_grant"
    assert issuer.post("/revoke", token="never-heard-of").status_code == 200


def test_agents_and_customers_use_clients_of_their_own(issuer: IssuerHarness) -> None:
    assert issuer.browser().sign_in("user-123", client="call-center")["error"] == "access_denied"
    assert issuer.browser().sign_in("agent-7")["error"] == "access_denied"
    claims = issuer.claims(issuer.token("agent-7", "call-center")["access_token"])
    assert (claims["sub"], claims["client_id"], claims["acr"]) == ("agent-7", "call-center", TWO_FACTORS)
    assert "roles" not in claims


def test_an_employee_has_a_client_of_their_own_and_nothing_of_a_vehicle(issuer: IssuerHarness) -> None:
    for client in ("mobile-app", "call-center"):
        assert issuer.browser().sign_in("employee-1", client=client)["error"] == "access_denied"
    for who in ("user-123", "agent-7"):
        assert issuer.browser().sign_in(who, client="operations")["error"] == "access_denied"
    claims = issuer.claims(issuer.token("employee-1", "operations")["access_token"])
    assert (claims["roles"], claims["scope"], claims["acr"]) == (["employee"], "security.watch", TWO_FACTORS)
    both = issuer.token("employee-1", "operations", scope="door security.watch security.act")
    assert issuer.claims(both["access_token"])["scope"] == "security.watch security.act"
    mine = issuer.token("user-123", scope="door security.act")
    assert issuer.claims(mine["access_token"])["scope"] == "door"

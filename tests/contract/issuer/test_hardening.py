"""What the standards ask of an authorization server besides its grants (RFC 9700, RFC 9470, OWASP ASVS 5.0)."""

from __future__ import annotations

import base64
import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from issuer.__main__ import build
from issuer.settings import IssuerSettings
from issuer.store import IssuerStore
from tests.contract.issuer.conftest import AUDIENCE, CALLBACK, ONE_FACTOR, TWO_FACTORS, answer_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.contract.issuer.conftest import Browser, IssuerHarness

DAY = 86_400
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
SECRET_BYTES = 32
SCRYPT_BYTES, SALT_BYTES = 64, 16


def kept(issuer: IssuerHarness) -> str:
    """Everything in the issuer's file, as text."""
    with contextlib.closing(sqlite3.connect(f"file:{issuer.folder / 'issuer.db'}?mode=ro", uri=True)) as file:
        return "\n".join(file.iterdump())


def test_secrets_are_long_random_and_kept_as_hashes(issuer: IssuerHarness) -> None:
    browser = issuer.browser()
    codes = [browser.sign_in("user-123")["code"] for _ in range(2)]
    refresh = issuer.redeem(codes[0]).json()["refresh_token"]
    cookie = browser.http.cookies["issuer_session"]
    for secret in (*codes, refresh, cookie):
        assert len(base64.urlsafe_b64decode(secret + "=" * (-len(secret) % 4))) >= SECRET_BYTES
    assert len({*codes, refresh, cookie}) == 4
    text = kept(issuer)
    known = [*codes, refresh, cookie, *issuer.seed["clients"].values()]
    known += [account["password"] for account in issuer.seed["accounts"].values()]
    assert [secret for secret in known if secret in text] == []
    with contextlib.closing(sqlite3.connect(issuer.folder / "issuer.db")) as file:
        hashes = [row[0] for row in file.execute("SELECT password_hash FROM account")]
    salts = {bytes.fromhex(each.partition(":")[0]) for each in hashes}
    assert (len(salts), {len(salt) for salt in salts}) == (len(hashes), {SALT_BYTES})
    assert {len(bytes.fromhex(each.partition(":")[2])) for each in hashes} == {SCRYPT_BYTES}


def test_refresh_tokens_end_a_month_after_the_sign_in(issuer: IssuerHarness) -> None:
    """However often they are used: a thief who holds on to one has it for a bounded time."""
    given = issuer.token("user-123")
    for _ in range(29):
        issuer.at += DAY
        given = issuer.refresh(given["refresh_token"]).json()
        assert "access_token" in given, given
    issuer.at += DAY
    late = issuer.refresh(given["refresh_token"])
    assert (late.status_code, late.json()["error"]) == (400, "invalid_grant")


def test_who_signed_out_has_no_session(issuer: IssuerHarness) -> None:
    browser = issuer.browser()
    browser.sign_in("user-123", acr_values=TWO_FACTORS)
    assert "Your account" in browser.go("/account").text
    before = browser.http.cookies["issuer_session"]
    assert "Password" in browser.fill("/sign-out").text
    with httpx.Client(base_url=issuer.url, cookies={"issuer_session": before}) as copied:
        assert "Password" in copied.get("/account", follow_redirects=True).text
    assert answer_in(issuer.browser().authorize(prompt="none"))["error"] == "login_required"


@pytest.mark.parametrize(
    ("client", "form"),
    [
        ("mobile-app", {"grant_type": "password", "username": "user-123", "password": "x"}),
        ("web", {"grant_type": "password", "username": "user-123", "password": "x"}),
        ("call-center", {"grant_type": "password", "username": "user-123", "password": "x"}),
        ("mobile-app", {"grant_type": EXCHANGE, "subject_token": "x"}),
        ("voice-assistant", {"grant_type": EXCHANGE, "subject_token": "x"}),
        ("web", {"grant_type": "client_credentials"}),
        ("web", {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "x"}),
        ("web", {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": "x"}),
    ],
)
def test_a_client_has_its_grants_and_no_other(
    issuer: IssuerHarness, client: str, form: dict[str, str]
) -> None:
    if form["grant_type"] == "password":
        form = {**form, "password": issuer.password("user-123")}
    answer = issuer.post("/token", client, **form)
    assert answer.status_code in {400, 401}
    assert answer.json()["error"] in {"unsupported_grant_type", "unauthorized_client", "invalid_client"}


def test_the_metadata_name_the_classes_of_a_sign_in(issuer: IssuerHarness) -> None:
    named = issuer.http.get("/.well-known/openid-configuration").json()["acr_values_supported"]
    assert set(named) == {ONE_FACTOR, TWO_FACTORS}
    for name in named:
        code = issuer.browser().sign_in("user-123", acr_values=name)["code"]
        assert issuer.claims(issuer.redeem(code).json()["access_token"])["acr"] == name


@pytest.fixture
def without_factors(issuer: IssuerHarness) -> Iterator[Browser]:
    """The browser of somebody who has a password and nothing else."""
    with contextlib.closing(sqlite3.connect(issuer.folder / "issuer.db", timeout=30)) as file:
        change = "UPDATE account SET totp_secret = ? WHERE name = 'agent-8'"
        [[before]] = file.execute("SELECT totp_secret FROM account WHERE name = 'agent-8'").fetchall()
        file.execute(change, (None,))
        file.commit()
        yield issuer.browser()
        file.execute(change, (before,))
        file.commit()


def test_who_has_no_second_factor_is_refused_and_given_no_weaker_token(without_factors: Browser) -> None:
    without_factors.authorize(client_id="call-center", acr_values=TWO_FACTORS)
    refused = answer_in(without_factors.password("agent-8"))
    assert (refused["error"], "code" in refused) == ("unmet_authentication_requirements", False)
    # To what asks for less, the same sign-in is good.
    assert "code" in answer_in(without_factors.authorize(client_id="call-center", acr_values=ONE_FACTOR))


def test_no_answer_is_for_scripts_of_other_origins(issuer: IssuerHarness) -> None:
    browser = issuer.browser()
    browser.authorize()
    headers = {"origin": "https://evil.test", "access-control-request-method": "POST"}
    answers = [
        issuer.http.request(method, path, headers=headers)
        for method, path in (
            ("GET", "/authorize"),
            ("OPTIONS", "/authorize"),
            ("OPTIONS", "/token"),
            ("POST", "/token"),
            ("GET", "/sign-in"),
            ("OPTIONS", "/sign-in/passkey"),
            ("GET", "/account"),
        )
    ]
    answers.append(browser.http.get("/sign-in", headers=headers))
    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control-")], answer.url
        assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("name", ["call-center", "web"])
def test_nobody_is_named_as_a_client_is(issuer: IssuerHarness, tmp_path: Path, name: str) -> None:
    """A client's own token has its id for `sub`: a person of that name would be taken for it."""
    assert not issuer.seed["accounts"].keys() & issuer.seed["clients"].keys()
    files = {each: issuer.folder / path for each, path in _FILES.items()}
    settings = IssuerSettings(
        profile="sandbox",
        issuer_url=issuer.url,
        issuer_port=8_700,
        issuer_database=str(tmp_path / "issuer.db"),
        token_audience=AUDIENCE,
        **files,
    )
    one: dict[str, Any] = issuer.seed["accounts"]["user-123"]
    seed = {**issuer.seed, "accounts": {name: one}}
    store = IssuerStore(tmp_path / "issuer.db", issuer.now)
    with contextlib.closing(store), pytest.raises(ValueError, match=f"{name} is a client"):
        build(settings, store, seed, issuer.now)


_FILES = {"issuer_key": "issuer.key", "issuer_jwks": "issuer.jwks.json", "issuer_seed": "seed.json"}


def test_who_sent_a_password_is_redirected_without_it(issuer: IssuerHarness) -> None:
    """By 303: after a 307 the browser would post the password once more, to the client (RFC 9700, 4.12)."""
    browser = issuer.browser()
    browser.authorize(acr_values=TWO_FACTORS)
    issuer.at += 30
    password = {"csrf": browser.csrf, "name": "user-123", "password": issuer.password("user-123")}
    first = browser.http.post("/sign-in", data=password)
    assert (first.status_code, first.headers["location"]) == (303, "/sign-in")
    browser.go("/sign-in")
    last = browser.http.post("/sign-in/totp", data={"csrf": browser.csrf, "code": issuer.code("user-123")})
    assert last.status_code == 303
    assert last.headers["location"].startswith(CALLBACK)

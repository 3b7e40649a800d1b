"""Passwords, TOTP, passkeys, and what a sign-in is said to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pyotp
import pytest

from tests.contract.issuer.conftest import ONE_FACTOR, TWO_FACTORS, answer_in
from tests.support.soft_authenticator import SoftAuthenticator

if TYPE_CHECKING:
    from tests.contract.issuer.conftest import Browser, IssuerHarness

STEP = 30


def test_two_factors_are_said_when_two_were_shown(issuer: IssuerHarness) -> None:
    claims = issuer.claims(issuer.token("user-123")["access_token"])
    assert (claims["acr"], claims["amr"]) == (TWO_FACTORS, ["pwd", "otp", "mfa"])


def test_a_code_of_the_app_is_good_once(issuer: IssuerHarness) -> None:
    one, other = issuer.browser(), issuer.browser()
    for browser in (one, other):
        browser.authorize(acr_values=TWO_FACTORS)
        browser.password("user-123")
    assert "code" in answer_in(one.totp("user-123"))
    again = other.totp("user-123")
    assert (again.status_code, "was not accepted" in again.text) == (403, True)
    issuer.at -= STEP  # nor is an older one, which nobody has used
    assert other.totp("user-123").status_code == 403
    issuer.at += 2 * STEP
    assert "code" in answer_in(other.totp("user-123"))


def test_a_session_is_stepped_up_by_the_factor_that_is_missing(issuer: IssuerHarness) -> None:
    browser = issuer.browser()
    weak = issuer.claims(issuer.redeem(browser.sign_in("user-123")["code"]).json()["access_token"])
    assert weak["acr"] == ONE_FACTOR
    issuer.at += 60
    page = browser.authorize(acr_values=f"{TWO_FACTORS} {ONE_FACTOR}")
    assert "Second factor" in page.text
    answer = answer_in(browser.totp("user-123"))
    strong = issuer.claims(issuer.redeem(answer["code"]).json()["access_token"])
    assert strong["acr"] == TWO_FACTORS
    assert strong["auth_time"] == weak["auth_time"]  # of the oldest factor


def test_max_age_and_prompt_are_heeded(issuer: IssuerHarness) -> None:
    browser = issuer.browser()
    browser.sign_in("user-123")
    issuer.at += 100
    assert "code" in answer_in(browser.authorize(max_age="200"))
    assert "Password" in browser.authorize(max_age="50").text
    assert "Password" in browser.authorize(prompt="login").text
    issuer.at += 1
    assert "code" in answer_in(browser.password("user-123"))
    assert answer_in(browser.authorize(prompt="none", acr_values=TWO_FACTORS))["error"] == "login_required"
    issuer.at += 28_900
    assert "Password" in browser.authorize().text


def test_no_age_at_all_asks_for_a_new_sign_in(issuer: IssuerHarness) -> None:
    """As `prompt=login` does (OpenID Connect Core 3.1.2.1): taken to the letter, nobody is quick enough for it."""
    browser = issuer.browser()
    browser.sign_in("user-123")
    issuer.at += 1
    assert "Password" in browser.authorize(max_age="0", acr_values=TWO_FACTORS).text
    issuer.at += 20
    assert "Second factor" in browser.password("user-123").text
    issuer.at += 20
    assert "code" in answer_in(browser.totp("user-123"))
    issuer.at += 1
    assert answer_in(browser.authorize(max_age="0", prompt="none"))["error"] == "login_required"


def test_wrong_names_and_wrong_passwords_are_answered_alike(issuer: IssuerHarness) -> None:
    answers = []
    for name, word in (("user-123", "wrong"), ("nobody", "wrong"), ("user-456", "")):
        browser = issuer.browser()
        browser.authorize()
        page = browser.fill("/sign-in", name=name, password=word)
        answers.append((page.status_code, page.text.replace(browser.csrf, "")))
    assert len(set(answers)) == 1
    assert answers[0][0] == 403


def test_guessing_is_ended_for_the_guesser(issuer: IssuerHarness) -> None:
    browser = issuer.browser()
    browser.authorize()
    for _ in range(5):
        assert browser.fill("/sign-in", name="user-456", password="guess").status_code == 403
    assert browser.fill("/sign-in", name="user-456", password="guess").status_code == 429
    assert browser.password("user-456").status_code == 429  # right or wrong
    assert "code" in answer_in(browser.password("user-123"))  # and nobody else
    issuer.at += 301
    browser.authorize(prompt="login")
    assert "code" in answer_in(browser.password("user-456"))


def test_codes_cannot_be_guessed_either(issuer: IssuerHarness) -> None:
    browser = issuer.browser()
    browser.authorize(acr_values=TWO_FACTORS)
    browser.password("user-456")
    wrong = f"{(int(issuer.code('user-456')) + 7) % 10**6:06d}"
    statuses = [browser.fill("/sign-in/totp", code=wrong).status_code for _ in range(6)]
    assert statuses == [403] * 5 + [429]
    assert browser.totp("user-456").status_code == 429


def test_the_password_gives_no_more_tries_at_the_code(issuer: IssuerHarness) -> None:
    wrong = f"{(int(issuer.code('user-123')) + 7) % 10**6:06d}"
    statuses = []
    for _ in range(3):
        browser = issuer.browser()
        browser.authorize(acr_values=TWO_FACTORS)
        browser.password("user-123")
        statuses += [browser.fill("/sign-in/totp", code=wrong).status_code for _ in range(2)]
    assert statuses == [403] * 5 + [429]


def test_a_form_from_elsewhere_is_refused(issuer: IssuerHarness) -> None:
    browser = issuer.browser()
    browser.authorize()
    form = {"name": "user-123", "password": issuer.password("user-123")}
    assert browser.http.post("/sign-in", data=form).status_code == 403
    assert browser.http.post("/sign-in", data={**form, "csrf": "x" * 43}).status_code == 403
    assert issuer.http.post("/sign-in", data={**form, "csrf": browser.csrf}).status_code == 403
    assert browser.http.post("/account/passkey/options", json={}).status_code == 403


def test_the_cookie_changes_with_the_sign_in(issuer: IssuerHarness) -> None:
    browser = issuer.browser()
    browser.authorize()
    before = browser.http.cookies["issuer_session"]
    browser.password("user-123")
    assert browser.http.cookies["issuer_session"] != before
    with httpx.Client(base_url=issuer.url, cookies={"issuer_session": before}) as planted:
        assert "Password" in planted.get("/account", follow_redirects=True).text


def test_pages_run_no_code_of_strangers(issuer: IssuerHarness) -> None:
    browser = issuer.browser()
    page = browser.authorize()
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cache-control"] == "no-store"
    assert "<script>" not in page.text
    odd = browser.fill("/sign-in", name='"><script>alert(1)</script>', password="x")
    assert "<script>alert" not in odd.text
    cookie = next(each for each in browser.http.cookies.jar if each.name == "issuer_session")
    assert cookie.has_nonstandard_attr("HttpOnly")
    stranger = issuer.http.get("/jwks", headers={"host": "evil.test"})
    assert stranger.status_code == 400


def account(issuer: IssuerHarness, name: str) -> Browser:
    """A browser on the person's account page, signed in with two factors."""
    browser = issuer.browser()
    browser.go("/account")
    browser.password(name)
    issuer.at += STEP
    assert "Your account" in browser.totp(name).text
    return browser


def test_a_new_app_counts_once_its_code_was_shown(issuer: IssuerHarness) -> None:
    browser = account(issuer, "user-456")
    page = browser.fill("/account/totp")
    secret = page.text.partition("secret=")[2].partition("&")[0]
    old = issuer.seed["accounts"]["user-456"]["totpSecret"]
    assert secret != old
    assert "was not accepted" in browser.fill("/account/totp/confirm", code="000000x").text
    browser.fill("/account/totp")
    page = browser.page
    assert page is not None
    secret = page.text.partition("secret=")[2].partition("&")[0]
    browser.fill("/account/totp/confirm", code=pyotp.TOTP(secret).at(int(issuer.at)))
    fresh = issuer.browser()
    fresh.authorize(acr_values=TWO_FACTORS)
    fresh.password("user-456")
    issuer.at += STEP
    assert fresh.totp("user-456").status_code == 403  # the old one
    issuer.seed["accounts"]["user-456"]["totpSecret"] = secret
    assert "code" in answer_in(fresh.totp("user-456"))


def test_factors_are_added_by_who_has_just_shown_all_of_them(issuer: IssuerHarness) -> None:
    browser = issuer.browser()
    browser.sign_in("user-123")
    assert "Second factor" in browser.go("/account").text
    browser = account(issuer, "user-123")
    issuer.at += 301
    assert browser.script("/account/passkey/options", {}).status_code == 403
    assert "Password" in browser.fill("/account/totp").text


def enrol(issuer: IssuerHarness, name: str, passkey: SoftAuthenticator) -> httpx.Response:
    browser = account(issuer, name)
    options = browser.script("/account/passkey/options", {}).json()
    return browser.script("/account/passkey", passkey.create(options))


def test_a_passkey_is_the_second_factor(issuer: IssuerHarness) -> None:
    passkey = SoftAuthenticator(issuer.url)
    assert enrol(issuer, "user-123", passkey).json() == {"next": "/account"}
    browser = issuer.browser()
    browser.authorize(acr_values=TWO_FACTORS)
    assert "Use a passkey" in browser.password("user-123").text
    options = browser.script("/sign-in/passkey/options", {}).json()
    shown = passkey.get(options)
    answer = browser.script("/sign-in/passkey", shown)
    location = answer.json()["next"]
    code = dict(httpx.URL(location).params)["code"]
    claims = issuer.claims(issuer.redeem(code).json()["access_token"])
    assert (claims["acr"], claims["amr"]) == (TWO_FACTORS, ["pop", "pwd", "mfa"])
    # A passkey that has verified its user is enough to step up, and a challenge is good once.
    issuer.at += 1_000
    page = browser.authorize(acr_values=TWO_FACTORS, max_age="300")
    assert "Use a passkey" in page.text
    assert browser.script("/sign-in/passkey", shown).status_code == 403
    options = browser.script("/sign-in/passkey/options", {}).json()
    location = browser.script("/sign-in/passkey", passkey.get(options)).json()["next"]
    claims = issuer.claims(issuer.redeem(dict(httpx.URL(location).params)["code"]).json()["access_token"])
    assert (claims["acr"], claims["amr"]) == (TWO_FACTORS, ["pop", "mfa"])
    assert issuer.at - claims["auth_time"] < 60


@pytest.mark.parametrize("wrong", ["origin", "unverified", "key", "copy", "challenge", "form", "foreign"])
def test_a_passkey_that_is_not_right_is_refused(issuer: IssuerHarness, wrong: str) -> None:
    passkey = SoftAuthenticator(issuer.url, count=10)
    assert enrol(issuer, "user-123", passkey).status_code == 200
    browser = issuer.browser()
    browser.authorize(acr_values=TWO_FACTORS)
    browser.password("user-456" if wrong == "foreign" else "user-123")
    options = browser.script("/sign-in/passkey/options", {}).json()
    if wrong == "origin":
        passkey.origin = "http://localhost.evil.test"
    elif wrong == "unverified":
        passkey.verifies = False
    elif wrong == "key":
        passkey.key = SoftAuthenticator(issuer.url).key
    elif wrong == "copy":
        passkey.count = 3
    elif wrong == "challenge":
        options["challenge"] = "A" * 86
    shown = {"id": 5, "response": []} if wrong == "form" else passkey.get(options)
    assert browser.script("/sign-in/passkey", shown).status_code == 403


def test_an_unverified_passkey_is_not_enrolled(issuer: IssuerHarness) -> None:
    assert enrol(issuer, "user-123", SoftAuthenticator(issuer.url, verifies=False)).status_code == 403
    assert enrol(issuer, "user-123", SoftAuthenticator("http://evil.test")).status_code == 403

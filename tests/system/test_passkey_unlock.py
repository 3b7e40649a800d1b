"""A passkey in a real browser, from the sign-in to the door: what was answered 401 is 202 with the token that it gives.

Skipped where there is no Chromium.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
import uuid
from typing import TYPE_CHECKING

import httpx
import jwt
import pyotp
import pytest

from issuer.command_line import CommandLineClient
from mesh.sandbox import Sandbox
from tests.contract.issuer.conftest import CALLBACK, CHALLENGE, VERIFIER
from tests.support.app import FOREIGN, App, Car, eventually
from tests.support.chromium import browser_binary, chromium_page

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.chromium import ChromiumPage
    from tests.support.running_mesh import Mesh

BINARY = browser_binary()
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(BINARY is None, reason="there is no Chromium"),
    pytest.mark.timeout(300),
]

OWNER = "user-456"
STEP_SECONDS, TRIES = 30, 3
SIGNED_IN = "document.body.innerText.includes('passkeys: ')"


async def fill(page: ChromiumPage, action: str, **values: str) -> None:
    """Fill in a form and send it, as a person does."""
    await page.until(f"document.querySelector('form[action=\"{action}\"]') !== null")
    for name, value in values.items():
        field = f"document.querySelector('form[action=\"{action}\"] [name={name}]')"
        await page.run(f"{field}.value = {json.dumps(value)}")
    await page.run(f"document.querySelector('form[action=\"{action}\"] button').click()")


async def add_passkey(page: ChromiumPage, issuer: str, password: str, totp: pyotp.TOTP) -> None:
    """On the account's page, after both factors that the person has so far."""
    await page.open(f"{issuer}/account")
    await fill(page, "/sign-in", name=OWNER, password=password)
    await page.until("document.querySelector('form[action=\"/sign-in/totp\"]') !== null")
    for _ in range(TRIES):
        await fill(page, "/sign-in/totp", code=totp.now())
        await page.until(f"{SIGNED_IN} || document.body.innerText.includes('was not accepted')")
        if await page.run(SIGNED_IN):
            break
        # Somebody has used this code already: the app shows the next one.
        await asyncio.sleep(STEP_SECONDS - time.time() % STEP_SECONDS)
    before = int(await page.run("document.body.innerText.match(/passkeys: (\\d+)/)[1]"))
    await page.run("document.getElementById('passkey').click()")
    await page.until(f"document.body.innerText.includes('passkeys: {before + 1}')")


async def sign_in_with_passkey(page: ChromiumPage, issuer: str, **asked: str) -> str:
    """The code that the browser brings to the app."""
    state = secrets.token_urlsafe(8)
    query = {
        "response_type": "code",
        "client_id": "mobile-app",
        "redirect_uri": CALLBACK,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "state": state,
        "prompt": "login",
        **asked,
    }
    await page.open(str(httpx.URL(f"{issuer}/authorize", params=query)))
    await page.until("document.getElementById('passkey') !== null")
    # Nobody listens where the code is sent: it is caught on its way there.
    await page.command("Fetch.enable", patterns=[{"urlPattern": f"{CALLBACK}*"}])
    await page.run("document.getElementById('passkey').click()")
    answer = dict(httpx.URL(await page.event("Fetch.requestPaused", "request", "url")).params)
    assert (answer["state"], answer["iss"]) == (state, issuer)
    return answer["code"]


def redeem(issuer: str, code: str) -> str:
    form = {"grant_type": "authorization_code", "client_id": "mobile-app", "redirect_uri": CALLBACK}
    answer = httpx.post(f"{issuer}/token", data={**form, "code": code, "code_verifier": VERIFIER}, timeout=30)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def test_a_passkey_in_a_browser_satisfies_the_challenge_of_an_unlock(
    mesh: Mesh, tmp_path: Path
) -> None:
    assert BINARY is not None
    sandbox = Sandbox(mesh.data)
    person = json.loads(sandbox.issuer_seed.read_text())["accounts"][OWNER]
    Car(mesh, FOREIGN).do("door-time", seconds=0)
    with httpx.Client(trust_env=False, timeout=30) as http:
        client = CommandLineClient(sandbox.issuer, http=http)
        weak = await asyncio.to_thread(client.sign_in, OWNER, person["password"])
    app = App(mesh, FOREIGN, weak["access_token"])
    eventually(lambda: app.get("status").json().get("connectivity") == "ONLINE")
    locked = eventually(lambda: (a := app.order("lock")).status_code == 202 and a)
    assert app.end_of(locked.json()["commandId"])["status"] == "SUCCESS"

    same = {"correlation_id": str(uuid.uuid4())}
    refused = app.order("unlock", **same)
    assert refused.status_code == 401, refused.text
    challenge = refused.headers["www-authenticate"]
    assert 'error="insufficient_user_authentication"' in challenge
    asked = {name: re.findall(rf'{name}="([^"]*)"', challenge)[0] for name in ("acr_values", "max_age")}

    async with chromium_page(BINARY, tmp_path / "profile") as page:
        await add_passkey(page, sandbox.issuer, person["password"], pyotp.TOTP(person["totpSecret"]))
        code = await sign_in_with_passkey(page, sandbox.issuer, **asked)
    token = await asyncio.to_thread(redeem, sandbox.issuer, code)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["sub"], claims["acr"], claims["amr"]) == (OWNER, asked["acr_values"], ["pop", "mfa"])

    app = App(mesh, FOREIGN, token)
    accepted = app.order("unlock", **same)
    assert accepted.status_code == 202, accepted.text
    assert app.end_of(accepted.json()["commandId"])["status"] == "SUCCESS"
    assert Car(mesh, FOREIGN).moved(accepted.json()["commandId"])

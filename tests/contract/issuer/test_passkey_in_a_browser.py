"""The passkey's page in a real browser: its script, its policy, its WebAuthn. Skipped where there is no Chromium."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.contract.issuer.conftest import CALLBACK, CHALLENGE, TWO_FACTORS
from tests.support.chromium import browser_binary, chromium_page

if TYPE_CHECKING:
    from pathlib import Path

    from tests.contract.issuer.conftest import IssuerHarness
    from tests.support.chromium import ChromiumPage

BINARY = browser_binary()
pytestmark = [
    pytest.mark.skipif(BINARY is None, reason="there is no Chromium"),
    pytest.mark.timeout(300),
]


async def fill(page: ChromiumPage, action: str, **values: str) -> None:
    """Fill in a form and send it, as a person does."""
    await page.until(f"document.querySelector('form[action=\"{action}\"]') !== null")
    for name, value in values.items():
        await page.run(f"document.querySelector('form[action=\"{action}\"] [name={name}]').value = '{value}'")
    await page.run(f"document.querySelector('form[action=\"{action}\"] button').click()")


async def test_a_passkey_is_added_and_used_in_a_browser(issuer: IssuerHarness, tmp_path: Path) -> None:
    assert BINARY is not None
    async with chromium_page(BINARY, tmp_path / "profile") as page:
        await page.open(f"{issuer.url}/account")
        await fill(page, "/sign-in", name="user-456", password=issuer.password("user-456"))
        issuer.at += 30
        await fill(page, "/sign-in/totp", code=issuer.code("user-456"))
        await page.until("document.body.innerText.includes('passkeys: 0')")
        await page.run("document.getElementById('passkey').click()")
        await page.until("document.body.innerText.includes('passkeys: 1')")

        issuer.at += 1_000  # now a fresh second factor is asked for
        query = {
            "response_type": "code",
            "client_id": "mobile-app",
            "redirect_uri": CALLBACK,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "acr_values": TWO_FACTORS,
            "max_age": "300",
        }
        await page.open(str(httpx.URL(f"{issuer.url}/authorize", params=query)))
        await page.until("document.getElementById('passkey') !== null")
        # Nobody listens where the code is sent: it is caught on its way there.
        await page.command("Fetch.enable", patterns=[{"urlPattern": f"{CALLBACK}*"}])
        await page.run("document.getElementById('passkey').click()")
        location = await page.event("Fetch.requestPaused", "request", "url")
        code = dict(httpx.URL(location).params)["code"]
        answer = await asyncio.to_thread(issuer.redeem, code)
        claims = issuer.claims(answer.json()["access_token"])
        assert (claims["sub"], claims["acr"], claims["amr"]) == ("user-456", TWO_FACTORS, ["pop", "mfa"])

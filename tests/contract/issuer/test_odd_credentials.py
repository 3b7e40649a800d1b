"""Credentials of no sense from the page's script: each is refused, none breaks anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.issuer.conftest import TWO_FACTORS
from tests.contract.issuer.test_factors import account, enrol
from tests.support.soft_authenticator import SoftAuthenticator

if TYPE_CHECKING:
    from tests.contract.issuer.conftest import IssuerHarness

ODD: list[Any] = [
    {},
    {"id": None},
    {"id": "AA", "rawId": "AA", "type": "public-key", "response": None},
    {"id": "AA", "rawId": "AB", "type": "public-key", "response": {}},
    {"response": {"clientDataJSON": 5, "attestationObject": []}},
    {
        "response": {
            "clientDataJSON": "!!!",
            "attestationObject": "!!!",
            "authenticatorData": "",
            "signature": "",
        }
    },
    {
        "response": {
            "clientDataJSON": "e30",
            "attestationObject": "oA",
            "authenticatorData": "oA",
            "signature": "AA",
        }
    },
    {
        "response": {
            "clientDataJSON": "W10",
            "attestationObject": "_w",
            "authenticatorData": "_w",
            "signature": "AA",
        }
    },
    {"response": {"clientDataJSON": "AA" * 2_000, "attestationObject": "AA"}},
]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_an_odd_credential_is_refused(issuer: IssuerHarness, odd: dict[str, Any]) -> None:
    passkey = SoftAuthenticator(issuer.url)
    assert enrol(issuer, "user-123", passkey).status_code == 200
    browser = account(issuer, "user-123")
    good = passkey.create(browser.script("/account/passkey/options", {}).json())
    assert browser.script("/account/passkey", {**good, **odd} if odd else {}).status_code == 403
    browser = issuer.browser()
    browser.authorize(acr_values=TWO_FACTORS)
    browser.password("user-123")
    shown = passkey.get(browser.script("/sign-in/passkey/options", {}).json())
    assert browser.script("/sign-in/passkey", {**shown, **odd} if odd else {}).status_code == 403

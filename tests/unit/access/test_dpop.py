"""Tokens that are bound to a key, and proofs that somebody made, copied or kept (RFC 9449)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from services.access.adapters.authorizer import Allow, Deny
from services.access.adapters.dpop import ProofOfRequest, ProofVerifier, origin_of, thumbprint_of
from services.access.adapters.tokens import TokenVerifier
from services.access.domain.accounts import SANDBOX_CLIENTS
from services.platform.errors import Refusal
from tests.support.dpop import DpopKey
from tests.unit.access.conftest import AUDIENCE, ISSUER, KEY, VIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.access.conftest import AccessHarness

RFC_KEY = {
    "kty": "EC",
    "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
    "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
    "crv": "P-256",
}
RFC_THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
RFC_TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
RFC_PROOF = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik"
    "VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR"
    "nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE"
    "QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIj"
    "oiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0Z"
    "WRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNF"
    "c05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71E"
    "OptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)
RFC_URL = "https://resource.example.org/protectedresource"
URL = f"https://api.test/api/v1/remotecontrol/vehicles/{VIN}/door/status"


@pytest.fixture
def key() -> DpopKey:
    return DpopKey()


def test_the_vectors_of_the_rfc() -> None:
    """Sections 6.1 and 7.1."""
    assert thumbprint_of(RFC_KEY) == RFC_THUMBPRINT
    proofs = ProofVerifier(lambda: 1_562_262_618.0)
    request = ProofOfRequest(RFC_PROOF, "GET", RFC_URL)
    proofs.check(request, RFC_TOKEN, RFC_THUMBPRINT)
    with pytest.raises(Refusal, match="used before"):
        proofs.check(request, RFC_TOKEN, RFC_THUMBPRINT)


def asked(house: AccessHarness, token: str, proof: str | None, scheme: str = "DPoP", **changed: Any) -> Any:
    headers = {"authorization": f"{scheme} {token}", "dpop": proof}
    form = {"scheme": "https", "host": "api.test", **changed}
    return house.request("status", headers=headers, **form)


async def refusal_of(house: AccessHarness, request: Any) -> Refusal:
    answer = await house.edge.decide(request)
    assert isinstance(answer, Deny)
    return answer.refusal


async def test_who_proves_to_hold_the_key_is_let_in_and_a_copy_is_not(
    house: AccessHarness, key: DpopKey
) -> None:
    token = house.issuer.token(cnf={"jkt": key.thumbprint})
    proof = key.proof("GET", URL, token, house.clock())
    assert isinstance(await house.edge.decide(asked(house, token, proof)), Allow)
    again = await refusal_of(house, asked(house, token, proof))
    assert (again.reason.code, again.reason.http_status) == ("PROOF_INVALID", 401)
    assert again.headers["www-authenticate"] == (
        'DPoP error="invalid_dpop_proof", error_description="The DPoP proof was not accepted: it was used before; '
        'make one for each request", algs="ES256 EdDSA"'
    )
    newer = key.proof("GET", URL, token, house.clock())
    assert isinstance(await house.edge.decide(asked(house, token, newer)), Allow)


async def test_a_bound_token_is_no_bearer_token(house: AccessHarness, key: DpopKey) -> None:
    token = house.issuer.token(cnf={"jkt": key.thumbprint})
    proof = key.proof("GET", URL, token, house.clock())
    for sent in (None, proof):
        refusal = await refusal_of(house, asked(house, token, sent, scheme="Bearer"))
        assert refusal.reason.code == "TOKEN_INVALID"
        assert refusal.headers["www-authenticate"].startswith('DPoP error="invalid_token"')


@pytest.mark.parametrize(
    ("path", "claims", "error"),
    [
        ("status", {"exp": 1}, "invalid_token"),
        ("status", {"scope": "openid"}, "insufficient_scope"),
        ("unlock", {"acr": "urn:ecarus:acr:1fa"}, "insufficient_user_authentication"),
    ],
)
async def test_who_sends_a_bound_token_is_challenged_in_its_scheme(
    house: AccessHarness, key: DpopKey, path: str, claims: dict[str, Any], error: str
) -> None:
    token = house.issuer.token(cnf={"jkt": key.thumbprint}, **claims)
    method = "POST" if path == "unlock" else "GET"
    proof = key.proof(method, URL.replace("status", path), token, house.clock())
    headers = {"authorization": f"dpop {token}", "dpop": proof, "content-type": "application/json"}
    body = b'{"targetDoors":["all"]}' if path == "unlock" else b""
    form = {"scheme": "https", "host": "api.test", "method": method, "body": body}
    refusal = await refusal_of(house, house.request(path, headers=headers, **form))
    challenge = refusal.headers["www-authenticate"]
    assert challenge.startswith("DPoP ")
    assert f'error="{error}"' in challenge
    assert challenge.endswith(', algs="ES256 EdDSA"')
    assert "Bearer" not in challenge


async def test_what_is_bound_to_no_key_is_sent_as_a_bearer(house: AccessHarness, key: DpopKey) -> None:
    for bearer in (house.issuer.token(), KEY):
        proof = key.proof("GET", URL, bearer, house.clock())
        assert (await refusal_of(house, asked(house, bearer, proof))).reason.code == "TOKEN_INVALID"


WRONG: dict[str, tuple[Callable[[DpopKey, str, float], str | None], str]] = {
    "none": (lambda _k, _t, _n: None, "there is none"),
    "empty": (lambda _k, _t, _n: "", "form or signature"),
    "a token": (lambda _k, t, _n: t, "form or signature"),
    "two": (lambda k, t, n: f"{k.proof('GET', URL, t, n)}, {k.proof('GET', URL, t, n)}", "form or signature"),
    "long": (lambda k, t, n: k.proof("GET", URL, t, n, note="x" * 4_096), "longer than"),
    "another key": (lambda _k, t, n: DpopKey().proof("GET", URL, t, n), "another key"),
    "another method": (lambda k, t, n: k.proof("POST", URL, t, n), "htm"),
    "method in lower case": (lambda k, t, n: k.proof("get", URL, t, n), "htm"),
    "no method": (lambda k, t, n: k.proof("GET", URL, t, n, htm=None), "htm"),
    "another path": (lambda k, t, n: k.proof("GET", URL.replace("status", "config"), t, n), "htu"),
    "another host": (lambda k, t, n: k.proof("GET", URL.replace("api.test", "thief.test"), t, n), "htu"),
    "another scheme": (lambda k, t, n: k.proof("GET", URL.replace("https", "http"), t, n), "htu"),
    "another port": (lambda k, t, n: k.proof("GET", URL.replace(".test", ".test:444"), t, n), "htu"),
    "credentials in the URL": (lambda k, t, n: k.proof("GET", URL.replace("//", "//a@"), t, n), "htu"),
    "no URL": (lambda k, t, n: k.proof("GET", "", t, n), "htu"),
    "a port that is none": (lambda k, t, n: k.proof("GET", URL.replace(".test", ".test:x"), t, n), "htu"),
    "URL is a list": (lambda k, t, n: k.proof("GET", URL, t, n, htu=[URL]), "htu"),
    "old": (lambda k, t, n: k.proof("GET", URL, t, n - 61), "iat"),
    "ahead": (lambda k, t, n: k.proof("GET", URL, t, n + 31), "iat"),
    "no time": (lambda k, t, n: k.proof("GET", URL, t, n, iat=None), "iat"),
    "time is a string": (lambda k, t, n: k.proof("GET", URL, t, n, iat="now"), "form or signature|iat"),
    "no jti": (lambda k, t, n: k.proof("GET", URL, t, n, jti=None), "jti"),
    "of another token": (lambda k, _t, n: k.proof("GET", URL, "another", n), "ath"),
    "of no token": (lambda k, t, n: k.proof("GET", URL, t, n, ath=None), "ath"),
    "typ": (lambda k, t, n: k.proof("GET", URL, t, n, header={"typ": "at+jwt"}), "form or signature"),
    "crit": (lambda k, t, n: k.proof("GET", URL, t, n, header={"crit": ["exp"]}), "form or signature"),
    "no key": (lambda k, t, n: k.proof("GET", URL, t, n, header={"jwk": None}), "form or signature"),
    "a private key": (
        lambda k, t, n: k.proof("GET", URL, t, n, header={"jwk": {**k.public, "d": "x"}}),
        "form or signature",
    ),
    "somebody's key": (
        lambda k, t, n: k.proof("GET", URL, t, n, header={"jwk": DpopKey().public}),
        "form or signature",
    ),
    "a secret": (
        lambda k, t, n: k.proof("GET", URL, t, n, header={"jwk": {"kty": "oct", "k": "AAAA"}}),
        "form or signature",
    ),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_proof_of_something_else_is_none(house: AccessHarness, key: DpopKey, name: str) -> None:
    make, why = WRONG[name]
    token = house.issuer.token(cnf={"jkt": key.thumbprint})
    refusal = await refusal_of(house, asked(house, token, make(key, token, house.clock())))
    assert refusal.reason.code == "PROOF_INVALID"
    with pytest.raises(Refusal, match=why):
        raise refusal


async def test_the_url_is_the_one_that_the_client_called(house: AccessHarness, key: DpopKey) -> None:
    token = house.issuer.token(cnf={"jkt": key.thumbprint})
    for written in (URL, URL.replace("api.test", "API.test:443"), URL + "?a=b", URL + "#x"):
        proof = key.proof("GET", written, token, house.clock())
        assert isinstance(await house.edge.decide(asked(house, token, proof)), Allow), written
    house.identity._proofs = ProofVerifier(house.clock, frozenset({origin_of("https://public.test")}))
    outside = key.proof("GET", URL.replace("api.test", "public.test"), token, house.clock())
    assert isinstance(await house.edge.decide(asked(house, token, outside)), Allow)
    inside = key.proof("GET", URL, token, house.clock())
    assert (await refusal_of(house, asked(house, token, inside))).reason.code == "PROOF_INVALID"


async def test_a_client_of_which_it_is_asked_has_no_other_tokens(house: AccessHarness, key: DpopKey) -> None:
    verifier = TokenVerifier(
        issuer=ISSUER,
        audience=AUDIENCE,
        keys=house.tokens.keys,
        clients=SANDBOX_CLIENTS,
        now=house.clock,
        bound_clients=frozenset({"mobile-app"}),
    )
    with pytest.raises(Refusal, match="must be bound to a key"):
        verifier.verify(house.issuer.token())
    assert verifier.verify(house.issuer.token(cnf={"jkt": key.thumbprint})).key_thumbprint == key.thumbprint
    assert verifier.verify(house.issuer.token(client_id="web")).key_thumbprint == ""


async def test_who_has_no_bound_token_pays_nothing_for_it(
    house: AccessHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a proof was looked at")

    monkeypatch.setattr(ProofVerifier, "check", never)
    assert isinstance(await house.edge.decide(house.request()), Allow)
    assert isinstance(
        await house.edge.decide(asked(house, house.issuer.token(), "anything", scheme="Bearer")), Allow
    )

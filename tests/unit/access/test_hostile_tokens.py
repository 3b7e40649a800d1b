"""Tokens that somebody made to get in, each with its one answer; docs/tokens.md has the same list in words."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from services.platform.errors import Refusal
from tests.unit.access.conftest import acting

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.access.conftest import AccessHarness, TokenIssuer

    Make = Callable[[TokenIssuer], str]

FORM = "signature, issuer, audience or form is wrong"
NO_KEY = "no key of the issuer fits it"


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")


def hand_made(issuer: TokenIssuer, claims: str | bytes | None = None, **header: Any) -> str:
    """Signed with the issuer's key, whatever it says; None takes a member of the header out."""
    head = {"alg": "EdDSA", "typ": "at+jwt", "kid": "ed", **header}
    head = {name: value for name, value in head.items() if value is not None}
    body = claims if claims is not None else json.dumps(issuer.claims())
    text = (
        f"{encoded(json.dumps(head).encode())}.{encoded(body if isinstance(body, bytes) else body.encode())}"
    )
    return f"{text}.{encoded(issuer.ed25519.sign(text.encode()))}"


def header(**changed: Any) -> Make:
    return lambda issuer: hand_made(issuer, **changed)


def claim(**changed: Any) -> Make:
    return lambda issuer: hand_made(issuer, json.dumps(issuer.claims(**changed)))


def written(old: str, new: str) -> Make:
    """With this text in the claims in place of that."""

    def make(issuer: TokenIssuer) -> str:
        text = json.dumps(issuer.claims())
        assert old in text
        return hand_made(issuer, text.replace(old, new))

    return make


def unsigned(algorithm: str) -> Make:
    return lambda issuer: (
        f"{encoded(json.dumps({'alg': algorithm, 'typ': 'at+jwt', 'kid': 'ed'}).encode())}."
        f"{encoded(json.dumps(issuer.claims()).encode())}."
    )


def without_signature(issuer: TokenIssuer) -> str:
    return issuer.token().rpartition(".")[0] + "."


def half_a_signature(issuer: TokenIssuer) -> str:
    head, body, signature = issuer.token().split(".")
    return f"{head}.{body}.{signature[:43]}"


def zeroed_signature(issuer: TokenIssuer) -> str:
    return issuer.token().rpartition(".")[0] + "." + encoded(bytes(64))


def signature_of_another(issuer: TokenIssuer) -> str:
    return issuer.token().rpartition(".")[0] + "." + issuer.token(sub="user-456").rpartition(".")[2]


def hmac_under_the_public_key(issuer: TokenIssuer) -> str:
    head = encoded(json.dumps({"alg": "HS256", "typ": "at+jwt", "kid": "ed"}).encode())
    text = f"{head}.{encoded(json.dumps(issuer.claims()).encode())}"
    secret = issuer.ed25519.public_key().public_bytes_raw()
    return f"{text}.{encoded(hmac.digest(secret, text.encode(), hashlib.sha256))}"


def zero_curve_signature(issuer: TokenIssuer) -> str:
    """Of ECDSA with r = s = 0, which some libraries took for good (CVE-2022-21449)."""
    head = encoded(json.dumps({"alg": "ES256", "typ": "at+jwt", "kid": "ec"}).encode())
    return f"{head}.{encoded(json.dumps(issuer.claims()).encode())}.{encoded(bytes(64))}"


def rsa(issuer: TokenIssuer) -> str:
    key = generate_private_key(65_537, 2_048)
    return jwt.encode(issuer.claims(), key, algorithm="RS256", headers={"typ": "at+jwt", "kid": "ed"})


def own_key(issuer: TokenIssuer) -> str:
    headers = {"typ": "at+jwt", "kid": "ed"}
    return jwt.encode(issuer.claims(), Ed25519PrivateKey.generate(), algorithm="EdDSA", headers=headers)


def own_key_in_header(issuer: TokenIssuer) -> str:
    key = Ed25519PrivateKey.generate()
    public = jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    headers = {"typ": "at+jwt", "kid": "ed", "jwk": public}
    return jwt.encode(issuer.claims(), key, algorithm="EdDSA", headers=headers)


def nested(issuer: TokenIssuer) -> str:
    return hand_made(issuer, issuer.token(), cty="JWT")


def encrypted(_issuer: TokenIssuer) -> str:
    return f"{encoded(json.dumps({'alg': 'dir', 'enc': 'A256GCM', 'typ': 'at+jwt'}).encode())}..a.b.c"


def deep(issuer: TokenIssuer) -> str:
    act: dict[str, Any] = {"sub": "agent-0"}
    for number in range(1, 200):
        act = {"sub": f"agent-{number}", "act": act}
    return hand_made(issuer, json.dumps(issuer.claims(act=act)))


AGENT = acting("agent-7")
HOSTILE: dict[str, tuple[Make, str, str]] = {
    "alg none": (unsigned("none"), "TOKEN_INVALID", "three parts"),
    "alg None": (header(alg="None"), "TOKEN_INVALID", NO_KEY),
    "alg nOnE with a signature": (header(alg="nOnE"), "TOKEN_INVALID", NO_KEY),
    "no alg": (header(alg=None), "TOKEN_INVALID", NO_KEY),
    "alg is a list": (header(alg=["EdDSA"]), "TOKEN_INVALID", NO_KEY),
    "alg of the other key": (header(alg="ES256"), "TOKEN_INVALID", NO_KEY),
    "the public key as a secret": (hmac_under_the_public_key, "TOKEN_INVALID", NO_KEY),
    "an algorithm that is not pinned": (rsa, "TOKEN_INVALID", NO_KEY),
    "signed by anybody": (own_key, "TOKEN_INVALID", FORM),
    "empty signature": (without_signature, "TOKEN_INVALID", "three parts"),
    "half a signature": (half_a_signature, "TOKEN_INVALID", FORM),
    "zeroes for a signature": (zeroed_signature, "TOKEN_INVALID", FORM),
    "zeroes for a signature on a curve": (zero_curve_signature, "TOKEN_INVALID", FORM),
    "the signature of another token": (signature_of_another, "TOKEN_INVALID", FORM),
    "jwk": (own_key_in_header, "TOKEN_INVALID", "a key of its own"),
    "jku": (header(jku="https://thief.test/jwks.json"), "TOKEN_INVALID", "a key of its own"),
    "x5u": (header(x5u="https://thief.test/cert.pem"), "TOKEN_INVALID", "a key of its own"),
    "x5c": (header(x5c=["MIIB"]), "TOKEN_INVALID", "a key of its own"),
    "kid is a path": (header(kid="../../../../dev/null"), "TOKEN_INVALID", NO_KEY),
    "kid is SQL": (header(kid="x' UNION SELECT 'AA"), "TOKEN_INVALID", NO_KEY),
    "kid is a URL": (header(kid="https://thief.test/k"), "TOKEN_INVALID", NO_KEY),
    "kid with a zero": (header(kid="ed\x00"), "TOKEN_INVALID", NO_KEY),
    "kid is long": (header(kid="k" * 4_000), "TOKEN_INVALID", NO_KEY),
    "kid is empty": (header(kid=""), "TOKEN_INVALID", NO_KEY),
    "kid is a number": (header(kid=1), "TOKEN_INVALID", NO_KEY),
    "no kid": (header(kid=None), "TOKEN_INVALID", NO_KEY),
    "crit": (header(crit=["exp"], exp=1), "TOKEN_INVALID", "crit"),
    "empty crit": (header(crit=[]), "TOKEN_INVALID", "crit"),
    "b64": (header(b64=False, crit=["b64"]), "TOKEN_INVALID", "b64"),
    "zip": (header(zip="DEF"), "TOKEN_INVALID", "zip"),
    "nested": (nested, "TOKEN_INVALID", FORM),
    "cty": (header(cty="JWT"), "TOKEN_INVALID", "another token"),
    "encrypted": (encrypted, "TOKEN_INVALID", "three parts"),
    "no typ": (header(typ=None), "TOKEN_INVALID", "typ at+jwt"),
    "an id token": (header(typ="JWT"), "TOKEN_INVALID", "typ at+jwt"),
    "a logout token": (header(typ="logout+jwt"), "TOKEN_INVALID", "typ at+jwt"),
    "a DPoP proof": (header(typ="dpop+jwt"), "TOKEN_INVALID", "typ at+jwt"),
    "typ is a list": (header(typ=["at+jwt"]), "TOKEN_INVALID", "typ at+jwt"),
    "repeated sub": (written('"sub":', '"sub": "user-456", "sub":'), "TOKEN_INVALID", FORM),
    "repeated in act": (
        written('"sub":', '"act": {"sub": "a", "sub": "b"}, "sub":'),
        "TOKEN_INVALID",
        FORM,
    ),
    "NaN": (written('"jti": "1"', '"jti": NaN'), "TOKEN_INVALID", FORM),
    "a claim of 64 KB": (claim(note="x" * 65_536), "TOKEN_INVALID", "not one token"),
    "many claims, 64 KB": (
        claim(**{f"c{n}": "x" * 50 for n in range(1_200)}),
        "TOKEN_INVALID",
        "not one token",
    ),
    "another issuer": (claim(iss="https://thief.test"), "TOKEN_INVALID", FORM),
    "issuer with a slash": (claim(iss="https://issuer.test/"), "TOKEN_INVALID", FORM),
    "issuers": (claim(iss=["https://issuer.test"]), "TOKEN_INVALID", FORM),
    "another audience": (claim(aud="another-service"), "TOKEN_INVALID", FORM),
    "no audience": (claim(aud=None), "TOKEN_INVALID", FORM),
    "an audience that begins alike": (claim(aud="remote-door-control.test"), "TOKEN_INVALID", FORM),
    "no sub": (claim(sub=None), "TOKEN_INVALID", FORM),
    "sub is a number": (claim(sub=123), "TOKEN_INVALID", FORM),
    "sub is an object": (claim(sub={"id": "user-123"}), "TOKEN_INVALID", FORM),
    "sub with a line break": (claim(sub="user-123\r\nx"), "TOKEN_INVALID", "not a name"),
    "sub that turns around": (claim(sub="user-\u202e321"), "TOKEN_INVALID", "not a name"),
    "sub with an escape": (claim(sub="\x1b[2Juser"), "TOKEN_INVALID", "not a name"),
    "no client": (claim(client_id=None), "TOKEN_INVALID", FORM),
    "another client": (claim(client_id="toaster"), "TOKEN_INVALID", "client is not registered"),
    "clients": (claim(client_id=["web"]), "TOKEN_INVALID", "client is not registered"),
    "no jti": (claim(jti=None), "TOKEN_INVALID", "jti"),
    "jti is a number": (claim(jti=7), "TOKEN_INVALID", FORM),
    "no exp": (claim(exp=None), "TOKEN_INVALID", FORM),
    "exp is a string": (claim(exp="1800000600"), "TOKEN_INVALID", "exp is not a time"),
    "exp is true": (claim(exp=True), "TOKEN_INVALID", "exp is not a time"),
    "exp is huge": (claim(exp=2**60), "TOKEN_INVALID", "exp is not a time"),
    "expired": (claim(iat=1_799_990_000, nbf=None, exp=1_799_993_000), "TOKEN_EXPIRED", "has expired"),
    "good for years": (claim(exp=1_900_000_000), "TOKEN_INVALID", "good for more than"),
    "iat ahead": (claim(iat=1_800_000_100, nbf=None), "TOKEN_INVALID", "not valid yet"),
    "nbf ahead": (claim(nbf=1_800_000_100), "TOKEN_INVALID", "not valid yet"),
    "nbf is an object": (claim(nbf={}), "TOKEN_INVALID", "nbf is not a time"),
    "auth_time ahead of iat": (claim(auth_time=1_800_000_031), "TOKEN_INVALID", "auth_time is later"),
    "auth_time is a string": (claim(auth_time="now"), "TOKEN_INVALID", "auth_time is not a time"),
    "auth_time is null": (
        written('"auth_time": 1800000000', '"auth_time": null'),
        "TOKEN_INVALID",
        "auth_time",
    ),
    "auth_time is negative": (claim(auth_time=-1), "TOKEN_INVALID", "auth_time is not a time"),
    "acr is a list": (claim(acr=["urn:ecarus:acr:2fa"]), "TOKEN_INVALID", "acr is not a word"),
    "acr is two": (claim(acr="urn:ecarus:acr:1fa urn:ecarus:acr:2fa"), "TOKEN_INVALID", "acr is not a word"),
    "acr is empty": (claim(acr=""), "TOKEN_INVALID", "acr is not a word"),
    "amr is a word": (claim(amr="otp"), "TOKEN_INVALID", "amr is not a list"),
    "amr holds a list": (claim(amr=["pwd", ["otp"]]), "TOKEN_INVALID", "amr is not a list"),
    "amr is long": (claim(amr=[f"m{n}" for n in range(17)]), "TOKEN_INVALID", "amr is not a list"),
    "act is a word": (claim(act="agent-7"), "TOKEN_INVALID", "not a name"),
    "act of nobody": (claim(act={}), "TOKEN_INVALID", "not a name"),
    "act chain": (claim(act={"sub": "a", "act": {"sub": "b"}}), "TOKEN_INVALID", "act within act"),
    "act chain of 200": (deep, "TOKEN_INVALID", FORM),
    "act from elsewhere": (claim(act={"sub": "a", "iss": "https://thief.test"}), "TOKEN_INVALID", "issuer"),
    "act through an app": (
        claim(**AGENT | {"client_id": "mobile-app"}),
        "TOKEN_INVALID",
        "only the call centre",
    ),
    "the call centre without an agent": (claim(client_id="call-center"), "TOKEN_INVALID", "names the agent"),
    "act on every vehicle": (claim(**AGENT | {"vin": None}), "TOKEN_INVALID", "one vehicle"),
    "act without a case": (claim(**AGENT | {"case": None}), "TOKEN_INVALID", "names its case"),
    "act with a case of 65": (claim(**AGENT | {"case": "c" * 65}), "TOKEN_INVALID", "names its case"),
    "act with cases": (claim(**AGENT | {"case": ["case-1"]}), "TOKEN_INVALID", "names its case"),
    "act for ten minutes": (claim(**AGENT | {"exp": 1_800_000_600}), "TOKEN_INVALID", "300 s at most"),
    "may_act alone": (claim(may_act={"sub": "agent-7"}), "TOKEN_INVALID", "may_act"),
    "vin is a list": (claim(vin=["KMHSH81C7LU123456"]), "TOKEN_INVALID", "vin is not a VIN"),
    "vin is empty": (claim(vin=""), "TOKEN_INVALID", "vin is not a VIN"),
    "scope is a list": (claim(scope=["door"]), "TOKEN_INVALID", "scope"),
    "scp": (claim(scp="door"), "TOKEN_INVALID", "scp"),
    "authorization_details": (claim(authorization_details=[]), "TOKEN_INVALID", "authorization_details"),
    "two tokens": (lambda issuer: f"{issuer.token()} {issuer.token()}", "TOKEN_INVALID", "not one token"),
    "padding": (lambda issuer: issuer.token() + "=", "TOKEN_INVALID", "three parts"),
    "JSON serialization": (lambda _issuer: '{"payload":""}', "TOKEN_INVALID", "not one token"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_token_has_its_one_answer(house: AccessHarness, name: str) -> None:
    make, code, why = HOSTILE[name]
    with pytest.raises(Refusal) as caught:
        await house.identity.caller_of(f"Bearer {make(house.issuer)}")
    refusal = caught.value
    assert refusal.reason.code == code
    assert why in refusal.detail
    assert 'error="invalid_token"' in refusal.headers["www-authenticate"]


async def test_the_same_made_well_is_taken(house: AccessHarness) -> None:
    """Otherwise the table would show nothing."""
    for token in (hand_made(house.issuer), claim(**acting("agent-7"), amr=["pwd"])(house.issuer)):
        _, caller = await house.identity.caller_of(f"Bearer {token}")
        assert caller.subject == "user-123"


async def test_how_and_when_somebody_signed_in_is_known_of_the_caller(house: AccessHarness) -> None:
    at = house.clock() + 30  # the issuer's clocks may differ by the leeway
    token = house.issuer.token(acr="urn:ecarus:acr:2fa", amr=["pwd", "otp"], auth_time=at)
    _, caller = await house.identity.caller_of(f"Bearer {token}")
    assert (caller.acr, caller.factors, caller.authenticated_at) == (
        "urn:ecarus:acr:2fa",
        {"pwd", "otp"},
        at,
    )
    _, silent = await house.identity.caller_of(f"Bearer {house.issuer.token(acr=None, auth_time=None)}")
    assert (silent.acr, silent.authenticated_at) == ("", None)

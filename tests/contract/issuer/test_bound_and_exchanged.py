"""Tokens that are bound to a key (RFC 9449), and those in which an agent acts for a customer (RFC 8693)."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import ECKey

from mesh.signing_keys import key_id, public_jwk

if TYPE_CHECKING:
    import httpx

    from tests.contract.issuer.conftest import IssuerHarness

VIN = "KMHSH81C7LU123456"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
SPOKEN, CASE = "urn:ecarus:token-type:spoken-code", "urn:ecarus:token-type:approved-case"


NESTED = base64.urlsafe_b64encode(b"[" * 2_900).rstrip(b"=").decode()
"""A header that no reader of JSON reads to its end."""


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def thumbprint(key: ec.EllipticCurvePrivateKey) -> str:
    return ECKey.import_key(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)).thumbprint()


def bound(issuer: IssuerHarness, key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    code = issuer.browser().sign_in("user-123")["code"]
    return issuer.redeem(code, headers={"dpop": issuer.proof(key)}).json()


def test_a_proof_binds_the_tokens_to_its_key(issuer: IssuerHarness) -> None:
    key = new_key()
    given = bound(issuer, key)
    assert given["token_type"] == "DPoP"
    assert issuer.claims(given["access_token"])["cnf"] == {"jkt": thumbprint(key)}
    # A thief without the key can do nothing with the refresh token of a public client, nor to its owner.
    again = issuer.refresh(given["refresh_token"], headers={"dpop": issuer.proof(key)}).json()
    assert again["token_type"] == "DPoP"
    for stolen in (again["refresh_token"], given["refresh_token"]):
        thiefs = issuer.refresh(stolen, headers={"dpop": issuer.proof(new_key())})
        assert thiefs.json()["error"] == "invalid_grant"
        assert issuer.refresh(stolen).json()["error"] == "invalid_grant"
    owners = issuer.refresh(again["refresh_token"], headers={"dpop": issuer.proof(key)})
    assert owners.status_code == 200
    # Used a second time by who has the key, it ends what came of the sign-in.
    for token in (again, owners.json()):
        late = issuer.refresh(token["refresh_token"], headers={"dpop": issuer.proof(key)})
        assert late.json()["error"] == "invalid_grant"


def test_a_proof_is_of_an_algorithm_that_the_metadata_name(issuer: IssuerHarness) -> None:
    named = issuer.http.get("/.well-known/openid-configuration").json()["dpop_signing_alg_values_supported"]
    claims = {"htm": "POST", "htu": f"{issuer.url}/token", "iat": int(issuer.at)}
    keys: dict[str, Any] = {
        "ES256": (new_key(), jwt.algorithms.ECAlgorithm),
        "EdDSA": (Ed25519PrivateKey.generate(), jwt.algorithms.OKPAlgorithm),
    }
    assert set(named) == set(keys)
    for algorithm, (key, kind) in keys.items():
        jwk = kind.to_jwk(key.public_key(), as_dict=True)
        # A certificate chain or an id in it makes a header long.
        headers = {"typ": "dpop+jwt", "jwk": {**jwk, "kid": "k" * 600}}
        proof = jwt.encode({**claims, "jti": algorithm}, key, algorithm, headers=headers)
        code = issuer.browser().sign_in("user-123")["code"]
        answer = issuer.redeem(code, headers={"dpop": proof})
        assert (answer.status_code, answer.json().get("token_type")) == (200, "DPoP"), answer.text


@pytest.mark.parametrize(
    "changed",
    [
        {"htm": "GET"},
        {"htu": "http://localhost:1/token"},
        {"htu": None},
        {"iat": 1},
        {"iat": "now"},
        {"iat": True},
        {"jti": ""},
        {"jti": 5},
        {"headers": {"typ": "jwt"}},
        {"headers": {"jwk": {"kty": "oct", "k": "AA"}}},
        {"headers": {"jwk": None}},
    ],
)
def test_a_proof_that_is_not_right_is_refused(issuer: IssuerHarness, changed: dict[str, Any]) -> None:
    code = issuer.browser().sign_in("user-123")["code"]
    answer = issuer.redeem(code, headers={"dpop": issuer.proof(new_key(), **changed)})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_dpop_proof")


def test_a_proof_is_good_once_and_of_the_key_that_it_shows(issuer: IssuerHarness) -> None:
    key, other = new_key(), new_key()
    proof = issuer.proof(key)
    first = issuer.redeem(issuer.browser().sign_in("user-123")["code"], headers={"dpop": proof})
    assert first.status_code == 200
    code = issuer.browser().sign_in("user-123")["code"]
    shown: Any = jwt.algorithms.ECAlgorithm.to_jwk(other.public_key(), as_dict=True)
    private: Any = jwt.algorithms.ECAlgorithm.to_jwk(key, as_dict=True)
    for bad in (
        proof,
        issuer.proof(key, headers={"jwk": shown}),
        issuer.proof(key, headers={"jwk": private}),
        f"{issuer.proof(key)}, {issuer.proof(key)}",
        "x",
        "x" * 5_000,
        f"{NESTED}.e30.AA",
        "",
    ):
        answer = issuer.redeem(code, headers={"dpop": bad})
        assert answer.json()["error"] == "invalid_dpop_proof", bad


def agent_token(issuer: IssuerHarness, name: str = "agent-7") -> str:
    return issuer.token(name, "call-center")["access_token"]


def spoken(issuer: IssuerHarness, case: str = "C-1") -> str:
    token = issuer.token("user-123")["access_token"]
    headers = {"authorization": f"Bearer {token}"}
    answer = issuer.http.post("/mandates/codes", data={"vin": VIN, "case": case}, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["code"]


def exchange(
    issuer: IssuerHarness, agent: str, secret: str, kind: str = SPOKEN, **changed: Any
) -> httpx.Response:
    form = {
        "grant_type": EXCHANGE,
        "subject_token": secret,
        "subject_token_type": kind,
        "actor_token": agent,
        "actor_token_type": ACCESS_TOKEN,
        **changed,
    }
    return issuer.post("/token", **form)


def test_a_spoken_code_lets_an_agent_act_for_five_minutes_on_one_vehicle(issuer: IssuerHarness) -> None:
    code, agent = spoken(issuer), agent_token(issuer)
    assert (len(code), code.isdecimal()) == (8, True)
    answer = exchange(issuer, agent, code, client="call-center")
    given = answer.json()
    assert (answer.status_code, given["issued_token_type"], given["expires_in"]) == (200, ACCESS_TOKEN, 300)
    assert "refresh_token" not in given
    claims = issuer.claims(given["access_token"])
    assert (claims["sub"], claims["act"], claims["vin"]) == ("user-123", {"sub": "agent-7"}, VIN)
    assert (claims["client_id"], claims["case"]) == ("call-center", "C-1")
    assert claims["exp"] - claims["iat"] == 300
    assert claims["acr"] == issuer.claims(agent)["acr"]  # the agent has signed in, and nobody else
    assert exchange(issuer, agent, code, client="call-center").json()["error"] == "invalid_grant"
    # What came of an exchange is not exchanged again, nor does it open cases.
    assert exchange(issuer, given["access_token"], spoken(issuer), client="call-center").status_code == 400
    headers = {"authorization": f"Bearer {given['access_token']}"}
    assert (
        issuer.http.post("/mandates/codes", data={"vin": VIN, "case": "C"}, headers=headers).status_code
        == 401
    )


def test_what_is_not_a_mandate_gives_nothing(issuer: IssuerHarness) -> None:
    agent, code = agent_token(issuer), spoken(issuer)
    customer = issuer.token("user-456")["access_token"]
    for changed in (
        {"actor_token": customer},
        {"actor_token": "x"},
        {"subject_token_type": ACCESS_TOKEN, "subject_token": customer},
        {"actor_token_type": SPOKEN},
        {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
        {"subject_token": "00000000"},
        {"actor_token": f"{NESTED}.e30.AA"},
        {"scope": "openid"},
    ):
        answer = exchange(issuer, agent, code, client="call-center", **changed)
        assert answer.status_code == 400, changed
    assert exchange(issuer, agent, code, client="mobile-app").json()["error"] == "unauthorized_client"
    # What was wrong with a request has used nothing up.
    assert exchange(issuer, agent, code, client="call-center").status_code == 200
    late = spoken(issuer)
    issuer.at += 301
    assert exchange(issuer, agent, late, client="call-center").json()["error"] == "invalid_grant"


def test_an_exchange_widens_no_agents_scope(issuer: IssuerHarness) -> None:
    narrow = issuer.token("agent-7", "call-center", scope="door.read door.lock")["access_token"]
    code = spoken(issuer)
    for asked in ({}, {"scope": "door"}, {"scope": "door.lock door.unlock"}):
        refused = exchange(issuer, narrow, code, client="call-center", **asked)
        assert refused.json()["error"] == "invalid_scope", asked
    given = exchange(issuer, narrow, code, client="call-center", scope="door.lock").json()
    assert issuer.claims(given["access_token"])["scope"] == given["scope"] == "door.lock"


def test_an_exchange_gives_what_watches_over_access_to_who_asked_for_it(issuer: IssuerHarness) -> None:
    whole, code = agent_token(issuer), spoken(issuer)
    refused = exchange(issuer, whole, code, client="call-center", scope="door security.watch")
    assert refused.json()["error"] == "invalid_scope"  # the scope `door` does not hold it
    watching = issuer.token("agent-7", "call-center", scope="door security.watch")["access_token"]
    given = exchange(issuer, watching, code, client="call-center", scope="door security.watch").json()
    assert issuer.claims(given["access_token"])["scope"] == "door security.watch"


def test_no_agent_is_given_what_is_about_the_person(issuer: IssuerHarness) -> None:
    asked = issuer.token("agent-7", "call-center", scope="door person person.data.erase")["access_token"]
    assert issuer.claims(asked)["scope"] == "door"
    refused = exchange(issuer, asked, spoken(issuer), client="call-center", scope="person.data.erase")
    assert refused.json()["error"] == "invalid_scope"


def test_spoken_codes_cannot_be_guessed(issuer: IssuerHarness) -> None:
    agent, code = agent_token(issuer, "agent-8"), spoken(issuer)
    guesses = [f"{(int(code) + n) % 10**8:08d}" for n in range(1, 7)]
    statuses = [exchange(issuer, agent, guess, client="call-center").status_code for guess in guesses]
    assert statuses == [400] * 5 + [429]
    assert exchange(issuer, agent, code, client="call-center").status_code == 429


def post_as(issuer: IssuerHarness, token: str, path: str, **form: str) -> httpx.Response:
    return issuer.http.post(path, data=form, headers={"authorization": f"Bearer {token}"})


def test_a_case_needs_a_second_agent(issuer: IssuerHarness) -> None:
    one, other = agent_token(issuer, "agent-7"), agent_token(issuer, "agent-8")
    case = f"case-{int(issuer.at)}"
    asked = {"agent": "agent-7", "customer": "user-123", "vin": VIN}
    approval = f"/mandates/cases/{case}/approval"

    def post(path: str, token: str, **form: str) -> httpx.Response:
        return post_as(issuer, token, path, **form)

    opened = post("/mandates/cases", one, customer="user-123", vin=VIN, case=case)
    assert opened.status_code == 201, opened.text
    assert post("/mandates/cases", one, customer="user-123", vin=VIN, case=case).status_code == 400
    assert exchange(issuer, one, case, CASE, client="call-center").json()["error"] == "invalid_grant"
    assert post(approval, one, **asked).status_code == 400
    customer = issuer.token("user-456")["access_token"]
    assert post(approval, customer, **asked).status_code == 400
    assert post("/mandates/cases", customer, customer="user-123", vin=VIN, case="other").status_code == 400
    assert post(approval, "x", **asked).status_code == 401
    # Who approves says what: another customer, another vehicle or another agent's is not it.
    for wrong in ({"customer": "user-456"}, {"vin": f"{VIN[:-1]}7"}, {"agent": "agent-8"}, {"vin": ""}):
        assert post(approval, other, **{**asked, **wrong}).status_code == 400, wrong
    assert exchange(issuer, one, case, CASE, client="call-center").json()["error"] == "invalid_grant"
    assert post(approval, other, **asked).status_code == 200
    assert exchange(issuer, other, case, CASE, client="call-center").json()["error"] == "invalid_grant"
    given = exchange(issuer, one, case, CASE, client="call-center")
    assert issuer.claims(given.json()["access_token"])["case"] == case
    for wrong in ({"vin": "short"}, {"case": "a b"}, {"case": "x" * 65}, {"customer": "nobody"}):
        form = {"customer": "user-123", "vin": VIN, "case": "another", **wrong}
        assert post("/mandates/cases", one, **form).status_code == 400


def test_two_agents_have_a_token_of_one_case_and_ask_again_for_another(issuer: IssuerHarness) -> None:
    tokens = {name: agent_token(issuer, name) for name in ("agent-7", "agent-8")}
    case = f"emergency-{int(issuer.at)}"
    # The third is agent-7 once more: its first token has run out, and the case has not.
    for asks, approves in (("agent-7", "agent-8"), ("agent-8", "agent-7"), ("agent-7", "agent-8")):
        about = {"customer": "user-123", "vin": VIN}
        opened = post_as(issuer, tokens[asks], "/mandates/cases", case=case, **about)
        assert opened.status_code == 201, opened.text
        # Nor is what was approved before still good for it.
        early = exchange(issuer, tokens[asks], case, CASE, client="call-center")
        assert early.json()["error"] == "invalid_grant"
        approval = f"/mandates/cases/{case}/approval"
        assert post_as(issuer, tokens[approves], approval, agent=asks, **about).status_code == 200
        given = exchange(issuer, tokens[asks], case, CASE, client="call-center").json()
        claims = issuer.claims(given["access_token"])
        assert (claims["act"], claims["case"]) == ({"sub": asks}, case)


def test_a_case_that_nobody_approved_in_its_time_is_opened_again(issuer: IssuerHarness) -> None:
    form = {"customer": "user-123", "vin": VIN, "case": f"late-{int(issuer.at)}"}
    assert post_as(issuer, agent_token(issuer), "/mandates/cases", **form).status_code == 201
    issuer.at += 900
    assert post_as(issuer, agent_token(issuer), "/mandates/cases", **form).status_code == 201


def test_a_mandate_needs_two_fresh_factors_and_the_whole_scope(issuer: IssuerHarness) -> None:
    """What comes of it unlocks, so who gives it shows no less than who unlocks."""
    asked = {"agent": "agent-8", "customer": "user-123", "vin": VIN, "case": "C-9"}
    for name, client, paths in (
        ("user-123", "mobile-app", ["/mandates/codes"]),
        ("agent-7", "call-center", ["/mandates/cases", "/mandates/cases/C-9/approval"]),
    ):
        weak = issuer.token(name, client, two=False)["access_token"]
        narrow = issuer.token(name, client, scope="door.read door.unlock")["access_token"]
        old = issuer.token(name, client)["access_token"]
        for path in paths:
            refused = post_as(issuer, narrow, path, **asked)
            assert (refused.status_code, refused.json()["error"]) == (403, "insufficient_scope")
        issuer.at += 301
        for token in (weak, old):
            for path in paths:
                refused = post_as(issuer, token, path, **asked)
                assert refused.status_code == 401
                assert refused.json()["error"] == "insufficient_user_authentication"
                challenge = refused.headers["www-authenticate"]
                assert challenge == (
                    'Bearer error="insufficient_user_authentication", '
                    'acr_values="urn:ecarus:acr:2fa", max_age="300"'
                )
    nobodys = issuer.post("/token", "call-center", grant_type="client_credentials").json()["access_token"]
    assert post_as(issuer, nobodys, "/mandates/codes", vin=VIN, case="C-9").status_code == 401


def test_the_key_is_replaced_while_the_issuer_runs(issuer: IssuerHarness) -> None:
    old = issuer.token("user-123")["access_token"]
    jwks = issuer.folder / "issuer.jwks.json"
    before = json.loads(jwks.read_text())
    fresh = Ed25519PrivateKey.generate()
    public = {
        **public_jwk(fresh.public_key()),
        "kid": key_id(fresh.public_key()),
        "alg": "EdDSA",
        "use": "sig",
    }
    jwks.write_text(json.dumps({"keys": [*before["keys"], public]}))
    pem = fresh.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (issuer.folder / "issuer.key").write_bytes(pem)
    new = issuer.token("user-123")["access_token"]
    assert jwt.get_unverified_header(new)["kid"] == public["kid"] != jwt.get_unverified_header(old)["kid"]
    assert issuer.claims(old)["sub"] == issuer.claims(new)["sub"] == "user-123"
    # A key that is not published signs nothing, and a set with a private key is not shown.
    jwks.write_text(json.dumps(before))
    assert issuer.http.get("/healthz").status_code == 503
    code = issuer.browser().sign_in("user-123")["code"]
    assert issuer.redeem(code).json()["error"] == "temporarily_unavailable"
    jwks.write_text(json.dumps({"keys": [{**public, "d": "AA"}]}))
    assert issuer.http.get("/jwks").status_code == 503
    jwks.write_text(json.dumps({"keys": [*before["keys"], public]}))
    assert issuer.http.get("/healthz").status_code == 200

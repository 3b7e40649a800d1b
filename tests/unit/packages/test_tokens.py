"""Who asks: tokens, their renewal, step-up, proofs of a key."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import httpx
import jwt
import pytest
from ecarus_doors import (
    AuthenticationError,
    ClientCredentials,
    DpopKey,
    InvalidAnswerError,
    NoAnswerError,
    RefreshToken,
    StepUpChallenge,
)
from ecarus_doors._core.auth import given_token

from tests.unit.packages.conftest import VIN, accepted, problem

if TYPE_CHECKING:
    from tests.unit.packages.conftest import Caller

EXPIRED = problem(
    401, "TOKEN_EXPIRED", {"WWW-Authenticate": 'Bearer error="invalid_token"'}, mayHaveSucceeded=False
)
CHALLENGE = (
    'Bearer error="insufficient_user_authentication", error_description="A stronger, fresher one", '
    'acr_values="urn:ecarus:acr:2fa", max_age="300"'
)
WEAK = problem(401, "STEP_UP_REQUIRED", {"WWW-Authenticate": CHALLENGE}, mayHaveSucceeded=False)
STATUS = httpx.Response(200, json={"vin": VIN})
TOKEN_URL = "https://issuer.example/token"


def given(token: str, **more: Any) -> httpx.Response:
    return httpx.Response(
        200, json={"access_token": token, "token_type": "Bearer", "expires_in": 600, **more}
    )


def test_an_api_key_is_a_bearer(caller: Caller) -> None:
    doors, service = caller.client(STATUS, token=None, api_key="sk_1")
    caller.do(doors.status(VIN))
    assert service.sent("authorization") == ["Bearer sk_1"]


def test_a_function_is_asked_before_each_request_and_again_when_its_token_has_expired(caller: Caller) -> None:
    tokens = iter(["t1", "t2", "t3"])
    doors, service = caller.client(STATUS, EXPIRED, STATUS, token=lambda: next(tokens))
    caller.do(doors.status(VIN))
    caller.do(doors.status(VIN))
    assert service.sent("authorization") == ["Bearer t1", "Bearer t2", "Bearer t3"]


def test_an_async_function_is_awaited_by_the_async_client_and_refused_by_the_other(caller: Caller) -> None:
    async def token() -> str:
        return "t1"

    doors, service = caller.client(STATUS, token=token)
    if caller.is_async:
        caller.do(doors.status(VIN))
        assert service.sent("authorization") == ["Bearer t1"]
    else:
        with pytest.raises(TypeError, match="DoorsSync"):
            doors.status(VIN)


def test_a_token_that_stays_expired_is_tried_once_more_only(caller: Caller) -> None:
    doors, service = caller.client(EXPIRED, EXPIRED, token=lambda: "t1")
    with pytest.raises(AuthenticationError) as caught:
        caller.do(doors.status(VIN))
    assert (caught.value.code, len(service.requests)) == ("TOKEN_EXPIRED", 2)
    doors, service = caller.client(EXPIRED, token="fixed")
    with pytest.raises(AuthenticationError):
        caller.do(doors.status(VIN))
    assert len(service.requests) == 1


def test_a_challenge_is_answered_and_the_same_request_sent_again_once(caller: Caller) -> None:
    asked: list[StepUpChallenge] = []

    def step_up(challenge: StepUpChallenge) -> str:
        asked.append(challenge)
        return "strong"

    doors, service = caller.client(WEAK, accepted(), STATUS, token="weak", on_step_up=step_up)
    caller.do(doors.unlock(VIN))
    (challenge,) = asked
    assert (challenge.acr_values, challenge.max_age, challenge.operation) == (
        "urn:ecarus:acr:2fa",
        300,
        "unlockDoors",
    )
    assert service.sent("authorization") == ["Bearer weak", "Bearer strong"]
    assert service.sent("x-correlation-id") == [challenge.correlation_id] * 2
    assert len({request.content for request in service.requests}) == 1
    caller.do(doors.status(VIN))
    assert service.sent("authorization")[2] == "Bearer strong"


def test_a_second_challenge_is_raised(caller: Caller) -> None:
    doors, service = caller.client(WEAK, WEAK, on_step_up=lambda _: "still-weak")
    with pytest.raises(AuthenticationError) as caught:
        caller.do(doors.unlock(VIN))
    assert caught.value.challenge is not None
    assert (caught.value.challenge.max_age, len(service.requests)) == (300, 2)


@pytest.mark.parametrize("step_up", [None, lambda _: None])
def test_where_nobody_steps_up_the_refusal_is_raised(caller: Caller, step_up: Any) -> None:
    doors, service = caller.client(WEAK, on_step_up=step_up)
    with pytest.raises(AuthenticationError) as caught:
        caller.do(doors.unlock(VIN))
    assert (caught.value.code, len(service.requests)) == ("STEP_UP_REQUIRED", 1)


def test_when_the_stronger_token_has_expired_the_usual_one_is_asked_for(caller: Caller) -> None:
    doors, service = caller.client(
        WEAK, accepted(), EXPIRED, STATUS, token=lambda: "usual", on_step_up=lambda _: "strong"
    )
    caller.do(doors.unlock(VIN))
    caller.do(doors.status(VIN))
    assert service.sent("authorization") == [f"Bearer {t}" for t in ("usual", "strong", "strong", "usual")]


def test_a_client_gets_its_own_token_and_keeps_it_until_it_ends(caller: Caller) -> None:
    grant = ClientCredentials(
        token_url=TOKEN_URL, client_id="team a", client_secret="s3cret:", scope="door.read"
    )
    doors, service = caller.client(given("t1"), STATUS, STATUS, EXPIRED, given("t2"), STATUS, token=grant)
    for _ in range(3):
        caller.do(doors.status(VIN))
    first = service.requests[0]
    assert str(first.url) == TOKEN_URL
    assert parse_qs(first.content.decode()) == {"grant_type": ["client_credentials"], "scope": ["door.read"]}
    assert base64.b64decode(first.headers["authorization"].split()[1]) == b"team+a:s3cret%3A"
    assert service.sent("authorization")[1:4] == ["Bearer t1"] * 3
    assert service.sent("authorization")[5] == "Bearer t2"
    assert "s3cret" not in repr(grant)


def test_a_refresh_token_is_kept_before_its_access_token_is_used(caller: Caller) -> None:
    kept: list[tuple[str, int]] = []
    grant = RefreshToken(
        token_url=TOKEN_URL,
        client_id="mobile-app",
        refresh_token="r1",
        on_rotated=lambda new: kept.append((new, len(service.requests))),
    )
    doors, service = caller.client(
        given("t1", refresh_token="r2"), EXPIRED, given("t2", refresh_token="r3"), STATUS, token=grant
    )
    caller.do(doors.status(VIN))
    forms = [
        parse_qs(request.content.decode()) for request in service.requests if str(request.url) == TOKEN_URL
    ]
    assert [form["refresh_token"] for form in forms] == [["r1"], ["r2"]]
    assert [form["client_id"] for form in forms] == [["mobile-app"]] * 2
    assert kept == [("r2", 1), ("r3", 3)]
    assert "r1" not in repr(grant)


def test_a_refresh_whose_answer_is_lost_is_never_sent_twice(caller: Caller) -> None:
    grant = RefreshToken(token_url=TOKEN_URL, client_id="a", refresh_token="r1")
    doors, service = caller.client(httpx.ReadError("cut"), token=grant)
    with pytest.raises(NoAnswerError, match="issuer"):
        caller.do(doors.status(VIN))
    assert len(service.requests) == 1


def test_an_issuer_that_refuses_is_told_by_its_word(caller: Caller) -> None:
    refused = httpx.Response(400, json={"error": "invalid_grant", "error_description": "It was used before."})
    grant = RefreshToken(token_url=TOKEN_URL, client_id="a", refresh_token="r1")
    doors, _ = caller.client(refused, token=grant)
    with pytest.raises(AuthenticationError) as caught:
        caller.do(doors.status(VIN))
    assert (caught.value.code, caught.value.detail) == ("invalid_grant", "It was used before.")


def test_an_issuers_answer_is_read_up_to_a_bound(caller: Caller) -> None:
    grant = RefreshToken(token_url=TOKEN_URL, client_id="a", refresh_token="r1")
    doors, _ = caller.client(httpx.Response(200, content=b" " * (2 << 20)), token=grant)
    with pytest.raises(InvalidAnswerError, match="more than"):
        caller.do(doors.status(VIN))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"access_token": 3}'])
def test_what_is_no_token_is_none(body: bytes) -> None:
    with pytest.raises(AuthenticationError):
        given_token(200, body, 0.0)


def test_a_token_is_renewed_before_it_ends() -> None:
    assert given_token(200, b'{"access_token": "t", "expires_in": 600}', 1000.0).renew_at == 1570.0
    assert given_token(200, b'{"access_token": "t", "expires_in": 20}', 1000.0).renew_at == 1010.0


def test_an_issuer_is_asked_over_tls_only(caller: Caller) -> None:
    grant = ClientCredentials(token_url="http://issuer.example/token", client_id="a", client_secret="b")
    with pytest.raises(ValueError, match="token_url: https"):
        caller.at("https://api.example", token=grant)


def test_each_request_has_a_proof_of_its_own(caller: Caller) -> None:
    key = DpopKey()
    grant = RefreshToken(token_url=TOKEN_URL, client_id="a", refresh_token="r1")
    away = problem(503, "DEPENDENCY_UNAVAILABLE", retryable=True)
    doors, service = caller.client(given("t1"), away, STATUS, token=grant, dpop=key)
    caller.do(doors.status(VIN))
    proofs = [
        jwt.decode(proof, options={"verify_signature": False}) for proof in service.sent("dpop") if proof
    ]
    header = jwt.get_unverified_header(str(service.sent("dpop")[0]))
    verified = jwt.decode(
        str(service.sent("dpop")[1]), jwt.PyJWK(header["jwk"], algorithm="ES256").key, algorithms=["ES256"]
    )
    assert (header["typ"], header["alg"]) == ("dpop+jwt", "ES256")
    assert [proof["htu"] for proof in proofs] == [TOKEN_URL, *[str(service.requests[1].url)] * 2]
    assert [proof["htm"] for proof in proofs] == ["POST", "GET", "GET"]
    assert len({proof["jti"] for proof in proofs}) == 3
    assert "ath" not in proofs[0]
    digest = hashlib.sha256(b"t1").digest()
    assert verified["ath"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert service.sent("authorization")[1:] == ["DPoP t1"] * 2
    canonical = json.dumps(header["jwk"], sort_keys=True, separators=(",", ":")).encode()
    assert key.thumbprint == base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).decode().rstrip("=")

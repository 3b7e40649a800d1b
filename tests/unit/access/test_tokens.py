"""Access tokens as RFC 9068 has them, and every way in which one can be wrong."""

from __future__ import annotations

import base64
import hmac
import json
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.access.domain.accounts import Source
from services.platform.errors import Refusal
from tests.unit.access.conftest import acting

if TYPE_CHECKING:
    from services.access.adapters.tokens import TokenVerifier


def code_of(tokens: TokenVerifier, token: str) -> str:
    with pytest.raises(Refusal) as caught:
        tokens.verify(token)
    return caught.value.reason.code


def test_a_token_names_its_caller(tokens: TokenVerifier, token_issuer: Any) -> None:
    token = token_issuer.token(**acting("agent-7"), amr=["pwd", "otp"])
    caller = tokens.verify(token)
    assert (caller.subject, caller.actor, caller.source) == ("user-123", "agent-7", Source.CALL_CENTER)
    assert caller.factors == {"pwd", "otp"}
    assert caller.expires_at == token_issuer.clock() + 330


def test_es256_is_taken_and_the_long_form_of_the_type(tokens: TokenVerifier, token_issuer: Any) -> None:
    headers = {"kid": "ec", "typ": "application/AT+JWT"}
    token = jwt.encode(token_issuer.claims(), token_issuer.p256, algorithm="ES256", headers=headers)
    assert tokens.verify(token).actor == "user-123"


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://elsewhere.test"},
        {"aud": "another-service"},
        {"aud": None},
        {"exp": None},
        {"exp": "soon"},
        {"exp": 10**400},
        {"iat": None},
        {"iat": 1_800_000_100},
        {"nbf": 1_800_000_100},
        {"nbf": "x"},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 129},
        {"client_id": None},
        {"client_id": "toaster"},
        {"client_id": ["web"]},
        {"act": "agent-7"},
        {"act": {"sub": 7}},
        {"amr": "pwd"},
        {"vin": "short"},
        {"vin": 7},
        {"kid": "unknown"},
        {"kid": "ec"},
        {"typ": "JWT"},
    ],
)
def test_a_wrong_claim_or_header_is_refused(
    tokens: TokenVerifier, token_issuer: Any, changed: dict[str, Any]
) -> None:
    assert code_of(tokens, token_issuer.token(**changed)) == "TOKEN_INVALID"


def test_an_expired_token_is_told_apart(tokens: TokenVerifier, token_issuer: Any) -> None:
    token = token_issuer.token(exp=int(token_issuer.clock()) - 29)
    assert tokens.verify(token).subject == "user-123"
    token_issuer.clock.at += 1
    assert code_of(tokens, token) == "TOKEN_EXPIRED"


def test_forgeries_are_refused(tokens: TokenVerifier, token_issuer: Any) -> None:
    claims = token_issuer.claims()
    headers = {"kid": "ed", "typ": "at+jwt"}
    public = token_issuer.jwks.read_text()
    forged = [
        jwt.encode(claims, Ed25519PrivateKey.generate(), algorithm="EdDSA", headers=headers),
        jwt.encode(claims, "", algorithm="none", headers=headers),
        _signed_with_a_secret(claims, {**headers, "alg": "HS256"}, secret=public),
        token_issuer.token()[:-4] + "AAAA",
        "a.b.c",
        "....",
        "x",
    ]
    assert {code_of(tokens, token) for token in forged} == {"TOKEN_INVALID"}


def _signed_with_a_secret(claims: dict[str, Any], headers: dict[str, str], secret: str) -> str:
    """What PyJWT refuses to make: HMAC under a public key that everybody has."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (headers, claims)]
    digest = hmac.digest(secret.encode(), b".".join(parts), "sha256")
    return b".".join([*parts, base64.urlsafe_b64encode(digest).rstrip(b"=")]).decode()


async def test_a_rotated_key_is_found_without_a_restart_and_not_at_every_guess(
    tokens: TokenVerifier, token_issuer: Any
) -> None:
    token_issuer.ed25519 = Ed25519PrivateKey.generate()
    token_issuer.publish(ed25519_id="next")
    token = token_issuer.token(kid="next")
    with pytest.raises(Refusal, match="TOKEN_INVALID"):
        await tokens.prove(token)
    token_issuer.clock.at += 10
    received: list[frozenset[str]] = []
    tokens.keys.ring._changed = received.append
    assert (await tokens.prove(token)).subject == "user-123"
    # Of keys that are new, too: what is not noted as trusted would never be reported when it is withdrawn.
    assert len(received) == 1


async def test_a_broken_key_file_leaves_the_known_keys(tokens: TokenVerifier, token_issuer: Any) -> None:
    token_issuer.jwks.write_text("{")
    token_issuer.clock.at += 10
    with pytest.raises(Refusal, match="TOKEN_INVALID"):
        await tokens.prove(token_issuer.token(kid="next"))
    assert tokens.verify(token_issuer.token()).subject == "user-123"


def hand_made(token_issuer: Any, header: str | bytes, claims: str | bytes, separator: str = ".") -> str:
    """A token of these very bytes, signed well."""
    parts = [
        base64.urlsafe_b64encode(each if isinstance(each, bytes) else each.encode()).decode().rstrip("=")
        for each in (header, claims)
    ]
    text = separator.join(parts)
    signature = token_issuer.ed25519.sign(text.encode())
    return text + "." + base64.urlsafe_b64encode(signature).decode().rstrip("=")


HEADER = '{"alg":"EdDSA","typ":"at+jwt","kid":"ed"}'


def test_a_token_made_by_hand_is_taken_when_it_is_sound(tokens: TokenVerifier, token_issuer: Any) -> None:
    assert (
        tokens.verify(hand_made(token_issuer, HEADER, json.dumps(token_issuer.claims()))).actor == "user-123"
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("utf-32-be"),
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.encode().replace(b"user-123", b"user-\xff"),
        lambda text: text.replace("user-123", "user-\\ud800"),
        lambda text: text.replace('"sub"', '"sub\\udfff"'),
        lambda text: text.replace('"sub":', '"sub": "user-456", "sub":'),
        lambda text: text.replace('"sub":', '"act": {"sub": "a", "sub": "b"}, "sub":'),
        lambda text: text.replace('"jti": "1"', '"jti": NaN'),
        lambda text: text.replace('"jti": "1"', '"jti": -Infinity'),
        lambda text: text.replace('"jti": "1"', '"jti": 1e999'),
        lambda text: text.replace('"jti": "1"', '"jti": ' + "9" * 5_000),
        lambda text: text.replace('"jti": "1"', '"jti": 9223372036854775808'),
        lambda text: text.replace('"jti": "1"', '"jti": ' + "[" * 9 + "]" * 9),
        lambda text: text.replace('"jti": "1"', '"jti": ' + "[" * 2_900 + "]" * 2_900),
        lambda text: text + " x",
        lambda text: f"[{text}]",
        lambda _text: "",
        lambda _text: "null",
        lambda text: text.replace('"', "'"),
        lambda text: "/* */" + text,
    ],
)
def test_what_can_be_read_in_two_ways_is_not_read(
    tokens: TokenVerifier, token_issuer: Any, change: Any
) -> None:
    claims = json.dumps(token_issuer.claims())
    changed = change(claims)
    assert changed != claims
    assert code_of(tokens, hand_made(token_issuer, HEADER, changed)) == "TOKEN_INVALID"


@pytest.mark.parametrize(
    "header",
    [
        HEADER.encode("utf-16"),
        b"\xef\xbb\xbf" + HEADER.encode(),
        HEADER.replace('"kid"', '"kid":"other","kid"'),
        HEADER.replace("{", '{"crit":["exp"],"exp":1,'),
        HEADER.replace("{", '{"b64":false,'),
        HEADER.replace('"ed"', "NaN"),
        HEADER.replace('"ed"', '"ed\\ud800"'),
        HEADER.replace('"EdDSA"', '"none"'),
        "[]",
    ],
)
def test_headers_are_read_as_strictly(tokens: TokenVerifier, token_issuer: Any, header: str | bytes) -> None:
    token = hand_made(token_issuer, header, json.dumps(token_issuer.claims()))
    assert code_of(tokens, token) == "TOKEN_INVALID"


@pytest.mark.parametrize(
    "spoil", [lambda t: t + "=", lambda t: t + ".x", lambda t: t.replace(".", "..", 1), str.strip]
)
def test_a_token_is_three_parts_each_written_in_the_one_way(
    tokens: TokenVerifier, token_issuer: Any, spoil: Any
) -> None:
    good = token_issuer.token()
    token = spoil(good)
    if token == good:  # the last letter of a signature holds four bits that mean nothing
        last = next(letter for letter in "AQgw" if letter == good[-1])
        token = good[:-1] + {"A": "B", "Q": "R", "g": "h", "w": "x"}[last]
    assert code_of(tokens, token) == "TOKEN_INVALID"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"cnf": {"jkt": "x"}}, "cnf"),
        ({"cnf": {"x5t#S256": "x" * 43}}, "cnf"),
        ({"cnf": {"jkt": "x" * 43, "x5t#S256": "x" * 43}}, "cnf"),
        ({"cnf": {}}, "cnf"),
        ({"authorization_details": []}, "authorization_details"),
        ({"scp": ["door"]}, "scp"),
        ({"scope": ["door"]}, "scope"),
        ({"scope": "door  door.read"}, "scope"),
        ({"scope": " door"}, "scope"),
        ({"may_act": {"sub": "agent-7"}}, "may_act"),
        ({"may_act": {"sub": "agent-8"}, "act": {"sub": "agent-7"}}, "may_act"),
        ({"may_act": "agent-7", "act": {"sub": "agent-7"}}, "may_act"),
        ({"act": {"sub": "agent-7", "act": {"sub": "agent-8"}}}, "act within act"),
        ({"act": {"sub": "agent-7", "iss": "https://elsewhere.test"}}, "another issuer"),
        ({"act": {"sub": "agent-7", "exp": 1}}, "more of the actor"),
        ({"act": {}}, "actor"),
        ({"exp": 1_800_003_601}, "good for more than"),
        ({"iat": 1, "nbf": None}, "good for more than"),
    ],
)
def test_what_narrows_a_token_is_honoured_or_refused(
    tokens: TokenVerifier, token_issuer: Any, changed: dict[str, Any], why: str
) -> None:
    with pytest.raises(Refusal, match=why) as caught:
        tokens.verify(token_issuer.token(**changed))
    assert caught.value.reason.code == "TOKEN_INVALID"


def test_what_comes_of_an_exchange_is_taken(tokens: TokenVerifier, token_issuer: Any) -> None:
    agent = {"sub": "agent-7", "iss": "https://issuer.test"}
    assert (
        tokens.verify(
            token_issuer.token(**acting("agent-7") | {"act": agent}, may_act={"sub": "agent-7"})
        ).actor
        == "agent-7"
    )
    assert tokens.verify(token_issuer.token(exp=int(token_issuer.clock()) + 3_600)).actor == "user-123"


async def test_a_key_is_the_key_and_not_its_name(tokens: TokenVerifier, token_issuer: Any) -> None:
    before = tokens.keys.ring.credentials
    token = token_issuer.token()
    token_issuer.publish(ed25519_id="renamed")
    await tokens.keys.refresh()
    assert tokens.keys.ring.credentials == before
    assert code_of(tokens, token) == "TOKEN_INVALID"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"keys": 5}', None])
async def test_a_file_that_can_not_be_read_withdraws_nothing(
    tokens: TokenVerifier, token_issuer: Any, content: str | None
) -> None:
    if content is None:
        token_issuer.jwks.unlink()
    else:
        token_issuer.jwks.write_text(content)
    await tokens.keys.refresh()
    assert tokens.verify(token_issuer.token()).actor == "user-123"


async def test_a_key_that_is_of_no_use_spoils_no_other(tokens: TokenVerifier, token_issuer: Any) -> None:
    keys = json.loads(token_issuer.jwks.read_text())["keys"]
    odd = [{"kty": "new", "kid": "n"}, 5, {**keys[0], "kid": "e", "use": "enc"}]
    token_issuer.jwks.write_text(json.dumps({"keys": [*odd, *keys]}))
    await tokens.keys.refresh()
    assert tokens.verify(token_issuer.token()).actor == "user-123"
    assert code_of(tokens, token_issuer.token(kid="e")) == "TOKEN_INVALID"

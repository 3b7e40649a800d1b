"""The issuer's keys, found by its metadata: what is taken of an answer, and what holds while there is none."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from services.access.adapters import issuer_discovery
from services.access.adapters.issuer_discovery import DiscoveredKeys, checked_url
from services.access.adapters.issuer_keys import (
    MAX_KEYS,
    SUPPORTED_ALGORITHMS,
    IssuerUnavailableError,
    KeyRing,
    keys_in,
)
from services.access.adapters.tokens import TokenVerifier
from services.access.domain.accounts import SANDBOX_CLIENTS
from services.platform.errors import Refusal
from services.platform.health import Health
from tests.support.loopback_issuer import KEYS, METADATA, LoopbackIssuer, new_key, public_jwk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

AUDIENCE = "remote-door-control"


class DiscoveryHarness:
    """An issuer and what fetches its keys, on a monotonic clock that is moved by hand."""

    def __init__(self, issuer: LoopbackIssuer) -> None:
        self.issuer = issuer
        self.at = 1_000.0
        self.gone: list[frozenset[str]] = []
        self.health = Health(lambda: self.at)
        self.ring = KeyRing(self.gone.append)
        self.keys = DiscoveredKeys(
            url=issuer.metadata_url,
            issuer=issuer.url,
            ring=self.ring,
            condition=self.health.condition("token issuer"),
            monotonic=lambda: self.at,
            algorithms=SUPPORTED_ALGORITHMS,
            fetch_seconds=60,
            stale_seconds=3_600,
        )
        self.tokens = TokenVerifier(
            issuer=issuer.url,
            audience=AUDIENCE,
            keys=self.keys,
            clients=SANDBOX_CLIENTS,
            now=time.time,
        )

    @property
    def fetches(self) -> int:
        return self.issuer.paths.count(METADATA)

    def is_healthy(self) -> bool:
        self.health.look()
        return not self.health.failing


@pytest.fixture
async def harness() -> AsyncIterator[DiscoveryHarness]:
    async with LoopbackIssuer() as issuer:
        made = DiscoveryHarness(issuer)
        yield made
        await made.keys.close()


@pytest.mark.parametrize("algorithm", SUPPORTED_ALGORITHMS)
async def test_a_token_of_a_discovered_key_is_taken(harness: DiscoveryHarness, algorithm: str) -> None:
    harness.issuer.rotate("k", algorithm)
    await harness.keys.refresh()
    assert (await harness.tokens.prove(harness.issuer.token(audience=AUDIENCE))).subject == "user-123"
    assert harness.is_healthy()
    assert harness.issuer.paths == [METADATA, KEYS]


async def test_a_key_in_the_cache_waits_for_nobody(harness: DiscoveryHarness) -> None:
    await harness.keys.refresh()
    harness.issuer.hold = asyncio.Event()
    harness.at += 61
    refreshing = asyncio.create_task(harness.keys.refresh())
    await harness.issuer.asked(2)
    assert harness.tokens.verify(harness.issuer.token(audience=AUDIENCE)).subject == "user-123"
    assert not refreshing.done()
    harness.issuer.hold.set()
    await refreshing


async def test_a_rotated_key_is_found_by_the_first_token_of_it(harness: DiscoveryHarness) -> None:
    await harness.keys.refresh()
    old = harness.issuer.token(audience=AUDIENCE)
    harness.issuer.rotate("two")
    harness.at += 11
    assert (await harness.tokens.prove(harness.issuer.token(audience=AUDIENCE))).subject == "user-123"
    assert len(harness.gone) == 1
    with pytest.raises(Refusal, match="TOKEN_INVALID"):
        await harness.tokens.prove(old)


async def test_unknown_keys_do_not_make_us_hammer_the_issuer(harness: DiscoveryHarness) -> None:
    await harness.keys.refresh()
    stranger = LoopbackIssuer(port=harness.issuer.port, keys={"odd": ("EdDSA", new_key("EdDSA"))})
    forged = stranger.token(audience=AUDIENCE)

    async def refused() -> None:
        with pytest.raises(Refusal, match="TOKEN_INVALID"):
            await harness.tokens.prove(forged)

    harness.at += 11
    await asyncio.gather(*(refused() for _ in range(200)))
    for _ in range(50):
        await refused()
        harness.at += 0.1
    assert harness.fetches == 2
    harness.issuer.answers[METADATA] = (500, b"")
    harness.at += 100
    for _ in range(100):  # a struggling one is asked less and less often
        await refused()
        harness.at += 10
    assert harness.fetches < 40


async def test_keys_go_on_for_a_bounded_time_while_the_issuer_is_away(harness: DiscoveryHarness) -> None:
    await harness.keys.refresh()
    token = harness.issuer.token(audience=AUDIENCE)
    await harness.issuer.stop()
    harness.at += 3_600
    await harness.keys.refresh()
    assert not harness.is_healthy()
    assert "issuer's keys could not be fetched" in harness.health.failing["token issuer"]
    assert harness.tokens.verify(token).subject == "user-123"
    credential = next(iter(harness.ring.credentials))
    harness.at += 1
    await harness.keys.refresh()
    with pytest.raises(IssuerUnavailableError):
        harness.tokens.verify(token)
    with pytest.raises(IssuerUnavailableError):
        harness.ring.trusts(credential)
    assert harness.ring.trusts("key-1")
    await harness.issuer.start()
    harness.at += 61
    assert (await harness.tokens.prove(token)).subject == "user-123"
    assert harness.is_healthy()


async def test_after_a_failure_the_next_try_waits_longer(harness: DiscoveryHarness) -> None:
    harness.issuer.answers[METADATA] = (503, b"")
    for pause in (1, 2, 4, 8, 16, 32, 60, 60):
        before = harness.fetches
        await harness.keys.refresh()
        assert harness.fetches == before + 1
        harness.at += pause - 0.5
        await harness.keys.refresh()
        assert harness.fetches == before + 1
        harness.at += 0.5
    harness.issuer.answers.clear()
    await harness.keys.refresh()
    assert harness.is_healthy()


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        (METADATA, (302, b"")),
        (METADATA, (404, b"{}")),
        (METADATA, (200, b"")),
        (METADATA, (200, b"[]")),
        (METADATA, (200, b"{")),
        (METADATA, (200, b'{"issuer": "https://another.test", "jwks_uri": "https://another.test/keys"}')),
        (METADATA, (200, b'{"jwks_uri": "http://127.0.0.1:1/keys"}')),
        (METADATA, (200, b"{" + b" " * 70_000 + b"}")),
        (KEYS, (302, b"")),
        (KEYS, (200, b'{"keys": 5}')),
        (KEYS, (200, b'{"keys": [], "keys": []}')),
        (KEYS, (200, b'{"keys": [' + b" " * 70_000 + b"]}")),
        (KEYS, (200, json.dumps({"keys": [{"kty": "OKP"}] * (MAX_KEYS + 1)}).encode())),
    ],
)
async def test_an_answer_that_is_not_taken_changes_nothing(
    harness: DiscoveryHarness, path: str, answer: tuple[int, bytes]
) -> None:
    await harness.keys.refresh()
    before = harness.ring.credentials
    harness.issuer.answers[path] = answer
    elsewhere = "/elsewhere"
    harness.issuer.answers[elsewhere] = (200, json.dumps(harness.issuer.jwks).encode())
    harness.issuer.headers["location"] = harness.issuer.url + elsewhere
    harness.at += 61
    await harness.keys.refresh()
    assert harness.ring.credentials == before
    assert not harness.is_healthy()
    assert harness.gone == []
    assert elsewhere not in harness.issuer.paths, "a redirect was followed"


@pytest.mark.parametrize("member", ["jku", "x5u"])
@pytest.mark.parametrize("kid", ["one", "another"])
async def test_no_address_in_a_token_is_asked(harness: DiscoveryHarness, member: str, kid: str) -> None:
    """Neither with a key that is known nor with one that has the issuer asked for its keys once more."""
    await harness.keys.refresh()
    harness.at += 11
    claims = jwt.decode(harness.issuer.token(audience=AUDIENCE), options={"verify_signature": False})
    head = {"typ": "at+jwt", "kid": kid, member: f"{harness.issuer.url}/thief"}
    token = jwt.encode(claims, new_key("EdDSA"), algorithm="EdDSA", headers=head)
    with pytest.raises(Refusal, match="TOKEN_INVALID"):
        await harness.tokens.prove(token)
    assert set(harness.issuer.paths) == {METADATA, KEYS}


@pytest.mark.parametrize("where", ["http://192.0.2.1/keys", "file:///etc/passwd", "ftp://127.0.0.1/k", 7, ""])
async def test_keys_are_fetched_over_tls_or_from_the_loopback(
    harness: DiscoveryHarness, where: object
) -> None:
    metadata = {"issuer": harness.issuer.url, "jwks_uri": where}
    harness.issuer.answers[METADATA] = (200, json.dumps(metadata).encode())
    await harness.keys.refresh()
    assert not harness.ring.is_known
    assert harness.issuer.paths == [METADATA]


async def test_an_answer_that_never_comes_is_given_up(
    harness: DiscoveryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_discovery, "FETCH_SECONDS", 0.2)
    harness.issuer.hold = asyncio.Event()
    await harness.keys.refresh()
    assert not harness.is_healthy()


async def test_a_request_waits_only_so_long_for_a_new_key(
    harness: DiscoveryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_discovery, "LEARN_SECONDS", 0.2)
    await harness.keys.refresh()
    harness.at += 11
    harness.issuer.hold = asyncio.Event()
    harness.issuer.rotate("two")
    token = harness.issuer.token(audience=AUDIENCE)
    with pytest.raises(Refusal, match="TOKEN_INVALID"):
        await harness.tokens.prove(token)
    harness.issuer.hold.set()
    assert (await harness.tokens.prove(token)).subject == "user-123"
    assert harness.fetches == 2


async def test_an_empty_set_withdraws_all(harness: DiscoveryHarness) -> None:
    await harness.keys.refresh()
    known = harness.ring.credentials
    harness.issuer.keys = {}
    harness.at += 61
    await harness.keys.refresh()
    assert harness.gone == [known]
    assert harness.ring.is_known
    assert not harness.ring.trusts(next(iter(known)))


def _short_rsa() -> rsa.RSAPublicKey:
    return rsa.generate_private_key(65_537, 1_024).public_key()  # noqa: S505  # what must be refused


def test_which_keys_of_a_set_are_taken() -> None:
    ed, p256 = new_key("EdDSA"), new_key("ES256")
    good = public_jwk(ed, "good", "EdDSA")
    private: Any = OKPAlgorithm.to_jwk(ed, as_dict=True)
    private_p256: Any = ECAlgorithm.to_jwk(p256, as_dict=True)
    short: Any = RSAAlgorithm.to_jwk(_short_rsa(), as_dict=True)
    short.pop("key_ops", None)
    listed = [
        good,
        {**private, "kid": "private", "alg": "EdDSA"},
        {**private_p256, "kid": "private-ec", "alg": "ES256"},
        {**public_jwk(p256, "no point", "ES256"), "y": public_jwk(p256, "x", "ES256")["x"]},
        {**good, "kid": "no point either", "x": good["x"][:40]},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret", "alg": "HS256"},
        {**short, "kid": "short", "alg": "RS256"},
        {**good, "kid": "enc", "use": "enc"},
        {**good, "kid": "signs", "key_ops": ["sign"]},
        {**good, "kid": ""},
        {**good, "kid": "x" * 257},
        {name: value for name, value in good.items() if name != "kid"},
        {**public_jwk(p256, "hs", "ES256"), "alg": "HS256"},
        {**public_jwk(p256, "twice", "ES256")},
        {**good, "kid": "twice"},
        "key",
        None,
    ]
    assert list(keys_in({"keys": listed}, SUPPORTED_ALGORITHMS)) == ["good"]
    assert keys_in({"keys": [good]}, ("ES256",)) == {}


def test_a_key_is_named_by_its_thumbprint_whatever_its_kind() -> None:
    keys = {f"{alg}{n}": (alg, new_key(alg)) for alg in SUPPORTED_ALGORITHMS for n in range(2)}
    found = keys_in(LoopbackIssuer(keys=keys).jwks, SUPPORTED_ALGORITHMS)
    assert len({key.credential for key in found.values()}) == len(keys)


@pytest.mark.parametrize(
    "text", ["https://", "http://127.0.0.1.evil.test/x", "https://issuer.test/#x", "https://issuer.test/\n"]
)
def test_urls_that_are_not_asked(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        checked_url(text)

"""Capabilities are checked once, remembered until they expire, and forgotten when a right ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.platform import capability as module
from services.platform.capability import AUDIENCE, ISSUER, CapabilityVerifier, audience_of
from services.platform.errors import Refusal

if TYPE_CHECKING:
    from pathlib import Path

VIN = "KMHSH81C7LU123456"
START = 1_900_000_000.0


class CapabilityHarness:
    """A signer, its public keys in a file, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.jwks = folder / "jwks.json"
        self.publish(k1=self.key)
        self.now = START
        self.verifier = CapabilityVerifier(self.jwks, now=lambda: self.now)

    def publish(self, **keys: Ed25519PrivateKey) -> None:
        entries = [
            {
                **jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True),
                "kid": name,
                "alg": "EdDSA",
                "use": "sig",
            }
            for name, key in keys.items()
        ]
        self.jwks.write_text(json.dumps({"keys": entries}))

    def token(self, subject: str = "user-123", seconds: int = 60, **claims: Any) -> str:
        return jwt.encode(
            {
                "iss": ISSUER,
                "aud": AUDIENCE,
                "sub": subject,
                "act": subject,
                "vin": VIN,
                "actions": ["door.unlock", "door.lock"],
                "amr": ["pwd", "otp"],
                "src": "WEB",
                "iat": int(self.now),
                "exp": int(self.now) + seconds,
                **claims,
            },
            self.key,
            algorithm="EdDSA",
            headers={"kid": "k1"},
        )

    def refusal(self, token: str) -> str:
        with pytest.raises(Refusal) as refusal:
            self.verifier.verify(token)
        return refusal.value.reason.code


@pytest.fixture
def harness(tmp_path: Path) -> CapabilityHarness:
    return CapabilityHarness(tmp_path)


def test_what_a_token_says_is_what_is_known(harness: CapabilityHarness) -> None:
    known = harness.verifier.verify(harness.token())
    assert (known.subject, known.actor, known.resource, known.source) == ("user-123", "user-123", VIN, "WEB")
    assert known.actions == {"door.unlock", "door.lock"}
    assert known.factors == {"pwd", "otp"}
    assert known.expires_at == START + 60


def test_a_signature_is_checked_once(harness: CapabilityHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    token = harness.token()
    first = harness.verifier.verify(token)
    monkeypatch.setattr(harness.verifier, "_decode", lambda _token: pytest.fail("checked again"))
    assert harness.verifier.verify(token) is first


def test_a_remembered_token_expires_on_time(harness: CapabilityHarness) -> None:
    token = harness.token(seconds=10)
    harness.verifier.verify(token)
    harness.now += 9.9
    harness.verifier.verify(token)
    harness.now += 0.1
    assert harness.refusal(token) == "TOKEN_EXPIRED"
    assert harness.refusal(token) == "TOKEN_EXPIRED"


def test_evicting_checks_again_and_touches_nobody_else(harness: CapabilityHarness) -> None:
    mine, theirs = harness.token(), harness.token("user-456")
    first, other = harness.verifier.verify(mine), harness.verifier.verify(theirs)
    harness.verifier.evict("user-123", VIN)
    assert harness.verifier.verify(mine) is not first
    assert harness.verifier.verify(theirs) is other


def test_memory_is_bounded(harness: CapabilityHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_CACHED", 3)
    for n in range(10):
        harness.verifier.verify(harness.token(f"user-{n}"))
    assert len(harness.verifier._known) <= 3


@pytest.mark.parametrize(
    "claims",
    [
        {"iat": START + 30, "exp": START + 90},
        {"exp": START + 61},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": "later"},
        {"iat": None},
        {"actions": 5},
        {"vin": None, "aud": "else"},
    ],
)
def test_odd_claims_are_refused(harness: CapabilityHarness, claims: dict[str, Any]) -> None:
    assert harness.refusal(harness.token(**claims)) == "TOKEN_INVALID"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "somebody"},
        {"aud": "else"},
        {"aud": []},
        {"sub": None},
        {"sub": 7},
        {"actions": None},
        {"iat": None},
        {"exp": float("nan")},
        {"nbf": START + 3_600},
    ],
)
def test_what_is_wrong_is_seen_after_a_good_one_of_the_same_key(
    harness: CapabilityHarness, claims: dict[str, Any]
) -> None:
    harness.verifier.verify(harness.token("user-456"))
    assert harness.refusal(harness.token(**claims)) == "TOKEN_INVALID"


def test_a_good_one_makes_no_other_signature_good(harness: CapabilityHarness) -> None:
    good = harness.token()
    header, claims, signature = good.split(".")
    harness.verifier.verify(good)
    _, others, foreign = harness.token("user-456").split(".")
    for forged in (
        f"{header}.{others}.{signature}",
        f"{header}.{claims}.{foreign}",
        f"{header}.{claims}.",
        f"{header}.{claims}",
        f"{header}.{claims}.!!!!",
        f"{header}.{claims}é.{signature}",
    ):
        assert harness.refusal(forged) == "TOKEN_INVALID", forged


def test_nothing_is_good_longer_than_its_key(harness: CapabilityHarness) -> None:
    harness.verifier.verify(harness.token())
    other = harness.token("user-456")
    harness.publish(k2=Ed25519PrivateKey.generate())
    harness.now += 30
    assert harness.refusal(other) == "TOKEN_INVALID"


def test_one_for_another_service_is_refused(harness: CapabilityHarness) -> None:
    mine = CapabilityVerifier(harness.jwks, lambda: harness.now, service="command")
    assert mine.verify(harness.token(aud=[AUDIENCE, audience_of("command")])).subject == "user-123"
    for audience in (AUDIENCE, [AUDIENCE, audience_of("status")], audience_of("commands"), []):
        with pytest.raises(Refusal) as refusal:
            mine.verify(harness.token(aud=audience))
        assert refusal.value.reason.code == "TOKEN_INVALID"


def test_what_an_older_access_service_does_not_say_is_the_careful_answer(harness: CapabilityHarness) -> None:
    known = harness.verifier.verify(harness.token())
    assert (known.ends_at, known.credential, known.mode) == (float("inf"), "", "")
    assert known.read_at == known.issued_at


def test_keys_are_rotated_without_a_restart(harness: CapabilityHarness) -> None:
    old, new = harness.key, Ed25519PrivateKey.generate()
    before = harness.token()
    harness.verifier.verify(before)
    harness.publish(k1=old, k2=new)
    harness.now += 30
    harness.verifier.verify(before)
    harness.key = new
    after = jwt.encode(
        jwt.decode(harness.token(), options={"verify_signature": False}),
        new,
        algorithm="EdDSA",
        headers={"kid": "k2"},
    )
    harness.verifier.verify(after)
    harness.publish(k2=new)
    harness.verifier.verify(before)
    harness.now += 30
    assert harness.refusal(before) == "TOKEN_INVALID", "it was remembered past its key"
    harness.verifier.verify(after)


@pytest.mark.parametrize("content", ["", "{}", None])
def test_a_file_that_can_not_be_read_withdraws_nothing(
    harness: CapabilityHarness, content: str | None
) -> None:
    harness.jwks.unlink() if content is None else harness.jwks.write_text(content)
    harness.now += 30
    harness.verifier.verify(harness.token())
    harness.publish(k2=Ed25519PrivateKey.generate())
    harness.now += 30
    assert harness.refusal(harness.token()) == "TOKEN_INVALID"

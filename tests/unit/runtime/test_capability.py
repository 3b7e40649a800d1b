"""Capabilities are checked once, remembered until they expire, and forgotten when a right ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.runtime import capability as module
from services.runtime.capability import AUDIENCE, ISSUER, CapabilityVerifier, audience_of
from services.runtime.errors import Refusal

if TYPE_CHECKING:
    from pathlib import Path

VIN = "KMHSH81C7LU123456"
START = 1_900_000_000.0


class Stand:
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
def stand(tmp_path: Path) -> Stand:
    return Stand(tmp_path)


def test_what_a_token_says_is_what_is_known(stand: Stand) -> None:
    known = stand.verifier.verify(stand.token())
    assert (known.subject, known.actor, known.vin, known.source) == ("user-123", "user-123", VIN, "WEB")
    assert known.actions == {"door.unlock", "door.lock"}
    assert known.factors == {"pwd", "otp"}
    assert known.expires_at == START + 60


def test_a_signature_is_checked_once(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    token = stand.token()
    first = stand.verifier.verify(token)
    monkeypatch.setattr(stand.verifier, "_decode", lambda _token: pytest.fail("checked again"))
    assert stand.verifier.verify(token) is first


def test_a_remembered_token_expires_on_time(stand: Stand) -> None:
    token = stand.token(seconds=10)
    stand.verifier.verify(token)
    stand.now += 9.9
    stand.verifier.verify(token)
    stand.now += 0.1
    assert stand.refusal(token) == "TOKEN_EXPIRED"
    assert stand.refusal(token) == "TOKEN_EXPIRED"


def test_evicting_checks_again_and_touches_nobody_else(stand: Stand) -> None:
    mine, theirs = stand.token(), stand.token("user-456")
    first, other = stand.verifier.verify(mine), stand.verifier.verify(theirs)
    stand.verifier.evict("user-123", VIN)
    assert stand.verifier.verify(mine) is not first
    assert stand.verifier.verify(theirs) is other


def test_memory_is_bounded(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_CACHED", 3)
    for n in range(10):
        stand.verifier.verify(stand.token(f"user-{n}"))
    assert len(stand.verifier._known) <= 3


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
def test_odd_claims_are_refused(stand: Stand, claims: dict[str, Any]) -> None:
    assert stand.refusal(stand.token(**claims)) == "TOKEN_INVALID"


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
def test_what_is_wrong_is_seen_after_a_good_one_of_the_same_key(stand: Stand, claims: dict[str, Any]) -> None:
    stand.verifier.verify(stand.token("user-456"))
    assert stand.refusal(stand.token(**claims)) == "TOKEN_INVALID"


def test_a_good_one_makes_no_other_signature_good(stand: Stand) -> None:
    good = stand.token()
    header, claims, signature = good.split(".")
    stand.verifier.verify(good)
    _, others, foreign = stand.token("user-456").split(".")
    for forged in (
        f"{header}.{others}.{signature}",
        f"{header}.{claims}.{foreign}",
        f"{header}.{claims}.",
        f"{header}.{claims}",
        f"{header}.{claims}.!!!!",
        f"{header}.{claims}é.{signature}",
    ):
        assert stand.refusal(forged) == "TOKEN_INVALID", forged


def test_nothing_is_good_longer_than_its_key(stand: Stand) -> None:
    stand.verifier.verify(stand.token())
    other = stand.token("user-456")
    stand.publish(k2=Ed25519PrivateKey.generate())
    stand.now += 30
    assert stand.refusal(other) == "TOKEN_INVALID"


def test_one_for_another_service_is_refused(stand: Stand) -> None:
    mine = CapabilityVerifier(stand.jwks, lambda: stand.now, service="command")
    assert mine.verify(stand.token(aud=[AUDIENCE, audience_of("command")])).subject == "user-123"
    for audience in (AUDIENCE, [AUDIENCE, audience_of("status")], audience_of("commands"), []):
        with pytest.raises(Refusal) as refusal:
            mine.verify(stand.token(aud=audience))
        assert refusal.value.reason.code == "TOKEN_INVALID"


def test_what_an_older_access_service_does_not_say_is_the_careful_answer(stand: Stand) -> None:
    known = stand.verifier.verify(stand.token())
    assert (known.ends_at, known.credential, known.mode) == (float("inf"), "", "")
    assert known.read_at == known.issued_at


def test_keys_are_rotated_without_a_restart(stand: Stand) -> None:
    old, new = stand.key, Ed25519PrivateKey.generate()
    before = stand.token()
    stand.verifier.verify(before)
    stand.publish(k1=old, k2=new)
    stand.now += 30
    stand.verifier.verify(before)
    stand.key = new
    after = jwt.encode(
        jwt.decode(stand.token(), options={"verify_signature": False}),
        new,
        algorithm="EdDSA",
        headers={"kid": "k2"},
    )
    stand.verifier.verify(after)
    stand.publish(k2=new)
    stand.verifier.verify(before)
    stand.now += 30
    assert stand.refusal(before) == "TOKEN_INVALID", "it was remembered past its key"
    stand.verifier.verify(after)


@pytest.mark.parametrize("content", ["", "{}", None])
def test_a_file_that_can_not_be_read_withdraws_nothing(stand: Stand, content: str | None) -> None:
    stand.jwks.unlink() if content is None else stand.jwks.write_text(content)
    stand.now += 30
    stand.verifier.verify(stand.token())
    stand.publish(k2=Ed25519PrivateKey.generate())
    stand.now += 30
    assert stand.refusal(stand.token()) == "TOKEN_INVALID"

"""The sandbox as factory and key ceremony: what it makes is what cars and services accept."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from doorctl.ceremony import CeremonyError
from key_files.pem import read_open_keys, read_private, read_public, read_signer
from mesh.ceremony import MANIFEST_DAYS, RENEW_BEFORE_DAYS
from mesh.sandbox import Sandbox
from mesh.sandbox_fleet import OWNERS
from protocol.manifest import Trust
from services.enrolment.adapters import seed

NOW = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    one = Sandbox(tmp_path / "doors")
    one.prepare(NOW)
    return one


def trust_of(vehicle: dict[str, str], now: datetime) -> Trust:
    """What the car accepts as it leaves the factory."""
    root = read_public(Path(vehicle["rootKeyFile"]), Ed25519PublicKey)
    return Trust(root).adopt(Path(vehicle["manifestFile"]).read_bytes(), int(now.timestamp()))


def vehicles(sandbox: Sandbox) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(sandbox.vehicles.read_text())
    return found


def test_a_car_believes_the_keys_that_the_rooms_hold(sandbox: Sandbox) -> None:
    keys, seconds = sandbox.ceremony, int(NOW.timestamp())
    for vehicle in vehicles(sandbox):
        trust = trust_of(vehicle, NOW)
        signer = read_signer(keys.signing_key)
        assert trust.verify_key(signer.key_id, seconds).public_bytes_raw() == signer.public_bytes
        assert read_open_keys(keys.seal_keys).find(trust.seal_key(seconds).key_id)
        assert read_open_keys(keys.report_keys).find(trust.report_key(seconds).key_id)


def test_each_car_has_keys_of_its_own_and_is_enrolled_with_them(sandbox: Sandbox) -> None:
    enrolled = {one.vin: one.keys for one in seed.read(sandbox.enrolment_seed)}
    assert enrolled.keys() == OWNERS.keys()
    for vehicle in vehicles(sandbox):
        sign, exchange = read_private(Path(vehicle["keysFile"]))
        assert isinstance(sign, Ed25519PrivateKey)
        assert isinstance(exchange, X25519PrivateKey)
        keys = enrolled[vehicle["vin"]]
        assert keys is not None
        assert keys.verify_key == sign.public_key().public_bytes_raw()
        assert keys.seal_key == exchange.public_key().public_bytes_raw()
    assert len({keys.verify_key for keys in enrolled.values() if keys}) == len(OWNERS)


def test_a_manifest_that_is_soon_over_is_followed_by_one_that_cars_adopt(sandbox: Sandbox) -> None:
    first = trust_of(vehicles(sandbox)[0], NOW)
    in_time = NOW + timedelta(days=MANIFEST_DAYS - RENEW_BEFORE_DAYS - 1)
    sandbox.prepare(in_time)
    assert [path.name for path in sandbox.ceremony.manifests.iterdir()] == ["1.manifest"]
    soon_over = in_time + timedelta(days=1)
    sandbox.prepare(soon_over)
    assert trust_of(vehicles(sandbox)[0], soon_over).version == 2
    second = (sandbox.ceremony.manifests / "2.manifest").read_bytes()
    assert first.adopt(second, int(soon_over.timestamp())).sign_keys[0].public_bytes == (
        first.sign_keys[0].public_bytes
    )


def test_a_signing_key_made_anew_is_in_the_next_manifest(sandbox: Sandbox) -> None:
    sandbox.ceremony.signing_key.unlink()
    sandbox.prepare(NOW)
    signer = read_signer(sandbox.ceremony.signing_key)
    trust = trust_of(vehicles(sandbox)[0], NOW)
    assert trust.version == 2
    assert trust.verify_key(signer.key_id, int(NOW.timestamp()))


def test_another_root_does_not_follow_by_itself(sandbox: Sandbox) -> None:
    sandbox.ceremony.root_key.unlink()
    sandbox.ceremony.signing_key.unlink()
    with pytest.raises(CeremonyError, match="another root"):
        sandbox.prepare(NOW)


def test_public_halves_that_were_lost_come_back(sandbox: Sandbox) -> None:
    car = sandbox.ceremony.make_car("KMHSH81C7LU123456").public
    lost = {path: path.read_bytes() for path in (sandbox.ceremony.root_public, car)}
    for path in lost:
        path.unlink()
    sandbox.prepare(NOW)
    assert {path: path.read_bytes() for path in lost} == lost

"""The kit's keys from run to run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from conformance.keys import KitCloudKeys, read_unit_keys
from key_files.pem import KeyFileError
from protocol.faults import Fault, MessageRefusedError
from protocol.manifest import Trust
from vehicle.messages.credentials import make_car_keys

if TYPE_CHECKING:
    from pathlib import Path


def factory(keys: KitCloudKeys) -> Trust:
    return Trust(keys.all("root")[0].public_bytes).adopt(keys.endorsed(1), int(time.time()))


def test_the_first_manifest_has_a_key_of_each_standing(tmp_path: Path) -> None:
    keys = KitCloudKeys(tmp_path / "cloud")
    trust, now = factory(keys), int(time.time())
    good, over, revoked = keys.all("sign")
    trust.verify_key(good.key_id, now)
    for key, fault in ((over, Fault.EXPIRED_KEY), (revoked, Fault.REVOKED_KEY)):
        for wall_clock in (0, now):
            with pytest.raises(MessageRefusedError) as refused:
                trust.verify_key(key.key_id, wall_clock)
            assert refused.value.fault is fault
    assert keys.signer.key_id == good.key_id


def test_a_folder_keeps_what_was_rotated(tmp_path: Path) -> None:
    keys = KitCloudKeys(tmp_path)
    old_root, old_signer = keys.root, keys.current("sign")
    new_signer = keys.add("sign")
    keys.endorse_next()
    keys.revoke(old_signer)
    keys.add("root")
    keys.revoke(old_root)
    keys.endorse_next(before=old_root)
    again = KitCloudKeys(tmp_path)
    assert again.version == 3
    assert again.signer.key_id == new_signer.key_id
    assert again.root.key_id == keys.root.key_id != old_root.key_id
    trust = factory(again)
    for version in (2, 3):
        trust = trust.adopt(again.endorsed(version), int(time.time()))
    with pytest.raises(MessageRefusedError, match="REVOKED_KEY"):
        trust.verify_key(old_signer.key_id, int(time.time()))


def test_a_key_that_no_manifest_names_is_not_used(tmp_path: Path) -> None:
    keys = KitCloudKeys(tmp_path)
    keys.add("sign")
    again = KitCloudKeys(tmp_path)
    assert again.signer.key_id == keys.all("sign")[0].key_id
    assert not again.all("sign")[-1].is_usable


@pytest.mark.parametrize("lost", ["root-1.pem", "sign-1.pem", "seal-1.pem"])
def test_a_lost_key_is_said(tmp_path: Path, lost: str) -> None:
    KitCloudKeys(tmp_path)
    (tmp_path / lost).unlink()
    with pytest.raises(KeyFileError, match="lost"):
        KitCloudKeys(tmp_path)


def test_private_keys_are_for_their_owner(tmp_path: Path) -> None:
    KitCloudKeys(tmp_path)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("*.pem")} == {0o600}


def test_a_units_keys_are_read(tmp_path: Path) -> None:
    private, public = tmp_path / "car.pem", tmp_path / "car.public.pem"
    make_car_keys(private, public)
    assert len(read_unit_keys(public).verify_key_id) == 8
    for path in (private, tmp_path / "nothing"):
        with pytest.raises(KeyFileError, match=path.name):
            read_unit_keys(path)

"""The folder that stays from run to run."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from conformance import bench
from conformance.bench import BenchLock, BenchTakenError, IssuedHashes
from conformance.cloud import Cloud
from conformance.throwaway_broker import ThrowawayBroker
from protocol.subjects import EventKind
from tests.support.protocol_harness import VIN, succeeded, unlock

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.conformance.conftest import Kit


def hashed(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def test_one_run_at_a_time(tmp_path: Path) -> None:
    lock = BenchLock(tmp_path / "bench")
    with pytest.raises(BenchTakenError, match="bench"):
        BenchLock(tmp_path / "bench")
    lock.release()
    BenchLock(tmp_path / "bench").release()


def test_hashes_of_earlier_runs_are_known(tmp_path: Path) -> None:
    first = IssuedHashes(tmp_path / "issued")
    first.add(hashed("one"))
    assert not first.is_earlier(hashed("one"))
    second = IssuedHashes(tmp_path / "issued")
    assert second.is_earlier(hashed("one"))
    assert not second.is_earlier(hashed("two"))


def test_what_a_killed_run_left_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "MOST_HASHES", 2)
    hashes = [hashed(str(nth)) for nth in range(4)]
    (tmp_path / "issued").write_bytes(b"".join(hashes) + b"half a hash")
    again = IssuedHashes(tmp_path / "issued")
    assert [again.is_earlier(one) for one in hashes] == [False, False, True, True]
    again.add(hashed("next"))
    assert IssuedHashes(tmp_path / "issued").is_earlier(hashed("next"))


def test_a_late_answer_to_an_earlier_run_is_no_fault(kit: Kit, tmp_path: Path) -> None:
    earlier = Cloud(VIN, kit.keys, kit.car.keys, kit.clock.now_millis, IssuedHashes(tmp_path / "issued"))
    assert earlier.receive(EventKind.HELLO, kit.car.hello()) is not None
    signed = earlier.sign(unlock())
    kit.car.receive(signed.data)
    late = kit.car.side.seal_answer("msg-1", signed.request_hash, succeeded("cmd-1")).data
    now = Cloud(VIN, kit.keys, kit.car.keys, kit.clock.now_millis, IssuedHashes(tmp_path / "issued"))
    now.receive(EventKind.HELLO, kit.car.hello())
    assert now.receive(EventKind.RESULT, late) is None
    assert not now.rejected
    assert kit.cloud.receive(EventKind.RESULT, late) is None
    assert [said.split(":")[1].strip() for said in kit.cloud.rejected] == ["WRONG_REQUEST"]


def test_the_broker_keeps_its_address_and_nothing_else(tmp_path: Path) -> None:
    first = ThrowawayBroker(tmp_path, VIN)
    (tmp_path / "jetstream").mkdir()
    (tmp_path / "jetstream" / "left").touch()
    second = ThrowawayBroker(tmp_path, VIN)
    second.clear()
    assert (first.url, first.mqtt_url) == (second.url, second.mqtt_url)
    assert first.password_file.read_text() == second.password_file.read_text()
    assert not (tmp_path / "jetstream").exists()

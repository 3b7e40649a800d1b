"""What speakers say is accepted by the cloud's side of the protocol."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.vehicle.v1 import report_pb2

from bench.speakers import Speaker, SpeakerKeys, read_speakers, write_keys
from protocol.cloud_side import AnswerReader
from protocol.domains import Domain
from protocol.keys import OpenKeys, VehicleKeys
from protocol.manifest import endorse
from protocol.reports import ReportOpener, ReportSession
from tests.support.protocol_harness import CLOUD_REPORT, CLOUD_SEAL, ROOT, manifest

if TYPE_CHECKING:
    from pathlib import Path

    from ecarus.remotecontrol.vehicle.v1.session_pb2 import SessionInfo

VIN = "BENCHSLEEP0000001"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Enrolled:
    """protocol's Enrolment."""

    def __init__(self, keys: SpeakerKeys) -> None:
        verify_key, seal_key = keys.public
        self._keys = VehicleKeys.of(verify_key.public_bytes_raw(), seal_key.public_bytes_raw())

    def find(self, vin: str) -> VehicleKeys | None:
        return self._keys if vin == VIN else None


class Sessions:
    """protocol's ReportSessions, of one hello."""

    def __init__(self, info: SessionInfo) -> None:
        self._info = info

    def load(self, vin: str, epoch: bytes) -> ReportSession | None:
        known = (vin, epoch) == (VIN, self._info.epoch)
        return ReportSession(self._info.report_public_key, self._info.report_key_id) if known else None


@pytest.fixture
def keys() -> SpeakerKeys:
    return SpeakerKeys.generate()


@pytest.fixture
def speaker(keys: SpeakerKeys, tmp_path: Path) -> Speaker:
    write_keys(tmp_path / "speakers.json", {VIN: keys})
    (one,) = read_speakers(tmp_path / "speakers.json", ROOT.public_bytes, _manifest(tmp_path), [VIN])
    return one


def payload(published: bytes, subject: str) -> bytes:
    assert published.startswith(f"HPUB {subject} ".encode())
    return published.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")


def test_its_hello_and_then_its_reports_are_believed(speaker: Speaker, keys: SpeakerKeys) -> None:
    hello = payload(speaker.hello(NOW), f"vehicle.{VIN}.evt.hello")
    info = AnswerReader(OpenKeys(CLOUD_SEAL), Enrolled(keys)).hello(VIN, hello)
    assert info.hello.boot_id == speaker.boot_id

    opener = ReportOpener(OpenKeys(CLOUD_REPORT), Sessions(info), most_kept=1)
    for sequence, asleep in ((1, False), (2, True)):
        data = payload(
            speaker.report(NOW, speed_kmh=42.0, going_to_sleep=asleep), f"vehicle.{VIN}.evt.status"
        )
        opened = opener.open(VIN, Domain.STATUS, data)
        report = report_pb2.StatusReport.FromString(opened.payload)
        assert (report.boot_id, report.sequence) == (speaker.boot_id, sequence)
        assert (report.speed_kmh, len(report.doors), report.going_to_sleep) == (42.0, 6, asleep)


def test_nobody_else_may_read_the_keys(keys: SpeakerKeys, tmp_path: Path) -> None:
    path = tmp_path / "speakers.json"
    write_keys(path, {VIN: keys})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(KeyError):
        read_speakers(path, ROOT.public_bytes, _manifest(tmp_path), ["BENCHSLEEP0000002"])


def _manifest(folder: Path) -> Path:
    path = folder / "1.manifest"
    path.write_bytes(endorse(manifest(), ROOT, ROOT))
    return path

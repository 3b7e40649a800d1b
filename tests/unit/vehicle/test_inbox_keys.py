"""How a car's keys of the cloud change, and what becomes of its work meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.vehicle.v1 import report_pb2, session_pb2

from protocol.faults import Fault
from protocol.keys import SealKey
from protocol.subjects import CommandKind, EventKind
from tests.support import stand
from tests.support.signed_cloud import FAR_SECONDS, endorsed, manifest
from tests.unit.vehicle.fakes import FakeDelivery
from vehicle.channel import NoReportKey

if TYPE_CHECKING:
    from tests.unit.vehicle.bench import Bench
    from tests.unit.vehicle.conftest import FakeClock

NEW_SIGNER = stand.signer("the next cloud signer")
NEW_REPORT = stand.exchange_key("the next cloud report key")
BOTH = {key.public_bytes: (FAR_SECONDS, False) for key in (stand.CLOUD_SIGNER, NEW_SIGNER)}
NEW_ONLY = {
    stand.CLOUD_SIGNER.public_bytes: (FAR_SECONDS, True),
    NEW_SIGNER.public_bytes: (FAR_SECONDS, False),
}


def keys(bench: Bench, one: session_pb2.KeyManifest) -> FakeDelivery:
    return FakeDelivery(CommandKind.KEYS, bench.cloud.seal_manifest(one))


async def test_a_signer_is_rotated_while_the_car_runs_and_stays_so_after_a_reboot(bench: Bench) -> None:
    bench.take(bench.command("early", by=NEW_SIGNER))
    await bench.settled()
    assert bench.cloud.faults == [Fault.UNKNOWN_KEY]
    epoch = bench.cloud.epoch
    manifests = [keys(bench, manifest(2, sign_keys=BOTH)), keys(bench, manifest(3, sign_keys=NEW_ONLY))]
    for number, one in enumerate(manifests, start=2):
        bench.take(one)
        await bench.settled()
        assert one.acknowledged
        assert bench.hellos[-1].manifest_version == number
    assert bench.cloud.epoch == epoch
    bench.take(bench.command("old", by=stand.CLOUD_SIGNER), bench.command("new", by=NEW_SIGNER))
    await bench.settled()
    await bench.reboot()
    assert bench.hellos[-1].manifest_version == 3
    bench.take(bench.command("old again", by=stand.CLOUD_SIGNER), bench.command("new again", by=NEW_SIGNER))
    await bench.settled()
    assert {line["command_id"] for line in bench.car.log.read()} == {"new"}
    assert {one.payload.command_id for one in bench.results} == {"new", "new again"}
    assert bench.cloud.faults == [Fault.UNKNOWN_KEY]  # what a revoked key signed is not answered


async def test_keys_that_come_with_an_order_are_taken_first(bench: Bench) -> None:
    order, manifest_2 = bench.command(by=NEW_SIGNER), keys(bench, manifest(2, sign_keys=BOTH))
    bench.take(order, manifest_2)
    await bench.settled()
    assert bench.moved == 5


async def test_an_older_manifest_brings_nothing_back(bench: Bench) -> None:
    older = keys(bench, manifest(2, sign_keys=BOTH))
    bench.take(keys(bench, manifest(3, sign_keys=NEW_ONLY)), older)
    await bench.settled()
    assert older.terminated
    said = len(bench.hellos)
    again = keys(bench, manifest(3, sign_keys=NEW_ONLY))
    bench.take(again)
    await bench.settled()
    assert again.acknowledged
    assert len(bench.hellos) == said  # the one in use is no news


def with_new_report_key() -> session_pb2.KeyManifest:
    """Manifest 2, in which the report key is revoked and another follows."""
    made = manifest(2)
    for key in made.keys:
        if key.use == session_pb2.KEY_USE_REPORT:
            key.revoked = True
    made.keys.add(
        use=session_pb2.KEY_USE_REPORT, public_key=stand.public(NEW_REPORT), expires_at_seconds=FAR_SECONDS
    )
    return made


async def test_a_revoked_report_key_ends_the_epoch(bench: Bench, clock: FakeClock) -> None:
    epoch = bench.cloud.epoch
    clock.advance(50)
    async with bench.car.actuators:
        waiting = bench.command("waiting")
        bench.take(waiting)
        bench.take(keys(bench, with_new_report_key()))
        await bench.until(lambda: bench.cloud.epoch != epoch)
    await bench.settled()
    info = bench.hellos[-1]
    assert info.report_key_id == SealKey.of(stand.public(NEW_REPORT)).key_id
    assert info.clock_millis == 0
    assert waiting.terminated  # it was signed for the epoch before
    assert bench.cloud.faults == [Fault.WRONG_EPOCH]
    assert bench.car.log.read() == []
    bench.cloud.rotate_report_key(NEW_REPORT)
    reports = len(bench.cloud.said(EventKind.STATUS))
    bench.take(bench.command("again"))
    await bench.settled()
    assert bench.moved == 5
    await bench.until(lambda: len(bench.cloud.said(EventKind.STATUS)) > reports)


async def test_a_running_command_is_finished_when_the_epoch_ends(bench: Bench) -> None:
    taken: list[FakeDelivery] = []

    def after_the_first_door() -> None:
        if not taken:
            taken.append(keys(bench, with_new_report_key()))
            bench.take(*taken)

    bench.car.observe(after_the_first_door)
    bench.take(bench.command())
    await bench.settled()
    assert bench.result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED


async def test_an_adopted_manifest_is_kept_with_the_root_that_endorsed_it(bench: Bench) -> None:
    assert not (bench.folder / "adopted.manifest").exists()
    bench.take(keys(bench, manifest(2)))
    await bench.settled()
    content = (bench.folder / "adopted.manifest").read_bytes()
    assert content == stand.ROOT.public_bytes + endorsed(manifest(2))


async def test_without_a_report_key_the_car_does_not_go_on(bench: Bench) -> None:
    made = manifest(2)
    for key in made.keys:
        if key.use == session_pb2.KEY_USE_REPORT:
            key.revoked = True
    with pytest.raises(NoReportKey):
        bench.take(keys(bench, made))
    with pytest.raises(NoReportKey):
        bench.boot()


async def test_with_nobody_to_tell_the_car_waits_for_other_keys(bench: Bench) -> None:
    made = manifest(2)
    for key in made.keys:
        if key.use == session_pb2.KEY_USE_SEAL:
            key.revoked = True
    bench.take(keys(bench, made))
    bench.take(bench.command())
    await bench.finished("c1")
    assert bench.results == []
    bench.take(keys(bench, manifest(3)))
    await bench.settled()
    assert bench.result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED

"""How a car's keys of the cloud change, and what becomes of its work meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.vehicle.v1 import report_pb2, session_pb2

from protocol.faults import Fault
from protocol.keys import SealKey
from protocol.subjects import CommandKind, EventKind
from tests.support import protocol_harness
from tests.support.signed_cloud import FAR_SECONDS, endorsed, manifest
from tests.unit.vehicle.fakes import FakeDelivery
from vehicle.messages.channel import NoReportKeyError

if TYPE_CHECKING:
    from tests.unit.vehicle.agent_harness import AgentHarness
    from tests.unit.vehicle.conftest import FakeClock

NEW_SIGNER = protocol_harness.signer("the next cloud signer")
NEW_REPORT = protocol_harness.exchange_key("the next cloud report key")
BOTH = {key.public_bytes: (FAR_SECONDS, False) for key in (protocol_harness.CLOUD_SIGNER, NEW_SIGNER)}
NEW_ONLY = {
    protocol_harness.CLOUD_SIGNER.public_bytes: (FAR_SECONDS, True),
    NEW_SIGNER.public_bytes: (FAR_SECONDS, False),
}


def keys(harness: AgentHarness, one: session_pb2.KeyManifest) -> FakeDelivery:
    return FakeDelivery(CommandKind.KEYS, harness.cloud.seal_manifest(one))


async def test_a_signer_is_rotated_while_the_car_runs_and_stays_so_after_a_reboot(
    harness: AgentHarness,
) -> None:
    harness.take(harness.command("early", by=NEW_SIGNER))
    await harness.settled()
    assert harness.cloud.faults == [Fault.UNKNOWN_KEY]
    epoch = harness.cloud.epoch
    manifests = [keys(harness, manifest(2, sign_keys=BOTH)), keys(harness, manifest(3, sign_keys=NEW_ONLY))]
    for number, one in enumerate(manifests, start=2):
        harness.take(one)
        await harness.settled()
        assert one.acknowledged
        assert harness.hellos[-1].manifest_version == number
    assert harness.cloud.epoch == epoch
    harness.take(
        harness.command("old", by=protocol_harness.CLOUD_SIGNER), harness.command("new", by=NEW_SIGNER)
    )
    await harness.settled()
    await harness.reboot()
    assert harness.hellos[-1].manifest_version == 3
    harness.take(
        harness.command("old again", by=protocol_harness.CLOUD_SIGNER),
        harness.command("new again", by=NEW_SIGNER),
    )
    await harness.settled()
    assert {line["command_id"] for line in harness.car.log.read()} == {"new"}
    assert {one.payload.command_id for one in harness.results} == {"new", "new again"}
    assert harness.cloud.faults == [Fault.UNKNOWN_KEY]  # what a revoked key signed is not answered


async def test_keys_that_come_with_an_order_are_taken_first(harness: AgentHarness) -> None:
    order, manifest_2 = harness.command(by=NEW_SIGNER), keys(harness, manifest(2, sign_keys=BOTH))
    harness.take(order, manifest_2)
    await harness.settled()
    assert harness.moved == 5


async def test_an_older_manifest_brings_nothing_back(harness: AgentHarness) -> None:
    older = keys(harness, manifest(2, sign_keys=BOTH))
    harness.take(keys(harness, manifest(3, sign_keys=NEW_ONLY)), older)
    await harness.settled()
    assert older.terminated
    said = len(harness.hellos)
    again = keys(harness, manifest(3, sign_keys=NEW_ONLY))
    harness.take(again)
    await harness.settled()
    assert again.acknowledged
    assert len(harness.hellos) == said  # the one in use is no news


def with_new_report_key() -> session_pb2.KeyManifest:
    """Manifest 2, in which the report key is revoked and another follows."""
    made = manifest(2)
    for key in made.keys:
        if key.use == session_pb2.KEY_USE_REPORT:
            key.revoked = True
    made.keys.add(
        use=session_pb2.KEY_USE_REPORT,
        public_key=protocol_harness.public(NEW_REPORT),
        expires_at_seconds=FAR_SECONDS,
    )
    return made


async def test_a_revoked_report_key_ends_the_epoch(harness: AgentHarness, clock: FakeClock) -> None:
    epoch = harness.cloud.epoch
    clock.advance(50)
    async with harness.car.actuators:
        waiting = harness.command("waiting")
        harness.take(waiting)
        harness.take(keys(harness, with_new_report_key()))
        await harness.until(lambda: harness.cloud.epoch != epoch)
    await harness.settled()
    info = harness.hellos[-1]
    assert info.report_key_id == SealKey.of(protocol_harness.public(NEW_REPORT)).key_id
    assert info.clock_millis == 0
    assert waiting.terminated  # it was signed for the epoch before
    assert harness.cloud.faults == [Fault.WRONG_EPOCH]
    assert harness.car.log.read() == []
    harness.cloud.rotate_report_key(NEW_REPORT)
    reports = len(harness.cloud.said(EventKind.STATUS))
    harness.take(harness.command("again"))
    await harness.settled()
    assert harness.moved == 5
    await harness.until(lambda: len(harness.cloud.said(EventKind.STATUS)) > reports)


async def test_a_running_command_is_finished_when_the_epoch_ends(harness: AgentHarness) -> None:
    taken: list[FakeDelivery] = []

    def after_the_first_door() -> None:
        if not taken:
            taken.append(keys(harness, with_new_report_key()))
            harness.take(*taken)

    harness.car.observe(after_the_first_door)
    harness.take(harness.command())
    await harness.settled()
    assert harness.result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED


async def test_an_adopted_manifest_is_kept_with_the_root_that_endorsed_it(harness: AgentHarness) -> None:
    assert not (harness.folder / "adopted.manifest").exists()
    harness.take(keys(harness, manifest(2)))
    await harness.settled()
    content = (harness.folder / "adopted.manifest").read_bytes()
    assert content == protocol_harness.ROOT.public_bytes + endorsed(manifest(2))


async def test_without_a_report_key_the_car_does_not_go_on(harness: AgentHarness) -> None:
    made = manifest(2)
    for key in made.keys:
        if key.use == session_pb2.KEY_USE_REPORT:
            key.revoked = True
    with pytest.raises(NoReportKeyError):
        harness.take(keys(harness, made))
    with pytest.raises(NoReportKeyError):
        harness.boot()


async def test_with_nobody_to_tell_the_car_waits_for_other_keys(harness: AgentHarness) -> None:
    made = manifest(2)
    for key in made.keys:
        if key.use == session_pb2.KEY_USE_SEAL:
            key.revoked = True
    harness.take(keys(harness, made))
    harness.take(harness.command())
    await harness.finished("c1")
    assert harness.results == []
    harness.take(keys(harness, manifest(3)))
    await harness.settled()
    assert harness.result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED

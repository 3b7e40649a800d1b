"""Which keys a vehicle accepts, and how they are replaced."""

from __future__ import annotations

import pytest
from ecarus.remotecontrol.vehicle.v1 import session_pb2

from protocol import cose
from protocol.domains import ContentType
from protocol.faults import Fault, MessageRefusedError
from protocol.keys import SealKey
from protocol.manifest import SUBJECT, Trust, endorse
from protocol.seal import Direction, seal
from protocol.vehicle_side import AcceptedOrder, RefusedOrder
from tests.support.protocol_harness import (
    CLOUD_SEAL,
    CLOUD_SIGNER,
    OWNER,
    ROOT,
    VIN,
    WALL_SECONDS,
    YEAR_SECONDS,
    ProtocolHarness,
    exchange_key,
    manifest,
    public,
    signer,
    unlock,
)

NEW_SIGNER = signer("new cloud signer")
NEW_ROOT = signer("new root")
FOR_A_YEAR = (WALL_SECONDS + YEAR_SECONDS, False)
REVOKED = (WALL_SECONDS + YEAR_SECONDS, True)


@pytest.fixture
def trust() -> Trust:
    return Trust(ROOT.public_bytes).adopt(endorse(manifest(5), ROOT, ROOT), WALL_SECONDS)


def refusal(trust: Trust, endorsed: bytes, wall_seconds: int = WALL_SECONDS) -> Fault:
    with pytest.raises(MessageRefusedError) as caught:
        trust.adopt(endorsed, wall_seconds)
    return caught.value.fault


def test_rotation_of_the_signing_key_with_commands_in_flight(harness: ProtocolHarness) -> None:
    both = {CLOUD_SIGNER.public_bytes: FOR_A_YEAR, NEW_SIGNER.public_bytes: FOR_A_YEAR}
    only_new = {CLOUD_SIGNER.public_bytes: REVOKED, NEW_SIGNER.public_bytes: FOR_A_YEAR}
    new_cloud = harness.cloud_with(NEW_SIGNER, 2)

    early = harness.car.receive(new_cloud.seal_order(VIN, unlock("early"), OWNER, 30_000))
    assert isinstance(early, RefusedOrder)
    assert early.fault is Fault.UNKNOWN_KEY
    assert early.answer is not None
    told = harness.cloud.open_answer(VIN, early.answer.domain, early.answer.data).answer
    assert isinstance(told, session_pb2.OrderRefused)
    assert told.session.manifest_version == 1

    in_flight = harness.command("old")
    harness.car.side.open_manifest(
        harness.cloud.seal_manifest(VIN, endorse(manifest(2, sign_keys=both), ROOT, ROOT))
    )
    assert isinstance(harness.car.receive(in_flight), AcceptedOrder)
    assert isinstance(
        harness.car.receive(new_cloud.seal_order(VIN, unlock("new"), OWNER, 30_000)), AcceptedOrder
    )

    harness.car.side.open_manifest(
        harness.cloud.seal_manifest(VIN, endorse(manifest(3, sign_keys=only_new), ROOT, ROOT))
    )
    stolen = harness.car.receive(harness.command("stolen"))
    assert isinstance(stolen, RefusedOrder)
    assert stolen.fault is Fault.REVOKED_KEY
    assert stolen.answer is None
    assert harness.car.actuations == ["old", "new"]
    assert harness.greet().manifest_version == 3


def test_rotation_of_the_root_survives_a_reboot(trust: Trust) -> None:
    following = endorse(manifest(6, root=NEW_ROOT), NEW_ROOT, ROOT)
    rotated = trust.adopt(following, WALL_SECONDS)
    after = rotated.adopt(endorse(manifest(7, root=NEW_ROOT), NEW_ROOT, NEW_ROOT), WALL_SECONDS)

    assert rotated.adopt(following, WALL_SECONDS) == rotated
    assert Trust.restore(after.endorsed_by, after.endorsed) == after
    assert refusal(rotated, endorse(manifest(8), ROOT, ROOT)) is Fault.UNKNOWN_KEY


def test_a_new_root_needs_both_roots(trust: Trust) -> None:
    by_the_new_alone = endorse(manifest(6, root=NEW_ROOT), NEW_ROOT, NEW_ROOT)
    unsigned_by_the_new = cose.sign(
        ROOT,
        ContentType.ENDORSED_MANIFEST,
        SUBJECT,
        cose.sign(ROOT, ContentType.MANIFEST, SUBJECT, manifest(6, root=NEW_ROOT).SerializeToString()),
    )

    assert refusal(trust, by_the_new_alone) is Fault.UNKNOWN_KEY
    assert refusal(trust, unsigned_by_the_new) is Fault.UNKNOWN_KEY


def test_rollback(trust: Trust) -> None:
    assert refusal(trust, endorse(manifest(4), ROOT, ROOT)) is Fault.MANIFEST_ROLLBACK
    other = manifest(5, sign_keys={NEW_SIGNER.public_bytes: FOR_A_YEAR})
    assert refusal(trust, endorse(other, ROOT, ROOT)) is Fault.MANIFEST_ROLLBACK
    assert trust.adopt(endorse(manifest(5), ROOT, ROOT), WALL_SECONDS) == trust


def test_rollback_reaches_no_vehicle(harness: ProtocolHarness) -> None:
    old = harness.cloud.seal_manifest(VIN, harness.car.trust.endorsed)
    revoking = manifest(2, sign_keys={CLOUD_SIGNER.public_bytes: REVOKED})
    harness.car.side.open_manifest(harness.cloud.seal_manifest(VIN, endorse(revoking, ROOT, ROOT)))

    with pytest.raises(MessageRefusedError) as caught:
        harness.car.side.open_manifest(old)

    assert caught.value.fault is Fault.MANIFEST_ROLLBACK
    assert isinstance(harness.car.receive(harness.command()), RefusedOrder)
    assert Trust.restore(*harness.car.kept_manifest).version == 2
    assert harness.car.actuations == []


def test_a_manifest_that_ran_out(trust: Trust) -> None:
    short = endorse(manifest(6, expires_at=WALL_SECONDS + 10), ROOT, ROOT)

    assert trust.adopt(short, WALL_SECONDS + 9).version == 6
    assert refusal(trust, short, WALL_SECONDS + 10) is Fault.EXPIRED_KEY


def test_a_clock_set_back_does_not_bring_time_back() -> None:
    ran_out = manifest(6, expires_at=WALL_SECONDS - 100)

    assert refusal(Trust(ROOT.public_bytes), endorse(ran_out, ROOT, ROOT), 0) is Fault.EXPIRED_KEY


def test_a_vehicle_whose_manifest_ran_out_can_still_say_so(harness: ProtocolHarness) -> None:
    harness.clock.advance(YEAR_SECONDS)
    harness.car.boot()

    assert harness.greet().manifest_version == 1
    faulted = harness.car.receive(harness.command())
    assert isinstance(faulted, RefusedOrder)
    assert faulted.fault is Fault.EXPIRED_KEY
    assert faulted.answer is not None
    renewed = manifest(2, expires_at=WALL_SECONDS + 2 * YEAR_SECONDS)
    harness.car.side.open_manifest(harness.cloud.seal_manifest(VIN, endorse(renewed, ROOT, ROOT)))
    assert isinstance(harness.car.receive(harness.command()), AcceptedOrder)


@pytest.mark.parametrize(
    "damage",
    [
        lambda made: made.ClearField("version"),
        lambda made: made.keys[0].__setattr__("public_key", b"short"),
        lambda made: made.keys[1].__setattr__("public_key", b""),
        lambda made: made.keys[1].__setattr__("public_key", bytes(32)),
    ],
)
def test_a_manifest_that_makes_no_sense(trust: Trust, damage: object) -> None:
    made = manifest(6)
    assert callable(damage)
    damage(made)

    assert refusal(trust, endorse(made, ROOT, ROOT)) is Fault.MALFORMED


def test_a_key_of_a_later_version_of_the_protocol_is_passed_over(trust: Trust) -> None:
    made = manifest(6)
    made.keys.add(use=session_pb2.KEY_USE_UNSPECIFIED, public_key=b"something else")

    assert trust.adopt(endorse(made, ROOT, ROOT), WALL_SECONDS).version == 6


def test_what_is_no_manifest(trust: Trust, harness: ProtocolHarness) -> None:
    inner = cose.sign(ROOT, ContentType.MANIFEST, SUBJECT, manifest(6).SerializeToString())
    nonsense = cose.sign(ROOT, ContentType.ENDORSED_MANIFEST, SUBJECT, b"nonsense")
    unreadable = cose.sign(
        ROOT, ContentType.ENDORSED_MANIFEST, SUBJECT, cose.sign(ROOT, ContentType.MANIFEST, SUBJECT, b"\xff")
    )

    assert refusal(trust, inner) is Fault.WRONG_TYPE
    assert refusal(trust, nonsense) is Fault.MALFORMED
    assert refusal(trust, unreadable) is Fault.MALFORMED
    assert refusal(trust, harness.car.envelope_of(harness.command())) is Fault.UNKNOWN_KEY
    with pytest.raises(ValueError, match="another root"):
        endorse(manifest(6, root=NEW_ROOT), ROOT, ROOT)


def test_nothing_is_no_manifest_even_where_there_is_none_yet() -> None:
    assert refusal(Trust(ROOT.public_bytes), b"") is Fault.MALFORMED


def test_without_a_key_to_seal_to_there_is_nobody_to_tell(harness: ProtocolHarness) -> None:
    made = manifest(2)
    for key in made.keys:
        key.revoked = key.use == session_pb2.KEY_USE_SEAL
    harness.car.side.open_manifest(harness.cloud.seal_manifest(VIN, endorse(made, ROOT, ROOT)))
    harness.clock.advance(30)

    opened = harness.car.receive(harness.car.forge(unlock(), expires_at_millis=1))

    assert isinstance(opened, RefusedOrder)
    assert (opened.fault, opened.answer) == (Fault.EXPIRED, None)


def test_a_seal_key_that_was_replaced(harness: ProtocolHarness) -> None:
    made = manifest(2)
    made.keys.add(
        use=session_pb2.KEY_USE_SEAL,
        public_key=public(exchange_key("second seal")),
        expires_at_seconds=WALL_SECONDS + 2 * YEAR_SECONDS,
    )
    made.expires_at_seconds += YEAR_SECONDS
    trust = harness.car.trust.adopt(endorse(made, ROOT, ROOT), WALL_SECONDS)

    second = SealKey.of(public(exchange_key("second seal"))).key_id
    assert trust.seal_key(WALL_SECONDS).key_id == SealKey.of(public(CLOUD_SEAL)).key_id
    assert trust.seal_key(WALL_SECONDS + YEAR_SECONDS).key_id == second


def test_a_vehicle_without_a_manifest_has_nobody_to_report_to() -> None:
    with pytest.raises(MessageRefusedError):
        Trust(ROOT.public_bytes).report_key(WALL_SECONDS)


def test_too_long_to_seal() -> None:
    receiver = SealKey.of(public(CLOUD_SEAL))

    with pytest.raises(ValueError, match="sealed"):
        seal(bytes(16 * 1024), receiver, Direction.TO_CLOUD, VIN)

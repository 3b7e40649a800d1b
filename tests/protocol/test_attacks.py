"""What an attacker can send, and that none of it moves a door."""

from __future__ import annotations

import os

import pytest
from ecarus.remotecontrol.vehicle.v1 import session_pb2

from protocol import cose
from protocol.domains import MAX_COUNTER, ContentType, Domain, subject_of
from protocol.faults import Fault
from protocol.manifest import Trust, endorse
from protocol.vehicle_side import AcceptedOrder, KnownOrder, RefusedOrder
from tests.support.protocol_harness import (
    CLOUD_SIGNER,
    OTHER_VIN,
    OWNER,
    ROOT,
    VIN,
    WALL_SECONDS,
    YEAR_SECONDS,
    ProtocolHarness,
    cancellation,
    manifest,
    signer,
    unlock,
)


def refused(harness: ProtocolHarness, data: bytes, domain: Domain = Domain.COMMAND) -> Fault:
    """The fault, after having seen that nothing moved."""
    before = list(harness.car.actuations)
    opened = harness.car.receive(data, domain)
    assert isinstance(opened, RefusedOrder)
    assert harness.car.actuations == before
    return opened.fault


def test_what_is_right_is_accepted_once(harness: ProtocolHarness) -> None:
    harness.accepted()

    assert harness.car.actuations == ["cmd-1"]


def test_a_replay_is_known(harness: ProtocolHarness) -> None:
    data = harness.command()
    harness.car.receive(data)

    assert isinstance(harness.car.receive(data), KnownOrder)
    assert harness.car.actuations == ["cmd-1"]


def test_a_replay_that_the_memory_forgot_stops_at_the_counter(harness: ProtocolHarness) -> None:
    data = harness.command()
    harness.car.receive(data)
    harness.car.known.clear()

    assert refused(harness, data) is Fault.COUNTER_NOT_NEW


def test_a_replay_after_a_reboot_is_known(harness: ProtocolHarness) -> None:
    data = harness.command()
    harness.car.receive(data)
    harness.car.boot()

    assert isinstance(harness.car.receive(data), KnownOrder)
    assert harness.car.actuations == ["cmd-1"]


def test_a_command_kept_back_over_a_reboot_is_of_an_old_epoch(harness: ProtocolHarness) -> None:
    data = harness.command()
    harness.car.boot()

    assert refused(harness, data) is Fault.WRONG_EPOCH


def test_a_command_for_another_car(harness: ProtocolHarness) -> None:
    data = harness.command()

    assert isinstance(harness.other.receive(data), RefusedOrder)
    resealed = harness.other.seal_to(harness.car.envelope_of(data))
    opened = harness.other.receive(resealed)
    assert isinstance(opened, RefusedOrder)
    assert opened.fault is Fault.BAD_SIGNATURE
    assert harness.other.actuations == []


def test_a_command_on_the_subject_of_another_domain(harness: ProtocolHarness) -> None:
    assert refused(harness, harness.command(), Domain.CANCEL) is Fault.BAD_SIGNATURE
    assert refused(harness, harness.command(), Domain.CONFIG) is Fault.BAD_SIGNATURE


def test_a_vehicles_own_answer_sent_back_to_it(harness: ProtocolHarness) -> None:
    assert refused(harness, harness.answered().data) is Fault.NOT_FOR_US


def test_every_single_bit_flipped_on_the_wire(harness: ProtocolHarness) -> None:
    data = harness.command()

    for position in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        assert refused(harness, bytes(flipped)) in {Fault.MALFORMED, Fault.NOT_FOR_US}


def test_every_single_bit_flipped_under_the_seal(harness: ProtocolHarness) -> None:
    inner = harness.car.envelope_of(harness.command())

    for position in range(len(inner) * 8):
        flipped = bytearray(inner)
        flipped[position // 8] ^= 1 << position % 8
        fault = refused(harness, harness.car.seal_to(bytes(flipped)))
        assert fault in {Fault.MALFORMED, Fault.UNKNOWN_KEY, Fault.BAD_SIGNATURE}


def test_every_truncation_and_trailing_bytes(harness: ProtocolHarness) -> None:
    data = harness.command()
    inner = harness.car.envelope_of(data)

    for length in range(len(data)):
        refused(harness, data[:length])
    for length in range(len(inner)):
        assert refused(harness, harness.car.seal_to(inner[:length])) is Fault.MALFORMED
    assert refused(harness, data + b"\x00") is Fault.NOT_FOR_US
    assert refused(harness, harness.car.seal_to(inner + b"\x00")) is Fault.MALFORMED


@pytest.mark.parametrize("size", [16 * 1024 + 1, 64 * 1024, 1024 * 1024])
def test_too_large(harness: ProtocolHarness, size: int) -> None:
    assert refused(harness, bytes(size)) is Fault.TOO_LARGE


@pytest.mark.parametrize("algorithm", [0x26, 0x28, 0x00, 0x05, 0x33])  # ES256, -9, none, HMAC, -20
def test_another_algorithm_in_the_header(harness: ProtocolHarness, algorithm: int) -> None:
    inner = bytearray(harness.car.envelope_of(harness.command()))
    assert inner[6] == 0x27
    inner[6] = algorithm

    assert refused(harness, harness.car.seal_to(bytes(inner))) is Fault.MALFORMED


def test_an_unprotected_header(harness: ProtocolHarness) -> None:
    inner = harness.car.envelope_of(harness.command())
    at = inner.index(b"\xa0")

    assert (
        refused(harness, harness.car.seal_to(inner[:at] + b"\xa1\x01\x27" + inner[at + 1 :]))
        is Fault.MALFORMED
    )


def test_a_key_twice_in_the_header(harness: ProtocolHarness) -> None:
    inner = harness.car.envelope_of(harness.command())
    length = inner[3]
    protected = inner[4 : 4 + length]
    twice = b"\xa4\x01\x27" + protected[1:]
    data = inner[:2] + bytes((0x58, len(twice))) + twice + inner[4 + length :]

    assert refused(harness, harness.car.seal_to(data)) is Fault.MALFORMED


@pytest.mark.parametrize(
    "head", [b"\x59\x00", b"\x5a\x00\x00\x00", b"\x5b" + bytes(7), b"\x5f\x58", b"\x7b" + bytes(7)]
)
def test_the_same_length_written_differently(harness: ProtocolHarness, head: bytes) -> None:
    inner = harness.car.envelope_of(harness.command())

    assert refused(harness, harness.car.seal_to(inner[:2] + head + inner[3:])) is Fault.MALFORMED


def test_signed_by_a_stranger(harness: ProtocolHarness) -> None:
    assert refused(harness, harness.car.forge(unlock(), by=signer("stranger"))) is Fault.UNKNOWN_KEY


def test_signed_by_a_stranger_in_the_name_of_the_cloud(harness: ProtocolHarness) -> None:
    class Impostor:
        key_id = CLOUD_SIGNER.key_id

        def sign(self, data: bytes) -> bytes:
            return signer("stranger").sign(data)

    assert refused(harness, harness.car.forge(unlock(), by=Impostor())) is Fault.BAD_SIGNATURE


def test_signed_by_the_car_itself(harness: ProtocolHarness) -> None:
    assert refused(harness, harness.car.forge(unlock(), by=harness.car.signer)) is Fault.UNKNOWN_KEY


@pytest.mark.parametrize(
    ("expires_in", "revoked", "fault"),
    [(YEAR_SECONDS, True, Fault.REVOKED_KEY), (0, False, Fault.EXPIRED_KEY), (0, True, Fault.REVOKED_KEY)],
)
def test_signed_with_a_key_whose_time_is_over(
    harness: ProtocolHarness, expires_in: int, revoked: bool, fault: Fault
) -> None:
    keys = {CLOUD_SIGNER.public_bytes: (WALL_SECONDS + expires_in, revoked)}
    harness.car.trust = Trust(ROOT.public_bytes).adopt(
        endorse(manifest(sign_keys=keys), ROOT, ROOT), WALL_SECONDS
    )
    harness.car.boot()

    assert refused(harness, harness.car.forge(unlock())) is fault


def test_a_manifest_whose_time_is_over_takes_its_keys_with_it(harness: ProtocolHarness) -> None:
    harness.clock.advance(YEAR_SECONDS)

    assert refused(harness, harness.car.forge(unlock(), expires_at_millis=2**40)) is Fault.EXPIRED_KEY


def test_a_counter_that_goes_back(harness: ProtocolHarness) -> None:
    harness.car.receive(harness.car.forge(unlock("a"), counter=7))

    assert refused(harness, harness.car.forge(unlock("b"), counter=7)) is Fault.COUNTER_NOT_NEW
    assert refused(harness, harness.car.forge(unlock("c"), counter=6)) is Fault.COUNTER_NOT_NEW
    assert refused(harness, harness.car.forge(unlock("d"), counter=0)) is Fault.COUNTER_NOT_NEW


@pytest.mark.parametrize("counter", [MAX_COUNTER + 1, 2**63, 2**64 - 1])
def test_a_counter_that_overflows(harness: ProtocolHarness, counter: int) -> None:
    assert refused(harness, harness.car.forge(unlock(), counter=counter)) is Fault.COUNTER_TOO_LARGE
    assert isinstance(harness.car.receive(harness.car.forge(unlock(), counter=1)), AcceptedOrder)


def test_counters_of_other_domains_do_not_help(harness: ProtocolHarness) -> None:
    harness.car.receive(harness.car.forge(cancellation(), domain=Domain.CANCEL, counter=9), Domain.CANCEL)

    assert isinstance(harness.car.receive(harness.car.forge(unlock(), counter=1)), AcceptedOrder)


def test_kept_back_until_it_expired(harness: ProtocolHarness) -> None:
    data = harness.command()
    harness.clock.advance(30)

    assert refused(harness, data) is Fault.EXPIRED


@pytest.mark.parametrize("expires_at_millis", [30_001, 2**48, 2**64 - 1])
def test_valid_for_too_long(harness: ProtocolHarness, expires_at_millis: int) -> None:
    data = harness.car.forge(unlock(), expires_at_millis=expires_at_millis)

    assert refused(harness, data) is Fault.VALID_TOO_LONG


def test_the_cloud_cannot_be_talked_into_a_longer_validity(harness: ProtocolHarness) -> None:
    data = harness.command(valid_millis=3_600_000)
    harness.clock.advance(30)

    assert refused(harness, data) is Fault.EXPIRED


@pytest.mark.parametrize("role", [session_pb2.ROLE_UNSPECIFIED, 99])
def test_a_role_nobody_knows(harness: ProtocolHarness, role: int) -> None:
    assert refused(harness, harness.car.forge(unlock(), role=role)) is Fault.ROLE_NOT_ALLOWED


def test_a_plain_message_of_somebody_who_may_publish(harness: ProtocolHarness) -> None:
    plain = session_pb2.SignedOrder(
        vin=VIN, epoch=harness.car.epoch, counter=1, door=unlock()
    ).SerializeToString()

    assert refused(harness, plain) is Fault.MALFORMED
    assert refused(harness, harness.car.seal_to(plain)) is Fault.MALFORMED
    assert refused(harness, unlock().SerializeToString()) is Fault.MALFORMED
    assert refused(harness, b"") is Fault.MALFORMED


def test_noise(harness: ProtocolHarness) -> None:
    for length in range(1, 400):
        refused(harness, os.urandom(length))
        refused(harness, b"\x01\x01" + os.urandom(length))


def test_a_withdrawal_is_no_command_and_a_command_no_withdrawal(harness: ProtocolHarness) -> None:
    subject = subject_of(VIN, Domain.COMMAND)
    tombstone = harness.cloud.seal_order(VIN, cancellation(), OWNER, 30_000)
    mislabelled = harness.car.forge(cancellation(), domain=Domain.CANCEL, subject=subject)
    misfilled = harness.car.forge(
        cancellation(), domain=Domain.CANCEL, subject=subject, content_type=ContentType.COMMAND
    )

    assert refused(harness, tombstone) is Fault.BAD_SIGNATURE
    assert refused(harness, mislabelled) is Fault.WRONG_DOMAIN
    assert refused(harness, misfilled) is Fault.WRONG_TYPE


def test_a_content_type_nobody_knows(harness: ProtocolHarness) -> None:
    assert refused(harness, harness.car.forge(unlock(), content_type="rdc-command+v2")) is Fault.WRONG_TYPE


def test_a_manifest_in_place_of_a_command(harness: ProtocolHarness) -> None:
    inner = endorse(manifest(), ROOT, ROOT)

    assert refused(harness, harness.car.seal_to(inner)) is Fault.UNKNOWN_KEY


def test_signed_for_this_car_but_naming_another(harness: ProtocolHarness) -> None:
    assert refused(harness, harness.car.forge(unlock(), vin=OTHER_VIN)) is Fault.WRONG_VEHICLE


@pytest.mark.parametrize("payload", [b"\xff", b"\x0a\x02\xff\xff", b"", b"\x82\x01\x00"])
def test_signed_nonsense(harness: ProtocolHarness, payload: bytes) -> None:
    data = cose.sign(CLOUD_SIGNER, ContentType.COMMAND, subject_of(VIN, Domain.COMMAND), payload)

    assert refused(harness, harness.car.seal_to(data)) in {Fault.MALFORMED, Fault.WRONG_TYPE}


def test_a_command_without_an_id(harness: ProtocolHarness) -> None:
    assert refused(harness, harness.car.forge(unlock(""))) is Fault.MALFORMED
    assert refused(harness, harness.car.forge(unlock("x" * 129))) is Fault.MALFORMED

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
from tests.support.stand import (
    CLOUD_SIGNER,
    OTHER_VIN,
    OWNER,
    ROOT,
    VIN,
    WALL_SECONDS,
    YEAR_SECONDS,
    Stand,
    cancellation,
    manifest,
    signer,
    unlock,
)


def refused(stand: Stand, data: bytes, domain: Domain = Domain.COMMAND) -> Fault:
    """The fault, after having seen that nothing moved."""
    before = list(stand.car.actuations)
    opened = stand.car.receive(data, domain)
    assert isinstance(opened, RefusedOrder)
    assert stand.car.actuations == before
    return opened.fault


def test_what_is_right_is_accepted_once(stand: Stand) -> None:
    stand.accepted()

    assert stand.car.actuations == ["cmd-1"]


def test_a_replay_is_known(stand: Stand) -> None:
    data = stand.command()
    stand.car.receive(data)

    assert isinstance(stand.car.receive(data), KnownOrder)
    assert stand.car.actuations == ["cmd-1"]


def test_a_replay_that_the_memory_forgot_stops_at_the_counter(stand: Stand) -> None:
    data = stand.command()
    stand.car.receive(data)
    stand.car.known.clear()

    assert refused(stand, data) is Fault.COUNTER_NOT_NEW


def test_a_replay_after_a_reboot_is_known(stand: Stand) -> None:
    data = stand.command()
    stand.car.receive(data)
    stand.car.boot()

    assert isinstance(stand.car.receive(data), KnownOrder)
    assert stand.car.actuations == ["cmd-1"]


def test_a_command_kept_back_over_a_reboot_is_of_an_old_epoch(stand: Stand) -> None:
    data = stand.command()
    stand.car.boot()

    assert refused(stand, data) is Fault.WRONG_EPOCH


def test_a_command_for_another_car(stand: Stand) -> None:
    data = stand.command()

    assert isinstance(stand.other.receive(data), RefusedOrder)
    resealed = stand.other.seal_to(stand.car.envelope_of(data))
    opened = stand.other.receive(resealed)
    assert isinstance(opened, RefusedOrder)
    assert opened.fault is Fault.BAD_SIGNATURE
    assert stand.other.actuations == []


def test_a_command_on_the_subject_of_another_domain(stand: Stand) -> None:
    assert refused(stand, stand.command(), Domain.CANCEL) is Fault.BAD_SIGNATURE
    assert refused(stand, stand.command(), Domain.CONFIG) is Fault.BAD_SIGNATURE


def test_a_vehicles_own_answer_sent_back_to_it(stand: Stand) -> None:
    assert refused(stand, stand.answered().data) is Fault.NOT_FOR_US


def test_every_single_bit_flipped_on_the_wire(stand: Stand) -> None:
    data = stand.command()

    for position in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        assert refused(stand, bytes(flipped)) in {Fault.MALFORMED, Fault.NOT_FOR_US}


def test_every_single_bit_flipped_under_the_seal(stand: Stand) -> None:
    inner = stand.car.envelope_of(stand.command())

    for position in range(len(inner) * 8):
        flipped = bytearray(inner)
        flipped[position // 8] ^= 1 << position % 8
        fault = refused(stand, stand.car.seal_to(bytes(flipped)))
        assert fault in {Fault.MALFORMED, Fault.UNKNOWN_KEY, Fault.BAD_SIGNATURE}


def test_every_truncation_and_trailing_bytes(stand: Stand) -> None:
    data = stand.command()
    inner = stand.car.envelope_of(data)

    for length in range(len(data)):
        refused(stand, data[:length])
    for length in range(len(inner)):
        assert refused(stand, stand.car.seal_to(inner[:length])) is Fault.MALFORMED
    assert refused(stand, data + b"\x00") is Fault.NOT_FOR_US
    assert refused(stand, stand.car.seal_to(inner + b"\x00")) is Fault.MALFORMED


@pytest.mark.parametrize("size", [16 * 1024 + 1, 64 * 1024, 1024 * 1024])
def test_too_large(stand: Stand, size: int) -> None:
    assert refused(stand, bytes(size)) is Fault.TOO_LARGE


@pytest.mark.parametrize("algorithm", [0x26, 0x28, 0x00, 0x05, 0x33])  # ES256, -9, none, HMAC, -20
def test_another_algorithm_in_the_header(stand: Stand, algorithm: int) -> None:
    inner = bytearray(stand.car.envelope_of(stand.command()))
    assert inner[6] == 0x27
    inner[6] = algorithm

    assert refused(stand, stand.car.seal_to(bytes(inner))) is Fault.MALFORMED


def test_an_unprotected_header(stand: Stand) -> None:
    inner = stand.car.envelope_of(stand.command())
    at = inner.index(b"\xa0")

    assert (
        refused(stand, stand.car.seal_to(inner[:at] + b"\xa1\x01\x27" + inner[at + 1 :])) is Fault.MALFORMED
    )


def test_a_key_twice_in_the_header(stand: Stand) -> None:
    inner = stand.car.envelope_of(stand.command())
    length = inner[3]
    protected = inner[4 : 4 + length]
    twice = b"\xa4\x01\x27" + protected[1:]
    data = inner[:2] + bytes((0x58, len(twice))) + twice + inner[4 + length :]

    assert refused(stand, stand.car.seal_to(data)) is Fault.MALFORMED


@pytest.mark.parametrize(
    "head", [b"\x59\x00", b"\x5a\x00\x00\x00", b"\x5b" + bytes(7), b"\x5f\x58", b"\x7b" + bytes(7)]
)
def test_the_same_length_written_differently(stand: Stand, head: bytes) -> None:
    inner = stand.car.envelope_of(stand.command())

    assert refused(stand, stand.car.seal_to(inner[:2] + head + inner[3:])) is Fault.MALFORMED


def test_signed_by_a_stranger(stand: Stand) -> None:
    assert refused(stand, stand.car.forge(unlock(), by=signer("stranger"))) is Fault.UNKNOWN_KEY


def test_signed_by_a_stranger_in_the_name_of_the_cloud(stand: Stand) -> None:
    class Impostor:
        key_id = CLOUD_SIGNER.key_id

        def sign(self, data: bytes) -> bytes:
            return signer("stranger").sign(data)

    assert refused(stand, stand.car.forge(unlock(), by=Impostor())) is Fault.BAD_SIGNATURE


def test_signed_by_the_car_itself(stand: Stand) -> None:
    assert refused(stand, stand.car.forge(unlock(), by=stand.car.signer)) is Fault.UNKNOWN_KEY


@pytest.mark.parametrize(
    ("expires_in", "revoked", "fault"),
    [(YEAR_SECONDS, True, Fault.REVOKED_KEY), (0, False, Fault.EXPIRED_KEY), (0, True, Fault.REVOKED_KEY)],
)
def test_signed_with_a_key_whose_time_is_over(
    stand: Stand, expires_in: int, revoked: bool, fault: Fault
) -> None:
    keys = {CLOUD_SIGNER.public_bytes: (WALL_SECONDS + expires_in, revoked)}
    stand.car.trust = Trust(ROOT.public_bytes).adopt(
        endorse(manifest(sign_keys=keys), ROOT, ROOT), WALL_SECONDS
    )
    stand.car.boot()

    assert refused(stand, stand.car.forge(unlock())) is fault


def test_a_manifest_whose_time_is_over_takes_its_keys_with_it(stand: Stand) -> None:
    stand.clock.advance(YEAR_SECONDS)

    assert refused(stand, stand.car.forge(unlock(), expires_at_millis=2**40)) is Fault.EXPIRED_KEY


def test_a_counter_that_goes_back(stand: Stand) -> None:
    stand.car.receive(stand.car.forge(unlock("a"), counter=7))

    assert refused(stand, stand.car.forge(unlock("b"), counter=7)) is Fault.COUNTER_NOT_NEW
    assert refused(stand, stand.car.forge(unlock("c"), counter=6)) is Fault.COUNTER_NOT_NEW
    assert refused(stand, stand.car.forge(unlock("d"), counter=0)) is Fault.COUNTER_NOT_NEW


@pytest.mark.parametrize("counter", [MAX_COUNTER + 1, 2**63, 2**64 - 1])
def test_a_counter_that_overflows(stand: Stand, counter: int) -> None:
    assert refused(stand, stand.car.forge(unlock(), counter=counter)) is Fault.COUNTER_TOO_LARGE
    assert isinstance(stand.car.receive(stand.car.forge(unlock(), counter=1)), AcceptedOrder)


def test_counters_of_other_domains_do_not_help(stand: Stand) -> None:
    stand.car.receive(stand.car.forge(cancellation(), domain=Domain.CANCEL, counter=9), Domain.CANCEL)

    assert isinstance(stand.car.receive(stand.car.forge(unlock(), counter=1)), AcceptedOrder)


def test_kept_back_until_it_expired(stand: Stand) -> None:
    data = stand.command()
    stand.clock.advance(30)

    assert refused(stand, data) is Fault.EXPIRED


@pytest.mark.parametrize("expires_at_millis", [30_001, 2**48, 2**64 - 1])
def test_valid_for_too_long(stand: Stand, expires_at_millis: int) -> None:
    data = stand.car.forge(unlock(), expires_at_millis=expires_at_millis)

    assert refused(stand, data) is Fault.VALID_TOO_LONG


def test_the_cloud_cannot_be_talked_into_a_longer_validity(stand: Stand) -> None:
    data = stand.command(valid_millis=3_600_000)
    stand.clock.advance(30)

    assert refused(stand, data) is Fault.EXPIRED


@pytest.mark.parametrize("role", [session_pb2.ROLE_UNSPECIFIED, 99])
def test_a_role_nobody_knows(stand: Stand, role: int) -> None:
    assert refused(stand, stand.car.forge(unlock(), role=role)) is Fault.ROLE_NOT_ALLOWED


def test_a_plain_message_of_somebody_who_may_publish(stand: Stand) -> None:
    plain = session_pb2.SignedOrder(
        vin=VIN, epoch=stand.car.epoch, counter=1, door=unlock()
    ).SerializeToString()

    assert refused(stand, plain) is Fault.MALFORMED
    assert refused(stand, stand.car.seal_to(plain)) is Fault.MALFORMED
    assert refused(stand, unlock().SerializeToString()) is Fault.MALFORMED
    assert refused(stand, b"") is Fault.MALFORMED


def test_noise(stand: Stand) -> None:
    for length in range(1, 400):
        refused(stand, os.urandom(length))
        refused(stand, b"\x01\x01" + os.urandom(length))


def test_a_withdrawal_is_no_command_and_a_command_no_withdrawal(stand: Stand) -> None:
    subject = subject_of(VIN, Domain.COMMAND)
    tombstone = stand.cloud.seal_order(VIN, cancellation(), OWNER, 30_000)
    mislabelled = stand.car.forge(cancellation(), domain=Domain.CANCEL, subject=subject)
    misfilled = stand.car.forge(
        cancellation(), domain=Domain.CANCEL, subject=subject, content_type=ContentType.COMMAND
    )

    assert refused(stand, tombstone) is Fault.BAD_SIGNATURE
    assert refused(stand, mislabelled) is Fault.WRONG_DOMAIN
    assert refused(stand, misfilled) is Fault.WRONG_TYPE


def test_a_content_type_nobody_knows(stand: Stand) -> None:
    assert refused(stand, stand.car.forge(unlock(), content_type="rdc-command+v2")) is Fault.WRONG_TYPE


def test_a_manifest_in_place_of_a_command(stand: Stand) -> None:
    inner = endorse(manifest(), ROOT, ROOT)

    assert refused(stand, stand.car.seal_to(inner)) is Fault.UNKNOWN_KEY


def test_signed_for_this_car_but_naming_another(stand: Stand) -> None:
    assert refused(stand, stand.car.forge(unlock(), vin=OTHER_VIN)) is Fault.WRONG_VEHICLE


@pytest.mark.parametrize("payload", [b"\xff", b"\x0a\x02\xff\xff", b"", b"\x82\x01\x00"])
def test_signed_nonsense(stand: Stand, payload: bytes) -> None:
    data = cose.sign(CLOUD_SIGNER, ContentType.COMMAND, subject_of(VIN, Domain.COMMAND), payload)

    assert refused(stand, stand.car.seal_to(data)) in {Fault.MALFORMED, Fault.WRONG_TYPE}


def test_a_command_without_an_id(stand: Stand) -> None:
    assert refused(stand, stand.car.forge(unlock(""))) is Fault.MALFORMED
    assert refused(stand, stand.car.forge(unlock("x" * 129))) is Fault.MALFORMED

"""What the cloud accepts of a vehicle's answers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ecarus.remotecontrol.vehicle.v1 import command_pb2, report_pb2

from protocol import cose
from protocol.domains import ContentType, Domain, subject_of
from protocol.faults import Fault, MessageRefused
from protocol.keys import OpenKeys, SealKey
from protocol.seal import Direction, seal, unseal
from protocol.vehicle_side import AcceptedOrder, KnownOrder, OutgoingEnvelope
from tests.support.stand import (
    CLOUD_SEAL,
    OTHER_VIN,
    OWNER,
    VIN,
    Stand,
    cancellation,
    public,
    signer,
    succeeded,
)


def refusal(stand: Stand, data: bytes, domain: Domain = Domain.RESULT, vin: str = VIN) -> Fault:
    with pytest.raises(MessageRefused) as caught:
        stand.cloud.open_answer(vin, domain, data)
    return caught.value.fault


def resealed(stand: Stand, outgoing: OutgoingEnvelope, **changes: object) -> bytes:
    """The answer signed anew by the car with other fields."""
    inner = unseal(outgoing.data, OpenKeys(CLOUD_SEAL), Direction.TO_CLOUD, VIN)
    signed = replace(cose.decode(inner), **changes)  # type: ignore[arg-type]  # named by each test
    subject = subject_of(VIN, outgoing.domain)
    envelope = cose.sign(stand.car.signer, signed.content_type, subject, signed.payload)
    return seal(envelope, SealKey.of(public(CLOUD_SEAL)), Direction.TO_CLOUD, VIN)


def test_a_result(stand: Stand) -> None:
    opened = stand.cloud.open_answer(VIN, Domain.RESULT, stand.answered().data)

    assert opened.answer == succeeded("cmd-1")
    assert (opened.message_id, opened.issued.command_id) == ("msg-1", "cmd-1")


def test_a_result_twice(stand: Stand) -> None:
    data = stand.answered().data
    stand.cloud.open_answer(VIN, Domain.RESULT, data)

    assert refusal(stand, data) is Fault.COUNTER_NOT_NEW


def test_a_rolled_back_transaction_lets_it_come_again(stand: Stand) -> None:
    data = stand.answered().data
    before = stand.store.sessions[VIN]
    stand.cloud.open_answer(VIN, Domain.RESULT, data)
    stand.store.sessions[VIN] = before

    assert stand.cloud.open_answer(VIN, Domain.RESULT, data).message_id == "msg-1"


def test_answers_that_overtake_each_other(stand: Stand) -> None:
    answers = [stand.answered(f"cmd-{n}", f"msg-{n}") for n in range(10)]

    for outgoing in reversed(answers):
        stand.cloud.open_answer(VIN, Domain.RESULT, outgoing.data)
    for outgoing in answers:
        assert refusal(stand, outgoing.data) is Fault.COUNTER_NOT_NEW


def test_a_result_signed_again_after_a_reboot(stand: Stand) -> None:
    taken = stand.accepted()
    stand.car.boot()
    stand.greet()

    again = stand.car.side.seal_answer("msg-1", taken.request_hash, succeeded("cmd-1"))

    assert stand.cloud.open_answer(VIN, Domain.RESULT, again.data).message_id == "msg-1"


def test_a_result_of_before_a_reboot_that_arrives_after_it(stand: Stand) -> None:
    data = stand.answered().data
    stand.car.boot()
    stand.greet()

    stand.cloud.open_answer(VIN, Domain.RESULT, data)
    assert refusal(stand, data) is Fault.COUNTER_NOT_NEW


def test_a_result_before_the_hello_of_its_epoch_waits_for_it(stand: Stand) -> None:
    taken = stand.accepted()
    stand.car.boot()
    data = stand.car.side.seal_answer("msg-1", taken.request_hash, succeeded("cmd-1")).data

    assert refusal(stand, data) is Fault.WRONG_EPOCH
    stand.greet()
    stand.cloud.open_answer(VIN, Domain.RESULT, data)


def test_a_result_of_any_of_the_signatures_of_a_command(stand: Stand) -> None:
    stand.accepted()
    again = stand.car.receive(stand.command())
    assert isinstance(again, KnownOrder)

    data = stand.car.side.seal_answer("msg-1", again.request_hash, succeeded("cmd-1")).data

    assert stand.cloud.open_answer(VIN, Domain.RESULT, data).issued.command_id == "cmd-1"


def test_a_result_for_another_command(stand: Stand) -> None:
    taken = stand.accepted("cmd-1")
    swapped = stand.car.side.seal_answer("msg-1", taken.request_hash, succeeded("cmd-2"))

    assert refusal(stand, swapped.data) is Fault.WRONG_REQUEST


@pytest.mark.parametrize("request_hash", [b"", bytes(32), b"x" * 31])
def test_a_result_for_nothing_that_was_asked(stand: Stand, request_hash: bytes) -> None:
    stand.accepted()
    forged = stand.car.side.seal_answer("msg-1", request_hash, succeeded("cmd-1"))

    assert refusal(stand, forged.data) is Fault.WRONG_REQUEST


def test_a_result_of_another_car(stand: Stand) -> None:
    taken = stand.accepted()
    theirs = stand.other.side.seal_answer("msg-1", taken.request_hash, succeeded("cmd-1"))

    assert refusal(stand, theirs.data) is Fault.NOT_FOR_US
    assert refusal(stand, theirs.data, vin=OTHER_VIN) is Fault.WRONG_REQUEST


def test_a_result_signed_by_a_stranger(stand: Stand) -> None:
    stand.car.signer = signer("stranger")
    stand.car.boot()
    taken = stand.car.receive(stand.command())
    assert not isinstance(taken, AcceptedOrder)
    data = stand.car.side.seal_answer("msg-1", bytes(32), succeeded("cmd-1")).data

    assert refusal(stand, data) is Fault.UNKNOWN_KEY


def test_a_car_that_is_not_enrolled_any_more(stand: Stand) -> None:
    data = stand.answered().data
    del stand.store.cars[VIN]

    assert refusal(stand, data) is Fault.UNKNOWN_KEY


def test_a_result_on_another_subject(stand: Stand) -> None:
    data = stand.answered().data

    assert refusal(stand, data, Domain.RECEIVED) is Fault.BAD_SIGNATURE
    assert refusal(stand, data, Domain.CANCELLED) is Fault.BAD_SIGNATURE


def test_an_order_sent_back_as_an_answer(stand: Stand) -> None:
    assert refusal(stand, stand.command()) is Fault.NOT_FOR_US


def test_a_result_mislabelled(stand: Stand) -> None:
    outgoing = stand.answered()

    assert refusal(stand, resealed(stand, outgoing, content_type=ContentType.RECEIVED)) is Fault.WRONG_TYPE
    assert refusal(stand, resealed(stand, outgoing, content_type=ContentType.FAULT)) is Fault.WRONG_TYPE
    assert refusal(stand, resealed(stand, outgoing, payload=b"\xff")) is Fault.MALFORMED


def test_every_kind_of_answer(stand: Stand) -> None:
    taken = stand.accepted()
    settings = command_pb2.ApplyConfig(version=2)
    applied = stand.car.receive(stand.cloud.seal_order(VIN, settings, OWNER, 60_000), Domain.CONFIG)
    cancelled = stand.car.receive(stand.cloud.seal_order(VIN, cancellation(), OWNER, 60_000), Domain.CANCEL)
    assert isinstance(applied, AcceptedOrder)
    assert isinstance(cancelled, AcceptedOrder)

    for request_hash, answer in (
        (taken.request_hash, report_pb2.CommandReceived(command_id="cmd-1")),
        (taken.request_hash, succeeded("cmd-1")),
        (applied.request_hash, report_pb2.ConfigReport(version=2, applied=True)),
        (
            cancelled.request_hash,
            report_pb2.CancelResult(
                cancel_id="can-1", command_id="cmd-1", outcome=report_pb2.CANCEL_OUTCOME_TOO_LATE
            ),
        ),
    ):
        outgoing = stand.car.side.seal_answer("msg-1", request_hash, answer)
        assert stand.cloud.open_answer(VIN, outgoing.domain, outgoing.data).answer == answer


def test_a_tombstone_answers_for_a_command_that_never_arrived_but_never_with_a_success(stand: Stand) -> None:
    stand.command("cmd-1")
    tombstone = stand.car.receive(
        stand.cloud.seal_order(VIN, cancellation("cmd-1"), OWNER, 60_000), Domain.CANCEL
    )
    assert isinstance(tombstone, AcceptedOrder)
    cancelled = report_pb2.CommandResult(command_id="cmd-1", outcome=report_pb2.COMMAND_OUTCOME_CANCELLED)

    accepted = stand.car.side.seal_answer("msg-1", tombstone.request_hash, cancelled)
    impossible = stand.car.side.seal_answer("msg-2", tombstone.request_hash, succeeded("cmd-1"))

    assert stand.cloud.open_answer(VIN, Domain.RESULT, accepted.data).answer == cancelled
    assert refusal(stand, impossible.data) is Fault.WRONG_REQUEST


def test_a_cancellation_is_answered_by_its_own_id(stand: Stand) -> None:
    tombstone = stand.car.receive(stand.cloud.seal_order(VIN, cancellation(), OWNER, 60_000), Domain.CANCEL)
    assert isinstance(tombstone, AcceptedOrder)
    other = report_pb2.CancelResult(cancel_id="can-2", command_id="cmd-1")
    data = stand.car.side.seal_answer("msg-1", tombstone.request_hash, other).data

    assert refusal(stand, data, Domain.CANCELLED) is Fault.WRONG_REQUEST


def test_a_refusal_is_not_learned_from_twice(stand: Stand) -> None:
    data = stand.command()
    stand.clock.advance(30)
    faulted = stand.car.side.open_order(Domain.COMMAND, data)
    assert not isinstance(faulted, AcceptedOrder | KnownOrder)
    assert faulted.answer is not None
    stand.cloud.open_answer(VIN, Domain.RESULT, faulted.answer.data)
    lead = stand.store.sessions[VIN].clock_lead_millis
    stand.clock.advance(20)

    assert refusal(stand, faulted.answer.data) is Fault.COUNTER_NOT_NEW
    assert stand.store.sessions[VIN].clock_lead_millis == lead


def test_nothing_of_an_answer_shows(stand: Stand) -> None:
    data = stand.answered().data

    assert VIN.encode() not in data
    assert b"cmd-1" not in data

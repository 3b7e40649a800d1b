"""What the cloud accepts of a vehicle's answers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ecarus.remotecontrol.vehicle.v1 import command_pb2, report_pb2

from protocol import cose
from protocol.domains import ContentType, Domain, subject_of
from protocol.faults import Fault, MessageRefusedError
from protocol.keys import OpenKeys, SealKey
from protocol.seal import Direction, seal, unseal
from protocol.vehicle_side import AcceptedOrder, KnownOrder, OutgoingEnvelope
from tests.support.protocol_harness import (
    CLOUD_SEAL,
    OTHER_VIN,
    OWNER,
    VIN,
    ProtocolHarness,
    cancellation,
    public,
    signer,
    succeeded,
)


def refusal(harness: ProtocolHarness, data: bytes, domain: Domain = Domain.RESULT, vin: str = VIN) -> Fault:
    with pytest.raises(MessageRefusedError) as caught:
        harness.cloud.open_answer(vin, domain, data)
    return caught.value.fault


def resealed(harness: ProtocolHarness, outgoing: OutgoingEnvelope, **changes: object) -> bytes:
    """The answer signed anew by the car with other fields."""
    inner = unseal(outgoing.data, OpenKeys(CLOUD_SEAL), Direction.TO_CLOUD, VIN)
    signed = replace(cose.decode(inner), **changes)  # type: ignore[arg-type]  # named by each test
    subject = subject_of(VIN, outgoing.domain)
    envelope = cose.sign(harness.car.signer, signed.content_type, subject, signed.payload)
    return seal(envelope, SealKey.of(public(CLOUD_SEAL)), Direction.TO_CLOUD, VIN)


def test_a_result(harness: ProtocolHarness) -> None:
    opened = harness.cloud.open_answer(VIN, Domain.RESULT, harness.answered().data)

    assert opened.answer == succeeded("cmd-1")
    assert (opened.message_id, opened.issued.command_id) == ("msg-1", "cmd-1")


def test_a_result_twice(harness: ProtocolHarness) -> None:
    data = harness.answered().data
    harness.cloud.open_answer(VIN, Domain.RESULT, data)

    assert refusal(harness, data) is Fault.COUNTER_NOT_NEW


def test_a_rolled_back_transaction_lets_it_come_again(harness: ProtocolHarness) -> None:
    data = harness.answered().data
    before = harness.store.sessions[VIN]
    harness.cloud.open_answer(VIN, Domain.RESULT, data)
    harness.store.sessions[VIN] = before

    assert harness.cloud.open_answer(VIN, Domain.RESULT, data).message_id == "msg-1"


def test_answers_that_overtake_each_other(harness: ProtocolHarness) -> None:
    answers = [harness.answered(f"cmd-{n}", f"msg-{n}") for n in range(10)]

    for outgoing in reversed(answers):
        harness.cloud.open_answer(VIN, Domain.RESULT, outgoing.data)
    for outgoing in answers:
        assert refusal(harness, outgoing.data) is Fault.COUNTER_NOT_NEW


def test_a_result_signed_again_after_a_reboot(harness: ProtocolHarness) -> None:
    taken = harness.accepted()
    harness.car.boot()
    harness.greet()

    again = harness.car.side.seal_answer("msg-1", taken.request_hash, succeeded("cmd-1"))

    assert harness.cloud.open_answer(VIN, Domain.RESULT, again.data).message_id == "msg-1"


def test_a_result_of_before_a_reboot_that_arrives_after_it(harness: ProtocolHarness) -> None:
    data = harness.answered().data
    harness.car.boot()
    harness.greet()

    harness.cloud.open_answer(VIN, Domain.RESULT, data)
    assert refusal(harness, data) is Fault.COUNTER_NOT_NEW


def test_a_result_before_the_hello_of_its_epoch_waits_for_it(harness: ProtocolHarness) -> None:
    taken = harness.accepted()
    harness.car.boot()
    data = harness.car.side.seal_answer("msg-1", taken.request_hash, succeeded("cmd-1")).data

    assert refusal(harness, data) is Fault.WRONG_EPOCH
    harness.greet()
    harness.cloud.open_answer(VIN, Domain.RESULT, data)


def test_a_result_of_any_of_the_signatures_of_a_command(harness: ProtocolHarness) -> None:
    harness.accepted()
    again = harness.car.receive(harness.command())
    assert isinstance(again, KnownOrder)

    data = harness.car.side.seal_answer("msg-1", again.request_hash, succeeded("cmd-1")).data

    assert harness.cloud.open_answer(VIN, Domain.RESULT, data).issued.command_id == "cmd-1"


def test_a_result_for_another_command(harness: ProtocolHarness) -> None:
    taken = harness.accepted("cmd-1")
    swapped = harness.car.side.seal_answer("msg-1", taken.request_hash, succeeded("cmd-2"))

    assert refusal(harness, swapped.data) is Fault.WRONG_REQUEST


@pytest.mark.parametrize("request_hash", [b"", bytes(32), b"x" * 31])
def test_a_result_for_nothing_that_was_asked(harness: ProtocolHarness, request_hash: bytes) -> None:
    harness.accepted()
    forged = harness.car.side.seal_answer("msg-1", request_hash, succeeded("cmd-1"))

    assert refusal(harness, forged.data) is Fault.WRONG_REQUEST


def test_a_result_of_another_car(harness: ProtocolHarness) -> None:
    taken = harness.accepted()
    theirs = harness.other.side.seal_answer("msg-1", taken.request_hash, succeeded("cmd-1"))

    assert refusal(harness, theirs.data) is Fault.NOT_FOR_US
    assert refusal(harness, theirs.data, vin=OTHER_VIN) is Fault.WRONG_REQUEST


def test_a_result_signed_by_a_stranger(harness: ProtocolHarness) -> None:
    harness.car.signer = signer("stranger")
    harness.car.boot()
    taken = harness.car.receive(harness.command())
    assert not isinstance(taken, AcceptedOrder)
    data = harness.car.side.seal_answer("msg-1", bytes(32), succeeded("cmd-1")).data

    assert refusal(harness, data) is Fault.UNKNOWN_KEY


def test_a_car_that_is_not_enrolled_any_more(harness: ProtocolHarness) -> None:
    data = harness.answered().data
    del harness.store.cars[VIN]

    assert refusal(harness, data) is Fault.UNKNOWN_KEY


def test_a_result_on_another_subject(harness: ProtocolHarness) -> None:
    data = harness.answered().data

    assert refusal(harness, data, Domain.RECEIVED) is Fault.BAD_SIGNATURE
    assert refusal(harness, data, Domain.CANCELLED) is Fault.BAD_SIGNATURE


def test_an_order_sent_back_as_an_answer(harness: ProtocolHarness) -> None:
    assert refusal(harness, harness.command()) is Fault.NOT_FOR_US


def test_a_result_mislabelled(harness: ProtocolHarness) -> None:
    outgoing = harness.answered()

    assert (
        refusal(harness, resealed(harness, outgoing, content_type=ContentType.RECEIVED)) is Fault.WRONG_TYPE
    )
    assert refusal(harness, resealed(harness, outgoing, content_type=ContentType.FAULT)) is Fault.WRONG_TYPE
    assert refusal(harness, resealed(harness, outgoing, payload=b"\xff")) is Fault.MALFORMED


def test_every_kind_of_answer(harness: ProtocolHarness) -> None:
    taken = harness.accepted()
    settings = command_pb2.ApplyConfig(version=2)
    applied = harness.car.receive(harness.cloud.seal_order(VIN, settings, OWNER, 60_000), Domain.CONFIG)
    cancelled = harness.car.receive(
        harness.cloud.seal_order(VIN, cancellation(), OWNER, 60_000), Domain.CANCEL
    )
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
        outgoing = harness.car.side.seal_answer("msg-1", request_hash, answer)
        assert harness.cloud.open_answer(VIN, outgoing.domain, outgoing.data).answer == answer


def test_a_tombstone_answers_for_a_command_that_never_arrived_but_never_with_a_success(
    harness: ProtocolHarness,
) -> None:
    harness.command("cmd-1")
    tombstone = harness.car.receive(
        harness.cloud.seal_order(VIN, cancellation("cmd-1"), OWNER, 60_000), Domain.CANCEL
    )
    assert isinstance(tombstone, AcceptedOrder)
    cancelled = report_pb2.CommandResult(command_id="cmd-1", outcome=report_pb2.COMMAND_OUTCOME_CANCELLED)

    accepted = harness.car.side.seal_answer("msg-1", tombstone.request_hash, cancelled)
    impossible = harness.car.side.seal_answer("msg-2", tombstone.request_hash, succeeded("cmd-1"))

    assert harness.cloud.open_answer(VIN, Domain.RESULT, accepted.data).answer == cancelled
    assert refusal(harness, impossible.data) is Fault.WRONG_REQUEST


def test_a_cancellation_is_answered_by_its_own_id(harness: ProtocolHarness) -> None:
    tombstone = harness.car.receive(
        harness.cloud.seal_order(VIN, cancellation(), OWNER, 60_000), Domain.CANCEL
    )
    assert isinstance(tombstone, AcceptedOrder)
    other = report_pb2.CancelResult(cancel_id="can-2", command_id="cmd-1")
    data = harness.car.side.seal_answer("msg-1", tombstone.request_hash, other).data

    assert refusal(harness, data, Domain.CANCELLED) is Fault.WRONG_REQUEST


def test_a_refusal_is_not_learned_from_twice(harness: ProtocolHarness) -> None:
    data = harness.command()
    harness.clock.advance(30)
    faulted = harness.car.side.open_order(Domain.COMMAND, data)
    assert not isinstance(faulted, AcceptedOrder | KnownOrder)
    assert faulted.answer is not None
    harness.cloud.open_answer(VIN, Domain.RESULT, faulted.answer.data)
    lead = harness.store.sessions[VIN].clock_lead_millis
    harness.clock.advance(20)

    assert refusal(harness, faulted.answer.data) is Fault.COUNTER_NOT_NEW
    assert harness.store.sessions[VIN].clock_lead_millis == lead


def test_nothing_of_an_answer_shows(harness: ProtocolHarness) -> None:
    data = harness.answered().data

    assert VIN.encode() not in data
    assert b"cmd-1" not in data

"""What the kit's cloud signs, forges and accepts, against the protocol's own vehicle side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.vehicle.v1 import report_pb2, session_pb2

from conformance.forge import Impostor, Mutation, flips, stranger, stranger_to_seal_to
from protocol.domains import ContentType, Domain, subject_of
from protocol.faults import Fault
from protocol.seal import MAX_SEALED_BYTES, Direction
from protocol.subjects import EventKind
from protocol.vehicle_side import AcceptedOrder, RefusedOrder
from tests.support.protocol_harness import OTHER_VIN, succeeded, unlock

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.conformance.conftest import Kit

WRONGS: list[tuple[Fault, Callable[[Kit], Mutation]]] = [
    (Fault.UNKNOWN_KEY, lambda _: Mutation(signer=stranger())),
    (Fault.EXPIRED_KEY, lambda kit: Mutation(signer=kit.keys.all("sign")[1].signer)),
    (Fault.REVOKED_KEY, lambda kit: Mutation(signer=kit.keys.all("sign")[2].signer)),
    (Fault.BAD_SIGNATURE, lambda kit: Mutation(signer=Impostor(stranger(), kit.cloud.signer.key_id))),
    (Fault.BAD_SIGNATURE, lambda _: Mutation(subject=subject_of(OTHER_VIN, Domain.COMMAND))),
    (Fault.WRONG_TYPE, lambda _: Mutation(content_type=ContentType.RESULT)),
    (Fault.WRONG_DOMAIN, lambda _: Mutation(content_type=ContentType.CONFIG)),
    (Fault.WRONG_VEHICLE, lambda _: Mutation(vin=OTHER_VIN)),
    (Fault.WRONG_EPOCH, lambda _: Mutation(epoch=bytes(16))),
    (Fault.EXPIRED, lambda _: Mutation(left_millis=0)),
    (Fault.VALID_TOO_LONG, lambda _: Mutation(left_millis=30_001)),
    (Fault.COUNTER_NOT_NEW, lambda _: Mutation(counter=0)),
    (Fault.COUNTER_TOO_LARGE, lambda _: Mutation(counter=2**48)),
    (Fault.ROLE_NOT_ALLOWED, lambda _: Mutation(role=session_pb2.ROLE_UNSPECIFIED)),
    (Fault.MALFORMED, lambda _: Mutation(unsigned=True)),
    (Fault.NOT_FOR_US, lambda _: Mutation(receiver=stranger_to_seal_to())),
    (Fault.NOT_FOR_US, lambda _: Mutation(direction=Direction.TO_CLOUD)),
]


def test_a_good_order_is_accepted(kit: Kit) -> None:
    assert isinstance(kit.car.receive(kit.cloud.sign(unlock()).data), AcceptedOrder)
    assert isinstance(
        kit.car.receive(kit.cloud.sign(unlock("cmd-2"), Mutation(left_millis=30_000)).data), AcceptedOrder
    )


@pytest.mark.parametrize(("fault", "mutation"), WRONGS)
def test_a_forgery_has_exactly_its_fault(kit: Kit, fault: Fault, mutation: Callable[[Kit], Mutation]) -> None:
    opened = kit.car.receive(kit.cloud.sign(unlock(), mutation(kit)).data)
    assert isinstance(opened, RefusedOrder)
    assert opened.fault is fault


def test_an_order_for_another_subject_counts_as_issued_there(kit: Kit) -> None:
    signed = kit.cloud.sign(unlock(), domain=Domain.CANCEL)
    opened = kit.car.receive(signed.data, Domain.CANCEL)
    assert isinstance(opened, RefusedOrder)
    assert opened.fault is Fault.WRONG_DOMAIN
    assert opened.answer is not None
    received = kit.cloud.receive(EventKind.CANCEL, opened.answer.data)
    assert received is not None
    assert received.request_hash == signed.request_hash


def test_more_than_a_message_may_have_can_be_sealed(kit: Kit) -> None:
    order = unlock()
    order.correlation_id = "x" * MAX_SEALED_BYTES
    opened = kit.car.receive(kit.cloud.sign(order).data)
    assert isinstance(opened, RefusedOrder)
    assert opened.fault is Fault.TOO_LARGE


def test_flips_differ_in_one_bit_each_and_spare_what_they_are_told(kit: Kit) -> None:
    data = kit.cloud.sign(unlock()).envelope
    spare = range(10, 40)
    copies = list(flips(data, 24, spare))
    assert len(set(copies)) == 24
    for copy in copies:
        mutation = [place for place in range(len(data)) if copy[place] != data[place]]
        assert len(mutation) == 1
        assert mutation[0] not in spare
        assert (copy[mutation[0]] ^ data[mutation[0]]).bit_count() == 1
    assert copies[0][0] != data[0]
    assert copies[-1][-1] != data[-1]


def answer_to(kit: Kit, command_id: str = "cmd-1") -> tuple[Any, bytes]:
    signed = kit.cloud.sign(unlock(command_id))
    kit.car.receive(signed.data)
    return signed, kit.car.side.seal_answer("msg-1", signed.request_hash, succeeded(command_id)).data


def test_an_answer_is_filed_under_its_order(kit: Kit) -> None:
    signed, data = answer_to(kit)
    received = kit.cloud.receive(EventKind.RESULT, data, stored=False)
    assert received is not None
    assert kit.cloud.answers(signed.request_hash) == [received]
    assert not kit.cloud.is_stored(received)
    assert kit.cloud.receive(EventKind.RESULT, data) is None
    assert kit.cloud.is_stored(received)
    assert kit.cloud.answers(signed.request_hash) == [received]


def test_what_no_cloud_believes_is_remembered(kit: Kit) -> None:
    _signed, data = answer_to(kit)
    assert kit.cloud.receive(EventKind.CANCEL, data) is None
    assert kit.cloud.receive(EventKind.RESULT, b"noise") is None
    assert [said.split(":")[1].strip() for said in kit.cloud.rejected] == ["BAD_SIGNATURE", "MALFORMED"]


def test_what_comes_before_its_hello_waits_for_it(kit: Kit) -> None:
    signed = kit.cloud.sign(unlock())
    kit.car.boot()
    data = kit.car.side.seal_answer("msg-1", signed.request_hash, succeeded("cmd-1")).data
    said = report_pb2.StatusReport(boot_id="boot-1", doors=[{"door": 1}])
    said.observed_at.GetCurrentTime()
    report = kit.car.side.seal_report(said).data
    assert kit.cloud.receive(EventKind.RESULT, data) is None
    assert kit.cloud.receive(EventKind.STATUS, report) is None
    assert kit.cloud.unannounced == 2
    kit.cloud.receive(EventKind.HELLO, kit.car.hello())
    assert kit.cloud.unannounced == 0
    assert [one.event for one in kit.cloud.received] == [
        EventKind.HELLO,
        EventKind.HELLO,
        EventKind.RESULT,
        EventKind.STATUS,
    ]
    assert not kit.cloud.rejected


def test_a_nonce_that_is_used_twice_is_seen(kit: Kit) -> None:
    first = kit.car.side.seal_report(report_pb2.StatusReport(sequence=1)).data
    kit.cloud.receive(EventKind.STATUS, first)
    kit.cloud.receive(EventKind.STATUS, first)
    assert not kit.cloud.reused_counters
    kit.cloud.receive(EventKind.STATUS, first[:-1] + bytes([first[-1] ^ 1]))
    assert len(kit.cloud.reused_counters) == 1

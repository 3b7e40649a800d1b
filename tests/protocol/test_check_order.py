"""The order in which a vehicle checks: what is wrong in several ways has the fault of the first check."""

from __future__ import annotations

from typing import Any

import pytest
from ecarus.remotecontrol.vehicle.v1 import session_pb2

from protocol.domains import MAX_COUNTER, Domain
from protocol.faults import ANSWERED, SYNCHRONISATION, Fault
from protocol.vehicle_side import AcceptedOrder, KnownOrder, RefusedOrder
from tests.support.protocol_harness import OTHER_VIN, ProtocolHarness, signer, unlock

WRONG_FROM_THE_LAST_CHECK_BACK: list[tuple[dict[str, Any], Fault]] = [
    ({"role": 0}, Fault.ROLE_NOT_ALLOWED),
    ({"counter": 5}, Fault.COUNTER_NOT_NEW),
    ({"counter": MAX_COUNTER + 1}, Fault.COUNTER_TOO_LARGE),
    ({"expires_at_millis": 0}, Fault.EXPIRED),
    ({"expires_at_millis": 999_999}, Fault.VALID_TOO_LONG),
    ({"epoch": bytes(16)}, Fault.WRONG_EPOCH),
    ({"vin": OTHER_VIN}, Fault.WRONG_VEHICLE),
    ({"content_type": "rdc-config+v1"}, Fault.WRONG_DOMAIN),
    ({"content_type": "something"}, Fault.WRONG_TYPE),
    ({"subject": b"vehicle.X.cmd.door"}, Fault.BAD_SIGNATURE),
    ({"by": signer("stranger")}, Fault.UNKNOWN_KEY),
]


@pytest.mark.parametrize("checks", range(1, len(WRONG_FROM_THE_LAST_CHECK_BACK) + 1))
def test_the_first_check_that_fails_speaks(harness: ProtocolHarness, checks: int) -> None:
    harness.car.receive(harness.car.forge(unlock("earlier"), counter=5))
    wrong: dict[str, Any] = {"counter": 6}
    for more, _ in WRONG_FROM_THE_LAST_CHECK_BACK[:checks]:
        wrong |= more

    opened = harness.car.receive(harness.car.forge(unlock("late"), **wrong))

    assert isinstance(opened, RefusedOrder)
    assert opened.fault is WRONG_FROM_THE_LAST_CHECK_BACK[checks - 1][1]


def test_known_comes_before_epoch_expiry_counter_and_role(harness: ProtocolHarness) -> None:
    harness.accepted("cmd-1")
    wrong = harness.car.forge(unlock("cmd-1"), epoch=bytes(16), expires_at_millis=0, counter=0, role=0)

    assert isinstance(harness.car.receive(wrong), KnownOrder)
    assert harness.car.actuations == ["cmd-1"]


def test_known_comes_after_key_and_signature(harness: ProtocolHarness) -> None:
    harness.accepted("cmd-1")

    opened = harness.car.receive(harness.car.forge(unlock("cmd-1"), by=signer("stranger")))

    assert isinstance(opened, RefusedOrder)


def test_a_refused_order_spends_no_counter_before_its_turn(harness: ProtocolHarness) -> None:
    harness.car.receive(harness.car.forge(unlock("a"), counter=100, expires_at_millis=0))

    assert isinstance(harness.car.receive(harness.car.forge(unlock("b"), counter=1)), AcceptedOrder)


def test_the_codes_are_those_of_the_contract() -> None:
    published = {
        name.removeprefix("PROTOCOL_FAULT_"): number for name, number in session_pb2.ProtocolFault.items()
    }

    assert published == {"UNSPECIFIED": 0} | {fault.name: fault.value for fault in Fault}


@pytest.mark.parametrize(("wrong", "fault"), WRONG_FROM_THE_LAST_CHECK_BACK)
def test_who_gets_an_answer(harness: ProtocolHarness, wrong: dict[str, Any], fault: Fault) -> None:
    harness.car.receive(harness.car.forge(unlock("earlier"), counter=5))

    opened = harness.car.receive(harness.car.forge(unlock("late"), **({"counter": 6} | wrong)))

    assert isinstance(opened, RefusedOrder)
    assert (opened.answer is not None) == (fault in ANSWERED)
    if opened.answer:
        assert opened.answer.domain is Domain.RESULT


def test_what_is_out_of_step_is_always_answered() -> None:
    assert SYNCHRONISATION < ANSWERED

"""What is said of a unit that does not obey a good order."""

from __future__ import annotations

from typing import Any

import pytest
from ecarus.remotecontrol.vehicle.v1 import report_pb2, session_pb2

from conformance.finding import RuleViolatedError
from conformance.orders import lock
from conformance.unit import Unit


class Refusing:
    """The part of a unit that answers."""

    def __init__(self, payload: Any) -> None:
        self._payload = payload

    async def obeys(self, _order: Any, _by: Any = None) -> Any:
        return self._payload

    async def result(self, _signed: Any, _seconds: float | None = None) -> Any:
        return self._payload

    async def order(self, _order: Any, _wrong: Any) -> None:
        return

    async def answer(self, _signed: Any) -> Any:
        return self

    @property
    def payload(self) -> Any:
        return self._payload


def result(guidance: str) -> report_pb2.CommandResult:
    return report_pb2.CommandResult(
        outcome=report_pb2.COMMAND_OUTCOME_REFUSED,
        fault=report_pb2.FAULT_CODE_DOOR_OPEN,
        guidance=guidance,
    )


@pytest.mark.parametrize(
    ("guidance", "said"),
    [
        ("Shut the trunk.", "a good order ended as REFUSED, DOOR_OPEN: Shut the trunk."),
        ("", "a good order ended as REFUSED, DOOR_OPEN: it gives no guidance"),
    ],
)
async def test_a_refused_good_order_names_its_fault_and_guidance(guidance: str, said: str) -> None:
    unit: Any = Refusing(result(guidance))
    for asked in (Unit.does(unit, lock()), Unit.succeeds(unit, unit)):
        with pytest.raises(RuleViolatedError) as violated:
            await asked
        assert str(violated.value) == said


async def test_a_good_order_that_the_protocol_refused_names_the_fault() -> None:
    unit: Any = Refusing(session_pb2.OrderRefused(fault=session_pb2.PROTOCOL_FAULT_WRONG_VEHICLE))
    with pytest.raises(RuleViolatedError, match="a good order was refused as WRONG_VEHICLE"):
        await Unit.obeys(unit, lock())

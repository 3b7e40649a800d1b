"""What a cloud takes of what a unit says, once it is accepted: times, ids, ranges, and parts that fit together.

The rules of single members stand in the contract (protovalidate, in proto/.../vehicle/v1); what more than one member
must fulfil stands here. It is what the product takes, and not a whit more (tests/unit/conformance/test_acceptance.py).
What the product cuts or leaves out of a message is unacceptable here: a unit is certified for what all of it is worth.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import protovalidate
from ecarus.remotecontrol.vehicle.v1 import body_pb2, report_pb2, session_pb2

from protocol.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_validator = protovalidate.Validator()
_DOORS = set(body_pb2.DoorId.values()) - {body_pb2.DOOR_ID_UNSPECIFIED}
_COMMANDED = _DOORS - {body_pb2.DOOR_ID_HOOD}
_CANCEL_OUTCOMES = set(report_pb2.CancelOutcome.values()) - {report_pb2.CANCEL_OUTCOME_UNSPECIFIED}
_PROTOCOL_FAULTS = {int(fault) for fault in Fault}
_FAULTS = set(report_pb2.FaultCode.values()) - {report_pb2.FAULT_CODE_UNSPECIFIED}


def unacceptable(message: Any) -> list[str]:
    """Return what a cloud would not take of it; empty where it takes all."""
    broken = list(_broken(message))
    return broken or list(_unfit(message))


def _broken(message: Any) -> Iterator[str]:
    try:
        violations = _validator.collect_violations(message)
    except (ValueError, OverflowError) as error:  # a time beyond what the validator can compute with
        yield f"a value that is none: {error}"
        return
    for violation in violations:
        place = violation.proto.field
        names = [element.field_name for element in place.elements] if place is not None else []
        yield f"{'.'.join(names) or 'message'}: {violation.proto.message}"


def _unfit(message: Any) -> Iterable[str]:
    found: Iterable[str] = ()
    match message:
        case session_pb2.SignedAnswer():
            field = message.WhichOneof("answer")
            found = _unfit(getattr(message, field)) if field else ()
        case report_pb2.StatusReport():
            found = _status(message)
        case report_pb2.DiagnosticsReport():
            found = _diagnostics(message)
        case report_pb2.CommandResult():
            found = _result(message)
        case report_pb2.CancelResult() if message.outcome not in _CANCEL_OUTCOMES:
            found = ["a cancellation without an outcome"]
        case session_pb2.OrderRefused() if message.fault not in _PROTOCOL_FAULTS:
            found = [f"fault number {message.fault}"]
    return found


def _status(report: report_pb2.StatusReport) -> Iterator[str]:
    doors = Counter(one.door for one in report.doors)
    if not doors.keys() <= _DOORS:
        yield "a door that is none"
    if any(times > 1 for times in doors.values()):
        yield "a door twice"


def _diagnostics(report: report_pb2.DiagnosticsReport) -> Iterator[str]:
    if any(times > 1 for times in Counter(one.component_id for one in report.components).values()):
        yield "two components with one id"


def _result(result: report_pb2.CommandResult) -> Iterator[str]:
    if result.HasField("status"):
        yield from unacceptable(result.status)
    if any(one.door not in _COMMANDED for one in result.doors):
        yield "a door that no command can name"
    if any(not one.succeeded and one.fault not in _FAULTS for one in result.doors):
        yield "a door that failed without a fault"
    yield from _outcome(result)


def _outcome(result: report_pb2.CommandResult) -> Iterator[str]:
    succeeded = [one.succeeded for one in result.doors]
    match result.outcome:
        case report_pb2.COMMAND_OUTCOME_SUCCEEDED:
            if not succeeded or not all(succeeded):
                yield "a success without every door's success"
        case report_pb2.COMMAND_OUTCOME_PARTIAL:
            if all(succeeded) or not any(succeeded):
                yield "a partial success that is not one"
        case report_pb2.COMMAND_OUTCOME_FAILED | report_pb2.COMMAND_OUTCOME_REFUSED:
            if result.fault not in _FAULTS:
                yield "a failure without a fault"
        case report_pb2.COMMAND_OUTCOME_CANCELLED:
            return
        case _:
            yield "a result without an outcome"

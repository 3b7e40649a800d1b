"""`doorctl fleet`: why commands failed in the whole fleet. It tells of no vehicle and no person."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer
from ecarus.remotecontrol.access.v1 import fleet_review_service_pb2 as contract
from ecarus.remotecontrol.door.v1 import door_command_pb2, door_failure_pb2, fleet_failure_pb2

from doorctl.access import AsJson, show
from doorctl.operator_channel import OperationError, Operator
from doorctl.text import fail

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ecarus.remotecontrol.door.v1.fleet_failure_pb2 import FleetFailures

commands = typer.Typer(
    no_args_is_help=True, help="The whole fleet, without telling of a vehicle or a person."
)
_RPC = "ecarus.remotecontrol.access.v1.FleetReviewService/ReviewFleetFailures"
_PERIODS = ("7d", "30d", "90d")


@commands.callback()
def main() -> None:
    """Keep `failures` a command of its own: there will be others."""


@commands.command()
def failures(
    period: Annotated[str, typer.Option(help=", ".join(_PERIODS))] = "30d",
    model: Annotated[str | None, typer.Option(help="only vehicles of this model")] = None,
    as_json: AsJson = False,
) -> None:
    """Show why lock and unlock commands failed, by cause, door, component and model."""
    if period not in _PERIODS:
        raise typer.BadParameter(f"{period!r} is none of {', '.join(_PERIODS)}")
    request = contract.ReviewFleetFailuresRequest(period=period, model=model)
    try:
        operator = Operator.from_environment(os.environ)
        answer = operator.ask("command", _RPC, request, fleet_failure_pb2.FleetFailures)
    except OperationError as failed:
        fail(str(failed))
    show(answer, _lines(answer), as_json=as_json)


def _lines(told: FleetFailures) -> Iterator[str]:
    if not told.HasField("totals"):
        yield f"fewer than {told.minimum_vehicles} vehicles were commanded: nothing is told of so few"
        return
    totals = told.totals
    yield (
        f"{totals.commands} commands, {totals.failures} failed ({_percent(totals.failure_rate)})"
        + (_before(totals.previous_failure_rate) if totals.HasField("previous_failure_rate") else "")
    )
    reason = door_command_pb2.FailureReason.Value.Name
    for cause in told.causes:
        component = door_failure_pb2.FailureComponent.Value.Name(cause.component)
        line = f"cause {reason(cause.failure_reason)} ({component}): {cause.failures}, {_percent(cause.failure_rate)}"
        if cause.HasField("fleet_failure_rate"):
            line += f", fleet {_percent(cause.fleet_failure_rate)}"
        yield line + (_before(cause.previous_failure_rate) if cause.HasField("previous_failure_rate") else "")
    if told.other_failures:
        yield f"cause of too few vehicles: {told.other_failures}"
    for door in told.doors:
        reasons = ", ".join(f"{reason(each.failure_reason)} {each.failures}" for each in door.reasons)
        yield f"door {door.door_id}: {door.failures}" + (f" ({reasons})" if reasons else "")
    for model in told.models:
        times = f", {model.times_fleet} times the fleet's" if model.HasField("times_fleet") else ""
        yield f"model {model.model}: {model.failures} of {model.commands} failed{times}"


def _percent(part: float) -> str:
    return f"{part:.2%}"


def _before(part: float) -> str:
    return f", before {_percent(part)}"

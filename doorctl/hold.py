"""`doorctl hold`: legal holds. Two operators set one, and two lift it."""

from __future__ import annotations

from typing import Annotated, TypeVar

import typer
from ecarus.remotecontrol.access.v1 import legal_hold_service_pb2 as contract
from google.protobuf.message import Message

from doorctl.access import AsJson, asked, show, vin_in
from doorctl.text import complain, fail, moment

commands = typer.Typer(no_args_is_help=True, help="Legal holds: what they are on is not deleted.")
_RPC = "ecarus.remotecontrol.access.v1.LegalHoldService"
Answer = TypeVar("Answer", bound=Message)
HoldId = Annotated[str, typer.Argument(metavar="HOLD", help="the hold's id: A-Z a-z 0-9 . _ -")]


@commands.command("set")
def set_hold(
    hold: HoldId,
    reason: Annotated[str, typer.Option(help="who asked for it, and where that is kept")],
    vin: Annotated[str, typer.Option(parser=vin_in, metavar="VIN", help="on this vehicle")] = "",
    person: Annotated[str, typer.Option(help="on this person: a token's sub")] = "",
    as_json: AsJson = False,
) -> None:
    """Keep all that is about a vehicle or a person, once a second operator asks for the same."""
    if bool(vin) == bool(person):
        fail("say on what: --vin or --person")
    request = contract.SetLegalHoldRequest(hold_id=hold, vin=vin, person=person, reason=reason)
    _shown("SetLegalHold", request, as_json=as_json)


@commands.command()
def lift(hold: HoldId, as_json: AsJson = False) -> None:
    """Let what it keeps be deleted again, once a second operator asks for the same."""
    _shown("LiftLegalHold", contract.LiftLegalHoldRequest(hold_id=hold), as_json=as_json)


@commands.command("list")
def list_holds(as_json: AsJson = False) -> None:
    """List all holds, the lifted ones included, those in force first."""
    answer = _asked("ListLegalHolds", contract.ListLegalHoldsRequest(), contract.ListLegalHoldsResponse)
    show(answer, map(_line, answer.holds), as_json=as_json)


def _shown(rpc: str, request: Message, *, as_json: bool) -> None:
    hold = _asked(rpc, request, contract.LegalHold)
    show(hold, [_line(hold)], as_json=as_json)
    if hold.untold_services:
        complain(f"not told yet, and told again soon: {', '.join(hold.untold_services)}")
        raise typer.Exit(1)


def _asked(rpc: str, request: Message, answer: type[Answer]) -> Answer:
    return asked(rpc, request, answer, as_person=True, service=_RPC)


def _line(hold: contract.LegalHold) -> str:
    on = f"vehicle {hold.vin}" if hold.vin else f"person {hold.person}"
    if hold.HasField("lifted_at"):
        state = f"lifted {moment(hold.lifted_at)} by {hold.lift_requested_by} and {hold.lifted_by}"
    elif hold.HasField("set_at"):
        state = f"in force since {moment(hold.set_at)}"
        if hold.HasField("lift_requested_at"):
            state += f", {hold.lift_requested_by} asked to lift it {moment(hold.lift_requested_at)}"
    else:
        state = f"asked for by {hold.requested_by}; a second operator must ask for the same"
    return f"{hold.hold_id} {on}: {state} ({hold.reason})"

"""`doorctl case`: the call centre's cases, because of which agents act for customers."""

from __future__ import annotations

from typing import Annotated

import typer
from ecarus.remotecontrol.access.v1 import customer_case_pb2
from ecarus.remotecontrol.access.v1 import customer_case_service_pb2 as contract

from doorctl.access import AsJson, Principal, asked, show, vin_in
from doorctl.text import moment

commands = typer.Typer(no_args_is_help=True, help="The call centre's cases, because of which agents act.")
RPC = "ecarus.remotecontrol.access.v1.CustomerCaseService"
Number = Annotated[str, typer.Argument(help="the case's number, as agents' tokens name it")]


@commands.command("open")
def open_case(
    number: Number,
    customer: Principal,
    vin: Annotated[
        str | None, typer.Option(parser=vin_in, metavar="VIN", help="about this vehicle and no other")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Open a case: agents act for the customer because of it."""
    request = contract.OpenCaseRequest(case_number=number, customer=customer, vin=vin or "")
    case = asked("OpenCase", request, customer_case_pb2.CustomerCase, as_person=True, service=RPC)
    show(case, [_line(case)], as_json=as_json)


@commands.command()
def close(number: Number, as_json: AsJson = False) -> None:
    """Close a case: its agents' streams end, and their tokens open nothing any more."""
    request = contract.CloseCaseRequest(case_number=number)
    case = asked("CloseCase", request, customer_case_pb2.CustomerCase, service=RPC)
    show(case, [_line(case)], as_json=as_json)


@commands.command("list")
def list_cases(
    is_open: Annotated[bool, typer.Option("--open", help="only those that are open")] = False,
    customer: Annotated[str, typer.Option(help="only this customer's")] = "",
    as_json: AsJson = False,
) -> None:
    """List cases, those that were opened last first; 200 at most."""
    request = contract.ListCasesRequest(open_only=is_open, customer=customer)
    found = asked("ListCases", request, contract.ListCasesResponse, as_person=True, service=RPC)
    show(found, map(_line, found.cases) if found.cases else ["no cases"], as_json=as_json)


def _line(case: customer_case_pb2.CustomerCase) -> str:
    """Return one line for a person."""
    about = f" {case.customer or 'nobody known'}{f' {case.vin}' if case.vin else ''}"
    opened = f" opened {moment(case.opened_at)} by {case.opened_by}" if case.opened_by else ""
    closed = f" CLOSED {moment(case.closed_at)} by {case.closed_by}" if case.closed_by else " OPEN"
    return f"{case.case_number}{about}{closed}{opened}"

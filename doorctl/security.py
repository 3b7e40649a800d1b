"""`doorctl access`: what was abnormal about people's access, what became of their accounts, and severed access."""

from __future__ import annotations

from typing import Annotated

import typer
from ecarus.remotecontrol.access.v1 import abnormal_pb2, account_pb2, severance_pb2
from ecarus.remotecontrol.access.v1 import access_service_pb2 as contract

from doorctl.access import AsJson, Principal, account_line, asked, show, vin_in
from doorctl.text import moment

commands = typer.Typer(no_args_is_help=True, help="Abnormal access, restricted accounts, severed access.")
Reason = Annotated[str, typer.Option(help="why, for whoever is asked to restore it; owners are not told")]


@commands.command()
def cases(
    is_open: Annotated[bool, typer.Option("--open", help="only those that nobody has looked at")] = False,
    as_json: AsJson = False,
) -> None:
    """List what was abnormal: what restricted an account first, then newest first; 200 at most."""
    request = contract.ListAbnormalAccessRequest(open_only=is_open)
    found = asked("ListAbnormalAccess", request, contract.ListAbnormalAccessResponse)
    show(found, map(_case_line, found.cases) if found.cases else ["no cases"], as_json=as_json)


@commands.command()
def acknowledge(
    case_id: Annotated[str, typer.Argument(help="as `access cases` tells it")], as_json: AsJson = False
) -> None:
    """Say that you have looked at a case."""
    request = contract.AcknowledgeAbnormalAccessRequest(case_id=case_id)
    case = asked("AcknowledgeAbnormalAccess", request, abnormal_pb2.AbnormalCase)
    show(case, [_case_line(case)], as_json=as_json)


@commands.command()
def restrict(principal: Principal, reason: Reason, as_json: AsJson = False) -> None:
    """Let an account read and lock, and nothing else."""
    request = contract.RestrictAccountRequest(principal=principal, reason=reason)
    account = asked("RestrictAccount", request, account_pb2.Account)
    show(account, [account_line(account)], as_json=as_json)


@commands.command()
def lock(principal: Principal, reason: Reason, as_json: AsJson = False) -> None:
    """Stop an account at once: its streams close, its live commands are cancelled, it does nothing any more."""
    request = contract.LockAccountRequest(principal=principal, reason=reason)
    account = asked("LockAccount", request, account_pb2.Account)
    show(account, [account_line(account)], as_json=as_json)


@commands.command()
def restore(principal: Principal, as_json: AsJson = False) -> None:
    """Give an account its rights back, under your own name: it takes a second operator who asks for the same."""
    request = contract.RestoreAccountRequest(principal=principal)
    account = asked("RestoreAccount", request, account_pb2.Account, as_person=True)
    show(account, [account_line(account)], as_json=as_json)


@commands.command()
def severances(
    vin: Annotated[
        str | None, typer.Argument(parser=vin_in, metavar="[VIN]", help="the vehicle; without one, of all")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List whose access was severed, and by when the law wants it done; newest first, 200 at most."""
    request = contract.ListSeverancesRequest(vin=vin or "")
    found = asked("ListSeverances", request, contract.ListSeverancesResponse, as_person=True)
    lines = map(_severance_line, found.severances) if found.severances else ["no severances"]
    show(found, lines, as_json=as_json)


def _case_line(case: abnormal_pb2.AbnormalCase) -> str:
    """Return one line for a person."""
    whose = case.principal or "no account"
    consequence = " RESTRICTED" if case.restricted else ""
    seen = f", looked at by {case.acknowledged_by}" if case.acknowledged_by else ""
    often = f", {case.times} times" if case.times > 1 else ""
    when = moment(case.raised_at)
    return f"{case.case_id} {case.kind}{consequence} {whose}: {case.evidence}, {when}{often}{seen}"


def _severance_line(severance: severance_pb2.VehicleSeverance) -> str:
    """Return one line for a person, with the legal clock."""
    if severance.HasField("reversed_at"):
        state = f"REVERSED {moment(severance.reversed_at)} by {severance.reversed_by}"
    elif severance.HasField("completed_at"):
        state = f"DONE {moment(severance.completed_at)}, due {moment(severance.due_at)}"
    else:
        state = f"IN_PROGRESS, due {moment(severance.due_at)}"
    asked_back = severance.reversal_requested_by and not severance.HasField("reversed_at")
    back = f", reversal asked for by {severance.reversal_requested_by}" if asked_back else ""
    behalf = f" for {severance.on_behalf_of}" if severance.on_behalf_of else ""
    who = f"asked for {moment(severance.requested_at)} by {severance.requested_by}{behalf}"
    return f"{severance.severance_id} {severance.vin} {severance.person} {state}, {who}{back}"

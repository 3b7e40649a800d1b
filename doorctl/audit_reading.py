"""`doorctl audit list`: what the ledger holds about a vehicle or a person. That it was read is an entry itself."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from ecarus.remotecontrol.audit.v1 import audit_entry_pb2
from ecarus.remotecontrol.audit.v1 import audit_reading_service_pb2 as contract

from doorctl.operator_channel import OperationError, Operator
from doorctl.text import fail, moment, printable

_RPC = "ecarus.remotecontrol.audit.v1.AuditReadingService/ListEntries"
DEFAULT_LIMIT = 50
MAX_LIMIT = 200


def list_entries(
    reason: Annotated[str, typer.Option(help="why: kept in the ledger with your name")],
    vin: Annotated[str | None, typer.Option(help="about this vehicle")] = None,
    principal: Annotated[str | None, typer.Option(help="about or by this person")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_LIMIT, help="at most so many")] = DEFAULT_LIMIT,
    page: Annotated[str, typer.Option(help="go on where an earlier answer ended")] = "",
) -> None:
    """List audit entries, the newest first: leaf, when, decision, kind, and the same in words.

    Asked under the person's own certificate. That you asked, and why, is in the ledger before you are answered.
    """
    if (vin is None) == (principal is None):
        fail("say about what: --vin or --principal")
    request = contract.ListEntriesRequest(reason=reason, page_size=limit, page_token=page)
    if vin is not None:
        request.vin = vin
    else:
        request.principal = principal or ""
    try:
        operator = Operator.from_environment(os.environ).as_person()
        answer = operator.ask("audit", _RPC, request, contract.ListEntriesResponse)
    except OperationError as failed:
        fail(str(failed))
    for entry in answer.entries:
        typer.echo(_line(entry))
    if answer.next_page_token:
        typer.echo(f"there are older ones: --page {answer.next_page_token}", err=True)


def _line(entry: contract.ReadEntry) -> str:
    decision = audit_entry_pb2.AuditDecision.Name(entry.decision).removeprefix("AUDIT_DECISION_")
    named = [
        f"{name}={entry.members[name]}" for name in ("command_id", "correlation_id") if name in entry.members
    ]
    return printable(
        " ".join([f"{entry.leaf_index} {moment(entry.at)} {decision} {entry.kind}:", entry.sentence, *named])
    )

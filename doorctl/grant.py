"""`doorctl grant`: who may do what with which vehicle."""

from __future__ import annotations

import uuid
from enum import StrEnum
from typing import Annotated

import typer
from ecarus.remotecontrol.access.v1 import access_service_pb2 as contract
from ecarus.remotecontrol.access.v1 import grant_pb2

from doorctl.access import (
    AsJson,
    Principal,
    Vin,
    ask,
    asked,
    fail_as_revoked,
    grant_line,
    seconds_in,
    show,
)
from doorctl.operator_channel import OperationError
from doorctl.text import fail

commands = typer.Typer(no_args_is_help=True, help="Who may do what with which vehicle.")

GrantId = Annotated[str, typer.Argument(help="as `list` shows it")]


class RoleWord(StrEnum):
    """What somebody is to a vehicle, as it is typed."""

    OWNER = "owner"
    SHARED_USER = "shared-user"
    DIGITAL_KEY = "digital-key"
    VALET = "valet"
    SERVICE = "service"


_ROLES = {
    RoleWord.OWNER: grant_pb2.GRANT_ROLE_OWNER,
    RoleWord.SHARED_USER: grant_pb2.GRANT_ROLE_SHARED_USER,
    RoleWord.DIGITAL_KEY: grant_pb2.GRANT_ROLE_DIGITAL_KEY,
    RoleWord.VALET: grant_pb2.GRANT_ROLE_VALET,
    RoleWord.SERVICE: grant_pb2.GRANT_ROLE_SERVICE,
}


@commands.command("list")
def list_grants(
    vin: Vin,
    every: Annotated[bool, typer.Option("--all", help="also those that were revoked")] = False,
    as_json: AsJson = False,
) -> None:
    """List the grants on a vehicle, oldest first; then those that wait for a second operator."""
    request = contract.ListGrantsRequest(vin=vin)
    answer = asked("ListGrants", request, contract.ListGrantsResponse, as_person=True)
    if not every:
        live = [grant for grant in answer.grants if not grant.HasField("revoked_at")]
        answer = contract.ListGrantsResponse(grants=live)
    show(answer, map(grant_line, answer.grants), as_json=as_json)


@commands.command()
def give(
    principal: Principal,
    vin: Vin,
    role: Annotated[RoleWord, typer.Option(help="what they are to the vehicle")],
    action: Annotated[
        list[str] | None, typer.Option(help="only this of the role's actions (door.unlock); repeatable")
    ] = None,
    valid: Annotated[
        int | None,
        typer.Option(parser=seconds_in, metavar="8h|30d", help="for so long; without it until revoked"),
    ] = None,
    grant_id: Annotated[str, typer.Option("--id", help="its id; made when not given")] = "",
    as_json: AsJson = False,
) -> None:
    """Let somebody do something with a vehicle. An owner's waits for a second operator, but in the sandbox.

    The same again, under the same --id, changes nothing.
    """
    request = contract.CreateGrantRequest(
        grant_id=grant_id or str(uuid.uuid4()),
        principal=principal,
        vin=vin,
        role=_ROLES[role],
        actions=action or (),
        valid_seconds=valid,
    )
    try:
        grant = ask("CreateGrant", request, grant_pb2.Grant, as_person=True)
    except OperationError as failed:
        fail(f"{failed} (--id {request.grant_id})" if failed.may_have_happened else str(failed))
    if grant.HasField("revoked_at"):
        fail_as_revoked(f"the grant {grant.grant_id}", "choose another --id")
    show(grant, [grant_line(grant)], as_json=as_json)


@commands.command()
def approve(grant_id: GrantId, as_json: AsJson = False) -> None:
    """Approve a grant that another operator has asked for; it begins now."""
    request = contract.ApproveGrantRequest(grant_id=grant_id)
    grant = asked("ApproveGrant", request, grant_pb2.Grant, as_person=True)
    if grant.HasField("revoked_at"):
        fail_as_revoked(f"the grant {grant.grant_id}", "give another")
    show(grant, [grant_line(grant)], as_json=as_json)


@commands.command()
def revoke(grant_id: GrantId, as_json: AsJson = False) -> None:
    """End a grant at once: its streams close, its live commands are cancelled. Repeating it changes nothing."""
    request = contract.RevokeGrantRequest(grant_id=grant_id)
    grant = asked("RevokeGrant", request, grant_pb2.Grant, as_person=True)
    show(grant, [grant_line(grant)], as_json=as_json)

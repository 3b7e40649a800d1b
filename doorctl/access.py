"""What `doorctl grant`, `account` and `key` share: a question to the access service, and how its answer is shown."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer
from ecarus.remotecontrol.access.v1 import grant_pb2
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from doorctl.operator_channel import OperationError, Operator
from doorctl.text import fail, moment, printable
from protocol.subjects import is_vin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ecarus.remotecontrol.access.v1 import account_pb2

SERVICE = "access"
_RPC = "ecarus.remotecontrol.access.v1.AccessService"
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhd])")
_ROLE = "GRANT_ROLE_"

Answer = TypeVar("Answer", bound=Message)


def ask(
    rpc: str, request: Message, answer: type[Answer], *, as_person: bool = False, service: str = _RPC
) -> Answer:
    """Return the access service's answer; `as_person` under the person's own certificate. Raises Failed."""
    operator = Operator.from_environment(os.environ)
    return (operator.as_person() if as_person else operator).ask(SERVICE, f"{service}/{rpc}", request, answer)


def asked(
    rpc: str, request: Message, answer: type[Answer], *, as_person: bool = False, service: str = _RPC
) -> Answer:
    """Return the same; what fails is said and ends the command."""
    try:
        return ask(rpc, request, answer, as_person=as_person, service=service)
    except OperationError as failed:
        fail(str(failed))


def seconds_in(text: str) -> int:
    """Return the seconds of `45m`, `8h` or `90d`. Raises typer.BadParameter."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is not a time: a number and s, m, h or d, as in 8h or 90d")
    return int(found[1]) * _SECONDS[found[2]]


def vin_in(text: str) -> str:
    """Return the VIN in upper case. Raises typer.BadParameter."""
    vin = text.upper()
    if not is_vin(vin):
        raise typer.BadParameter(f"{text!r} is not a VIN: 17 of A-Z 0-9, without I, O and Q")
    return vin


Principal = Annotated[str, typer.Argument(help="the account: a token's sub, or whose the API key is")]
Vin = Annotated[str, typer.Argument(parser=vin_in, metavar="VIN", help="the vehicle")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON document, for scripts")]


def show(message: Message, lines: Iterable[str], *, as_json: bool) -> None:
    """Print the answer: as a JSON document, or as lines for a person."""
    if as_json:
        typer.echo(json.dumps(document(message), indent=2))
        return
    for line in lines:
        typer.echo(printable(line))


def document(message: Message) -> dict[str, Any]:
    """Return the answer as JSON: lowerCamel names, roles as OWNER, times as RFC 3339; what is not set is absent."""
    whole = MessageToDict(message)
    for grant in (whole, *whole.get("grants", ())):
        if isinstance(grant, dict) and str(grant.get("role", "")).startswith(_ROLE):
            grant["role"] = grant["role"].removeprefix(_ROLE)
    return whole


def grant_line(grant: grant_pb2.Grant) -> str:
    """Return one line for a person."""
    role = grant_pb2.GrantRole.Name(grant.role).removeprefix(_ROLE)
    return f"{grant.grant_id} {grant.principal} {grant.vin} {role} {_state(grant)}"


def key_line(key: account_pb2.ApiKey) -> str:
    """Return one line for a person."""
    name = f" {key.name!r}" if key.name else ""
    scope = f" for {' '.join(key.scopes)}" if key.scopes else ""
    vehicles = f" on {' '.join(key.vins)}" if key.vins else ""
    used = f", used {moment(key.last_used_at)}" if key.HasField("last_used_at") else ""
    return f"{key.key_id} {key.principal}{name} {_state(key)}{scope}{vehicles}{used}"


def account_line(account: account_pb2.Account) -> str:
    """Return one line for a person."""
    states = []
    if account.HasField("locked_at"):
        states.append(f"locked {moment(account.locked_at)}: {account.reason}")
    if account.HasField("restricted_at"):
        states.append(f"restricted {moment(account.restricted_at)}: {account.restriction_reason}")
    if account.restore_requested_by:
        states.append(f"restoring asked for by {account.restore_requested_by}, another operator must too")
    return f"{account.principal} {'; '.join(states) or 'not locked'}"


def _state(right: grant_pb2.Grant | account_pb2.ApiKey) -> str:
    if right.pending:
        return f"PENDING: asked for by {right.requested_by}, another operator must approve it"
    state = f"revoked {moment(right.revoked_at)}" if right.HasField("revoked_at") else "not revoked"
    return f"{state} ends {moment(right.expires_at)}" if right.HasField("expires_at") else state


def fail_as_revoked(what: str, advice: str) -> NoReturn:
    """Say that the answer is a right that had ended, which repeating does not bring back."""
    fail(f"{what} was revoked before, and repeating it brings nothing back; {advice}")

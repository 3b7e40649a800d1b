"""`doorctl retention`: what is kept how long, and what the job that deletes did."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from ecarus.remotecontrol.access.v1 import retention_service_pb2 as contract

from doorctl.access import AsJson, show
from doorctl.operator_channel import OperationError, Operator
from doorctl.text import complain, moment
from services.registry import SERVICES

commands = typer.Typer(no_args_is_help=True, help="What is kept how long, and the job that deletes it.")
KEEPERS = tuple(
    service.name
    for service in SERVICES
    if service.has_database and service.is_operated and not service.keeps_for_ever
)
_RPC = "ecarus.remotecontrol.access.v1.RetentionService"
_ONE = "|".join(KEEPERS)


def _keeper(name: str) -> str:
    if name not in KEEPERS:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(KEEPERS)}")
    return name


Service = Annotated[str | None, typer.Option(parser=_keeper, metavar=_ONE, help="only this service")]


@commands.command()
def status(service: Service = None, as_json: AsJson = False) -> None:
    """Each table: how long it is kept, what the last run deleted, and what a legal hold keeps."""
    _each(service, "GetRetention", contract.GetRetentionRequest(), as_json=as_json)


@commands.command()
def run(service: Service = None, as_json: AsJson = False) -> None:
    """Delete now what is over; it is done once an hour anyway."""
    _each(service, "RunRetention", contract.RunRetentionRequest(), as_json=as_json)


def _each(
    service: str | None,
    rpc: str,
    request: contract.GetRetentionRequest | contract.RunRetentionRequest,
    *,
    as_json: bool,
) -> None:
    operator = Operator.from_environment(os.environ)
    incomplete = False
    for name in [service] if service else KEEPERS:
        try:
            answer = operator.ask(name, f"{_RPC}/{rpc}", request, contract.RetentionStatus)
        except OperationError as failed:  # the others' are worth seeing all the same
            incomplete = True
            complain(f"{name}: {failed}")
            continue
        when = f"last run {moment(answer.ended_at)}" if answer.HasField("ended_at") else "no run yet"
        lines = [
            f"{name}: {when}, {answer.holds} legal holds",
            *(f"  {_line(each)}" for each in answer.tables),
        ]
        show(answer, lines, as_json=as_json)
        if answer.failed:
            incomplete = True
            complain(f"{name}: {answer.failed}")
    if incomplete:
        raise typer.Exit(1)


def _line(each: contract.TableRetention) -> str:
    did = f": {each.deleted:,} deleted" if each.deleted else ""
    held = f", {each.held:,} held" if each.held else ""
    return f"{each.table} ({each.what}): {each.until}{did}{held}"

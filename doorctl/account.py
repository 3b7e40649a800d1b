"""`doorctl account` and `doorctl key`: whose accounts are locked, and which API keys are good."""

from __future__ import annotations

import os
from pathlib import Path  # noqa: TC003  # typer reads the annotations
from typing import Annotated, TypeVar

import typer
from ecarus.remotecontrol.access.v1 import access_service_pb2 as contract
from ecarus.remotecontrol.access.v1 import account_pb2
from google.protobuf.message import Message

from doorctl.operator_channel import Failed, Operator
from doorctl.text import fail, moment, printable

SERVICE = "access"
_RPC = "ecarus.remotecontrol.access.v1.AccessService"

commands = typer.Typer(no_args_is_help=True, help="Whose accounts are locked.")
key_commands = typer.Typer(no_args_is_help=True, help="Which API keys are good.")

Principal = Annotated[str, typer.Argument(help="the account: a token's sub, or whose the API key is")]
Answer = TypeVar("Answer", bound=Message)


@commands.command()
def lock(
    principal: Principal, reason: Annotated[str, typer.Option(help="why, for whoever is asked to unlock it")]
) -> None:
    """Stop an account at once: its streams close, its live commands are cancelled, it does nothing any more."""
    request = contract.LockAccountRequest(principal=principal, reason=reason)
    typer.echo(_account_line(_ask("LockAccount", request, account_pb2.Account)))


@commands.command()
def unlock(principal: Principal) -> None:
    """Let an account be used again."""
    request = contract.UnlockAccountRequest(principal=principal)
    typer.echo(_account_line(_ask("UnlockAccount", request, account_pb2.Account)))


@key_commands.command("list")
def list_keys(principal: Principal) -> None:
    """Every API key of an account, by its id, and whether it is good."""
    request = contract.ListApiKeysRequest(principal=principal)
    for key in _ask("ListApiKeys", request, contract.ListApiKeysResponse).keys:
        typer.echo(_key_line(key))


@key_commands.command("revoke")
def revoke_key(
    key_id: Annotated[str | None, typer.Argument(help="as `list` shows it")] = None,
    key_file: Annotated[Path | None, typer.Option(help="a file with the key itself, found somewhere")] = None,
) -> None:
    """End an API key at once: streams that were opened with it close."""
    if (key_id is None) == (key_file is None):
        fail("say which key: its id, or --key-file with the key itself")
    request = contract.RevokeApiKeyRequest()
    if key_id is not None:
        request.key_id = key_id
    if key_file is not None:  # never on the command line, where others could read it
        request.key = _read(key_file)
    typer.echo(_key_line(_ask("RevokeApiKey", request, account_pb2.ApiKey)))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        fail(f"{path}: {error.strerror}")
    except UnicodeDecodeError:
        fail(f"{path} holds no API key")


def _ask(rpc: str, request: Message, answer: type[Answer]) -> Answer:
    try:
        return Operator.from_environment(os.environ).ask(SERVICE, f"{_RPC}/{rpc}", request, answer)
    except Failed as failed:
        fail(str(failed))


def _account_line(account: account_pb2.Account) -> str:
    if not account.HasField("locked_at"):
        return printable(f"{account.principal} not locked")
    return printable(f"{account.principal} locked {moment(account.locked_at)}: {account.reason}")


def _key_line(key: account_pb2.ApiKey) -> str:
    state = f"revoked {moment(key.revoked_at)}" if key.HasField("revoked_at") else "not revoked"
    ends = f" ends {moment(key.expires_at)}" if key.HasField("expires_at") else ""
    return printable(f"{key.key_id} {key.principal} {state}{ends}")

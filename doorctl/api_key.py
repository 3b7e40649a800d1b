"""`doorctl key`: which API keys are good."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003  # typer reads the annotations
from typing import Annotated

import typer
from ecarus.remotecontrol.access.v1 import access_service_pb2 as contract
from ecarus.remotecontrol.access.v1 import account_pb2

from doorctl.access import AsJson, Principal, asked, fail_as_revoked, key_line, seconds_in, show, vin_in
from doorctl.text import fail

commands = typer.Typer(no_args_is_help=True, help="Which API keys are good.")


class SourceWord(StrEnum):
    """What the requests of a key count as in the history, as it is typed."""

    MOBILE_APP = "mobile-app"
    CALL_CENTER = "call-center"
    WEB = "web"
    VOICE_ASSISTANT = "voice-assistant"


@commands.command("list")
def list_keys(principal: Principal, as_json: AsJson = False) -> None:
    """Every API key of an account, by its id, and whether it is good. A key itself is kept nowhere."""
    request = contract.ListApiKeysRequest(principal=principal)
    answer = asked("ListApiKeys", request, contract.ListApiKeysResponse)
    show(answer, map(key_line, answer.keys), as_json=as_json)


@commands.command("issue", hidden=True)  # its name before
@commands.command("create")
def create(
    principal: Principal,
    name: Annotated[str, typer.Option(help="what it is for, as people recognise it")],
    valid: Annotated[
        int, typer.Option(parser=seconds_in, metavar="8h|30d", help="for so long: a minute to 366 days")
    ],
    source: Annotated[
        SourceWord, typer.Option(help="what its requests count as in the history")
    ] = SourceWord.WEB,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="what it is for, once for each: door.read, an action (door.lock), or door.unlock, "
            "door.unlock.emergency and door.config.weaken, which no key has unless they are named "
            "[default: door.read, door.lock, door.cancel, door.config.write]"
        ),
    ] = None,
    vin: Annotated[
        list[str] | None,
        typer.Option(
            parser=vin_in, help="only for this vehicle, once for each [default: all of the account's]"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key that may do what the account may, as far as its scope goes, and show it: once, here. It waits
    for a second operator, but in the sandbox.
    """
    request = contract.IssueApiKeyRequest(
        principal=principal,
        name=name,
        valid_seconds=valid,
        source=source.name,
        scopes=scope or [],
        vins=vin or [],
    )
    made = asked("IssueApiKey", request, contract.IssueApiKeyResponse, as_person=True)
    show(made, [key_line(made.api_key), made.key], as_json=as_json)


@commands.command()
def approve(
    key_id: Annotated[str, typer.Argument(help="as `list` shows it")], as_json: AsJson = False
) -> None:
    """Approve an API key that another operator has issued; it is good from now on."""
    request = contract.ApproveApiKeyRequest(key_id=key_id)
    key = asked("ApproveApiKey", request, account_pb2.ApiKey, as_person=True)
    if key.HasField("revoked_at"):
        fail_as_revoked(f"the key {key.key_id}", "issue another")
    show(key, [key_line(key)], as_json=as_json)


@commands.command()
def expire(
    key_id: Annotated[str, typer.Argument(help="as `list` shows it")],
    valid: Annotated[
        int, typer.Option("--in", parser=seconds_in, metavar="8h|30d", help="it ends so long from now")
    ],
    as_json: AsJson = False,
) -> None:
    """Have an API key end earlier than it would; one that ends before that stays as it is."""
    request = contract.ExpireApiKeyRequest(key_id=key_id, valid_seconds=valid)
    key = asked("ExpireApiKey", request, account_pb2.ApiKey)
    show(key, [key_line(key)], as_json=as_json)


@commands.command()
def revoke(
    key_id: Annotated[str | None, typer.Argument(help="as `list` shows it")] = None,
    key_file: Annotated[Path | None, typer.Option(help="a file with the key itself, found somewhere")] = None,
    as_json: AsJson = False,
) -> None:
    """End an API key at once: streams that were opened with it close. Repeating it changes nothing."""
    if (key_id is None) == (key_file is None):
        fail("say which key: its id, or --key-file with the key itself")
    request = contract.RevokeApiKeyRequest()
    if key_id is not None:
        request.key_id = key_id
    if key_file is not None:  # never on the command line, where others could read it
        request.key = _read(key_file)
    key = asked("RevokeApiKey", request, account_pb2.ApiKey)
    show(key, [key_line(key)], as_json=as_json)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        fail(f"{path}: {error.strerror}")
    except UnicodeDecodeError:
        fail(f"{path} holds no API key")

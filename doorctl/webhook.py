"""`doorctl webhook`: everybody's webhooks, and stopping one. It tells no URL and no secret."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from ecarus.remotecontrol.access.v1 import webhook_operator_service_pb2 as contract
from ecarus.remotecontrol.door.v1 import webhook_pb2
from google.protobuf.message import Message

from doorctl.access import AsJson, show
from doorctl.operator_channel import OperationError, Operator
from doorctl.text import fail, moment

if TYPE_CHECKING:
    from collections.abc import Iterator

commands = typer.Typer(no_args_is_help=True, help="Everybody's webhooks, and stopping one.")
DEFAULT_LIMIT = 50
MAX_LIMIT = 200
_RPC = "ecarus.remotecontrol.access.v1.WebhookOperatorService"
_SERVICE = "notification"
Answer = TypeVar("Answer", bound=Message)
Registrant = Annotated[str, typer.Argument(metavar="PRINCIPAL", help="who registered it")]
Name = Annotated[str, typer.Argument(metavar="WEBHOOK", help="the registrant's own name for it")]
Key = Annotated[str, typer.Option("--key", help="the id of the API key it was registered with, if with one")]


@commands.command("list")
def list_webhooks(
    principal: Annotated[str, typer.Option(help="only this registrant's, with those of their keys")] = "",
    limit: Annotated[int, typer.Option(min=1, max=MAX_LIMIT, help="at most so many")] = DEFAULT_LIMIT,
    page: Annotated[str, typer.Option(help="go on after the page before")] = "",
    as_json: AsJson = False,
) -> None:
    """List webhooks by registrant, key and name: host, state, how calls go, and what waits."""
    request = contract.ListAllWebhooksRequest(principal=principal, page_size=limit, page_token=page)
    answer = _asked("ListAllWebhooks", request, contract.ListAllWebhooksResponse)
    show(answer, map(_line, answer.webhooks) if answer.webhooks else ["no webhooks"], as_json=as_json)
    if answer.next_page_token:
        typer.echo(f"there are more: --page {answer.next_page_token}", err=True)


@commands.command()
def stop(
    principal: Registrant,
    webhook: Name,
    reason: Annotated[str, typer.Option(help="why, for the audit log; the registrant is not told")],
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Send it nothing any more, at once, until an operator enables it; its registrant's other webhooks are told."""
    request = contract.StopWebhookRequest(
        principal=principal, api_key_id=key, webhook_id=webhook, reason=reason
    )
    stopped = _asked("StopWebhook", request, contract.OperatedWebhook)
    show(stopped, [_line(stopped)], as_json=as_json)


@commands.command()
def enable(principal: Registrant, webhook: Name, key: Key = "", as_json: AsJson = False) -> None:
    """Let one that was stopped be sent something again, under your own name: its URL is challenged anew."""
    request = contract.EnableStoppedWebhookRequest(principal=principal, api_key_id=key, webhook_id=webhook)
    enabled = _asked("EnableStoppedWebhook", request, contract.OperatedWebhook, as_person=True)
    show(enabled, [_line(enabled)], as_json=as_json)


def _asked(rpc: str, request: Message, answer: type[Answer], *, as_person: bool = False) -> Answer:
    try:
        operator = Operator.from_environment(os.environ)
        operator = operator.as_person() if as_person else operator
        return operator.ask(_SERVICE, f"{_RPC}/{rpc}", request, answer)
    except OperationError as failed:
        fail(str(failed))


def _line(webhook: contract.OperatedWebhook) -> str:
    """Return one line for a person."""
    return ", ".join(_parts(webhook))


def _parts(webhook: contract.OperatedWebhook) -> Iterator[str]:
    key = f" --key {webhook.api_key_id}" if webhook.api_key_id else ""
    state = webhook_pb2.WebhookState.Value.Name(webhook.state)
    yield f"{webhook.principal} {webhook.webhook_id}{key} {webhook.host} {state}"
    if webhook.HasField("disabled_reason"):
        why = webhook_pb2.WebhookDisabledReason.Value.Name(webhook.disabled_reason)
        yield f"{why} since {moment(webhook.disabled_at)}"
    if webhook.failures:
        yield f"failed {webhook.failures} times in a row: {webhook.last_failure}"
    if webhook.waiting:
        yield f"{webhook.waiting:,} wait, the oldest since {moment(webhook.oldest_waiting_at)}"

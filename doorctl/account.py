"""`doorctl account`: what accounts may do, and which are locked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from ecarus.remotecontrol.access.v1 import access_service_pb2 as contract
from ecarus.remotecontrol.access.v1 import account_pb2

from doorctl.access import AsJson, Principal, account_line, asked, grant_line, key_line, show
from doorctl.text import fail

if TYPE_CHECKING:
    from collections.abc import Iterator

commands = typer.Typer(no_args_is_help=True, help="What accounts may do, and which are locked.")
_PAGE = 200


@commands.command("list")
def list_accounts(
    locked: Annotated[bool, typer.Option("--locked", help="only those that are locked")] = False,
    as_json: AsJson = False,
) -> None:
    """Every account that has or had a grant, an API key or a lock, by name."""
    every = contract.ListAccountsResponse(accounts=_accounts(locked_only=locked))
    show(every, map(_summary_line, every.accounts), as_json=as_json)


@commands.command("show")
def show_account(principal: Principal, as_json: AsJson = False) -> None:
    """Whether an account is locked, the grants that it has, and its API keys."""
    request = contract.GetAccountRequest(principal=principal)
    overview = asked("GetAccount", request, account_pb2.AccountOverview)
    # An older service does not say whether it is known.
    if not (overview.known or overview.grants or overview.api_keys or overview.account.HasField("locked_at")):
        fail(f"nobody called {principal!r} is known: no grant, no API key, no lock; see doorctl account list")
    lines = [
        account_line(overview.account),
        *(f"grant {grant_line(grant)}" for grant in overview.grants),
        *(f"key {key_line(key)}" for key in overview.api_keys),
    ]
    if not overview.grants and not overview.api_keys:
        lines.append("no grants, no API keys")
    show(overview, lines, as_json=as_json)


@commands.command()
def lock(
    principal: Principal,
    reason: Annotated[str, typer.Option(help="why, for whoever is asked to unlock it")],
    as_json: AsJson = False,
) -> None:
    """Stop an account at once: its streams close, its live commands are cancelled, it does nothing any more."""
    request = contract.LockAccountRequest(principal=principal, reason=reason)
    account = asked("LockAccount", request, account_pb2.Account)
    show(account, [account_line(account)], as_json=as_json)


@commands.command()
def unlock(principal: Principal, as_json: AsJson = False) -> None:
    """Let an account be used again, under your own name: outside of the sandbox a second operator must ask, too."""
    request = contract.UnlockAccountRequest(principal=principal)
    account = asked("UnlockAccount", request, account_pb2.Account, as_person=True)
    show(account, [account_line(account)], as_json=as_json)


def _accounts(*, locked_only: bool) -> Iterator[account_pb2.AccountSummary]:
    token = ""
    while True:
        request = contract.ListAccountsRequest(page_size=_PAGE, page_token=token, locked_only=locked_only)
        page = asked("ListAccounts", request, contract.ListAccountsResponse)
        yield from page.accounts
        token = page.next_page_token
        if not token:
            return


def _summary_line(summary: account_pb2.AccountSummary) -> str:
    return f"{account_line(summary.account)}, {summary.grants} grants, {summary.api_keys} API keys"

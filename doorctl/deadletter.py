"""`doorctl deadletter`: what a service could not understand, and having it ingested after all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from ecarus.remotecontrol.access.v1 import dead_letter_service_pb2 as contract
from google.protobuf.message import Message

from doorctl.operator_channel import OperationError, Operator
from doorctl.text import complain, fail, moment, printable
from services.registry import SERVICES

if TYPE_CHECKING:
    from collections.abc import Iterator

_RPC = "ecarus.remotecontrol.access.v1.DeadLetterService"
Answer = TypeVar("Answer", bound=Message)
DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_ID = 2**31 - 1

commands = typer.Typer(no_args_is_help=True, help="Messages that a service could not understand.")


KEEPERS = tuple(service.name for service in SERVICES if service.keeps_dead_letters)
_ONE = "|".join(KEEPERS)


def _keeper(name: str) -> str:
    if name not in KEEPERS:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(KEEPERS)}")
    return name


Limit = Annotated[int, typer.Option(min=1, max=MAX_LIMIT, help="at most so many")]
Before = Annotated[
    int | None, typer.Option(min=1, max=MAX_ID, help="only those older than this ID; needs --service")
]


@commands.command("list")
def list_newest(
    service: Annotated[
        str | None, typer.Option(parser=_keeper, metavar=_ONE, help="only this service's")
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
    before: Before = None,
) -> None:
    """List dead letters, the newest first: service, ID, when it came, subject, size, reason, when it was
    replayed.
    """
    if before is not None and service is None:
        fail("every service counts its own letters: --before needs --service")
    request = contract.ListDeadLettersRequest(page_size=limit, before=before)
    found: list[tuple[str, contract.DeadLetter]] = []
    more = incomplete = False
    for each in [service] if service else KEEPERS:
        try:
            page = _ask(each, "ListDeadLetters", request, contract.ListDeadLettersResponse)
        except OperationError as failed:  # the others' letters are worth seeing all the same
            incomplete = True
            complain(f"{each}: {failed}")
        else:
            found += [(each, letter) for letter in page.letters]
            more = more or page.more
    if service is None:  # one service's are in order, by their ids
        found.sort(key=lambda of: of[1].received_at.ToNanoseconds(), reverse=True)
    for each, letter in found[:limit]:
        typer.echo(_line(each, letter))
    if more or len(found) > limit:
        last = f" --before {found[-1][1].id}" if service else ""
        typer.echo(f"there are older ones: --service {service or 'NAME'}{last}", err=True)
    if incomplete:
        raise typer.Exit(1)


@commands.command()
def replay(
    service: Annotated[str, typer.Option(parser=_keeper, metavar=_ONE, help="whose letter it is")],
    letter_id: Annotated[
        int | None, typer.Argument(metavar="ID", min=1, max=MAX_ID, help="the letter's ID")
    ] = None,
    *,
    every: Annotated[
        bool, typer.Option("--all", help="all that were not replayed, the oldest first")
    ] = False,
) -> None:
    """Hand a letter to its service again. Taken, it is marked; not understood again, it stays. Safe to repeat."""
    if every == (letter_id is not None):
        fail("say which: an ID, or --all")
    taken = stay = 0
    for each in _replay_all(service) if letter_id is None else [_replay_one(service, letter_id)]:
        letter = each.letter
        if each.problem:
            stay += 1
            complain(f"{service} {letter.id} stays: {each.problem}")
        else:
            taken += 1
            done = f"replayed {service} {letter.id} {letter.subject} at {moment(letter.replayed_at)}"
            typer.echo(printable(done))
    if every:
        typer.echo(f"{taken} replayed, {stay} stay")
    if stay:
        raise typer.Exit(1)


def _replay_one(service: str, letter_id: int) -> contract.DeadLetterReplay:
    request = contract.ReplayDeadLetterRequest(id=letter_id)
    return _asked(service, "ReplayDeadLetter", request, contract.DeadLetterReplay)


def _replay_all(service: str) -> Iterator[contract.DeadLetterReplay]:
    after = 0
    while True:
        request = contract.ReplayWaitingDeadLettersRequest(after=after)
        done = _asked(service, "ReplayWaitingDeadLetters", request, contract.ReplayWaitingDeadLettersResponse)
        yield from done.replays
        if not done.HasField("next_after"):
            return
        after = done.next_after


def _asked(service: str, rpc: str, request: Message, answer: type[Answer]) -> Answer:
    try:
        return _ask(service, rpc, request, answer)
    except OperationError as failed:
        fail(str(failed))


def _ask(service: str, rpc: str, request: Message, answer: type[Answer]) -> Answer:
    """Return what the service answers. Raises Failed."""
    return Operator.from_environment(os.environ).ask(service, f"{_RPC}/{rpc}", request, answer)


def _line(service: str, letter: contract.DeadLetter) -> str:
    replayed = f" (replayed {moment(letter.replayed_at)})" if letter.HasField("replayed_at") else ""
    return printable(
        f"{service} {letter.id} {moment(letter.received_at)} {letter.subject}"
        f" {letter.payload_bytes} bytes{' (beginning kept)' if letter.payload_cut else ''}:"
        f" {letter.reason}{_more(letter)}{replayed}"
    )


def _more(letter: contract.DeadLetter) -> str:
    """Return what a letter says of others."""
    more = f" (stands for {letter.messages:,} messages)" if letter.messages > 1 else ""
    if letter.dropped_before:
        more += f" ({letter.dropped_before:,} of this vehicle before it are kept no longer)"
    return more

"""`doorctl deadletter`: what a room could not understand, and having it taken in after all."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated, Any, NoReturn

import typer
import uvloop

from doorctl.broker import Failed, Operator

DEFAULT_LIMIT = 50
MAX_LIMIT = 200

commands = typer.Typer(no_args_is_help=True, help="Messages that a room could not understand.")


class Room(StrEnum):
    """The rooms that keep dead letters."""

    COMMAND = "command"
    STATUS = "status"
    CONFIG = "config"
    DIAGNOSTICS = "diagnostics"


Limit = Annotated[int, typer.Option(min=1, max=MAX_LIMIT, help="at most so many")]
Before = Annotated[int | None, typer.Option(min=1, help="only those older than this ID; needs --room")]


@commands.command("list")
def list_newest(
    room: Annotated[Room | None, typer.Option(help="only this room's")] = None,
    limit: Limit = DEFAULT_LIMIT,
    before: Before = None,
) -> None:
    """What is buried, the newest first: room, ID, when it came, subject, size, reason, when it was replayed."""
    if before is not None and room is None:
        _fail("every room counts its own letters: --before needs --room")
    request = {"limit": limit} if before is None else {"limit": limit, "before": before}
    found: list[tuple[Room, dict[str, Any]]] = []
    more = incomplete = False
    for each in [room] if room else Room:
        try:
            told = _ask(each, "list", request)
        except Failed as failed:  # the others' letters are worth seeing all the same
            incomplete = True
            _complain(f"{each}: {failed}")
        else:
            found += [(each, letter) for letter in told["letters"]]
            more = more or told["more"]
    if room is None:  # one room's are in order, by their ids
        found.sort(key=lambda of: str(of[1]["receivedAt"]), reverse=True)
    for each, letter in found[:limit]:
        typer.echo(_line(each, letter))
    if more or len(found) > limit:
        last = f" --before {found[-1][1]['id']}" if room else ""
        typer.echo(f"there are older ones: --room {room or 'ROOM'}{last}", err=True)
    if incomplete:
        raise typer.Exit(1)


@commands.command()
def replay(
    room: Annotated[Room, typer.Option(help="whose letter it is")],
    letter_id: Annotated[int | None, typer.Argument(metavar="ID", min=1, help="the letter's ID")] = None,
    *,
    every: Annotated[
        bool, typer.Option("--all", help="all that were not replayed, the oldest first")
    ] = False,
) -> None:
    """Hand a letter to its room again. Taken, it is marked; not understood again, it stays. Safe to repeat."""
    if every == (letter_id is not None):
        _fail("say which: an ID, or --all")
    taken = stay = 0
    request: dict[str, Any] | None = {"after": 0} if every else {"id": letter_id}
    while request is not None:
        try:
            told = _ask(room, "replay", request)
        except Failed as failed:
            _fail(str(failed))
        for each in told["replays"]:
            if "problem" in each:
                stay += 1
                _complain(f"{room} {each['id']} stays: {each['problem']}")
            else:
                taken += 1
                done = f"replayed {room} {each['id']} {each['subject']} at {each['replayedAt']}"
                typer.echo(_printable(done))
        request = None if told["after"] is None else {"after": told["after"]}
    if every:
        typer.echo(f"{taken} replayed, {stay} stay")
    if stay:
        raise typer.Exit(1)


def _ask(room: Room, deed: str, request: dict[str, Any]) -> dict[str, Any]:
    """What the room answers. Raises Failed."""
    operator = Operator.from_environment(os.environ)
    return uvloop.run(operator.ask(f"operator.deadletter.{room}.{deed}", request))


def _fail(sentence: str) -> NoReturn:
    _complain(sentence)
    raise typer.Exit(1)


def _complain(sentence: str) -> None:
    typer.echo(f"doorctl: {_printable(sentence)}", err=True)


def _line(room: Room, letter: dict[str, Any]) -> str:
    replayed = f" (replayed {letter['replayedAt']})" if letter["replayedAt"] else ""
    return _printable(
        f"{room} {letter['id']} {letter['receivedAt']} {letter['subject']}"
        f" {letter['bytes']} bytes{'' if letter.get('whole', True) else ' (beginning kept)'}:"
        f" {letter['reason']}{_more(letter)}{replayed}"
    )


def _more(letter: dict[str, Any]) -> str:
    """What a letter says of others."""
    count, dropped = letter.get("count", 1), letter.get("dropped", 0)
    more = f" (stands for {count:,} messages)" if count > 1 else ""
    return more + (f" ({dropped:,} of this vehicle before it are kept no longer)" if dropped else "")


def _printable(text: str) -> str:
    """On one line, and without what a terminal obeys: whoever sent the message may have chosen some of it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

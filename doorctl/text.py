"""What goes to the terminal."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp


def fail(sentence: str) -> NoReturn:
    """Say it and end with status 1."""
    complain(sentence)
    raise typer.Exit(1)


def complain(sentence: str) -> None:
    """Say it on one line of standard error."""
    typer.echo(f"doorctl: {printable(sentence)}", err=True)


def printable(text: str) -> str:
    """On one line, and without what a terminal obeys: whoever sent the message may have chosen some of it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def moment(stamp: Timestamp) -> str:
    """Return ISO 8601, UTC."""
    return stamp.ToDatetime(UTC).isoformat()

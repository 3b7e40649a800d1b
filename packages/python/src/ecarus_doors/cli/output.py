"""What is shown: one JSON object a line for programs, tables and colours for people. Errors of people go to stderr."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ecarus_doors.errors import AuthenticationError, InvalidAnswerError, NoAnswerError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ecarus_doors import CommandResult, DoorsError

SUCCESS, FAILED, USAGE, TIMEOUT, REFUSED, UNAVAILABLE = 0, 1, 2, 3, 4, 5
"""Exit statuses (README.md has the table)."""
STYLES = {
    "SUCCESS": "green",
    "FAILED": "bold red",
    "CANCELLED": "yellow",
    "TIMEOUT": "bold yellow",
    "PENDING": "cyan",
    "IN_PROGRESS": "cyan",
    "unlocked": "bold yellow",
    "open": "bold yellow",
    "locked": "green",
    "stale": "yellow",
}


class Output:
    """Shows things in the way that was asked for."""

    def __init__(self, *, is_json: bool) -> None:
        self.is_json = is_json
        self.people = Console(highlight=False, soft_wrap=True)
        self.aside = Console(stderr=True, highlight=False, soft_wrap=True)

    def json(self, value: Mapping[str, Any]) -> None:
        """Write one line at once."""
        sys.stdout.write(json.dumps(value, separators=(",", ":")) + "\n")
        sys.stdout.flush()

    def line(self, *words: object) -> None:
        """Write a line for people, known words in their colours."""
        shown = Text()
        for i, word in enumerate(words):
            text = plain(word)
            shown.append(" " if i else "").append(text, style=STYLES.get(text, ""))
        self.people.print(shown)

    def note(self, sentence: str) -> None:
        """Say something beside what was asked for."""
        if not self.is_json:
            self.aside.print(Text(plain(sentence)))

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Write a table for people."""
        table = Table(*heads, box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*(Text(plain(each), style=STYLES.get(plain(each), "")) for each in row))
        self.people.print(table)

    @contextlib.contextmanager
    def waiting(self, sentence: str) -> Iterator[None]:
        """Show that something is waited for, to who sits at a terminal."""
        if self.is_json or not self.aside.is_terminal:
            yield
            return
        with self.aside.status(Text(sentence)):
            yield

    def result(self, result: CommandResult) -> int:
        """Show how a command went. Return the exit status."""
        if self.is_json:
            self.json(result.to_json())
        else:
            self.line(result.status.value, result.guidance or result.message)
            self.line("command", result.command_id, "correlation id", result.correlation_id)
            for door in result.door_results:
                locked = {True: "locked", False: "unlocked", None: ""}[door.locked]
                self.line(" ", door.door_id, locked, door.failure_reason or "")
        if result.follow_error is not None:
            self.note(f"its end could not be looked at: {result.follow_error.detail}")
        return exit_status_of(result)

    def error(self, error: DoorsError) -> int:
        """Show what went wrong. Return the exit status."""
        if self.is_json:
            self.json(error_json(error))
        else:
            self.aside.print(Text(plain(f"{error.code}: {error.detail}"), style="bold red"))
            for each in error.errors:
                self.note(f"  {each.get('field')}: {each.get('reason')}")
            if error.may_have_succeeded:
                self.note("It may have been carried out all the same: look before you try again.")
            if isinstance(error, AuthenticationError) and error.challenge is not None:
                needed = error.challenge
                self.note(
                    f"Sign in with {needed.acr_values}, at most {needed.max_age} seconds ago, and try again."
                )
            if error.correlation_id:
                self.note(f"correlation id {error.correlation_id}")
        if error.may_have_succeeded:
            return TIMEOUT
        return (
            UNAVAILABLE
            if isinstance(error, NoAnswerError | UnavailableError | InvalidAnswerError)
            else REFUSED
        )


def exit_status_of(result: CommandResult) -> int:
    """Return the exit status of a command: 3 is that of one that may have acted and whose end nobody knows."""
    if result.succeeded or not result.finished:
        return SUCCESS
    return TIMEOUT if result.status == "TIMEOUT" else FAILED


def error_json(error: DoorsError) -> dict[str, Any]:
    """Return what went wrong as an object, with `error` as its code."""
    said: dict[str, Any] = {
        "error": error.code,
        "detail": error.detail,
        "status": error.status,
        "retryable": error.retryable,
        "mayHaveSucceeded": error.may_have_succeeded,
        "correlationId": error.correlation_id,
        "commandId": error.command_id,
        "retryAfter": error.retry_after,
        "errors": [dict(each) for each in error.errors] or None,
    }
    if isinstance(error, AuthenticationError) and error.challenge is not None:
        said |= {"acrValues": error.challenge.acr_values, "maxAge": error.challenge.max_age}
    return {name: value for name, value in said.items() if value is not None}


def plain(value: object) -> str:
    """Return a text without what would steer a terminal."""
    return "".join(each if each.isprintable() else " " for each in str(value))

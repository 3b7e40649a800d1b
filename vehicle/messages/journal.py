"""What the agent must not forget: commands it began, and answers the broker may not have yet.

An append-only file of JSON lines. `begin` and `answer` return once the line is on the disk; that
`stored` may be lost only costs a repeated message, which the broker and the cloud recognise.

After a crash, a command that began and has no answer shows in `interrupted`: it is answered, never
acted on again. A line cut short by a power loss was never promised to anybody and is dropped.
"""

from __future__ import annotations

import base64
import errno
import json
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

KEEP = timedelta(hours=24)
"""How long a finished command is remembered. Its expiry (30 s) protects it long before that."""

COMPACT_BYTES = 4 * 1024 * 1024


class AnswerKind(StrEnum):
    """What an answer answers."""

    RESULT = "result"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What must reach the cloud, signed anew each time it is sent. `key` is the command id or the cancel id
    it answers, `request_hash` names the order as it was signed.
    """

    kind: AnswerKind
    key: str
    message_id: str
    payload: bytes
    request_hash: bytes


@dataclass(frozen=True, slots=True)
class BegunCommand:
    """A command that began: when, its bytes, and the hash of the order it came in."""

    at: datetime
    command: bytes
    request_hash: bytes


class JournalDamagedError(RuntimeError):
    """A whole line is unreadable: the file cannot say what was done, so the agent must not start."""


class Journal:
    """The journal of one car. One process at a time."""

    def __init__(self, path: Path, now: datetime) -> None:
        self._path = path
        self._begun: dict[str, BegunCommand] = {}
        self._answers: dict[tuple[AnswerKind, str], tuple[datetime, StoredAnswer]] = {}
        self._unsent: dict[str, StoredAnswer] = {}
        self._load()
        self._compact(now)

    def begin(self, command_id: str, begun: BegunCommand) -> None:
        """Remember that this command begins now. On the disk when it returns."""
        self._append(_begun_record(command_id, begun), sync=True)
        self._begun[command_id] = begun

    def answer(self, now: datetime, *answers: StoredAnswer) -> None:
        """Remember these answers, all or none. On the disk when it returns."""
        self._append(_answers_record(now, answers), sync=True)
        self._remember(now, answers)
        if os.fstat(self._file).st_size > COMPACT_BYTES:
            os.close(self._file)
            self._compact(now)

    def stored(self, message_id: str) -> None:
        """Note that the broker has this answer."""
        if self._unsent.pop(message_id, None) is not None:
            self._append({"stored": message_id}, sync=False)

    def result_of(self, command_id: str) -> StoredAnswer | None:
        """Return the stored result of a command."""
        return self._find(AnswerKind.RESULT, command_id)

    def cancel_answer(self, cancel_id: str) -> StoredAnswer | None:
        """Return the stored answer to a cancellation."""
        return self._find(AnswerKind.CANCEL, cancel_id)

    def has_begun(self, command_id: str) -> bool:
        """Return whether the command began, whatever became of it."""
        return command_id in self._begun

    def interrupted(self) -> list[BegunCommand]:
        """Return each command that began and has no result."""
        return [
            begun
            for command_id, begun in self._begun.items()
            if (AnswerKind.RESULT, command_id) not in self._answers
        ]

    def unsent(self) -> list[StoredAnswer]:
        """Return answers that the broker has not confirmed, oldest first."""
        return list(self._unsent.values())

    def close(self) -> None:
        """Close the file. Nothing promised depends on it."""
        os.close(self._file)

    def _find(self, kind: AnswerKind, key: str) -> StoredAnswer | None:
        found = self._answers.get((kind, key))
        return found[1] if found else None

    def _append(self, record: dict[str, Any], *, sync: bool) -> None:
        line = _line(record)
        written = os.write(self._file, line)
        if written != len(line):
            # A full disk takes part of a line. Take it back, or the next line would be glued to it.
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise OSError(errno.ENOSPC, "journal line cut short", str(self._path))
        if sync:
            os.fdatasync(self._file)

    def _remember(self, at: datetime, answers: tuple[StoredAnswer, ...]) -> None:
        for answer in answers:
            self._answers[answer.kind, answer.key] = (at, answer)
            self._unsent[answer.message_id] = answer

    def _load(self) -> None:
        if not self._path.exists():
            return
        lines = self._path.read_bytes().split(b"\n")
        # What follows the last line end is a line cut short: it was never synced.
        for number, line in enumerate(lines[:-1], start=1):
            try:
                self._replay(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise JournalDamagedError(f"{self._path.name} line {number}: {error}") from error

    def _replay(self, record: dict[str, Any]) -> None:
        if "begun" in record:
            self._begun[record["begun"]] = BegunCommand(
                datetime.fromisoformat(record["at"]),
                base64.b64decode(record["command"]),
                base64.b64decode(record["hash"]),
            )
        elif "answers" in record:
            answers = tuple(
                StoredAnswer(
                    AnswerKind(kind),
                    key,
                    message_id,
                    base64.b64decode(payload),
                    base64.b64decode(request_hash),
                )
                for kind, key, message_id, payload, request_hash in record["answers"]
            )
            self._remember(datetime.fromisoformat(record["at"]), answers)
        else:
            self._unsent.pop(record["stored"], None)

    def _compact(self, now: datetime) -> None:
        # Rewritten beside the old file and renamed over it: a crash leaves one whole file or the other.
        self._purge_before(now - KEEP)
        fresh = self._path.with_suffix(".new")
        self._file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        for command_id, begun in self._begun.items():
            self._append(_begun_record(command_id, begun), sync=False)
        for at, answer in self._answers.values():
            self._append(_answers_record(at, (answer,)), sync=False)
            if answer.message_id not in self._unsent:
                self._append({"stored": answer.message_id}, sync=False)
        os.fsync(self._file)
        fresh.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def _purge_before(self, oldest: datetime) -> None:
        old_answers = [
            key
            for key, (at, answer) in self._answers.items()
            if at < oldest and answer.message_id not in self._unsent
        ]
        for kind, key in old_answers:
            del self._answers[kind, key]
            if kind is AnswerKind.RESULT:
                self._begun.pop(key, None)


def _begun_record(command_id: str, begun: BegunCommand) -> dict[str, Any]:
    return {
        "begun": command_id,
        "at": begun.at.isoformat(),
        "command": _text(begun.command),
        "hash": _text(begun.request_hash),
    }


def _answers_record(at: datetime, answers: tuple[StoredAnswer, ...]) -> dict[str, Any]:
    return {
        "answers": [
            [a.kind.value, a.key, a.message_id, _text(a.payload), _text(a.request_hash)] for a in answers
        ],
        "at": at.isoformat(),
    }


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _line(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, separators=(",", ":")) + "\n").encode()

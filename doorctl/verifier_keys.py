"""Public keys by which notes are verified, as whoever verifies gives them: as they are, or in files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from doorctl.text import complain
from tlog.notes import ED25519, NoteError, NoteKey

if TYPE_CHECKING:
    from collections.abc import Sequence

_NOT_ASKED_RIGHTLY = 2
_MOST_CHARACTERS = 64 * 1024


def read_verifier_keys(texts: Sequence[str], kind: int = ED25519) -> list[NoteKey]:
    """Return the keys that these name: `name+id+base64`, or a file with one a line.

    Keys of a log (kind ED25519) have one name. Whatever is wrong ends the command with status 2.
    """
    keys = []
    for text in texts:
        try:
            keys += [NoteKey.of_vkey(line) for line in _content(text).splitlines() if line.strip()]
        except (NoteError, OSError, ValueError) as error:
            complain(f"{text[:200]}: {error}")
            raise typer.Exit(_NOT_ASKED_RIGHTLY) from error
    names = {key.name for key in keys}
    if any(key.kind != kind for key in keys) or (kind == ED25519 and len(names) > 1):
        complain("these are not the keys of one log, or not of witnesses")
        raise typer.Exit(_NOT_ASKED_RIGHTLY)
    if texts and not keys:
        complain("there is no key")
        raise typer.Exit(_NOT_ASKED_RIGHTLY)
    return keys


def _content(text: str) -> str:
    if "+" in text and not Path(text).is_file():
        return text
    with Path(text).open(encoding="utf-8") as found:
        return found.read(_MOST_CHARACTERS)

"""The sync half of the Python SDK, made from the asynchronous one: the same modules without `async` and `await`.

Each module of `_async` becomes the one of the same name in `_sync`, but for HAND_MADE: what differs by more than those
words (sleeping, the HTTP client's class, locks) is written twice there, and nowhere else.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HAND_MADE = frozenset({"runtime.py"})
NOTE = "# Generated from _async by `make generate` (tools/sync_twin.py): change that one.\n"
_WORDS: tuple[tuple[str, str], ...] = (
    (r"\basync def\b", "def"),
    (r"\basync with\b", "with"),
    (r"\basync for\b", "for"),
    (r"\bawait ", ""),
    (r"\b__aenter__\b", "__enter__"),
    (r"\b__aexit__\b", "__exit__"),
    (r"\b__aiter__\b", "__iter__"),
    (r"\b__anext__\b", "__next__"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\banext\b", "next"),
    (r"\baclose\b", "close"),
    (r"\baclosing\b", "closing"),
    (r"\baread\b", "read"),
    (r"\baiter_bytes\b", "iter_bytes"),
    (r"\bAbstractAsyncContextManager\b", "AbstractContextManager"),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\bAsyncGenerator\b", "Generator"),
    (r"\b_async\b", "_sync"),
    (r"\bAsync(?=[A-Z])", "Sync"),
    (r"\bDoors\b(?!Error)", "DoorsSync"),
)


def files(package: Path, fresh: Mapping[str, str], below: str) -> dict[str, str]:
    """Return the texts of `_sync` by their paths, which begin with `below`; `fresh` are those of `_async` that were
    made just now and are not written yet.
    """
    sources = {
        path.name: path.read_text(encoding="utf-8") for path in sorted((package / "_async").glob("*.py"))
    }
    begin = f"{below}/_async/"
    sources |= {name.removeprefix(begin): text for name, text in fresh.items() if name.startswith(begin)}
    return {
        f"{below}/_sync/{name}": twin(text) for name, text in sorted(sources.items()) if name not in HAND_MADE
    }


def twin(text: str) -> str:
    """Return an asynchronous module's sync twin."""
    for pattern, instead in _WORDS:
        text = re.sub(pattern, instead, text)
    doc, _, code = text.partition('"""\n')
    return f'{doc}"""\n{NOTE}{code}' if text.startswith('"""') else NOTE + text

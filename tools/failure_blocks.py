"""What people are told about each reason of a failure, where no code reads it out of the contract: the pages' words and
the command service's rules.

Every text is an option of a value of FailureReason (`failure_text`, proto/ecarus/remotecontrol/options).
"""

from __future__ import annotations

import json
from textwrap import wrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from tools.contract_blocks import Contract

LANGUAGES = ("en", "ko")
WORDS = "gateway/pages/words/failures"
"""The pages' book of them, a file for each language."""
UNSPECIFIED = "UNSPECIFIED"
_WIDTH = 106
"""Of a line, so that the formatter leaves the block as it is."""


class MissingTextError(Exception):
    """The contract does not say a reason in a language; the message names both."""


def words_files(contract: Contract) -> dict[str, str]:
    """Return the texts of the pages' files by their paths: `failure.<reason>` is the title, `guidance.<reason>` what to
    do about it. Raises MissingTextError.
    """
    return {f"{WORDS}/{language}.json": _words(contract, language) for language in LANGUAGES}


def guidance(contract: Contract) -> list[str]:
    """Return the English guidance of each reason, as entries of a dict in Python. Raises MissingTextError."""
    lines = []
    for name, words in _texts(contract, "en"):
        if name != UNSPECIFIED:
            entry = f"FailureReason.{name}: {_literal(words.guidance)},"
            lines += [entry] if len(entry) <= _WIDTH else _wrapped(name, words.guidance)
    return lines


def _wrapped(name: str, text: str) -> list[str]:
    *parts, last = wrap(text, _WIDTH - 8, break_long_words=False, break_on_hyphens=False)
    literals = [*(_literal(f"{part} ") for part in parts), _literal(last)]
    return [f"FailureReason.{name}: (", *(f"    {each}" for each in literals), "),"]


def _literal(text: str) -> str:
    """Return the text as the formatter writes it: in double quotes, unless it has some."""
    return repr(text) if '"' in text else json.dumps(text)


def _words(contract: Contract, language: str) -> str:
    texts = list(_texts(contract, language))
    found = {f"failure.{name}": words.title for name, words in texts}
    found |= {f"guidance.{name}": words.guidance for name, words in texts}
    return json.dumps(found, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def _texts(contract: Contract, language: str) -> Iterator[tuple[str, Any]]:
    for name, text in contract.failure_texts.items():
        words = getattr(text, language)
        if not (words.title and words.cause and words.guidance):
            raise MissingTextError(f"FailureReason.{name} is not said in {language}")
        yield name, words

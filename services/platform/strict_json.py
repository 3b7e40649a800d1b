"""JSON as RFC 8259 has it and nothing else, for whatever strangers send: bodies, and the parts of tokens.

Python's own reader guesses encodings, lets the last of two equal names win, and takes NaN, halves of surrogate pairs
and numbers of any length. Two readers that forgive differently can be told two things at once.
"""

from __future__ import annotations

import json
import math
from typing import Any

_MAX_INTEGER_DIGITS = 20
_MAX_INTEGER = 2**63 - 1
_DEEPEST = 8
"""How deep objects and lists may lie within each other where a whole document is made plain."""


class Object(tuple[tuple[str, Any], ...]):
    """A JSON object with its names in order and as often as they were written."""

    __slots__ = ()


class NotStrictJsonError(ValueError):
    """It is not JSON, or says what may be read in more than one way; the text says which."""


def _refuse_constant(name: str) -> None:
    raise NotStrictJsonError(f"{name} is not JSON")


def _integer(digits: str) -> int:
    # A longer one is out of every range; and Python's own limit on digits is not for callers to meet.
    return int(digits[:_MAX_INTEGER_DIGITS])


_DECODER = json.JSONDecoder(object_pairs_hook=Object, parse_constant=_refuse_constant, parse_int=_integer)


def parse(text: bytes) -> Any:
    """Return the one document in `text`, which is UTF-8 without a byte order mark. Objects are `Object`s.

    Raises NotStrictJsonError.
    """
    try:
        return _DECODER.decode(text.decode("utf-8"))
    except UnicodeDecodeError:
        raise NotStrictJsonError("it is not UTF-8") from None
    except RecursionError:
        raise NotStrictJsonError("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise NotStrictJsonError(f"{error.msg} at character {error.pos}") from None


def members(text: bytes) -> dict[str, Any]:
    """Return the one object in `text`, with plain objects in it.

    Raises NotStrictJsonError also for a name that is given twice, for half of a surrogate pair, for a
    number that is not finite or does not fit in 64 bits, and for what is nested deeper than anybody needs.
    """
    document = parse(text)
    if not isinstance(document, Object):
        raise NotStrictJsonError("it is not an object")
    plain: dict[str, Any] = _plain(document, 1)
    return plain


def _plain(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise NotStrictJsonError("it is nested too deeply")
    if isinstance(value, Object):
        named = {_text(name): _plain(each, depth + 1) for name, each in value}
        if len(named) < len(value):
            raise NotStrictJsonError("a name is given more than once")
        return named
    if isinstance(value, list):
        return [_plain(each, depth + 1) for each in value]
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float) and not (math.isfinite(value) and abs(value) <= _MAX_INTEGER):
        raise NotStrictJsonError("a number is out of range")
    return value


def _text(text: str) -> str:
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise NotStrictJsonError("it holds half of a surrogate pair")
    return text

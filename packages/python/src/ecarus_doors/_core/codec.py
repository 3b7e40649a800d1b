"""Messages to and from JSON: what the service says more than this version knows is kept, and breaks nothing."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Any, Literal, Self, TypeVar, Union, get_args, get_origin

from ecarus_doors.errors import InvalidAnswerError

_T = TypeVar("_T")


class Word(StrEnum):
    """A word of a closed list that may grow: one that this version does not know is a member that only it has."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        word = str.__new__(cls, value)
        word._name_ = value
        word._value_ = value
        return word

    @property
    def is_known(self) -> bool:
        """Whether this version of the package knows the word."""
        return self.value in type(self).__members__


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A message of the API. `extra` has the members that this version does not know, as they came."""

    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return the message of a decoded JSON object. Raise InvalidAnswerError where it is none."""
        return decode(cls, value)

    def to_json(self) -> dict[str, Any]:
        """Return the message as a JSON object: what is None is left out, and what is `extra` kept."""
        made = dict(self.extra)
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name != "extra" and value is not None:
                made[json_name(each.name)] = encode(value)
        return made


@cache
def json_name(name: str) -> str:
    """Return what an attribute is called in JSON: `commandId`."""
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), name.removesuffix("_"))


def encode(value: object) -> Any:
    """Return a value as what the json module writes. A time without a zone raises ValueError."""
    if isinstance(value, Model):
        return value.to_json()
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, Word):
        return value.value
    if isinstance(value, str | bool | int | float) or value is None:
        return value
    if isinstance(value, Mapping):
        return {str(name): encode(each) for name, each in value.items()}
    if isinstance(value, Sequence):
        return [encode(each) for each in value]
    raise TypeError(f"a {type(value).__name__} has no form in JSON")


def time_text(value: datetime) -> str:
    """Return a time as RFC 3339, UTC, with milliseconds. One without a zone raises ValueError."""
    if value.tzinfo is None:
        raise ValueError("a time without a zone: use datetime.now(UTC) or another zone")
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def decode(kind: type[_T], value: object, where: str = "$") -> _T:
    """Return decoded JSON as a `kind`. Raise InvalidAnswerError, naming the place, where it is none."""
    return typing.cast("_T", _decoded(kind, value, where))


def _decoded(kind: Any, value: object, where: str) -> object:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _decoded_optional(kind, value, where)
    if origin is Literal:
        return _decoded(str, value, where)
    if origin is Sequence:
        if not isinstance(value, list):
            raise _wrong(where, "a list", value)
        (inner,) = get_args(kind)
        return tuple(_decoded(inner, each, f"{where}[{i}]") for i, each in enumerate(value))
    if origin is Mapping:
        if not isinstance(value, dict):
            raise _wrong(where, "an object", value)
        return value
    if isinstance(kind, type) and issubclass(kind, Model):
        return _decoded_model(kind, value, where)
    return _decoded_plain(kind, value, where)


def _decoded_optional(kind: Any, value: object, where: str) -> object:
    inner = [each for each in get_args(kind) if each is not types.NoneType]
    if value is None and len(inner) < len(get_args(kind)):
        return None
    return _decoded(inner[0], value, where)


def _decoded_model(kind: type[Model], value: object, where: str) -> Model:
    if not isinstance(value, dict):
        raise _wrong(where, "an object", value)
    kinds = _kinds(typing.cast("Any", kind))
    known = {json_name(name): name for name in kinds}
    made: dict[str, Any] = {
        known[name]: _decoded(kinds[known[name]], each, f"{where}.{name}")
        for name, each in value.items()
        if name in known
    }
    extra = {name: each for name, each in value.items() if name not in known}
    try:
        return kind(**made, extra=extra)
    except TypeError as error:
        raise InvalidAnswerError(f"the answer lacks a member at {where}: {error}") from error


@cache
def _kinds(kind: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {each.name: hints[each.name] for each in fields(kind) if each.name != "extra"}


def _decoded_plain(kind: Any, value: object, where: str) -> object:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is datetime and isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError as error:
            raise _wrong(where, "a time", value) from error
    if kind is float and is_number:
        return float(typing.cast("float", value))
    if kind is int and is_number and float(typing.cast("float", value)).is_integer():
        return int(typing.cast("float", value))
    if kind is bool and isinstance(value, bool):
        return value
    if isinstance(kind, type) and issubclass(kind, str) and isinstance(value, str):
        return kind(value)
    raise _wrong(where, f"a {getattr(kind, '__name__', kind)}", value)


def _wrong(where: str, wanted: str, value: object) -> InvalidAnswerError:
    return InvalidAnswerError(
        f"the answer has no {wanted.split(' ', 1)[1]} at {where}, but a {type(value).__name__}"
    )

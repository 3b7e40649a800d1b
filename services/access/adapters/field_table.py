"""What each field of a message may be in strict JSON and in a query, worked out once from its descriptor."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor

from services.platform.strict_json import Object

if TYPE_CHECKING:
    from collections.abc import Collection

    from google.protobuf.descriptor import Descriptor, EnumDescriptor

MIN_INT32, MAX_INT32 = -(2**31), 2**31 - 1

Check = Callable[[Any], str | None]
"""Why a value is refused; None when it is not."""


@dataclass(frozen=True, slots=True)
class FieldRule:
    """One field: how its value in a JSON body and its text in a query are judged."""

    in_body: Check
    in_query: Check
    repeated: bool


FieldTable = Mapping[str, FieldRule]
"""Rules by the field's JSON name (lowerCamel). No other spelling is accepted."""

_INTEGER_TEXT = re.compile(r"-?(?:0|[1-9][0-9]{0,9})")
_RFC_3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(\.\d{1,9})?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
)


def table_of(message: Descriptor, leave_out: Collection[str] = ()) -> FieldTable:
    """Return the rules of a message's fields, without those whose proto names are in `leave_out`.

    Raises TypeError for a kind of field that has no rule here.
    """
    return {field.json_name: _rule_of(field) for field in message.fields if field.name not in leave_out}


def _rule_of(field: FieldDescriptor) -> FieldRule:
    if field.type == FieldDescriptor.TYPE_STRING:
        checks: tuple[Check, Check] = (_string, _nothing)
    elif field.type == FieldDescriptor.TYPE_BOOL:
        checks = (_boolean, _boolean_text)
    elif field.type == FieldDescriptor.TYPE_INT32:
        checks = (_integer, _integer_text)
    elif field.enum_type is not None:
        check = _word_check(field.enum_type)
        checks = (check, check)
    elif field.message_type is not None and field.message_type.full_name == "google.protobuf.Timestamp":
        checks = (_timestamp, _timestamp)
    elif field.message_type is not None:
        checks = (_object_check(table_of(field.message_type)), _no_query)
    else:
        raise TypeError(f"{field.full_name}: no rule for this kind of field in REST")
    return FieldRule(*checks, repeated=field.is_repeated)


def _nothing(_: str) -> None:
    """Any text is a string."""


def _string(value: object) -> str | None:
    if not isinstance(value, str):
        return f"must be a string, not {_kind(value)}"
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        return "is not Unicode text: half of a surrogate pair"
    return None


def _boolean(value: object) -> str | None:
    return None if isinstance(value, bool) else f"must be true or false, not {_kind(value)}"


def _boolean_text(value: str) -> str | None:
    return None if value in {"true", "false"} else "must be true or false"


def _integer(value: object) -> str | None:
    # JSON has one kind of number: 30, 30.0 and 3e1 are the same one (RFC 8259, 6), and some writers have no other.
    if isinstance(value, float) and not math.isnan(value) and (math.isinf(value) or value.is_integer()):
        value = int(max(min(value, 2.0**32), -(2.0**32)))
    if not isinstance(value, int) or isinstance(value, bool):
        return f"must be an integer, not {_kind(value)}"
    return None if MIN_INT32 <= value <= MAX_INT32 else "is out of the range of 32 bits"


def _integer_text(value: str) -> str | None:
    if not _INTEGER_TEXT.fullmatch(value):
        return "must be a decimal integer"
    return _integer(int(value))


def _word_check(enum: EnumDescriptor) -> Check:
    words = [value.name for value in enum.values if value.number != 0]
    allowed, reason = frozenset(words), f"must be one of {', '.join(words)}"
    return lambda value: None if isinstance(value, str) and value in allowed else reason


def _timestamp(value: object) -> str | None:
    reason = "must be a time as RFC 3339 writes it: 2026-01-12T14:30:00Z"
    match = _RFC_3339.fullmatch(value) if isinstance(value, str) and value.isascii() else None
    if match is None:
        return reason
    try:
        datetime.fromisoformat(f"{match[1]}T{match[2]}+00:00")
    except ValueError:
        return reason
    return None


def _object_check(table: FieldTable) -> Check:
    """Return an object within the body. Its first fault stands for all: such members are only sent back as they
    were read.
    """

    def fault(value: object) -> str | None:
        if not isinstance(value, Object):
            return f"must be an object, not {_kind(value)}"
        seen: set[str] = set()
        for name, member in value:
            rule = table.get(name)
            if rule is None or name in seen:
                return "has a member that is not known, or one more than once"
            seen.add(name)
            if rule.repeated and not isinstance(member, list):
                return f"{name} must be a list"
            for each in member if rule.repeated else [member]:
                reason = rule.in_body(each)
                if reason is not None:
                    return f"{name} {reason}"
        return None

    return fault


def _no_query(_: str) -> str:
    return "is no query parameter"


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, float):
        return "a number with a fraction"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, list) else "an object"

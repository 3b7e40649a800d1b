"""Messages of vehicles whose keys are right and whose fields hold anything at all."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.descriptor import FieldDescriptor
    from google.protobuf.message import Message

_INTEGERS = {
    1: None,  # double
    3: (-(2**63), 2**63 - 1),
    4: (0, 2**64 - 1),
    5: (-(2**31), 2**31 - 1),
    13: (0, 2**32 - 1),
    14: (-(2**31), 2**31 - 1),  # an enum is open on the wire
}
_TEXTS = (
    "",
    "x",
    "\x00",
    "a\x00b",
    "\u202e\u200b",
    "x" * 300,
    "'; DROP TABLE outbox; --",
    "{component}",
    "\n",
    "ü" * 65,
)
_FLOATS = (0.0, -1.0, 1e308, float("inf"), float("-inf"), float("nan"))
_DEEPEST = 4


def source(seed: int) -> random.Random:
    """The same nonsense at every run."""
    return random.Random(seed)  # noqa: S311  # nonsense, not secrets


def fill(message: Message, rnd: random.Random, *, depth: int = 0) -> Message:
    """Set some of its fields, each to something that the wire can carry."""
    for field in message.DESCRIPTOR.fields:
        if rnd.random() < 0.25:
            continue
        if field.is_repeated:
            values = getattr(message, field.name)
            for _ in range(rnd.choice((0, 1, 2, 7, 40))):
                if field.message_type is None:
                    values.append(_value(field, rnd))
                elif depth < _DEEPEST:
                    fill(values.add(), rnd, depth=depth + 1)
        elif field.message_type is None:
            setattr(message, field.name, _value(field, rnd))
        elif depth < _DEEPEST:
            fill(getattr(message, field.name), rnd, depth=depth + 1)
    return message


def spoil(message: Message, rnd: random.Random) -> Message:
    """A message that is right in all but one or two fields, at any depth."""
    for _ in range(rnd.choice((1, 1, 2))):
        target: Any = message
        while True:
            fields = list(target.DESCRIPTOR.fields)
            field = rnd.choice(fields)
            if field.message_type is None:
                if field.is_repeated:
                    getattr(target, field.name).extend(
                        _value(field, rnd) for _ in range(rnd.choice((1, 3, 70)))
                    )
                else:
                    setattr(target, field.name, _value(field, rnd))
                break
            if field.is_repeated:
                values = getattr(target, field.name)
                target = rnd.choice(values) if values and rnd.random() < 0.7 else values.add()
            else:
                target = getattr(target, field.name)
                target.SetInParent()
    return message


def _value(field: FieldDescriptor, rnd: random.Random) -> Any:
    if field.type in {1, 2}:
        return rnd.choice(_FLOATS)
    if field.type == field.TYPE_BOOL:
        return rnd.random() < 0.5
    if field.type == field.TYPE_STRING:
        return rnd.choice(_TEXTS)
    if field.type == field.TYPE_BYTES:
        return rnd.randbytes(rnd.choice((0, 1, 8, 16, 32, 100)))
    low, high = _INTEGERS[field.type] or (0, 0)
    small = (0, 1, 2, 5, 99, -1, 2**31 - 1, 2**40, 2**48 - 1, 2**62)
    return rnd.choice([low, high, *(number for number in small if low <= number <= high)])

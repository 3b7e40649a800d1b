"""The contract's own rules (protovalidate) applied to a request, told in the caller's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import protovalidate
from google.api import annotations_pb2

from services.platform.errors import Violation

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message
    from protovalidate import Violation as Violated

_validator = protovalidate.Validator()


def violations_of(request: Message, body_field: str | None) -> list[Violation]:
    """Return what is wrong with `request`: JSON paths and reasons; empty when nothing is.

    `body_field` is the field that holds REST's body; it is left out of the paths, as it is not in the
    body that the caller wrote.
    """
    found = _validator.collect_violations(request)
    return [
        Violation(path_of(request.DESCRIPTOR, violation, body_field), _reason(request.DESCRIPTOR, violation))
        for violation in found
    ]


def _reason(descriptor: Any, violation: Violated) -> str:
    """Return what the rule says, in the words of an enum where it is about one: callers know no numbers."""
    enum = _enum_of(descriptor, violation)
    if enum is None:
        return str(violation.proto.message)
    rules = violation.proto.rule_id
    words = {value.number: value.name for value in enum.values}
    rule = violation.rule_value
    if rules == "enum.in":
        allowed = [words[number] for number in rule if number in words]
    elif rules == "enum.not_in":
        allowed = [word for number, word in words.items() if number and number not in rule]
    elif rules == "enum.const":
        allowed = [words[rule]]
    else:  # defined_only, required
        allowed = [word for number, word in words.items() if number]
    return f"must be one of {', '.join(allowed)}"


def _enum_of(descriptor: Any, violation: Violated) -> Any:
    """Return the enum that the broken rule is about; None for a rule about anything else."""
    place = violation.proto.field
    enum = None
    for element in place.elements if place is not None else ():
        field = descriptor.fields_by_name[element.field_name]
        enum, descriptor = field.enum_type, field.message_type
    return enum if violation.proto.rule_id.startswith("enum.") else None


def body_field_of(method: MethodDescriptor) -> str | None:
    """Return the field that this RPC's REST body is bound to; None when it has no body."""
    body: str = method.GetOptions().Extensions[annotations_pb2.http].body
    return body if body not in {"", "*"} else None


def path_of(descriptor: Any, violation: Violated, body_field: str | None = None) -> str:
    """Return the JSON path of the field that is wrong in a message of this type."""
    words: list[str] = []
    place = violation.proto.field
    for depth, element in enumerate(place.elements if place is not None else ()):
        field = descriptor.fields_by_name[element.field_name]
        subscript = element.subscript
        index = f"[{subscript.value}]" if subscript is not None else ""
        if not (depth == 0 and field.name == body_field):
            words.append(field.json_name + index)
        if field.message_type is not None:
            descriptor = field.message_type
    return ".".join(words) or "(body)"

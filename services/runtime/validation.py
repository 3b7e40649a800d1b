"""The contract's own rules (protovalidate) applied to a request, told in the caller's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import protovalidate
from google.api import annotations_pb2

from services.runtime.errors import Violation

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message
    from protovalidate import Violation as Violated

_validator = protovalidate.Validator()


def violations_of(request: Message, body_field: str | None) -> list[Violation]:
    """What is wrong with `request`: JSON paths and reasons; empty when nothing is.

    `body_field` is the field that holds REST's body; it is left out of the paths, as it is not in the
    body that the caller wrote.
    """
    found = _validator.collect_violations(request)
    return [
        Violation(path_of(request.DESCRIPTOR, violation, body_field), violation.proto.message)
        for violation in found
    ]


def body_field_of(method: MethodDescriptor) -> str | None:
    """The field that this RPC's REST body is bound to; None when it has no body."""
    body: str = method.GetOptions().Extensions[annotations_pb2.http].body
    return body if body not in {"", "*"} else None


def path_of(descriptor: Any, violation: Violated, body_field: str | None = None) -> str:
    """The JSON path of the field that is wrong in a message of this type."""
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

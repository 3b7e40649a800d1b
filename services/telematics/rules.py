"""The contract's rules for what vehicles say (protovalidate, in proto/.../vehicle/v1), applied on arrival.

Signed messages are few, and reading one costs a hundred times as much. Status reports are too many for it: their
rules are the same, in services/status/adapters/vehicle_translate.py, and a test holds the two together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import protovalidate

from protocol.faults import Fault, MessageRefusedError
from services.platform.validation import path_of

if TYPE_CHECKING:
    from google.protobuf.message import Message

_validator = protovalidate.Validator()


def broken_rule(message: Message) -> str | None:
    """Return the first rule that the message breaks, with the field; None when it breaks none."""
    try:
        found = _validator.collect_violations(message)
    except (ValueError, OverflowError) as error:  # a time beyond what the validator can compute with
        return f"a value that is none: {error}"
    if not found:
        return None
    return f"{path_of(message.DESCRIPTOR, found[0])}: {found[0].proto.message}"


def check(message: Message) -> None:
    """Raise MessageRefusedError (MALFORMED) when the message breaks a rule."""
    broken = broken_rule(message)
    if broken is not None:
        raise MessageRefusedError(Fault.MALFORMED, broken)

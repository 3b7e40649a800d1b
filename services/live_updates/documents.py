"""An update in the words that its readers get."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.door.v1 import door_update_pb2
from google.protobuf.json_format import MessageToDict

from protocol.subjects import origin_of_update, vin_of
from services.live_updates.origins import is_accepted, shown_code
from services.platform.free_text import readable
from services.platform.times import time_text

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

_MAX_COMPONENT_ID = 64
_TYPES = door_update_pb2.DoorUpdateType.Value


def accepted_update(payload: bytes, subject: str) -> door_update_pb2.DoorUpdate | None:
    """Return the update in `payload`, kept under `subject`, as it may be shown; None where it is not its publisher's to
    tell. Raise DecodeError or ValueError when it is none.
    """
    message = door_update_pb2.DoorUpdate.FromString(payload)
    kind, member = _TYPES.Name(message.type), message.WhichOneof("data")
    accepted = is_accepted(origin_of_update(subject), kind, member, message.system_alert.code)
    if not accepted or vin_of(subject) != message.vin:
        return None
    if member == "system_alert":
        _bound_alert(message.system_alert)
    return message


def _bound_alert(alert: door_update_pb2.SystemAlert) -> None:
    """Leave of an alert what people may be shown, whatever its publisher, or a vehicle behind it, put there."""
    alert.code = shown_code(alert.code)
    alert.message = readable(alert.message)
    if alert.HasField("component_id"):
        alert.component_id = readable(alert.component_id, _MAX_COMPONENT_ID)


def document_of(message: door_update_pb2.DoorUpdate) -> dict[str, Any]:
    """Return what happened as the specification's JSON object."""
    document: dict[str, Any] = {
        "type": _TYPES.Name(message.type),
        "vin": message.vin,
        "timestamp": time_text(message.timestamp),
        "data": {},
    }
    member = message.WhichOneof("data")
    if member is not None:
        document["data"] = _in_order(
            message.DESCRIPTOR.fields_by_name[member].message_type,
            MessageToDict(getattr(message, member), always_print_fields_with_no_presence=True),
        )
    return document


def document_text(message: door_update_pb2.DoorUpdate) -> str:
    """Return what happened as one line of the specification's JSON."""
    return json.dumps(document_of(message), separators=(",", ":"))


def _in_order(descriptor: Descriptor | None, document: dict[str, Any]) -> dict[str, Any]:
    """Return the document's members in the contract's order; MessageToDict puts those with default values last."""
    ordered: dict[str, Any] = {}
    for each in descriptor.fields if descriptor is not None else ():
        if each.json_name in document:
            value = document[each.json_name]
            nested = isinstance(value, dict)
            ordered[each.json_name] = _in_order(each.message_type, value) if nested else value
    return ordered

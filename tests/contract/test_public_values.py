"""What the whole public contract has in common: absence, times, and which values can be null."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecarus.remotecontrol.door.v1 import (
    door_command_pb2,
    door_command_service_pb2,
    door_config_pb2,
    door_config_service_pb2,
    door_diagnostics_pb2,
    door_diagnostics_service_pb2,
    door_status_pb2,
    door_status_service_pb2,
    door_update_pb2,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor, FieldDescriptor

FILES = (
    door_command_pb2,
    door_command_service_pb2,
    door_config_pb2,
    door_config_service_pb2,
    door_diagnostics_pb2,
    door_diagnostics_service_pb2,
    door_status_pb2,
    door_status_service_pb2,
    door_update_pb2,
)
OBSERVED = {"locked", "open", "window_open", "child_lock"}


def _with_nested(message: Descriptor) -> Iterator[Descriptor]:
    yield message
    for nested in message.nested_types:
        yield from _with_nested(nested)


def public_fields() -> list[FieldDescriptor]:
    return [
        field
        for file in FILES
        for message in file.DESCRIPTOR.message_types_by_name.values()
        for each in _with_nested(message)
        for field in each.fields
    ]


def test_only_the_historys_failure_reason_can_be_null() -> None:
    values = [
        field.full_name.rpartition("v1.")[2]
        for field in public_fields()
        if field.message_type is not None and field.message_type.full_name == "google.protobuf.Value"
    ]
    assert values == ["DoorHistoryEntry.failure_reason"]


def test_what_a_vehicle_observed_can_be_absent_everywhere() -> None:
    observed = [field for field in public_fields() if field.name in OBSERVED]
    # An ObservedDoor is one of a confirmation, which needs locks that the vehicle could tell.
    without = {field.containing_type.name for field in observed if not field.has_presence}
    assert {field.containing_type.name for field in observed} >= {
        "DoorState",
        "DoorStatusChange",
        "PreviousDoorState",
        "DoorResult",
    }
    assert without == {"ObservedDoor"}


def test_times_are_timestamps_and_nothing_else() -> None:
    others = {"google.protobuf.Duration", "google.protobuf.StringValue"}
    used = {field.message_type.full_name for field in public_fields() if field.message_type is not None}
    assert "google.protobuf.Timestamp" in used
    assert not used & others

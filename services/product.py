"""What the platform is told of this product. Nothing else in the platform names what the product is about (a check)."""

from __future__ import annotations

from ecarus.remotecontrol.door.v1.error_reason_pb2 import ErrorReason

PROBLEMS = ErrorReason.DESCRIPTOR
"""The closed list of refusals, each with its `problem` option."""
RESOURCE = "vin"
"""What a capability is about, as a request's field, the capability's claim and the log call it."""
RESOURCE_NOT_FOUND = "VEHICLE_NOT_FOUND"
"""The refusal of a resource that there is not, and of one that is not the caller's: nobody can tell them apart."""
RESOURCE_NOT_FOUND_DETAIL = "There is no such vehicle among those you may access."
ACTION_NOT_GRANTED_DETAIL = "Your access to this vehicle does not include {action}; its owner can extend it."

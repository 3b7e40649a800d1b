"""JSON Schemas of the vehicle protocol's messages in protobuf's own JSON, for who reads and writes them by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from typing_extensions import override

from tools.openapi_schemas import EITHER_CASE, VIN_RULE, Schema, SchemaSource

if TYPE_CHECKING:
    from collections.abc import Mapping

VEHICLE_PACKAGE = "ecarus.remotecontrol.vehicle.v1"
_WHOLE_NUMBER = "^(0|[1-9][0-9]{0,19})$"


class VehicleSchemas(SchemaSource):
    """Makes schemas of the vehicle protocol's messages.

    Numbers of 64 bits are texts, enums have their whole names, and what has its default may be left out. What a
    validation rule says is in the schema where JSON Schema can say it; members that are not known are passed over.
    """

    package = VEHICLE_PACKAGE
    prefix = "vehicle.v1."
    plain: Mapping[int, Schema] = {
        **SchemaSource.plain,
        FieldDescriptorProto.TYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
        FieldDescriptorProto.TYPE_UINT64: {"type": "string", "pattern": _WHOLE_NUMBER},
    }
    are_requests_closed = False
    are_zeros_told = True

    @override
    def is_required(self, field: Any) -> bool:
        return bool(field.options.Extensions[self._rules].required)

    @override
    def of_rule(self, field: Any, rule: Any) -> Schema:
        schema = super().of_rule(field, rule)
        # A VIN has capitals here: what is signed is compared byte by byte.
        if schema.get("pattern") == EITHER_CASE:
            schema["pattern"] = VIN_RULE
        return schema

    @override
    def _of_enum(self, enum: str, rule: Any) -> Schema:
        reference = super()._of_enum(enum, rule)
        known = self._made.get(self.name_of(enum), {})
        if "enum" in known:
            said = {"description": known.pop("description")} if "description" in known else {}
            newer = {"type": "integer", "description": "A value that is newer than this document."}
            self._made[self.name_of(enum)] = {"anyOf": [known, newer], **said}
        return reference

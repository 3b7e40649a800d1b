"""Parts of the OpenAPI document that no message of the contract says."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tools.openapi_schemas import Schema

PERSONAL_DATA: Schema = {
    "type": "object",
    "properties": {
        "format": {"type": "string", "const": "ecarus-personal-data/1"},
        "exportId": {"type": "string"},
        "subject": {"type": "string", "description": "Whose it is."},
        "at": {"type": "string", "format": "date-time"},
        "rows": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/PersonalDataRow"},
        },
        "missing": {
            "type": "array",
            "items": {"type": "string"},
            "description": "What could not be asked.",
        },
        "complete": {"type": "boolean"},
    },
    "required": ["format", "exportId", "subject", "at", "rows", "missing", "complete"],
}
"""The file of an export: no message of the contract, but a document of its own."""
PERSONAL_DATA_ROW: Schema = {
    "type": "object",
    "properties": {
        "service": {"type": "string", "description": "Which service kept it."},
        "table": {"type": "string"},
        "row": {"type": "object", "additionalProperties": True, "description": "Its columns by their names."},
    },
    "required": ["service", "table", "row"],
}
DOCUMENTS: Mapping[str, Schema] = {
    "application/vnd.ecarus.personal-data+json": {"$ref": "#/components/schemas/PersonalDataFile"},
}
FIELD_ERROR: Schema = {
    "type": "object",
    "properties": {"field": {"type": "string"}, "reason": {"type": "string"}},
    "required": ["field", "reason"],
}

"""The AsyncAPI 3 document: streams, sockets, events and the vehicle's messages, made from the contract and the code's
own tables.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tools.asyncapi_socket import SocketPart
from tools.asyncapi_stream import StreamPart
from tools.asyncapi_updates import EXAMPLES, UpdateSchemas
from tools.asyncapi_vehicle import VehiclePart
from tools.asyncapi_webhooks import WebhookPart
from tools.contract_version import contract_version
from tools.openapi_schemas import Schema, SchemaSource
from tools.vehicle_schemas import VehicleSchemas

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tools.contract_blocks import Contract

VERSION = "3.0.0"
ABOUT = (
    "What comes by itself: live updates of vehicles as Server-Sent Events, over a WebSocket and posted to "
    "webhooks, and what cloud and vehicles say to each other over NATS and MQTT.\n\n"
    "Requests and their answers are in `/openapi.json`. Schemas are JSON Schema as draft 7 and 2020-12 read it "
    "alike. A reader passes over members that it does not know: messages only grow."
)
TAGS: Mapping[str, str] = {
    "live updates": "What happens to vehicles, for apps and integrators.",
    "vehicle": "What cloud and vehicles say to each other, for makers of telematics units.",
    "unit": "What a vehicle's unit does.",
    "cloud": "What the cloud does.",
}
_SECURITY: Mapping[str, Schema] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An access token of the issuer (RFC 9068), or an `sk_` API key.",
    },
    "dpop": {
        "type": "http",
        "scheme": "dpop",
        "description": "A token that is bound to a key, with a header `DPoP` for each request (RFC 9449).",
    },
    "ticket": {
        "type": "httpApiKey",
        "in": "query",
        "name": "ticket",
        "description": "What `POST /api/v1/remotecontrol/events/tickets` gives to a page, which can send no header: "
        "good once, for what it was given for.",
    },
    "certificate": {
        "type": "X509",
        "description": "The vehicle's client certificate, which names it: `spiffe://ecarus/vehicle/<VIN>`.",
    },
}


def document(contract: Contract, image: Any, rules: Any) -> str:
    """Return the document as JSON.

    `image` is the descriptor set with its comments, `rules` the generated module of buf.validate. Raises SystemExit
    where the contract or a table of the code has what is not described.
    """
    schemas = SchemaSource(image, rules.field, rules.message)
    vehicle = VehicleSchemas(image, rules.field, rules.message)
    examples = json.loads(EXAMPLES.read_text(encoding="utf-8"))
    updates = UpdateSchemas(schemas, contract)
    parts = (
        StreamPart(updates, contract, image, examples),
        SocketPart(updates, contract, examples),
        WebhookPart(updates, schemas, examples),
        VehiclePart(vehicle, examples),
    )
    if unknown := set(examples) - {name for part in parts for name in part.messages}:
        raise SystemExit(f"{EXAMPLES.name}: examples of no message: {', '.join(sorted(unknown))}")
    made: Schema = {
        "asyncapi": VERSION,
        "info": {
            "title": "Remote Door Control: events",
            "version": contract_version(),
            "description": ABOUT,
            "tags": [{"name": name, "description": said} for name, said in TAGS.items()],
        },
        "defaultContentType": "application/json",
        "servers": _merged(part.servers for part in parts),
        "channels": _merged(part.channels for part in parts),
        "operations": _merged(part.operations for part in parts),
        "components": {
            "schemas": {**updates.made, **vehicle.made},
            "messages": _merged(part.messages for part in parts),
            "securitySchemes": dict(_SECURITY),
        },
    }
    return json.dumps(_plain_references(made), indent=1, ensure_ascii=False) + "\n"


def _merged(named: Any) -> Schema:
    merged: Schema = {}
    for each in named:
        if twice := merged.keys() & each.keys():
            raise SystemExit(f"the AsyncAPI document has two of {', '.join(sorted(twice))}")
        merged |= each
    return merged


def _plain_references(value: Any) -> Any:
    """Return it with nothing beside a `$ref`: older readers of JSON Schema pass over what stands there."""
    if isinstance(value, list):
        return [_plain_references(each) for each in value]
    if not isinstance(value, dict):
        return value
    plain = {name: _plain_references(each) for name, each in value.items()}
    if isinstance(plain.get("$ref"), str) and len(plain) > 1:
        return {"allOf": [{"$ref": plain.pop("$ref")}], **plain}
    return plain

"""The event stream (Server-Sent Events) as a channel of the AsyncAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.api import annotations_pb2

from services.status.domain.event_stream import (
    GAVE_WAY_RETRY_MILLISECONDS,
    HEARTBEAT_SECONDS,
    RETRY_MILLISECONDS,
)
from tools.asyncapi_updates import (
    API_SERVERS,
    OPENED,
    in_channel,
    messages_of,
    name_of,
    reference,
    server,
    vin_parameter,
)
from tools.contract_blocks import DOOR_PACKAGE, METHOD_FIELD, SERVICE_FIELD
from tools.openapi_schemas import prose

if TYPE_CHECKING:
    from tools.asyncapi_updates import UpdateSchemas
    from tools.contract_blocks import Contract
    from tools.openapi_schemas import Schema

RPC = "StreamDoorUpdates"
CHANNEL = "doorUpdateStream"
MEDIA_TYPE = "text/event-stream"


class StreamPart:
    """What the document has of the event stream."""

    def __init__(self, updates: UpdateSchemas, contract: Contract, image: Any, examples: Schema) -> None:
        address, said, request, takes_ticket = _bound(image, contract)
        query = updates.query_of(request, address)
        if takes_ticket:
            query["ticket"] = {
                "type": "string",
                "description": "In place of a bearer, from a page: good once.",
            }
        names = {kind: name_of(kind, with_id=False) for kind in updates.kinds}
        retry = {
            "type": "integer",
            "minimum": 0,
            "description": "Milliseconds after which to come back. A stream begins with it "
            f"({RETRY_MILLISECONDS:,}); who had to give way to a newer stream is told {GAVE_WAY_RETRY_MILLISECONDS:,}.",
        }
        api = API_SERVERS["api"]
        by_ticket = [{"$ref": "#/components/securitySchemes/ticket"}] if takes_ticket else []
        self.servers = {"api": {**api, "security": [*api["security"], *by_ticket]}}
        self.messages: dict[str, Schema] = {
            name: {
                "name": kind,
                "title": updates.title_of(kind),
                "summary": updates.described(kind).split("\n\n", maxsplit=1)[0],
                "contentType": "application/json",
                "headers": {
                    "type": "object",
                    "description": "The fields of the event beside `data`, which is the payload in one line.",
                    "properties": {"id": reference("EventId"), "event": {"const": kind}, "retry": retry},
                    "required": ["id", "event"],
                },
                "payload": updates.of_kind(kind, with_id=False),
                **({"examples": examples[name]} if name in examples else {}),
            }
            for kind, name in names.items()
        }
        self.channels: dict[str, Schema] = {
            CHANNEL: {
                "address": address,
                "title": "Event stream of a vehicle",
                "description": said,
                "servers": server("api"),
                "parameters": vin_parameter(),
                "messages": messages_of(names.values()),
                "x-media-type": MEDIA_TYPE,
                "x-request-headers": {
                    "Last-Event-ID": {
                        **reference("EventId"),
                        "description": "Resume after this event: nothing is missed or repeated for 24 hours.",
                    },
                },
                "x-first-event": {
                    "message": {"$ref": f"#/components/messages/{names[OPENED]}"},
                    "description": "Of a stream that starts now; one that is resumed has none.",
                },
                "x-heartbeat": {
                    "comment": "heartbeat",
                    "seconds": HEARTBEAT_SECONDS,
                    "description": "A comment line, which is no event.",
                },
                "x-last-comment": {
                    "pattern": "^the stream ends: [A-Z_]+: .+$",
                    "code": reference("ProblemCode"),
                    "description": "Why the stream ends, as its last comment.",
                },
            }
        }
        self.operations: dict[str, Schema] = {
            "sendDoorUpdates": {
                "action": "send",
                "channel": {"$ref": f"#/channels/{CHANNEL}"},
                "title": "Tell what happens to a vehicle",
                "summary": said.split(". ", maxsplit=1)[0].replace("\n", " ").rstrip(".") + ".",
                "tags": [{"name": "live updates"}],
                "bindings": {
                    "http": {
                        "method": "GET",
                        **({"query": {"type": "object", "properties": query}} if query else {}),
                        "bindingVersion": "0.3.0",
                    }
                },
                "messages": in_channel(CHANNEL, names.values()),
            }
        }


def _bound(image: Any, contract: Contract) -> tuple[str, str, str, bool]:
    """Return the stream's path, what the contract says of it, its request, and whether a ticket opens it."""
    for file in image.file:
        if file.package != DOOR_PACKAGE:
            continue
        comments = {tuple(p.path): p.leading_comments for p in file.source_code_info.location}
        for i, service in enumerate(file.service):
            for j, method in enumerate(service.method):
                if method.name == RPC:
                    path = method.options.Extensions[annotations_pb2.http].get
                    said = prose(comments[SERVICE_FIELD, i, METHOD_FIELD, j])
                    access = method.options.Extensions[contract.options.access]
                    return path, said, method.input_type, access.takes_ticket
    raise SystemExit(f"the contract has no {RPC}")

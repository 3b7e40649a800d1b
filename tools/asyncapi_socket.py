"""The WebSocket as a channel of the AsyncAPI document, and its tables in the API's page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway import messages
from gateway.closings import CLOSINGS
from gateway.settings import GatewaySettings
from tools.asyncapi_updates import (
    API_SERVERS,
    OPENED,
    UpdateSchemas,
    in_channel,
    messages_of,
    name_of,
    reference,
    server,
)
from tools.openapi_schemas import EITHER_CASE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tools.contract_blocks import Contract
    from tools.openapi_schemas import Schema

CHANNEL = "eventSocket"
ADDRESS = "/api/v1/remotecontrol/events/ws"
_REQUEST_ID: Schema = {
    "type": "string",
    "pattern": f"^{messages.REQUEST_ID}$",
    "description": "The client's own name for its request: answers carry it.",
}
_ANSWERED_WITH: Mapping[str, tuple[str, ...]] = {
    "Subscribe": ("Subscribed", "Refused", "Error"),
    "Unsubscribe": ("Unsubscribed", "Error"),
}
_SAID: Mapping[str, str] = {
    "Subscribe": "Be told of 1 to {vehicles} vehicles. `lastEventId` resumes after that id without a gap, as "
    "`Last-Event-ID` does; without, updates are told from now on. `types` are those to be told of; without, all. Who "
    "is subscribed already and names no `lastEventId` changes the types",
    "Unsubscribe": "Be told nothing more of these vehicles",
    "Subscribed": "updates follow; `eventId` is where they begin: resume with it until the first update comes. It is "
    "absent where `UPDATES_RESET` follows",
    "Refused": "this vehicle is not told of: a [code](#errors). `VEHICLE_NOT_FOUND` is that of a vehicle that there "
    "is not, and of another's",
    "Unsubscribed": "nothing more is told of it",
    "Ended": "nothing more is told of it: the right to it has ended (`ACTION_NOT_GRANTED`), a newer subscription took "
    "its place (`RATE_LIMITED`), or it failed here (`INTERNAL_ERROR`): subscribe again with the last id",
    "Error": "a message was not understood, and did nothing",
}
_UPDATE_ROW = (
    '| `{"id", "type", "vin", "timestamp", "data"}` | an update, as `data:` of the event stream, with its id. '
    "`UPDATES_RESET` comes whatever the `types` |"
)


def _schemas() -> dict[str, Schema]:
    vin, code, event_id = reference("Vin"), reference("ProblemCode"), reference("EventId")
    detail: Schema = {"type": "string", "description": "For people: why, and what to do."}
    seconds: Schema = {
        "type": "integer",
        "minimum": 1,
        "description": "Ask again after so many; absent where time changes nothing.",
    }
    asked_vin: Schema = {"type": "string", "pattern": EITHER_CASE}
    named: Schema = {"requestId": _REQUEST_ID}
    wanted: Schema = {
        "type": "object",
        "properties": {"vin": asked_vin, "lastEventId": event_id},
        "required": ["vin"],
        "additionalProperties": False,
    }
    many: Schema = {"type": "array", "minItems": 1, "maxItems": messages.MOST_VEHICLES}
    types: Schema = {"type": "array", "minItems": 1, "items": {"enum": sorted(messages.TYPES)}}
    return {
        "Subscribe": _asked(
            {
                "action": {"const": "subscribe"},
                **named,
                "vehicles": {**many, "items": wanted},
                "types": types,
            },
            "vehicles",
        ),
        "Unsubscribe": _asked(
            {"action": {"const": "unsubscribe"}, **named, "vins": {**many, "items": asked_vin}}, "vins"
        ),
        "Subscribed": _told("SUBSCRIBED", {**named, "vin": vin, "eventId": event_id}, "vin"),
        "Refused": _told(
            "REFUSED",
            {**named, "vin": vin, "code": code, "detail": detail, "retryAfterSeconds": seconds},
            "vin",
            "code",
            "detail",
        ),
        "Unsubscribed": _told("UNSUBSCRIBED", {**named, "vin": vin}, "vin"),
        "Ended": _told(
            "ENDED",
            {"vin": vin, "code": code, "detail": detail, "retryAfterSeconds": seconds},
            "vin",
            "code",
            "detail",
        ),
        "Error": _told(
            "ERROR", {**named, "code": {"const": "INVALID_REQUEST"}, "detail": detail}, "code", "detail"
        ),
    }


def _asked(properties: Schema, *required: str) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": ["action", *required],
        "additionalProperties": False,
    }


def _told(kind: str, properties: Schema, *required: str) -> Schema:
    return {
        "type": "object",
        "properties": {"type": {"const": kind}, **properties},
        "required": ["type", *required],
    }


class SocketPart:
    """What the document has of the WebSocket."""

    def __init__(self, updates: UpdateSchemas, contract: Contract, examples: Schema) -> None:
        kinds = {name_of(kind, with_id=True): kind for kind in updates.kinds if kind != OPENED}
        if set(kinds.values()) != messages.TYPES:
            raise SystemExit(
                f"gateway.messages.TYPES are not the updates of the contract: {sorted(kinds.values())}"
            )
        schemas = _schemas()
        self.servers = {"sockets": API_SERVERS["sockets"]}
        self.messages: dict[str, Schema] = {}
        for name, schema in schemas.items():
            properties = schema["properties"]
            word = properties.get("action", properties.get("type"))["const"]
            self.messages[name] = {"name": word, "title": word, "summary": said_of(name), "payload": schema}
            if "requestId" in properties:
                self.messages[name]["correlationId"] = {"location": "$message.payload#/requestId"}
        for name, kind in kinds.items():
            self.messages[name] = {
                "name": kind,
                "title": updates.title_of(kind),
                "summary": updates.described(kind).split("\n\n", maxsplit=1)[0],
                "payload": updates.of_kind(kind, with_id=True),
            }
        for name, message in self.messages.items():
            message["contentType"] = "application/json"
            if name in examples:
                message["examples"] = examples[name]
        opening = next(rpc for rpc in contract.rpcs if rpc.name == "CreateEventTicket")
        self.channels: dict[str, Schema] = {
            CHANNEL: {
                "address": ADDRESS,
                "title": "WebSocket of many vehicles",
                "description": "Live updates of many vehicles over one connection (RFC 6455), with the ids of the "
                "event stream. Messages are JSON objects in text; nothing is compressed. Updates of one vehicle come "
                f"in their order, once. A page opens it with a ticket of `{opening.http_method} {opening.path}`.",
                "servers": server("sockets"),
                "messages": messages_of(self.messages),
                "bindings": {
                    "ws": {
                        "method": "GET",
                        "query": {
                            "type": "object",
                            "properties": {
                                "ticket": {
                                    "type": "string",
                                    "description": "In place of a bearer, from a page.",
                                }
                            },
                            "additionalProperties": False,
                        },
                        "headers": {
                            "type": "object",
                            "properties": {
                                "Authorization": {"type": "string"},
                                "Origin": {
                                    "type": "string",
                                    "description": "Of a page: one that the operator lists.",
                                },
                            },
                        },
                        "bindingVersion": "0.1.0",
                    }
                },
                "x-close-codes": {str(code): said for code, said in closings().items()},
                "x-limits": {
                    name: _default(f"websocket_{name}")
                    for name in (
                        "message_bytes",
                        "messages_per_minute",
                        "frames_per_minute",
                        "subscriptions",
                        "vehicles_per_minute",
                        "connections_per_user",
                    )
                },
            }
        }
        told = [name for name in self.messages if name not in _ANSWERED_WITH]
        by_itself = [name for name in told if not any(name in each for each in _ANSWERED_WITH.values())]
        self.operations: dict[str, Schema] = {
            f"{name.lower()}OverSocket": {
                "action": "receive",
                "channel": {"$ref": f"#/channels/{CHANNEL}"},
                "title": said_of(name).split(". ", maxsplit=1)[0].rstrip("."),
                "tags": [{"name": "live updates"}],
                "messages": in_channel(CHANNEL, [name]),
                "reply": {
                    "channel": {"$ref": f"#/channels/{CHANNEL}"},
                    "messages": in_channel(CHANNEL, answers),
                },
            }
            for name, answers in _ANSWERED_WITH.items()
        }
        self.operations["tellOverSocket"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{CHANNEL}"},
            "title": "Tell what happens, and what is told no more",
            "tags": [{"name": "live updates"}],
            "messages": in_channel(CHANNEL, by_itself),
        }


def _default(setting: str) -> float:
    value: float = GatewaySettings.model_fields[setting].default
    return value


def said_of(name: str) -> str:
    """Return what a message says, as a sentence."""
    said = re.sub(r"\[(.+?)\]\(#\w+\)", r"\1", _SAID[name].format(vehicles=messages.MOST_VEHICLES))
    return f"{said[:1].upper()}{said[1:]}."


def closings() -> dict[int, str]:
    """Return what each code says with which the connection is closed, under the settings' defaults."""
    defaults = {name: field.default for name, field in GatewaySettings.model_fields.items()}
    return {code: said.format(**defaults) for code, said in CLOSINGS.items()}


def told_table(_contract: Contract) -> list[str]:
    """Return the messages that a client of the WebSocket is told, as a table."""
    rows = ["| it is told | |", "|---|---|", _UPDATE_ROW]
    for name, schema in _schemas().items():
        if name not in _ANSWERED_WITH:
            kind, *members = schema["properties"]
            shown = ", ".join(
                [f'"{kind}": "{schema["properties"][kind]["const"]}"', *(f'"{each}"' for each in members)]
            )
            rows.append(f"| `{{{shown}}}` | {_SAID[name]} |")
    return rows


def closing_table(_contract: Contract) -> list[str]:
    """Return the codes with which the WebSocket is closed, as a table."""
    return ["| code | |", "|---|---|", *(f"| {code} | {said} |" for code, said in closings().items())]

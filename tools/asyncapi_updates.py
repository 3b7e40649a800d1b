"""The schemas of live updates, which Server-Sent Events and the WebSocket have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway import messages
from tools.contract_blocks import DOOR_PACKAGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tools.contract_blocks import Contract
    from tools.openapi_schemas import Schema, SchemaSource

EXAMPLES = Path(__file__).with_name("asyncapi_examples.json")
"""Examples by the message's name: `payload`, and `headers` where it has any; of a report the message itself."""
UPDATE = f".{DOOR_PACKAGE}.DoorUpdate"
UPDATE_TYPE = f".{DOOR_PACKAGE}.DoorUpdateType"
OPENED = "STREAM_OPENED"
_HOST: Mapping[str, str] = {
    "default": "api.ecarus.run",
    "description": "Its name, and a port if it needs one. A deployment that is told its own names itself here.",
}
API_SERVERS: Mapping[str, Schema] = {
    "api": {
        "host": "{host}",
        "protocol": "https",
        "description": "The API, behind Envoy.",
        "variables": {"host": dict(_HOST)},
        "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in ("bearer", "dpop")],
    },
    "sockets": {
        "host": "{host}",
        "protocol": "wss",
        "description": "The same for the WebSocket.",
        "variables": {"host": dict(_HOST)},
        "security": [
            {"$ref": f"#/components/securitySchemes/{name}"} for name in ("bearer", "dpop", "ticket")
        ],
    },
}


class UpdateSchemas:
    """Makes the schemas of each kind of update. `made` has them with all that they refer to."""

    def __init__(self, schemas: SchemaSource, contract: Contract) -> None:
        self._schemas = schemas
        self._made: dict[str, Schema] = {
            "EventId": {
                "type": "string",
                "pattern": f"^{messages.EVENT_ID}$",
                "description": self._said("id"),
            },
            "Vin": {"type": "string", "pattern": f"^{messages.VIN}$"},
            "ProblemCode": {
                "type": "string",
                "enum": list(contract.refusals),
                "description": "\n".join(
                    f"- `{each.code}`: {each.when}" for each in contract.refusals.values()
                ),
            },
        }
        self.kinds = dict(self._kinds())
        """The message of each kind's `data`; none for what has no members."""

    @property
    def made(self) -> dict[str, Schema]:
        """The component schemas by their names."""
        return dict(sorted({**self._made, **self._schemas.made}.items()))

    def _said(self, field: str) -> str:
        return str(self._field(field).get("description", ""))

    def _field(self, name: str) -> Schema:
        (field,) = (each for each in self._schemas.fields_of(UPDATE) if each.name == name)
        return self._schemas.of_field(UPDATE, field, is_request=False)

    def _kinds(self) -> Iterator[tuple[str, str | None]]:
        """Each kind of update with the message of its `data`, by their names: `door_status`, DOOR_STATUS_UPDATE."""
        members = {
            each.name.upper(): each.type_name
            for each in self._schemas.fields_of(UPDATE)
            if each.HasField("oneof_index")
        }
        for kind in self._schemas.values_of(f"{UPDATE_TYPE}.Value"):
            yield kind, members.pop(kind.removesuffix("_UPDATE"), None)
        if members:
            raise SystemExit(f"a DoorUpdate has data of no type: {', '.join(members)}")

    def query_of(self, request: str, path: str) -> Schema:
        """Return the schemas of what a request has besides what is in its path."""
        return {
            each.json_name: self._schemas.of_field(request, each, is_request=True)
            for each in self._schemas.fields_of(request)
            if f"{{{each.name}}}" not in path
        }

    def title_of(self, kind: str) -> str:
        """Return a kind's name for people."""
        return kind.replace("_", " ").capitalize()

    def described(self, kind: str) -> str:
        """Return what the contract says of a kind."""
        message = self.kinds[kind]
        said = [self._schemas.comment_of_value(f"{UPDATE_TYPE}.Value", kind)]
        said += [self._schemas.described(message)] if message else []
        if not any(said):
            raise SystemExit(f"the contract says nothing of {kind}")
        return " ".join(filter(None, said))

    def of_kind(self, kind: str, *, with_id: bool) -> Schema:
        """Return a reference to the schema of an update's document: an event's `data`, or `with_id` a message."""
        name = name_of(kind, with_id=with_id)
        message = self.kinds[kind]
        empty: Schema = {"type": "object", "maxProperties": 0}
        properties: Schema = {
            **({"id": reference("EventId")} if with_id else {}),
            "type": {"const": kind},
            "vin": reference("Vin"),
            "timestamp": self._field("timestamp"),
            "data": self._schemas.of_answer(message) if message else empty,
        }
        if name in self._schemas.made:
            raise SystemExit(f"the contract has a {name} of its own")
        self._made[name] = {
            "type": "object",
            "description": self.described(kind),
            "properties": properties,
            "required": list(properties),
        }
        return reference(name)


def name_of(kind: str, *, with_id: bool) -> str:
    """Return what an update of this kind is called: as an event of the stream, or as a message `with_id`."""
    return "".join(word.capitalize() for word in kind.split("_")) + ("Message" if with_id else "Event")


def reference(schema: str) -> Schema:
    """Return a reference to a component schema."""
    return {"$ref": f"#/components/schemas/{schema}"}


def messages_of(names: Iterable[str]) -> Schema:
    """Return a channel's messages by their names, which are components."""
    return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


def in_channel(channel: str, names: Iterable[str]) -> list[Schema]:
    """Return references to messages of a channel, as an operation has them."""
    return [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names]


def server(name: str) -> list[Schema]:
    """Return a channel's one server."""
    return [{"$ref": f"#/servers/{name}"}]


def vin_parameter(example: str = "KMHSH81C7LU123456") -> dict[str, Any]:
    """Return the parameter of channels of one vehicle."""
    return {"vin": {"description": "17 characters without I, O and Q.", "examples": [example]}}

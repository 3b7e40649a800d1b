"""What cloud and vehicles say to each other over NATS and MQTT, as channels of the AsyncAPI document.

Everything is enumerated from `protocol`: a domain, a content type or a subject that is not described here ends the
generating.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from protocol import cose
from protocol.domains import (
    ANSWER_FIELDS,
    LONGEST_VALIDITY_MILLIS,
    ORDER_FIELDS,
    ORDER_TYPES,
    REFUSED_ON,
    REPORTS,
    ContentType,
    Domain,
    subject_of,
)
from protocol.reports import MAX_REPORT_BYTES
from protocol.seal import MAX_SEALED_BYTES
from protocol.streams import MQTT_QOS_HEADER, VEHICLE_MESSAGE_BYTES
from protocol.subjects import CommandKind, EventKind, mqtt_topic, presence_subject
from tools.asyncapi_updates import in_channel, messages_of, server, vin_parameter
from tools.vehicle_schemas import VEHICLE_PACKAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.openapi_schemas import Schema
    from tools.vehicle_schemas import VehicleSchemas

VECTORS = Path(__file__).resolve().parent.parent / "protocol" / "vectors"
_OTHERS = {
    Domain.CHALLENGE: ("SessionRequest", ContentType.CHALLENGE),
    Domain.HELLO: ("SessionInfo", ContentType.SESSION),
}
"""What is signed and is neither an order nor an answer."""
_REPORTS = {Domain.STATUS: "StatusReport", Domain.DIAGNOSTICS: "DiagnosticsReport"}
_ANSWERED_ON = {**REFUSED_ON, Domain.CHALLENGE: Domain.HELLO}
_TO_VEHICLE = "cmd"
PRESENCES = ("online", "asleep", "lost")
_SEAL: Schema = {
    "is": "seal",
    "description": "HPKE (RFC 9180), base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.",
    "maxBytes": MAX_SEALED_BYTES,
}
_PAGE = "docs/vehicle-protocol.md"


class _Inner(NamedTuple):
    """What a message of a domain holds."""

    name: str
    """The message's own: DoorCommand."""
    message: str
    """The protobuf message that is signed or sealed: SignedOrder."""
    member: str
    """The member of it that is filled; nothing where it has no choice."""
    content_types: tuple[ContentType, ...]
    """Of the envelopes, from the outside; none under a session key."""


class VehiclePart:
    """What the document has of vehicles. What has no example among `examples` has that of the protocol's vectors."""

    def __init__(self, schemas: VehicleSchemas, examples: Schema) -> None:
        self._schemas = schemas
        self._examples = examples
        self._types = importlib.import_module(f"{VEHICLE_PACKAGE}.session_pb2")
        self._reports = importlib.import_module(f"{VEHICLE_PACKAGE}.report_pb2")
        self._vectors = accepted_vectors()
        self._inner = {domain: list(self._inner_of(domain)) for domain in Domain}
        self._check()
        self.servers: dict[str, Schema] = {"nats": _NATS, "mqtt": _MQTT}
        self.messages = {
            each.name: self._message(domain, each) for domain, inner in self._inner.items() for each in inner
        }
        self.messages["Presence"] = {
            "name": "presence",
            "title": "Presence",
            "summary": "Over MQTT alone: that the unit is there, leaves on purpose, or was lost (its last will).",
            "contentType": "text/plain",
            "payload": {"type": "string", "enum": list(PRESENCES)},
            "examples": [{"payload": each} for each in PRESENCES],
        }
        self.channels = dict(self._channels())
        self.operations = dict(self._operations())

    def _check(self) -> None:
        """Raise SystemExit for what the protocol has and this does not describe."""
        kinds = {f"cmd.{each.value}" for each in CommandKind} | {f"evt.{each.value}" for each in EventKind}
        if missing := kinds ^ {each.value for each in Domain}:
            raise SystemExit(f"subjects of no domain, or domains of no subject: {', '.join(sorted(missing))}")
        described = {each for inner in self._inner.values() for one in inner for each in one.content_types}
        if missing_types := set(ContentType) - described:
            raise SystemExit(f"content types in no message: {', '.join(sorted(missing_types))}")
        if set(_REPORTS) != REPORTS:
            raise SystemExit("a report under a session key is not described")

    def _inner_of(self, domain: Domain) -> Iterator[_Inner]:
        if domain in ORDER_TYPES:
            member = ORDER_FIELDS[domain]
            yield _Inner(
                self._member_type("SignedOrder", member), "SignedOrder", member, (ORDER_TYPES[domain],)
            )
        elif domain in ANSWER_FIELDS:
            member, content_type = ANSWER_FIELDS[domain]
            yield _Inner(self._member_type("SignedAnswer", member), "SignedAnswer", member, (content_type,))
            if domain in REFUSED_ON.values():
                yield _Inner("OrderRefused", "SignedAnswer", "refused", (ContentType.FAULT,))
        elif domain in _OTHERS:
            name, content_type = _OTHERS[domain]
            yield _Inner(name, name, "", (content_type,))
        elif domain is Domain.KEYS:
            yield _Inner(
                "KeyManifest", "KeyManifest", "", (ContentType.ENDORSED_MANIFEST, ContentType.MANIFEST)
            )
        elif domain in _REPORTS:
            yield _Inner(_REPORTS[domain], _REPORTS[domain], "", ())
        else:
            raise SystemExit(f"nothing says what the domain {domain.value} carries")

    def _member_type(self, message: str, member: str) -> str:
        fields = self._schemas.fields_of(f".{VEHICLE_PACKAGE}.{message}")
        return str(next(each.type_name for each in fields if each.name == member).rpartition(".")[2])

    def _message(self, domain: Domain, inner: _Inner) -> Schema:
        schema = self._schemas.of_request(f".{VEHICLE_PACKAGE}.{inner.message}")
        said = self._schemas.described(f".{VEHICLE_PACKAGE}.{inner.name}")
        layers = [dict(_SEAL)] if inner.content_types else [_report_layer()]
        layers += [
            {
                "is": "envelope",
                "contentType": 'application/cose; cose-type="cose-sign1"',
                "coseContentType": each.value,
                "description": "COSE_Sign1 (RFC 9052), Ed25519, over the subject as external data"
                + (" `cloud.keys`." if domain is Domain.KEYS else "."),
            }
            for each in inner.content_types
        ]
        protobuf: Schema = {
            "is": "message",
            "contentType": "application/protobuf",
            "message": f"{VEHICLE_PACKAGE}.{inner.message}",
            **({"member": inner.member} if inner.member else {}),
            "schema": schema,
        }
        example = self._example(domain, inner)
        if domain in LONGEST_VALIDITY_MILLIS:
            protobuf["longestValidityMilliseconds"] = LONGEST_VALIDITY_MILLIS[domain]
        return {
            "name": ", ".join(inner.content_types) or inner.name,
            "title": inner.name,
            "summary": said,
            "contentType": "application/octet-stream",
            "headers": _headers(domain),
            "payload": {
                "type": "string",
                "format": "binary",
                "description": f"Bytes: {_PAGE} says how they are made, `x-layers` what they hold, from the outside.",
                "maxLength": MAX_SEALED_BYTES if inner.content_types else MAX_REPORT_BYTES,
            },
            "x-layers": [*layers, protobuf],
            "x-example": example,
        }

    def _example(self, domain: Domain, inner: _Inner) -> Any:
        """Return the message of the vectors' first case that is accepted, in protobuf's JSON."""
        if inner.name in self._examples:
            return self._examples[inner.name]
        from google.protobuf.json_format import MessageToDict  # noqa: PLC0415  # after gen/ is made

        made = getattr(self._types, inner.message, None) or getattr(self._reports, inner.message)
        for case_domain, content_types, payload in self._vectors:
            if content_types == inner.content_types and (content_types or case_domain == domain.value):
                return MessageToDict(made.FromString(payload))
        raise SystemExit(f"no vector holds an accepted {inner.name}")

    def _channels(self) -> Iterator[tuple[str, Schema]]:
        for domain, inner in self._inner.items():
            names = [each.name for each in inner]
            subject = subject_of("{vin}", domain).decode()
            to_vehicle = domain.value.startswith(_TO_VEHICLE)
            way = "To the vehicle" if to_vehicle else "From the vehicle"
            common: Schema = {
                "title": f"{way}: {domain.value}",
                "parameters": vin_parameter(),
                "messages": messages_of(names),
                "x-domain": domain.value,
            }
            yield _channel_of(domain, "nats"), {"address": subject, **common, "servers": server("nats")}
            yield (
                _channel_of(domain, "mqtt"),
                {"address": mqtt_topic(subject), **common, "servers": server("mqtt")},
            )
        yield (
            "mqttPresence",
            {
                "address": mqtt_topic(presence_subject("{vin}")),
                "title": "From the vehicle: presence",
                "parameters": vin_parameter(),
                "messages": messages_of(["Presence"]),
                "servers": server("mqtt"),
            },
        )

    def _operations(self) -> Iterator[tuple[str, Schema]]:
        for domain, inner in self._inner.items():
            names = [each.name for each in inner]
            to_vehicle = domain.value.startswith(_TO_VEHICLE)
            word = "".join(part.capitalize() for part in domain.value.split("."))
            cloud, unit = ("send", "receive") if to_vehicle else ("receive", "send")
            what = " or ".join(names)
            yield (
                f"cloud{cloud.capitalize()}s{word}",
                self._operation(domain, names, "cloud", cloud, "nats", what),
            )
            for link in ("nats", "mqtt"):
                name = f"unit{unit.capitalize()}s{word}Over{link.capitalize()}"
                yield name, self._operation(domain, names, "unit", unit, link, what)
        yield (
            "unitSendsPresenceOverMqtt",
            {
                "action": "send",
                "channel": {"$ref": "#/channels/mqttPresence"},
                "title": "The unit tells that it is there, or leaves",
                "tags": [{"name": "vehicle"}, {"name": "unit"}],
                "bindings": _QOS,
                "messages": in_channel("mqttPresence", ["Presence"]),
            },
        )

    def _operation(
        self, domain: Domain, names: list[str], who: str, action: str, link: str, what: str
    ) -> Schema:
        channel = _channel_of(domain, link)
        operation: Schema = {
            "action": action,
            "channel": {"$ref": f"#/channels/{channel}"},
            "title": f"The {who} {'sends' if action == 'send' else 'takes'} {what}",
            "tags": [{"name": "vehicle"}, {"name": who}],
            **({"bindings": _QOS} if link == "mqtt" else {}),
            "messages": in_channel(channel, names),
        }
        answered = _ANSWERED_ON.get(domain)
        if answered is not None:
            reply = _channel_of(answered, link)
            answers = [each.name for each in self._inner[answered]]
            operation["reply"] = {
                "channel": {"$ref": f"#/channels/{reply}"},
                "messages": in_channel(reply, answers),
            }
        return operation


_QOS: Schema = {"mqtt": {"qos": 1, "retain": False, "bindingVersion": "0.2.0"}}
_NATS: Schema = {
    "host": "{broker}:8422",
    "protocol": "nats",
    "description": "The broker, NATS over mutual TLS. What the cloud sends waits in a queue that the unit pulls from "
    "(docs/tcu.md); what a unit says is stored once the broker has confirmed it.",
    "variables": {"broker": {"default": "localhost"}},
    "security": [{"$ref": "#/components/securitySchemes/certificate"}],
    "x-max-message-bytes": VEHICLE_MESSAGE_BYTES,
}
_MQTT: Schema = {
    "host": "{broker}:8883",
    "protocol": "secure-mqtt",
    "protocolVersion": "3.1.1",
    "description": "The same broker, MQTT 3.1.1 over mutual TLS. The client id is the VIN.",
    "variables": {"broker": {"default": "localhost"}},
    "security": [{"$ref": "#/components/securitySchemes/certificate"}],
    "bindings": {
        "mqtt": {
            "clientId": "KMHSH81C7LU123456",
            "cleanSession": False,
            "keepAlive": 10,
            "lastWill": {
                "topic": mqtt_topic(presence_subject("KMHSH81C7LU123456")),
                "qos": 1,
                "message": PRESENCES[-1],
                "retain": False,
            },
            "bindingVersion": "0.2.0",
        }
    },
    "x-max-message-bytes": VEHICLE_MESSAGE_BYTES,
}


def _channel_of(domain: Domain, link: str) -> str:
    return link + "".join(part.capitalize() for part in domain.value.split("."))


def _headers(domain: Domain) -> Schema:
    """Return the headers over NATS; MQTT 3.1.1 has none."""
    properties: Schema = {"Nats-Msg-Id": {"type": "string"}}
    if domain.value.startswith(_TO_VEHICLE):
        said = "Opaque: by it the broker tells repetitions."
        properties[MQTT_QOS_HEADER] = {
            "const": "1",
            "description": "The broker's own: to be had at least once.",
        }
        properties["Nats-TTL"] = {"type": "string", "description": "How long the broker keeps it."}
    elif domain in REPORTS:
        said = "Epoch and counter of the report."
    else:
        said = "The message id, of an answer followed by the request hash."
    properties["Nats-Msg-Id"]["description"] = said
    return {"type": "object", "description": "Over NATS; MQTT 3.1.1 has none.", "properties": properties}


def _report_layer() -> Schema:
    return {
        "is": "report",
        "description": "`01 02`, epoch, counter, then AES-256-GCM under a key agreed with the hello's report key.",
        "maxBytes": MAX_REPORT_BYTES,
    }


def accepted_vectors() -> list[tuple[str, tuple[str, ...], bytes]]:
    """Return domain, content types and serialized message of each case that is accepted."""
    found: list[tuple[str, tuple[str, ...], bytes]] = []
    for name in ("orders", "requests", "answers", "hellos"):
        for case in _cases(name):
            signed = cose.decode(bytes.fromhex(case["envelope"]))
            found.append((case["domain"], (signed.content_type,), signed.payload))
    for case in _cases("manifests"):
        outer = cose.decode(bytes.fromhex(case["endorsed"]))
        inner = cose.decode(outer.payload)
        found.append((Domain.KEYS.value, (outer.content_type, inner.content_type), inner.payload))
    reports = (case for case in _cases("reports") if "payload" in case)
    found += [(case["domain"], (), bytes.fromhex(case["payload"])) for case in reports]
    return found


def _cases(name: str) -> list[Any]:
    document = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return [case for case in document["cases"] if case["expect"] == "ACCEPTED"]

"""What is posted to webhooks, as a channel of the AsyncAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.asyncapi_updates import in_channel, messages_of, name_of, server
from tools.contract_blocks import DOOR_PACKAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tools.asyncapi_updates import UpdateSchemas
    from tools.openapi_schemas import Schema, SchemaSource

CHANNEL = "webhook"
MESSAGE = f".{DOOR_PACKAGE}.WebhookMessage"
_KINDS: Mapping[str, str] = {
    "door.status.updated": "DOOR_STATUS_UPDATE",
    "command.updated": "COMMAND_STATUS_UPDATE",
    "command.finished": "COMMAND_STATUS_UPDATE",
    "system.alert": "SYSTEM_ALERT",
    "access.changed": "SYSTEM_ALERT",
}
"""Which update each type of event is."""
_OWN = "webhook"
_WEBHOOK = {"webhookId": "garage"}
_OWN_EXAMPLES: Mapping[str, Schema] = {
    "webhook.challenge": {**_WEBHOOK, "challenge": "3q2+7wAAAAC8n1Zt"},
    "webhook.test": {**_WEBHOOK, "message": "A test, as you asked for."},
    "webhook.heartbeat": {**_WEBHOOK, "waiting": 0, "oldestWaitingSeconds": 0, "intervalSeconds": 300},
    "webhook.disabled": {**_WEBHOOK, "url": "https://partner.example/events", "reason": "GONE"},
}
_HEADERS: Schema = {
    "type": "object",
    "description": "Standard Webhooks: without a valid signature it is not ours.",
    "properties": {
        "webhook-id": {
            "type": "string",
            "description": "The event's, however often it is sent: what was seen is answered and passed over.",
        },
        "webhook-timestamp": {
            "type": "string",
            "pattern": "^[0-9]+$",
            "description": "Seconds since 1970, when this was sent: what is minutes old is a replay.",
        },
        "webhook-signature": {
            "type": "string",
            "description": "`v1,` and base64 of HMAC-SHA256 over `<id>.<timestamp>.<body>`; after the secret was "
            "rotated two, with a space between.",
        },
    },
    "required": ["webhook-id", "webhook-timestamp", "webhook-signature"],
}


class WebhookPart:
    """What the document has of webhooks."""

    def __init__(self, updates: UpdateSchemas, schemas: SchemaSource, examples: Schema) -> None:
        self.servers: dict[str, Schema] = {
            "receiver": {
                "host": "{receiver}",
                "protocol": "https",
                "description": "Whoever registered the webhook. Any 2xx takes an event; 410 disables the webhook; "
                "everything else is tried again.",
                "variables": {"receiver": {"default": "partner.example"}},
            }
        }
        own = {
            f"{_OWN}.{each.name}": each.type_name
            for each in schemas.fields_of(MESSAGE)
            if each.HasField("oneof_index")
        }
        if unknown := set(schemas.words_of(f".{DOOR_PACKAGE}.NewWebhook", "event_types")) ^ set(_KINDS):
            raise SystemExit(
                f"webhooks have types of events that are not described: {', '.join(sorted(unknown))}"
            )
        when = next(each for each in schemas.fields_of(MESSAGE) if each.name == "timestamp")
        at = schemas.of_field(MESSAGE, when, is_request=False)
        self.messages: dict[str, Schema] = {}
        for kind in (*_KINDS, *own):
            is_own = kind in own
            data = schemas.of_answer(own[kind]) if is_own else updates.of_kind(_KINDS[kind], with_id=True)
            name = _name_of(kind)
            self.messages[name] = {
                "name": kind,
                "title": kind,
                "summary": schemas.described(own[kind]) if is_own else updates.described(_KINDS[kind]),
                "contentType": "application/json",
                "headers": _HEADERS,
                "payload": {
                    "type": "object",
                    "properties": {"type": {"const": kind}, "timestamp": at, "data": data},
                    "required": ["type", "timestamp", "data"],
                },
                "examples": [_example(kind, examples)],
            }
        self.messages["WebhookChallengeAnswer"] = {
            "name": "challenge answered",
            "title": "challenge answered",
            "summary": "What the URL answers to a challenge, with 200.",
            "contentType": "application/json",
            "payload": {
                "type": "object",
                "properties": {"challenge": {"type": "string", "description": "The one that was sent."}},
                "required": ["challenge"],
            },
            "examples": [{"payload": {"challenge": _OWN_EXAMPLES["webhook.challenge"]["challenge"]}}],
        }
        challenge = _name_of(f"{_OWN}.challenge")
        self.channels: dict[str, Schema] = {
            CHANNEL: {
                "address": "/{path}",
                "title": "Webhook of a partner",
                "description": schemas.described(MESSAGE),
                "servers": server("receiver"),
                "parameters": {"path": {"description": "Of the URL that was registered."}},
                "messages": messages_of(self.messages),
            }
        }
        events = [name for name in self.messages if name not in {challenge, "WebhookChallengeAnswer"}]
        common = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{CHANNEL}"},
            "tags": [{"name": "live updates"}],
            "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
        }
        self.operations: dict[str, Schema] = {
            "postToWebhook": {**common, "title": "Post an event", "messages": in_channel(CHANNEL, events)},
            "challengeWebhook": {
                **common,
                "title": "Ask the URL of a webhook whether it wants events",
                "messages": in_channel(CHANNEL, [challenge]),
                "reply": {
                    "channel": {"$ref": f"#/channels/{CHANNEL}"},
                    "messages": in_channel(CHANNEL, ["WebhookChallengeAnswer"]),
                },
            },
        }


def _example(kind: str, examples: Schema) -> Schema:
    """Return an example: of an update that of the event stream, with its id."""
    event_id, at = "wbh_9fQ2", "2026-01-15T09:30:04.120Z"
    if kind in _OWN_EXAMPLES:
        data = _OWN_EXAMPLES[kind]
    else:
        (event, *_) = examples[name_of(_KINDS[kind], with_id=False)]
        event_id, at = event["headers"]["id"], event["payload"]["timestamp"]
        data = {"id": event_id, **event["payload"]}
    return {
        "headers": {
            "webhook-id": event_id,
            "webhook-timestamp": "1768469404",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
        "payload": {"type": kind, "timestamp": at, "data": data},
    }


def _name_of(kind: str) -> str:
    words = kind.removeprefix(f"{_OWN}.").split(".")
    return "Webhook" + "".join(word.capitalize() for word in words)

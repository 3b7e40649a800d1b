"""NATS's configuration: durable JetStream over mutual TLS, and who may say what.

`sync_interval: always`, because the default loses acknowledged messages when the power fails. A vehicle is
nobody here: the broker asks the enrolment room for each that connects, which says what it may do. A room
may publish only what is its own to say.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mesh.ports import BROKER_ROOMS, LOOPBACK
from mesh.sandbox import SYSTEM_USER
from protocol import broker

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mesh.pki import Pair
    from mesh.ports import Ports
    from mesh.sandbox import Sandbox

ACCOUNT = "DOORS"
MAX_PAYLOAD_BYTES = 131_072
MQTT_ACK_WAIT_SECONDS = 10
"""How long a vehicle on MQTT may take to confirm a command before it gets it again."""
_LINE = "\n      "

# JetStream's interface for those who own streams. Nothing in the product deletes a stream.
_JETSTREAM = ["$JS.API.>", "$JS.ACK.>", "$JS.FC.>"]
_NEVER = ["$JS.API.STREAM.DELETE.>", "vehicle.*.evt.>", "vehicle_status.>"]
_SAYS = {
    "access": ["room.access.>"],
    "command": ["vehicle.*.cmd.>", "$MQTT.msgs.vehicle.*.cmd.*", "door.update.*", "room.command.>"],
    "status": ["door.update.*", "room.status.>", "hint.condition.*"],
    "config": ["vehicle.*.cmd.config", "door.update.*", "room.config.>"],
    "diagnostics": ["door.update.*", "room.diagnostics.>"],
    "enrolment": ["room.enrolment.>"],
}
_HEARS = [
    "_INBOX.>",
    "deliver.*",
    broker.GRANT_REVOKED_SUBJECT,
    broker.VEHICLE_KEYS_CHANGED_SUBJECT,
    "hint.condition.*",
]
_ALSO_HEARS = {
    "enrolment": ["$SYS.REQ.USER.AUTH"],
    "status": [broker.presence_subject("*")],
}


def render_nats(ports: Ports, sandbox: Sandbox, server: Pair, passwords_of: Iterable[str] = ()) -> str:
    """The configuration file's text. It holds passwords: keep it private.

    Whoever connects shows a certificate, and the broker asks the enrolment room about vehicles. A load
    generator's vehicles, `passwords_of`, have passwords instead; where there are any, nobody is asked
    for a certificate, and the monitoring pages, which ask nobody for anything, are open to it.
    """
    source, destination = broker.STATUS_MAPPING
    fleet = list(passwords_of)
    users = [
        *(_room_user(sandbox, room) for room in BROKER_ROOMS),
        *(_vehicle_user(sandbox, vin) for vin in fleet),
    ]
    known = [*BROKER_ROOMS, SYSTEM_USER, *fleet]
    ca = sandbox.pki.resolve() / "ca.crt"
    asked = "" if fleet else f", ca_file: {_quoted(ca)}, verify: true"
    tls = (
        f"tls {{ cert_file: {_quoted(server.cert.resolve())}, key_file: {_quoted(server.key.resolve())}"
        f"{asked}, timeout: 5 }}"
    )
    monitor = f'http: "{LOOPBACK}:{ports.nats_monitor}"\n' if fleet else ""
    admission_key = sandbox.admission_public.read_text(encoding="utf-8")
    return f"""server_name: doors
listen: "{LOOPBACK}:{ports.nats}"
{monitor}max_payload: {MAX_PAYLOAD_BYTES}
{tls}
jetstream {{ store_dir: {_quoted((sandbox.folder / "nats").resolve())}, sync_interval: always }}
mqtt {{
  listen: "{LOOPBACK}:{ports.mqtt}"
  {tls}
  ack_wait: "{MQTT_ACK_WAIT_SECONDS}s"
  max_ack_pending: 16
}}
accounts {{
  {ACCOUNT} {{
    jetstream: enabled
    mappings {{ {_quoted(source)}: {_quoted(destination)} }}
    users: [
      {_LINE.join(users)}
    ]
  }}
  SYS {{ users: [ {_user(sandbox, SYSTEM_USER, {})} ] }}
}}
system_account: SYS
authorization {{
  auth_callout {{ issuer: {_quoted(admission_key)}, account: {ACCOUNT}, auth_users: {json.dumps(known)} }}
}}
"""


def _room_user(sandbox: Sandbox, room: str) -> str:
    publish = {"allow": [*_SAYS[room], *_JETSTREAM], "deny": _NEVER}
    subscribe = {"allow": [*_HEARS, *_ALSO_HEARS.get(room, ())]}
    return _user(sandbox, room, {"publish": publish, "subscribe": subscribe, "allow_responses": True})


def _vehicle_user(sandbox: Sandbox, vin: str) -> str:
    publish = [
        f"vehicle.{vin}.evt.>",
        # A status report is mapped to its partition first and judged by the subject it is mapped to.
        f"vehicle_status.*.{vin}",
        f"$JS.API.CONSUMER.MSG.NEXT.{broker.VEHICLE_COMMANDS}.{vin}",
        f"$JS.ACK.{broker.VEHICLE_COMMANDS}.{vin}.>",
    ]
    inbox = [f"_INBOX.{vin}.>"]
    return _user(sandbox, vin, {"publish": {"allow": publish}, "subscribe": {"allow": inbox}})


def _user(sandbox: Sandbox, name: str, permissions: dict[str, object]) -> str:
    password = sandbox.nats_password(name).read_text(encoding="utf-8")
    return json.dumps({"user": name, "password": password, "permissions": permissions})


def _quoted(value: object) -> str:
    return json.dumps(str(value))

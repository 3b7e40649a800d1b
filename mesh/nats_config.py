"""NATS's configuration: durable JetStream over TLS, and who may say what.

`sync_interval: always`, because the default loses acknowledged messages when the power fails. A vehicle
may publish its own events, pull its own commands and nothing else: it cannot even ask what consumers
there are. A room may publish only what is its own to say.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mesh.ports import LOOPBACK, ROOMS
from protocol import broker

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mesh.pki import Pair
    from mesh.ports import Ports
    from mesh.sandbox import Sandbox

MAX_PAYLOAD_BYTES = 131_072
_LINE = "\n      "

# JetStream's interface for those who own streams. Nothing in the product deletes a stream.
_JETSTREAM = ["$JS.API.>", "$JS.ACK.>", "$JS.FC.>"]
_NEVER = ["$JS.API.STREAM.DELETE.>", "vehicle.*.evt.>", "vehicle_status.>"]
_SAYS = {
    "access": ["room.access.>"],
    "command": ["vehicle.*.cmd.>", "door.update.*", "room.command.>"],
    "status": ["door.update.*", "room.status.>", "hint.condition.*"],
    "config": ["vehicle.*.cmd.config", "door.update.*", "room.config.>"],
    "diagnostics": ["door.update.*", "room.diagnostics.>"],
}
_HEARS = ["_INBOX.>", "deliver.*", "room.access.revoked", "hint.condition.*"]


def render_nats(ports: Ports, sandbox: Sandbox, server: Pair, vins: Iterable[str]) -> str:
    """The configuration file's text. It holds passwords: keep it private."""
    source, destination = broker.STATUS_MAPPING
    users = [_room_user(sandbox, room) for room in ROOMS] + [_vehicle_user(sandbox, vin) for vin in vins]
    return f"""server_name: doors
listen: "{LOOPBACK}:{ports.nats}"
http: "{LOOPBACK}:{ports.nats_monitor}"
max_payload: {MAX_PAYLOAD_BYTES}
tls {{ cert_file: {_quoted(server.cert.resolve())}, key_file: {_quoted(server.key.resolve())}, timeout: 5 }}
jetstream {{ store_dir: {_quoted((sandbox.folder / "nats").resolve())}, sync_interval: always }}
accounts {{
  DOORS {{
    jetstream: enabled
    mappings {{ {_quoted(source)}: {_quoted(destination)} }}
    users: [
      {_LINE.join(users)}
    ]
  }}
}}
"""


def _room_user(sandbox: Sandbox, room: str) -> str:
    publish = {"allow": [*_SAYS[room], *_JETSTREAM], "deny": _NEVER}
    return _user(sandbox, room, {"publish": publish, "subscribe": {"allow": _HEARS}, "allow_responses": True})


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

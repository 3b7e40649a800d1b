"""NATS's configuration: durable JetStream over mutual TLS, and who may say what.

`sync_interval: always`, because the default loses acknowledged messages when the power fails. A vehicle is
nobody here: the broker asks the enrolment service for each that connects, which says what it may do. A service is a
DNS name in its certificate and its password, both. What each may reach is in `mesh.broker_accounts`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.broker_accounts import (
    AUTH_QUESTIONS,
    OWN,
    SAYS_WITHIN,
    STORES,
    SYSTEM,
    PassageKind,
    account_of,
    passages,
)
from mesh.broker_health import HEALTH_INBOX, HEALTH_QUESTION
from mesh.ports import LOOPBACK
from mesh.sandbox import MONITOR, broker_user
from protocol import streams, subjects
from services.registry import ON_THE_BROKER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from mesh.broker_accounts import Passage
    from mesh.broker_secrets import BrokerSecrets
    from mesh.pki import Pair
    from mesh.ports import Ports
    from mesh.sandbox import Sandbox

MAX_PAYLOAD_BYTES = 131_072
MOST_WAITING = 1_024
"""Messages that wait for a stream to write them. The broker refuses what is above: who sent it sends it again. Without
a number it takes in 10,000, and what a flood leaves behind is written before everybody else's for many seconds."""
MQTT_ACK_WAIT_SECONDS = 10
"""How long a vehicle on MQTT may take to confirm a command before it gets it again."""
PULL_ANSWERS_SECONDS = 60
"""How long the way back of a pull is kept. A vehicle's pull ends after 25 s."""
MOST_SUBSCRIPTIONS = 16
"""Of a vehicle. The reference unit has two over NATS, and one over MQTT, of which the broker makes more."""
CLUSTER_USER = "node"
"""The name under which nodes know each other."""
_LINE = "\n      "


@dataclass(frozen=True, slots=True)
class BrokerTls:
    """PEM files, as the node finds them: its certificate and key, and the CAs of all clients and of vehicles."""

    cert: Path
    key: Path
    clients: Path
    vehicles: Path


@dataclass(frozen=True, slots=True)
class ClusterMember:
    """A node's part in a broker of several.

    It listens for others at `listen` (host:port) and finds them at `peers`; who comes shows a certificate of a CA in
    `peer_ca` and knows the password. The broker's own streams for MQTT are kept on `mqtt_replicas` nodes. Clients are
    reported the node under `advertise` (host:port), where that is not empty.
    """

    cluster: str
    listen: str
    peers: tuple[str, ...]
    peer_ca: Path
    password: str
    mqtt_replicas: int
    advertise: str = ""


@dataclass(frozen=True, slots=True)
class BrokerNode:
    """A nats-server: its name, where it listens (host:port) for NATS and MQTT, and where it keeps its streams."""

    name: str
    nats: str
    mqtt: str
    store: Path
    tls: BrokerTls
    member: ClusterMember | None = None
    monitor: str = ""


def render_nats(
    ports: Ports,
    sandbox: Sandbox,
    server: Pair,
    passwords_of: Iterable[str] = (),
    *,
    monitored: bool = False,
) -> str:
    """Return the text of the sandbox's configuration file. It holds passwords: keep it private.

    Whoever connects shows a certificate, and the broker asks the enrolment service about vehicles. A load
    generator's vehicles, `passwords_of`, have passwords instead; where there are any, nobody is asked
    for a certificate. A load generator may have the monitoring pages (`monitored`), which ask nobody for anything.
    """
    node = BrokerNode(
        name="doors",
        nats=f"{LOOPBACK}:{ports.nats}",
        mqtt=f"{LOOPBACK}:{ports.mqtt}",
        store=(sandbox.folder / "nats").resolve(),
        tls=BrokerTls(
            server.cert.resolve(),
            server.key.resolve(),
            sandbox.broker_clients.resolve(),
            sandbox.vehicle_ca.resolve(),
        ),
        monitor=f"{LOOPBACK}:{ports.nats_monitor}" if monitored else "",
    )
    return render_node(node, sandbox.broker_secrets, passwords_of)


def render_node(node: BrokerNode, secrets: BrokerSecrets, passwords_of: Iterable[str] = ()) -> str:
    """Return the text of a node's configuration file. It holds passwords: keep it private. `passwords_of`: see
    render_nats.
    """
    fleet = list(passwords_of)
    walls = passages(ON_THE_BROKER, secrets.store_prefix.read_text(encoding="utf-8").strip())
    users = {
        **{account_of(service): [_service_user(secrets, service, walls)] for service in ON_THE_BROKER},
        SYSTEM: [_monitor(secrets)],
        streams.CARS_ACCOUNT: [_vehicle_user(secrets, vin) for vin in fleet],
    }
    tls = node.tls
    files = f"cert_file: {_quoted(tls.cert)}, key_file: {_quoted(tls.key)}, timeout: 5"
    asked = "" if fleet else f", ca_file: {_quoted(tls.clients)}, verify_and_map: true"
    asked_over_mqtt = "" if fleet else f", ca_file: {_quoted(tls.vehicles)}, verify: true"
    callout = {
        "issuer": secrets.admission_key(),
        "account": account_of("enrolment"),
        "auth_users": [*(broker_user(name) for name in (*ON_THE_BROKER, MONITOR)), *fleet],
        "allowed_accounts": [streams.CARS_ACCOUNT, streams.MQTT_CARS_ACCOUNT],
    }
    monitor = f"http: {_quoted(node.monitor)}\n" if node.monitor else ""
    replicas = f"\n  stream_replicas: {node.member.mqtt_replicas}" if node.member else ""
    return f"""server_name: {_quoted(node.name)}
listen: {_quoted(node.nats)}
{monitor}max_payload: {MAX_PAYLOAD_BYTES}
tls {{ {files}{asked} }}
jetstream {{ store_dir: {_quoted(node.store)}, sync_interval: always, strict: true, max_buffered_msgs: {MOST_WAITING} }}
{_cluster(node, files)}mqtt {{
  listen: {_quoted(node.mqtt)}
  tls {{ {files}{asked_over_mqtt} }}
  ack_wait: "{MQTT_ACK_WAIT_SECONDS}s"
  max_ack_pending: 16
  reject_qos2_publish: true
  downgrade_qos2_subscribe: true{replicas}
}}
accounts {{
{render_accounts(walls, users)}
}}
system_account: {SYSTEM}
authorization {{
  auth_callout: {json.dumps(callout)}
}}
"""


def _cluster(node: BrokerNode, files: str) -> str:
    member = node.member
    if member is None:
        return ""
    routes = [f"nats://{CLUSTER_USER}:{member.password}@{peer}" for peer in member.peers]
    known = json.dumps({"user": CLUSTER_USER, "password": member.password, "timeout": 5})
    advertised = f"client_advertise: {_quoted(member.advertise)}\n" if member.advertise else ""
    return f"""{advertised}cluster {{
  name: {_quoted(member.cluster)}
  listen: {_quoted(member.listen)}
  tls {{ {files}, ca_file: {_quoted(member.peer_ca)}, verify: true }}
  authorization: {known}
  routes: {json.dumps(routes)}
}}
"""


def render_accounts(walls: Sequence[Passage], users: Mapping[str, Sequence[str]]) -> str:
    """Return the accounts with their users, and what passes between them."""
    names = dict.fromkeys([*users, *STORES, *(name for wall in walls for name in (wall.owner, wall.user))])
    return "\n".join(_account(name, walls, users.get(name, ())) for name in names)


def _account(name: str, walls: Sequence[Passage], users: Sequence[str]) -> str:
    parts = [f"users: [{_LINE}{_LINE.join(users)}\n    ]"] if users else []
    if name in STORES:
        parts.insert(0, "jetstream: enabled")
    if name in (streams.CARS_ACCOUNT, streams.MQTT_CARS_ACCOUNT):
        source, destination = subjects.STATUS_MAPPING
        # Of each connection. The broker heeds no such limit in the admission of one.
        limits = f"max_payload: {streams.VEHICLE_MESSAGE_BYTES}, max_subscriptions: {MOST_SUBSCRIPTIONS}"
        parts.append(f"limits: {{ {limits} }}")
        parts.append(f"mappings: {{ {_quoted(source)}: {_quoted(destination)} }}")
    exports = _exports([wall for wall in walls if wall.owner == name])
    imports = [_import(wall) for wall in walls if wall.user == name]
    for key, lines in (("exports", exports), ("imports", imports)):
        if lines:
            parts.append(f"{key}: [{_LINE}{_LINE.join(lines)}\n    ]")
    return f"  {name} {{\n    " + "\n    ".join(parts) + "\n  }"


def _exports(walls: Sequence[Passage]) -> list[str]:
    """Return one for each subject, open to those accounts only that import it."""
    found: dict[tuple[PassageKind, str, bool], list[str]] = defaultdict(list)
    for wall in walls:
        found[wall.kind, wall.subject, wall.many].append(wall.user)
    lines = []
    for (kind, subject, many), accounts in found.items():
        line: dict[str, object] = {kind.value: subject, "accounts": accounts}
        if many:
            line |= {"response": "stream", "response_threshold": f"{PULL_ANSWERS_SECONDS}s"}
        lines.append(json.dumps(line))
    return lines


def _import(wall: Passage) -> str:
    line: dict[str, object] = {wall.kind.value: {"account": wall.owner, "subject": wall.subject}}
    return json.dumps({**line, "to": wall.mapped} if wall.local else line)


def _service_user(secrets: BrokerSecrets, service: str, walls: Sequence[Passage]) -> str:
    account = account_of(service)
    used = [wall for wall in walls if wall.user == account]
    owned = [wall for wall in walls if wall.owner == account]
    answers = {wall.subject for wall in owned if wall.kind is PassageKind.SERVICE}
    says = {wall.called for wall in used if wall.kind is PassageKind.SERVICE}
    says |= {wall.subject for wall in owned if wall.kind is PassageKind.STREAM}
    says |= set(SAYS_WITHIN.get(service, ()))
    subscribes = {wall.called for wall in used if wall.kind is PassageKind.STREAM}
    rights: dict[str, object] = {
        "publish": {"allow": sorted(says)},
        "subscribe": {"allow": sorted({*subscribes, *answers, *OWN.get(service, ()), f"_INBOX.{service}.>"})},
    }
    if answers or AUTH_QUESTIONS in OWN.get(service, ()):
        rights["allow_responses"] = True
    return _user(broker_user(service), rights, secrets.password(service).read_text(encoding="utf-8").strip())


def _monitor(secrets: BrokerSecrets) -> str:
    rights = {"publish": {"allow": [HEALTH_QUESTION]}, "subscribe": {"allow": [HEALTH_INBOX]}}
    password = secrets.password(MONITOR).read_text(encoding="utf-8").strip()
    return _user(broker_user(MONITOR), dict(rights), password)


def _vehicle_user(secrets: BrokerSecrets, vin: str) -> str:
    events = [
        subjects.event_subject(vin, event)
        for event in subjects.EventKind
        if event is not subjects.EventKind.STATUS
    ]
    publish = [
        *events,
        # A status report is mapped to its partition first and judged by the subject it is mapped to.
        f"vehicle_status.*.{vin}",
        f"$JS.API.CONSUMER.MSG.NEXT.{streams.VEHICLE_COMMANDS}.{vin}",
        f"$JS.ACK.{streams.VEHICLE_COMMANDS}.{vin}.>",
    ]
    inbox = [f"_INBOX.{vin}.>"]
    password = secrets.password(vin).read_text(encoding="utf-8")
    return _user(vin, {"publish": {"allow": publish}, "subscribe": {"allow": inbox}}, password)


def _user(name: str, permissions: dict[str, object], password: str) -> str:
    # Not over MQTT: there no certificate is mapped to a user.
    user = {"user": name, "password": password, "permissions": permissions}
    return json.dumps({**user, "allowed_connection_types": ["STANDARD"]})


def _quoted(value: object) -> str:
    return json.dumps(str(value))

"""A broker of several nodes: the configuration of each, with all accounts, from one description.

The accounts, their users and what passes between them are the same on every node, or a service would lose its rights
with the node that it was on; so nobody writes them by hand.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path  # noqa: TC003  # pydantic reads the annotation when it runs
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from mesh.broker_secrets import BrokerSecrets, ensure_secret
from mesh.files import write_private
from mesh.nats_config import BrokerNode, BrokerTls, ClusterMember, render_node
from mesh.sandbox import MONITOR
from services.registry import ON_THE_BROKER

_MOST_NODES = 15
_MOST_REPLICAS = 5
"""What JetStream takes."""
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"


def _address(text: str) -> str:
    """Return a host:port as it is. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not (colon and port.isascii() and port.isdecimal() and 0 < int(port) < 1 << 16):
        raise ValueError("must be host:port")
    if not _is_host(host):
        raise ValueError("must be host:port, with a name, an IPv4 address or an IPv6 address in brackets")
    return text


def _is_host(host: str) -> bool:
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(host.removeprefix("[").removesuffix("]"))
        except ValueError:
            return False
        return host.endswith("]")
    return bool(host) and all(part.isalnum() or part in "-." for part in host) and host.isascii()


_Address = Annotated[str, AfterValidator(_address)]


class _Described(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class NodeDescription(_Described):
    """A node: `nats`, `mqtt` and `route` are where it listens for clients and for other nodes.

    The others find it at `peer`, or at `route`; clients are told of it under `advertise`. `certificate` and `key` are
    PEM files on its machine, and it keeps its streams in the folder `store`.
    """

    name: str = Field(pattern=_NAME)
    nats: _Address
    mqtt: _Address
    route: _Address
    peer: _Address | None = None
    advertise: _Address | None = None
    certificate: Path
    key: Path
    store: Path


class ClusterDescription(_Described):
    """All nodes. `client_ca`, `vehicle_ca` and `node_ca` are PEM files on each machine: the CAs of all clients, of
    vehicles, and of nodes. `mqtt_replicas`: on how many nodes the broker keeps what it makes for MQTT; 3 if there are
    so many.
    """

    cluster: str = Field(pattern=_NAME)
    client_ca: Path
    vehicle_ca: Path
    node_ca: Path
    mqtt_replicas: int | None = Field(default=None, ge=1, le=_MOST_REPLICAS)
    nodes: tuple[NodeDescription, ...] = Field(min_length=2, max_length=_MOST_NODES)

    @model_validator(mode="after")
    def _fits_together(self) -> ClusterDescription:
        for what in ("name", "nats", "mqtt", "route"):
            values = [getattr(node, what) for node in self.nodes]
            # Nodes on machines of their own listen on the same wildcard address.
            own = [value for value in values if what == "name" or not value.startswith(("0.0.0.0:", "[::]:"))]
            if len(set(own)) < len(own):
                raise ValueError(f"two nodes have the same {what}")
        peers = [node.peer or node.route for node in self.nodes]
        if len(set(peers)) < len(peers):
            raise ValueError("two nodes are found at the same address: give each a peer of its own")
        if self.replicas > len(self.nodes):
            raise ValueError("mqttReplicas is more than there are nodes")
        return self

    @property
    def replicas(self) -> int:
        """On how many nodes the broker keeps what it makes for MQTT."""
        return self.mqtt_replicas or min(3, len(self.nodes))


def read_cluster(path: Path) -> ClusterDescription:
    """Read the description, a JSON file. Raises OSError, and ValueError that says what is wrong where."""
    try:
        return ClusterDescription.model_validate_json(path.read_bytes())
    except ValidationError as invalid:
        first = invalid.errors()[0]
        where = ".".join(str(word) for word in first["loc"])
        raise ValueError(f"{path}: {f'{where}: ' if where else ''}{first['msg']}") from None


def write_configurations(cluster: ClusterDescription, secrets: BrokerSecrets, folder: Path) -> list[Path]:
    """Write `<name>.conf` of each node into the folder, readable for its owner only; secrets that are missing are made.

    With the same description and secrets it writes the same again. Raises OSError.
    """
    secrets.ensure((*ON_THE_BROKER, MONITOR))
    ensure_secret(secrets.cluster_password)
    password = secrets.cluster_password.read_text(encoding="utf-8").strip()
    written = []
    for node in cluster.nodes:
        path = folder / f"{node.name}.conf"
        text = render_node(_node(cluster, node, password), secrets)
        write_private(path, text.encode())
        written.append(path)
    return written


def _node(cluster: ClusterDescription, node: NodeDescription, password: str) -> BrokerNode:
    return BrokerNode(
        name=node.name,
        nats=node.nats,
        mqtt=node.mqtt,
        store=node.store,
        tls=BrokerTls(node.certificate, node.key, cluster.client_ca, cluster.vehicle_ca),
        member=ClusterMember(
            cluster=cluster.cluster,
            listen=node.route,
            peers=tuple(other.peer or other.route for other in cluster.nodes if other is not node),
            peer_ca=cluster.node_ca,
            password=password,
            mqtt_replicas=cluster.replicas,
            advertise=node.advertise or "",
        ),
    )

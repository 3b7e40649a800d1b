"""The services there are, one descriptor each.

Ports, certificates, accounts at the broker, Envoy's clusters and readiness, what the supervisor starts and with which
keys, whom `doorctl` asks, the import contracts and the table of the architecture's page are made from it. What an RPC
needs, and which service serves it, says the contract (proto/ecarus/remotecontrol/options).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HealthGroup:
    """Some of a service's RPCs that need more, or less, than the others, and so have a cluster of Envoy's own.

    `name` is what health checks and readiness call it; `cluster` ends the cluster's name. Where the name is another
    service's in readiness and native health (`streams` is the event streams'), it has none of its own there.
    """

    name: str
    cluster: str
    has_readiness: bool = True


@dataclass(frozen=True, slots=True)
class ServiceDescriptor:
    """One service.

    `port_distance` is where it listens in the sandbox, from the base of all ports; it is never given to another.
    `contract` is the protobuf service whose name its replicas answer health checks for. `is_public`: Envoy passes
    users' requests on to it. `has_database` also means an account at the broker, unless it `needs_broker` not.
    `is_operated`: operators ask it. `keeps_for_ever`: no time ends what it keeps, and no legal hold concerns it.
    `is_dispensable`: all others go on without it, and the edge is ready without it.

    What it does with vehicles decides which keys it is given: it `opens_answers` (sealed results), `opens_reports`
    (sealed status reports), `gives_orders` (has them signed), or `delivers_orders` (and wakes vehicles). One that
    `asks_for_checks` has vehicles asked by the service that delivers orders.
    """

    name: str
    port_distance: int
    contract: str
    is_public: bool = False
    has_database: bool = True
    needs_broker: bool = True
    is_operated: bool = True
    keeps_for_ever: bool = False
    is_dispensable: bool = False
    keeps_dead_letters: bool = False
    opens_answers: bool = False
    opens_reports: bool = False
    gives_orders: bool = False
    delivers_orders: bool = False
    asks_for_checks: bool = False
    health_groups: tuple[HealthGroup, ...] = ()

    @property
    def spiffe_path(self) -> str:
        """The path of its SPIFFE URI (`room/` is on the wire)."""
        return f"room/{self.name}"

    @property
    def tls_name(self) -> str:
        """The DNS name in its certificate."""
        return f"{self.name}.rooms.ecarus.internal"


SERVICES = (
    ServiceDescriptor(
        "access",
        511,
        "ecarus.remotecontrol.access.v1.AccessService",
        is_public=True,
        health_groups=(HealthGroup("streams", "stream", has_readiness=False),),
    ),
    ServiceDescriptor(
        "command",
        512,
        "ecarus.remotecontrol.door.v1.DoorCommandService",
        is_public=True,
        keeps_dead_letters=True,
        opens_answers=True,
        gives_orders=True,
        delivers_orders=True,
        health_groups=(HealthGroup("commands", "accept"),),
    ),
    ServiceDescriptor(
        "status",
        513,
        "ecarus.remotecontrol.door.v1.DoorStatusService",
        is_public=True,
        keeps_dead_letters=True,
        opens_answers=True,
        opens_reports=True,
        health_groups=(HealthGroup("streams", "stream"),),
    ),
    ServiceDescriptor(
        "config",
        514,
        "ecarus.remotecontrol.door.v1.DoorConfigService",
        is_public=True,
        keeps_dead_letters=True,
        opens_answers=True,
        gives_orders=True,
    ),
    ServiceDescriptor(
        "diagnostics",
        515,
        "ecarus.remotecontrol.door.v1.DoorDiagnosticsService",
        is_public=True,
        keeps_dead_letters=True,
        opens_answers=True,
        opens_reports=True,
        asks_for_checks=True,
    ),
    ServiceDescriptor("enrolment", 516, "ecarus.remotecontrol.access.v1.VehicleKeysService"),
    ServiceDescriptor(
        "signer",
        517,
        "ecarus.remotecontrol.access.v1.OrderSigningService",
        has_database=False,
        needs_broker=False,
        is_operated=False,
    ),
    ServiceDescriptor(
        "audit",
        518,
        "ecarus.remotecontrol.audit.v1.AuditIntakeService",
        is_public=True,
        needs_broker=False,
        is_dispensable=True,
        keeps_for_ever=True,
    ),
    ServiceDescriptor(
        "notification",
        519,
        "ecarus.remotecontrol.door.v1.PushDeviceService",
        is_public=True,
        is_dispensable=True,
        keeps_dead_letters=True,
    ),
)
"""In the order in which they are shown."""

NAMES = tuple(service.name for service in SERVICES)
PUBLIC = tuple(service.name for service in SERVICES if service.is_public)
WITH_DATABASE = tuple(service.name for service in SERVICES if service.has_database)
ON_THE_BROKER = tuple(service.name for service in SERVICES if service.needs_broker)
"""Those with a user at the broker."""

_BY_NAME = {service.name: service for service in SERVICES}


def descriptor_of(name: str) -> ServiceDescriptor:
    """Return the descriptor of the service of this name. Raise KeyError when there is none."""
    return _BY_NAME[name]

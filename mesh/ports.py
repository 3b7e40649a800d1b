"""Where everything listens: fixed distances from one base, all on the loopback address."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from services.registry import SERVICES, descriptor_of

LOOPBACK = "127.0.0.1"

_LOWEST_BASE = 1024  # below are the system's own
_HIGHEST_BASE = 65_535 - 883


class PortInUseError(Exception):
    """A port the mesh needs is taken; the message names the port and the component."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one mesh. `base` is 1024 to 64652; anything else is a ValueError."""

    base: int = 8000

    def __post_init__(self) -> None:
        if not _LOWEST_BASE <= self.base <= _HIGHEST_BASE:
            raise ValueError(f"DOORS_PORT_BASE must be {_LOWEST_BASE} to {_HIGHEST_BASE}, not {self.base}")

    @property
    def http(self) -> int:
        """REST and SSE in plain HTTP."""
        return self.base + 80

    @property
    def https(self) -> int:
        """REST and SSE over TLS."""
        return self.base + 443

    @property
    def mtls(self) -> int:
        """Native gRPC for internal teams, over mutual TLS."""
        return self.base + 444

    @property
    def nats(self) -> int:
        """NATS over TLS."""
        return self.base + 422

    @property
    def nats_monitor(self) -> int:
        """NATS's monitoring pages, where a load run opens them: they have no authentication."""
        return self.base + 423

    @property
    def mqtt(self) -> int:
        """MQTT over TLS, of the same broker."""
        return self.base + 883

    @property
    def control(self) -> int:
        """The simulated vehicles' control interface."""
        return self.base + 600

    @property
    def issuer(self) -> int:
        """The issuer of access tokens, in plain HTTP."""
        return self.base + 700

    @property
    def phones(self) -> int:
        """The simulated phones' inbox, in plain HTTP."""
        return self.base + 590

    @property
    def push(self) -> int:
        """The push services that reach the simulated phones, over TLS."""
        return self.base + 591

    @property
    def gateway(self) -> int:
        """The WebSocket, behind Envoy, over mutual TLS."""
        return self.base + 580

    @property
    def pages(self) -> int:
        """The pages at /app/ and /console/, behind Envoy, over mutual TLS."""
        return self.base + 581

    @property
    def page_origins(self) -> tuple[str, ...]:
        """Where a browser here finds the pages: the edge by its names. The first is the one to tell people."""
        return tuple(
            f"{scheme}://{host}:{port}"
            for scheme, port in (("http", self.http), ("https", self.https))
            for host in ("localhost", LOOPBACK)
        )

    def service(self, name: str) -> int:
        """Return the gRPC port of a service."""
        return self.base + descriptor_of(name).port_distance

    def by_component(self) -> list[tuple[int, str]]:
        """Return every port with the component that listens there."""
        return [
            (self.nats, "nats"),
            (self.mqtt, "nats (MQTT)"),
            *((self.service(each.name), each.name) for each in SERVICES),
            (self.gateway, "gateway"),
            (self.pages, "gateway (pages)"),
            (self.http, "envoy (HTTP)"),
            (self.https, "envoy (HTTPS)"),
            (self.mtls, "envoy (mTLS gRPC)"),
            (self.control, "vehicles (control)"),
            (self.issuer, "issuer"),
            (self.phones, "phones (inbox)"),
            (self.push, "phones (push services)"),
        ]

    def require_free(self) -> None:
        """Raise PortInUseError for the first port that somebody already listens on."""
        for port, component in self.by_component():
            with socket.socket() as probe:
                # A port in TIME_WAIT is free; one that is listened on is refused all the same.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((LOOPBACK, port))
                except OSError as refused:
                    raise PortInUseError(
                        f"port {port} for {component} is in use; free it or choose another DOORS_PORT_BASE"
                    ) from refused

"""What of the list of services stands in files written by hand: each between two marks, as in contract_blocks."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

from services.registry import SERVICES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.registry import ServiceDescriptor
    from tools.contract_blocks import Contract

ROOT = Path(__file__).resolve().parent.parent
TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
HTTP2 = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
CHECK = (
    "timeout: 1s, interval: 1s, no_traffic_interval: 1s, unhealthy_interval: 0.5s, "
    "unhealthy_threshold: 2, healthy_threshold: 1"
)
READYZ = "type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck"
UNARY = "{thresholds: [{max_requests: 1024, max_pending_requests: 512, max_retries: 16}]}"
STREAMS = "{thresholds: [{max_requests: 5000, max_pending_requests: 512}]}"
"""Streams have connections of their own: forty readers that stall would stop every other call beside them."""


def _clusters() -> Iterator[tuple[ServiceDescriptor, str, str, str]]:
    """Yield each of Envoy's clusters: its service, its name, what its health checks ask for, and what readiness calls
    it; empty where it has none of its own.
    """
    for service in SERVICES:
        if service.is_public:
            yield service, service.name, service.contract, service.name
            for group in service.health_groups:
                yield (
                    service,
                    f"{service.name}_{group.cluster}",
                    group.name,
                    group.name if group.has_readiness else "",
                )


def clusters(_: Contract) -> list[str]:
    """Envoy's clusters of services: each asks its replicas for what its own routes need."""
    lines = []
    for service, name, asked, _ready in _clusters():
        streams = name.endswith("_stream")
        windows = (65536, 67108864) if streams else (1048576, 16777216)
        lines += [
            f"- name: {name}",
            "  type: STATIC",
            "  connect_timeout: 1s",
            "  common_lb_config: {healthy_panic_threshold: {value: 0}}",
            f"  circuit_breakers: {STREAMS if streams else UNARY}",
            f'  health_checks: [{{{CHECK}, grpc_health_check: {{service_name: "{asked}"}}}}]',
            "  typed_extension_protocol_options:",
            "    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:",
            f'      "@type": {HTTP2}',
            "      explicit_http_config:",
            f"        http2_protocol_options: {{initial_stream_window_size: {windows[0]}, "
            f"initial_connection_window_size: {windows[1]}, connection_keepalive: {{interval: 30s, timeout: 5s}}}}",
            "  transport_socket:",
            "    name: envoy.transport_sockets.tls",
            "    typed_config:",
            f'      "@type": {TLS}',
            f"      sni: {service.tls_name}",
            "      common_tls_context:",
            "        alpn_protocols: [h2]",
            "        tls_certificates:",
            '        - {certificate_chain: {filename: "${PKI_DIR}/edge.crt"}, '
            'private_key: {filename: "${PKI_DIR}/edge.key"}}',
            "        validation_context:",
            '          trusted_ca: {filename: "${PKI_DIR}/ca.crt"}',
            "          match_typed_subject_alt_names: "
            f'[{{san_type: URI, matcher: {{exact: "spiffe://ecarus/{service.spiffe_path}"}}}}]',
            f"  load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{{endpoint: {{address: "
            f"{{socket_address: {{address: 127.0.0.1, port_value: ${{{service.name.upper()}_PORT}}}}}}}}}}]}}]}}",
        ]
    return lines


def readiness(_: Contract) -> list[str]:
    """Envoy's answers about readiness: of all that others cannot go on without, and of each part. Commands cannot be
    taken without access.
    """
    every = [name for service, name, _, _ in _clusters() if not service.is_dispensable]
    lines = _readyz("readyz", "/readyz", [*every, "gateway"])
    for _service, name, _asked, ready in filter(_has_readiness, _clusters()):
        lines += _readyz(
            f"readyz_{ready}", f"/readyz/{ready}", ["access", name] if ready == "commands" else [name]
        )
    return lines + _readyz("readyz_events", "/readyz/events", ["access", "gateway"])


def _has_readiness(cluster: tuple[ServiceDescriptor, str, str, str]) -> bool:
    return cluster[3] != ""


def _readyz(name: str, path: str, needed: list[str]) -> list[str]:
    shares = ", ".join(f"{each}: {{value: 1}}" for each in needed)
    return [
        f"- name: {name}",
        f'  typed_config: {{"@type": {READYZ}, pass_through_mode: false, '
        f'headers: [{{name: ":path", string_match: {{exact: {path}}}}}], '
        f"cluster_min_healthy_percentages: {{{shares}}}}}",
    ]


def health_routes(_: Contract) -> list[str]:
    """Envoy's routes of native health checks: each service answers for itself."""
    lines = []
    for _service, name, asked, ready in filter(_has_readiness, _clusters()):
        header = f"[{{name: x-ecarus-health-of, string_match: {{exact: {asked}}}}}]"
        lines += [
            f"- name: health_{ready}",
            f"  match: {{prefix: /grpc.health.v1.Health/, grpc: {{}}, headers: {header}}}",
            f"  route: {{cluster: {name}, timeout: 0s}}",
            "  typed_per_filter_config: *no_vehicle",
        ]
    return lines


def packages(_: Contract) -> list[str]:
    """Return the packages of the services, for a list of the import contracts."""
    return [f"services.{service.name}" for service in SERVICES]


def siblings(_: Contract) -> list[str]:
    """Return the services as one layer of an import contract, in which none imports another."""
    return [" | ".join(service.name for service in SERVICES)]


def table(_: Contract) -> list[str]:
    """Return the architecture page's table of services."""
    lines = [
        "| service | what it is for | port | public | database | broker | operators ask it |",
        "|---|---|---|---|---|---|---|",
    ]
    for service in SERVICES:
        ticks = [
            "yes" if each else ""
            for each in (service.is_public, service.has_database, service.needs_broker, service.is_operated)
        ]
        port = f"base + {service.port_distance}"
        lines.append(f"| {service.name} | {_purpose(service.name)} | {port} | {' | '.join(ticks)} |")
    return lines


def _purpose(name: str) -> str:
    """Return the first line of the package's docstring."""
    text = (ROOT / "services" / name / "__init__.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0].rstrip(".")

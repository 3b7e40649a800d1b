"""What the gateway is told: of the pages for people, and of its WebSockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.edge_config import PROBLEM_TYPES, ROOT, problem_types
from mesh.issuer_seed import issuer_url
from mesh.ports import LOOPBACK
from mesh.sandbox_fleet import SAMPLE_KEY
from mesh.tokens import APP_CLIENT, CONSOLE_CLIENT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh.ports import Ports
    from mesh.sandbox import Sandbox

DOCS = ROOT / ".docs" / "site"
"""The documentation, where `make docs` was run; `make run` does."""


SOCKET_LIMITS = {
    "DOORS_WEBSOCKET_CONNECTIONS_PER_USER": "500",
    "DOORS_WEBSOCKET_CONNECTIONS_PER_ADDRESS": "4000",
    "DOORS_WEBSOCKET_SUBSCRIPTIONS_PER_USER": "2000",
    "DOORS_WEBSOCKET_VEHICLES_PER_MINUTE": "10000",
}
"""The sandbox is one address and few people."""


def catalogue(ports: Ports) -> str:
    """Return the URL below which the sandbox's portal has an entry for each problem."""
    return f"{ports.page_origins[0]}/portal/problems/"


def types_of_problems(ports: Ports, environment: Mapping[str, str], *, has_pages: bool) -> str:
    """Return what `type` of a problem begins with: what the user says, or the portal's catalogue where there is one.
    Raises ValueError, naming the key.
    """
    return problem_types(environment, catalogue(ports) if has_pages else PROBLEM_TYPES)


def page_settings(
    ports: Ports, sandbox: Sandbox, environment: Mapping[str, str], *, own_issuer: bool
) -> dict[str, str]:
    """Return where people sign in: at the sandbox's issuer, or at the one that the user named for the pages; nothing
    where they named one of their own for tokens alone.
    """
    if own_issuer and not environment.get("DOORS_PAGES_ISSUER"):
        return {}
    return {
        "DOORS_PAGES_LISTEN": f"{LOOPBACK}:{ports.pages}",
        "DOORS_PAGES_PUSH_KEY": sandbox.push_senders.application_server_key,
        "DOORS_PAGES_ISSUER": issuer_url(ports),
        "DOORS_PAGES_APP_CLIENT": APP_CLIENT,
        "DOORS_PAGES_CONSOLE_CLIENT": CONSOLE_CLIENT,
        "DOORS_PAGES_OPENAPI": str(ROOT / "gen" / "openapi.json"),
        "DOORS_PAGES_ASYNCAPI": str(ROOT / "gen" / "asyncapi.json"),
        "DOORS_PAGES_API_ORIGIN": ports.page_origins[0],
        "DOORS_PAGES_SAMPLE_KEY": SAMPLE_KEY,
        **({"DOORS_PAGES_DOCS": str(DOCS)} if (DOCS / "index.html").is_file() else {}),
    }

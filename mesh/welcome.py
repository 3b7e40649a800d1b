"""What a person sees when the mesh is ready: where it is and what to try."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.issuer_seed import issuer_url
from mesh.ports import LOOPBACK
from mesh.sandbox_fleet import SAMPLE_KEY, SAMPLE_VIN

if TYPE_CHECKING:
    from mesh.ports import Ports
    from mesh.sandbox import Sandbox


def welcome(ports: Ports, sandbox: Sandbox, *, has_pages: bool) -> str:
    """Return the lines to print. The first is exactly `ready <base URL>`; tools wait for it."""
    base = f"http://{LOOPBACK}:{ports.http}"
    door = f"{base}/api/v1/remotecontrol/vehicles/{SAMPLE_VIN}/door"
    control = f"http://{LOOPBACK}:{ports.control}/vehicles"
    auth = f'-H "Authorization: Bearer {SAMPLE_KEY}"'
    json_type = '-H "Content-Type: application/json"'

    def get(path: str) -> str:
        return f'curl "{door}/{path}" {auth}'

    def send(method: str, path: str, body: str) -> str:
        return f"curl -X {method} \"{door}/{path}\" {auth} {json_type} -d '{body}'"

    lines = [
        f"ready {base}",
        "",
        "Try:",
        send("POST", "unlock", '{"targetDoors": ["all"], "unlockMode": "NORMAL"}') + "; sleep 4",
        get("status"),
        send("POST", "lock", '{"targetDoors": ["all"], "lockMode": "SECURE"}') + "; sleep 4",
        get("history?period=24h&limit=50"),
        get("diagnostics"),
        send("PUT", "config", '{"unlockMode": "DRIVER_ONLY"}'),
        send("PUT", "config", '{"unlockMode": "ALL"}'),
        get("config"),
        f"{get('updates/stream')} -N      Ctrl-C ends it",
        "",
        *(_pages(ports, sandbox) if has_pages else ()),
        "The cars:",
        f"curl {control}                                    all of them",
        f"curl -X POST {control}/{SAMPLE_VIN}/doors/driver/open",
        f"curl -X POST {control}/{SAMPLE_VIN}/leave-coverage      and enter-coverage",
        f"curl {control}/{SAMPLE_VIN}/actuations            what they really did",
        f"http://{LOOPBACK}:{ports.phones}/    what the simulated phones received (README: push notifications)",
        "",
        f"TLS on {ports.https}, gRPC over mutual TLS on {ports.mtls} (CA and keys: {sandbox.pki})",
        "Which certificate is which car: bin/doorctl vehicle list",
        f"A user's token: make token USER=user-123 VIN={SAMPLE_VIN}",
        f"Sign in for one: .venv/bin/python -m issuer sign-in user-123, or {issuer_url(ports)}/account in a browser",
        f"  (names, passwords, TOTP secrets: {sandbox.issuer_seed}; a code: .venv/bin/python -m issuer code user-123)",
        f"Logs: {sandbox.logs}    Stop: Ctrl-C",
    ]
    return "\n".join(lines)


def _pages(ports: Ports, sandbox: Sandbox) -> list[str]:
    pages = ports.page_origins[0]
    return [
        "In a browser:",
        f"{pages}/app/       a driver's page: sign in as user-123 or user-456",
        f"{pages}/portal/    for developers: Swagger UI over this sandbox, the documentation, every problem",
        f"{pages}/console/   the agents' console: sign in as agent-7 or agent-8",
        f"  passwords: {sandbox.issuer_seed}; a second factor's code: .venv/bin/python -m issuer code user-123",
        "",
    ]

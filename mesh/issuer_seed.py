"""Who can sign in at the sandbox's issuer: made once, with random passwords and secrets, for their owner's eyes."""

from __future__ import annotations

import base64
import json
import secrets
from typing import TYPE_CHECKING

from mesh.files import write_private_json

if TYPE_CHECKING:
    from pathlib import Path

    from mesh.ports import Ports

CUSTOMERS = ("user-123", "user-456")
AGENTS = ("agent-7", "agent-8")
EMPLOYEES = ("employee-1", "employee-2")
CONFIDENTIAL_CLIENTS = ("call-center", "voice-assistant")
_SECRET_BYTES = 20
"""Of a TOTP secret: as many as its hash has (RFC 4226, 4)."""


def issuer_url(ports: Ports) -> str:
    """Return who the sandbox's issuer is: its name is where it is, and passkeys need a name that is no address."""
    return f"http://localhost:{ports.issuer}"


def ensure_issuer_seed(path: Path) -> None:
    """Make the file if there is none; who is missing in an older one is added."""
    kinds = (
        dict.fromkeys(CUSTOMERS, "customer")
        | dict.fromkeys(AGENTS, "agent")
        | dict.fromkeys(EMPLOYEES, "employee")
    )
    seed = json.loads(path.read_bytes()) if path.is_file() else {"accounts": {}, "clients": {}}
    if seed["accounts"].keys() >= kinds.keys() and seed["clients"].keys() >= set(CONFIDENTIAL_CLIENTS):
        return
    accounts = {
        name: {
            "kind": kind,
            "password": secrets.token_urlsafe(12),
            "totpSecret": base64.b32encode(secrets.token_bytes(_SECRET_BYTES)).decode(),
        }
        for name, kind in kinds.items()
    }
    clients = {name: secrets.token_urlsafe(24) for name in CONFIDENTIAL_CLIENTS}
    whole = {"accounts": {**accounts, **seed["accounts"]}, "clients": {**clients, **seed["clients"]}}
    write_private_json(path, whole)

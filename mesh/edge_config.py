"""Envoy's configuration, made from envoy.yaml and gateway/team_trust.yaml by filling in their ${NAMES}.

Envoy does not expand variables itself.
"""

from __future__ import annotations

from pathlib import Path
from string import Template

from mesh.files import write_private
from mesh.ports import ROOMS, Ports

ROOT = Path(__file__).resolve().parent.parent


def render_edge(ports: Ports, pki_folder: Path, admin: Path) -> str:
    """The configuration as YAML; `admin` is where the admin interface's socket goes.

    A name in envoy.yaml that is not filled in is a KeyError.
    """
    names = {
        "HTTP_PORT": ports.http,
        "HTTPS_PORT": ports.https,
        "MTLS_PORT": ports.mtls,
        "ADMIN_SOCKET": admin,
        "PKI_DIR": pki_folder,
        "GATEWAY_DIR": ROOT / "gateway",
        "GEN_DIR": ROOT / "gen",
        **{f"{room.upper()}_PORT": ports.room(room) for room in ROOMS},
    }
    return Template((ROOT / "envoy.yaml").read_text(encoding="utf-8")).substitute(names)


def write_team_trust(pki_folder: Path) -> None:
    """Write whom the listener for teams trusts into the folder of the certificates, where envoy.yaml expects it."""
    text = (ROOT / "gateway" / "team_trust.yaml").read_text(encoding="utf-8")
    filled = Template(text).substitute(PKI_DIR=pki_folder)
    write_private(pki_folder / "team_trust.yaml", filled.encode())

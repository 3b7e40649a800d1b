"""Envoy's configuration, made from envoy.yaml and gateway/team_trust.yaml by filling in their ${NAMES}.

Envoy does not expand variables itself.
"""

from __future__ import annotations

import json
import re
import resource
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from mesh.files import write_private
from services import registry
from services.platform.origins import LOOPBACK, OriginAllowlist, allowlist_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mesh.ports import Ports

ROOT = Path(__file__).resolve().parent.parent
CONNECTIONS = 10_000
REQUESTS_PER_SECOND = 5_000
MAX_HEAP_BYTES = 1 << 30
_FILES_BESIDE = 1_000
"""Descriptors for everything that is not a client's connection."""
_FILES_WITHOUT_LIMIT = 10_240
_BOUNDS = {"DOORS_EDGE_CONNECTIONS": (100, 1_000_000), "DOORS_EDGE_REQUESTS_PER_SECOND": (10, 1_000_000)}


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """What all clients together may have, and what one address may.

    `connections` at most, of which public listeners get two fifths each and the teams' one fifth.
    `requests_per_second` are one address's; the sandbox's is generous, since all of it is one address.
    """

    connections: int = CONNECTIONS
    requests_per_second: int = REQUESTS_PER_SECOND

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> EdgeLimits:
        """DOORS_EDGE_CONNECTIONS and DOORS_EDGE_REQUESTS_PER_SECOND. Raises ValueError, naming the key.

        By default no more connections than there are descriptors for.
        """
        most = max(_BOUNDS["DOORS_EDGE_CONNECTIONS"][0], _descriptors() - _FILES_BESIDE)
        connections = _number(environment, "DOORS_EDGE_CONNECTIONS", min(CONNECTIONS, most))
        if connections > most:
            raise ValueError(
                f"DOORS_EDGE_CONNECTIONS must be at most {most} where so many files may be open; raise ulimit -n"
            )
        return cls(connections, _number(environment, "DOORS_EDGE_REQUESTS_PER_SECOND", REQUESTS_PER_SECOND))

    def names(self) -> dict[str, int]:
        """As envoy.yaml spells them."""
        public, teams = self.connections * 2 // 5, self.connections // 5
        return {
            "MAX_CONNECTIONS": self.connections,
            "MAX_HEAP_BYTES": MAX_HEAP_BYTES,
            "HTTPS_CONNECTIONS": public,
            "HTTP_CONNECTIONS": public,
            "MTLS_CONNECTIONS": teams,
            "SHARE_CONNECTIONS": public // 2,
            "TEAM_SHARE_CONNECTIONS": teams // 2,
            "REQUESTS_PER_SECOND": self.requests_per_second,
            "REQUESTS_PER_FILL": self.requests_per_second // 10,
        }


USUAL = EdgeLimits()
NO_ORIGINS = OriginAllowlist()
CORS_ORIGINS = "DOORS_CORS_ORIGINS"


def read_origins(environment: Mapping[str, str]) -> OriginAllowlist:
    """Return the origins whose pages may call the API, of DOORS_CORS_ORIGINS; in the sandbox, unless it is set, every
    page of this machine. Raises ValueError, naming the key.
    """
    try:
        return allowlist_of(environment.get(CORS_ORIGINS) or ",".join(LOOPBACK))
    except ValueError as error:
        raise ValueError(f"{CORS_ORIGINS}: {error}") from None


PROBLEM_TYPES = "https://docs.ecarus.example/problems/"
"""What `type` of a problem begins with where nobody says where the catalogue is."""
_TYPES_LENGTH = 256
_TYPES = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~-]+)*/")


def problem_types(environment: Mapping[str, str], usual: str = PROBLEM_TYPES) -> str:
    """DOORS_PROBLEM_TYPE_BASE: the absolute URL below which the catalogue of problems is. Raises ValueError, naming the
    key.
    """
    text = environment.get("DOORS_PROBLEM_TYPE_BASE") or usual
    if len(text) > _TYPES_LENGTH or not _TYPES.fullmatch(text):
        raise ValueError(
            f"DOORS_PROBLEM_TYPE_BASE must be a URL that ends with a slash, not {text[:_TYPES_LENGTH]!r}"
        )
    return text


def _descriptors() -> int:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # As mesh/leash.py sets it.
    return _FILES_WITHOUT_LIMIT if hard == resource.RLIM_INFINITY else hard


def _number(environment: Mapping[str, str], key: str, usual: int) -> int:
    text = environment.get(key)
    if not text:
        return usual
    least, most = _BOUNDS[key]
    if not text.isascii() or not text.isdecimal() or not least <= int(text) <= most:
        raise ValueError(f"{key} must be {least} to {most}, not {text!r}")
    return int(text)


def render_edge(
    ports: Ports,
    pki_folder: Path,
    admin: Path,
    limits: EdgeLimits = USUAL,
    origins: OriginAllowlist = NO_ORIGINS,
    types: str = PROBLEM_TYPES,
) -> str:
    """Return the configuration as YAML; `admin` is where the admin interface's socket goes. Pages of `origins` may call
    the API from a browser. `types` is what `type` of a problem begins with.

    A name in envoy.yaml that is not filled in is a KeyError.
    """
    names = {
        "HTTP_PORT": ports.http,
        "HTTPS_PORT": ports.https,
        "MTLS_PORT": ports.mtls,
        "ADMIN_SOCKET": admin,
        "GATEWAY_PORT": ports.gateway,
        "PAGES_PORT": ports.pages,
        "PROBLEM_TYPES": types,
        "PKI_DIR": pki_folder,
        "GATEWAY_DIR": ROOT / "gateway",
        "GEN_DIR": ROOT / "gen",
        **{f"{name.upper()}_PORT": ports.service(name) for name in registry.PUBLIC},
        **limits.names(),
        "CORS_EXACT": _table(origins.exact),
        "CORS_ANY_PORT": _table(origins.any_port),
        "CORS_PATTERN": origins.pattern,
    }
    return Template((ROOT / "envoy.yaml").read_text(encoding="utf-8")).substitute(names)


def _table(origins: Iterable[str]) -> str:
    """Return them as a table of YAML, in which Lua looks each up."""
    return json.dumps(dict.fromkeys(sorted(origins), True))


def write_team_trust(pki_folder: Path) -> None:
    """Write whom the listener for teams trusts into the folder of the certificates, where envoy.yaml expects it."""
    text = (ROOT / "gateway" / "team_trust.yaml").read_text(encoding="utf-8")
    filled = Template(text).substitute(PKI_DIR=pki_folder)
    write_private(pki_folder / "team_trust.yaml", filled.encode())

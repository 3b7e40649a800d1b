"""Where requests go, and what they may take."""

from __future__ import annotations

import ipaddress
import platform
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from ecarus_doors._core.retries import Retries
from ecarus_doors._version import VERSION

API_PATH = "/api/v1/remotecontrol"
USER_AGENT = f"ecarus-doors/{VERSION} python/{platform.python_version()} httpx/{httpx.__version__}"
LONGEST_ANSWER = 64 << 20
"""Bytes of an answer that are read at most."""
HEARTBEAT_TIMEOUT = 45.0
"""Seconds: the service says something every 15."""
TIMEOUT = httpx.Timeout(30.0, connect=5.0)
LIMITS = httpx.Limits(max_connections=50, max_keepalive_connections=10, keepalive_expiry=30.0)


@dataclass(frozen=True, kw_only=True)
class ClientSettings:
    """What a client was made with."""

    origin: str
    retries: Retries = field(default_factory=Retries)
    tls: ssl.SSLContext | None = None
    timeout: httpx.Timeout = field(default_factory=lambda: TIMEOUT)
    user_agent: str = USER_AGENT
    longest_answer: int = LONGEST_ANSWER
    heartbeat_timeout: float = HEARTBEAT_TIMEOUT


def checked_origin(base_url: str) -> str:
    """Return scheme, host and port, and what stands before the API's own path.

    The base URL may end with the API's path or not. Raise ValueError where it is none, or would send tokens in the
    clear to another machine.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"a base URL begins with https:// and a host, not {base_url!r}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("a base URL has no user, no query and no fragment")
    check_transport(base_url, "base URL")
    _ = parts.port  # raises where it is none
    path = parts.path.rstrip("/").removesuffix(API_PATH).rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"


def check_transport(url: str, what: str) -> None:
    """Raise ValueError where `url` is not of HTTPS, nor of this machine itself."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        raise ValueError(
            f"{what}: https:// is needed, because a token goes along (http:// to this machine only)"
        )


def trust(verify: bool | str | Path | ssl.SSLContext) -> ssl.SSLContext | bool:
    """Return whom to trust: the system's, a file of CAs, or a context. False, which trusts everybody, raises
    ValueError.
    """
    if verify is False:
        raise ValueError("verify: certificates are always verified; give the file of a CA of your own")
    if isinstance(verify, str | Path):
        return ssl.create_default_context(cafile=str(verify))
    return verify


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

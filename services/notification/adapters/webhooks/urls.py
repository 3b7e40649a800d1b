"""Which URLs may be called: by their form, and by the addresses that they lead to at the moment of the call."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from services.notification.adapters.senders.endpoints import is_public
from services.notification.domain.webhooks import UrlRefusedError

if TYPE_CHECKING:
    from services.notification.adapters.senders.names import NameResolver

MOST_URL = 2_048
RESOLVE_SECONDS = 2.0
_PORTS = frozenset({443, 8443})
_LEAST_OPEN_PORT = 1_024
_URL = re.compile(r"https?://[!-~]+")
_HTTP_PORT, _HTTPS_PORT = 80, 443
_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))


class PrivateAddresses(StrEnum):
    """Which addresses besides public ones may be called: for a sandbox."""

    NONE = "none"
    LOOPBACK = "loopback"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class UrlRules:
    """What URLs may be: https, at a public address, on port 443 or 8443. Where private addresses are allowed, so are
    plain http and every port from 1024 on.
    """

    private: PrivateAddresses = PrivateAddresses.NONE

    def require(self, url: str) -> tuple[str, int]:
        """Return the host and port of a URL. Raise UrlRefusedError for one that is none that may be called."""
        if len(url) > MOST_URL or not _URL.fullmatch(url) or "\\" in url:
            raise UrlRefusedError(f"must be a URL of at most {MOST_URL} characters, in ASCII")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise UrlRefusedError("must be a URL") from error
        if not host:
            raise UrlRefusedError("must name a host")
        if parts.username is not None or parts.password is not None or "@" in parts.netloc:
            raise UrlRefusedError("must hold no user and no password")
        if "#" in url:
            raise UrlRefusedError("must hold no fragment")
        if parts.scheme != "https" and self.private is PrivateAddresses.NONE:
            raise UrlRefusedError("must be https")
        port = port if port is not None else (_HTTPS_PORT if parts.scheme == "https" else _HTTP_PORT)
        is_open = self.private is not PrivateAddresses.NONE and port >= _LEAST_OPEN_PORT
        if port not in _PORTS and not is_open:
            raise UrlRefusedError("must be on port 443 or 8443")
        return host, port

    def allows(self, address: str) -> bool:
        """Return whether this address may be connected to."""
        parsed = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(parsed, ipaddress.IPv6Address):
            if parsed.ipv4_mapped is not None:
                return self.allows(str(parsed.ipv4_mapped))
            if any(parsed in network for network in _NAT64):
                return False
        if self.private is PrivateAddresses.ANY:
            return not (parsed.is_multicast or parsed.is_unspecified)
        if self.private is PrivateAddresses.LOOPBACK and parsed.is_loopback:
            return True
        return is_public(address)

    async def check(self, url: str, resolver: NameResolver) -> None:
        """Raise UrlRefusedError for a URL that may not be called. A name that has no address now, or none in time, is
        found out when it is called.
        """
        host, port = self.require(url)
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                found = await resolver.addresses(host, port)
        except (OSError, UnicodeError, TimeoutError):
            return
        if not all(self.allows(each) for each in found):
            raise UrlRefusedError("leads to an address that is not public")

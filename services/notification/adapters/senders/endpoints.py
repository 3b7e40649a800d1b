"""Where a Web Push endpoint may be. An endpoint is a URL that an app hands in and this service then calls: without
bounds it would be a way to call anything that the service can reach.

By name it must be one of a list of hosts; by address it must be public, which is looked at when the connection is made:
a name may come to mean another address at any time.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

KNOWN_HOSTS = "fcm.googleapis.com,updates.push.services.mozilla.com,*.notify.windows.com,*.push.apple.com"
"""The push services of Chrome, Firefox, Edge and Safari."""
MAX_ENDPOINT = 2_048
_HTTPS_PORT = 443
_MAX_RULES = 64
_RULE = re.compile(r"(\*\.)?([a-z0-9-]{1,63}\.)*[a-z0-9-]{1,63}(:[1-9][0-9]{0,4})?")
_URL = re.compile(r"https://[!-~]+")


class EndpointRefusedError(ValueError):
    """A URL is no endpoint that may be called; the text says why, and does not repeat it: whoever has it can send."""


@dataclass(frozen=True, slots=True)
class EndpointRules:
    """The hosts that endpoints may be at: (name, port) each. A name that begins with a dot stands for what ends so."""

    hosts: frozenset[tuple[str, int]]

    @classmethod
    def read(cls, text: str) -> EndpointRules:
        """Return the rules `host`, `host:port` and `*.domain`, with commas between. Raises ValueError."""
        rules = [each.strip().lower() for each in text.split(",") if each.strip()]
        if not rules or len(rules) > _MAX_RULES or not all(_RULE.fullmatch(each) for each in rules):
            raise ValueError(
                f"must be up to {_MAX_RULES} of host, host:port or *.domain, with commas between"
            )
        hosts = set()
        for rule in rules:
            name, _, port = rule.removeprefix("*").partition(":")
            hosts.add((name, int(port) if port else _HTTPS_PORT))
        return cls(frozenset(hosts))

    def require(self, url: str) -> None:
        """Raise EndpointRefusedError unless this is an https URL at one of the hosts."""
        if len(url) > MAX_ENDPOINT or not _URL.fullmatch(url):
            raise EndpointRefusedError(f"must be an https URL of at most {MAX_ENDPOINT} characters")
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port or _HTTPS_PORT
        except ValueError as error:
            raise EndpointRefusedError("must be a URL") from error
        if parts.username is not None or parts.password is not None or parts.fragment or "\\" in url:
            raise EndpointRefusedError("must be a URL without a user and a fragment")
        if not self._allows(host, port):
            raise EndpointRefusedError("is at no push service that is known here")

    def fault_in(self, url: str) -> str:
        """Return what is wrong with a URL as an endpoint; empty when nothing is."""
        try:
            self.require(url)
        except EndpointRefusedError as refused:
            return str(refused)
        return ""

    def _allows(self, host: str, port: int) -> bool:
        if (host, port) in self.hosts:
            return True
        # "a.b.c" ends with ".b.c" and ".c"
        labels = host.split(".")
        return any((f".{'.'.join(labels[start:])}", port) in self.hosts for start in range(1, len(labels)))


_NOBODYS = tuple(
    map(
        ipaddress.ip_network,
        ("192.0.0.0/24", "192.88.99.0/24", "fec0::/10", "3fff::/20", "2002::/16", "2001::/32"),
    )
)
"""Of IANA's registries of special addresses those that Python, depending on its version, takes for public: protocol
assignments, relays to IPv6, what was site-local once, documentation, tunnels.
"""


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the public internet."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if any(parsed in network for network in _NOBODYS):
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    if mapped is not None and not is_public(str(mapped)):
        return False
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved

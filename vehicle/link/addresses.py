"""Where the broker's nodes are: one address or several, of which a car that cannot reach one tries the next."""

from __future__ import annotations

import asyncio
import socket
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address to try. `name` is what its certificate must be for."""

    host: str
    port: int
    name: str


def read_endpoints(text: str, default_ports: Mapping[str, int]) -> tuple[str, list[Endpoint]]:
    """Return the scheme and the addresses of `scheme://host:port`, or of several with commas between.

    `default_ports` are those of the schemes there are. Raises ValueError.
    """
    parts = [urlsplit(each.strip()) for each in text.split(",")]
    schemes = {each.scheme for each in parts}
    if len(schemes) != 1 or not schemes <= default_ports.keys():
        raise ValueError(f"must begin with {' or '.join(f'{scheme}://' for scheme in default_ports)}")
    scheme = schemes.pop()
    if not all(each.hostname for each in parts):
        raise ValueError("has an address without a host")
    hosts = [(each.hostname or "", each.port or default_ports[scheme]) for each in parts]
    return scheme, [Endpoint(host, port, host) for host, port in hosts]


class Endpoints:
    """The addresses of one car, which stays with one that works and goes on to the next when it does not.

    Cars begin at different ones, by their VIN, so that the nodes share them. One address is tried per attempt: between
    attempts a car waits, or all cars of a node that fails would be at the next one's door at the same moment.
    """

    def __init__(self, vin: str, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = list(endpoints)
        self._position = zlib.crc32(vin.encode())

    def current(self) -> Endpoint:
        """Return the one to use now, by its name."""
        return self._endpoints[self._position % len(self._endpoints)]

    async def current_address(self) -> Endpoint:
        """Return the one to use now, of all addresses of all names: of a name whose first address swallows
        everything the others would never be tried.
        """
        found = await asyncio.to_thread(_all_addresses, self._endpoints)
        return found[self._position % len(found)]

    def failed(self) -> None:
        """Go on to the next one: the current one could not be reached."""
        self._position += 1


def _all_addresses(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    return [address for endpoint in endpoints for address in _addresses_of(endpoint)]


def _addresses_of(endpoint: Endpoint) -> list[Endpoint]:
    """Return one that does not resolve as it is: whoever connects says why it cannot."""
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except OSError:
        return [endpoint]
    hosts = dict.fromkeys(str(each[4][0]) for each in found)
    return [Endpoint(host, endpoint.port, endpoint.name) for host in hosts]

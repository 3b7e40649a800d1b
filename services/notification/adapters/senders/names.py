"""Looking up the addresses of names that strangers chose, so that a name server that hangs holds up only its own names.

A lookup is the system's, in a thread that nothing can stop: giving up waiting for it does not end it. So it has threads
of its own, of which the names of one domain hold a few at most, until the lookup itself has ended.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from socket import getaddrinfo

THREADS = 32
PER_DOMAIN = 4
"""So many of them hold the names of one domain, whoever asks for them."""
_PUBLIC_SECOND_LEVELS = frozenset(
    {"ac", "co", "com", "edu", "go", "gov", "ne", "net", "or", "org", "pe", "re"}
)
_COUNTRY_LETTERS = 2


@dataclass(slots=True)
class _Domain:
    """The lookups of one domain's names that are under way, or wait."""

    free: asyncio.Semaphore
    users: int = 0


class NameResolver:
    """Looks names up; of one event loop."""

    def __init__(self, threads: int = THREADS, per_domain: int = PER_DOMAIN) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="names")
        self._free = asyncio.Semaphore(threads)
        self._per_domain = per_domain
        self._domains: dict[str, _Domain] = {}

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host, each once; of an address itself, without a lookup. Raises OSError or
        UnicodeError when it has none.
        """
        if _is_address(host):
            return [host]
        name = domain_of(host)
        domain = self._domains.setdefault(name, _Domain(asyncio.Semaphore(self._per_domain)))
        domain.users += 1
        try:
            await domain.free.acquire()
            try:
                await self._free.acquire()
            except BaseException:
                domain.free.release()
                raise
        except BaseException:
            self._left(name, domain)
            raise
        lookup = asyncio.get_running_loop().run_in_executor(self._pool, _lookup, host, port)

        def ended(done: asyncio.Future[list[str]]) -> None:
            self._free.release()
            domain.free.release()
            self._left(name, domain)
            if not done.cancelled():
                done.exception()  # whoever asked may have given up: then nobody else looks at it

        lookup.add_done_callback(ended)
        # Shielded: who gives up does not give back a thread that is still held.
        return await asyncio.shield(lookup)

    def _left(self, name: str, domain: _Domain) -> None:
        domain.users -= 1
        if not domain.users:
            del self._domains[name]


def domain_of(host: str) -> str:
    """Return the part of a host's name that its owner registered, as far as that can be told from the name."""
    labels = host.lower().rstrip(".").split(".")
    beneath = labels[-2:-1]
    is_public = len(labels[-1]) == _COUNTRY_LETTERS and bool(_PUBLIC_SECOND_LEVELS.intersection(beneath))
    return ".".join(labels[-3 if is_public else -2 :])


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _lookup(host: str, port: int) -> list[str]:
    found = getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))

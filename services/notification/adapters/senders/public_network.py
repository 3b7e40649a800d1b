"""Connections to public addresses only: a name is looked up once, judged, and what was judged is connected to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpcore

from services.notification.adapters.senders.endpoints import is_public
from services.notification.adapters.senders.names import NameResolver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from httpcore import SOCKET_OPTION


class AddressNotAllowedError(httpcore.ConnectError):  # its name is the word that is told of it
    """A host has an address that may not be connected to."""


_MAX_ADDRESSES = 4
"""So many of a host's addresses are tried."""


class PublicNetwork(httpcore.AsyncNetworkBackend):
    """A backend of httpcore that connects to no address that is not public, or that `allows` does not. TLS is made with
    the host's name.
    """

    def __init__(
        self, allows: Callable[[str], bool] = is_public, resolver: NameResolver | None = None
    ) -> None:
        self._inner = httpcore.AnyIOBackend()
        self._allows = allows
        self._resolver = resolver or NameResolver()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # the signature of httpcore
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first of the host's addresses that answers. Raises httpcore.ConnectError."""
        refused: httpcore.ConnectError | httpcore.ConnectTimeout = httpcore.ConnectError("no address")
        for address in await self._addresses(host, port):
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                refused = error
        raise refused

    async def connect_unix_socket(
        self,
        path: str,  # noqa: ARG002
        timeout: float | None = None,  # noqa: ARG002, ASYNC109  # the signature of httpcore
        socket_options: Iterable[SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        """Raise httpcore.ConnectError: a push service is at none."""
        raise httpcore.ConnectError("no push service is behind a socket file")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._inner.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> list[str]:
        """Return the host's addresses. Raises httpcore.ConnectError when there is none, or one that is not allowed."""
        try:
            addresses = await self._resolver.addresses(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("its name has no address") from error
        if not addresses or not all(self._allows(each) for each in addresses):
            raise AddressNotAllowedError("its address is not public")
        return addresses[:_MAX_ADDRESSES]

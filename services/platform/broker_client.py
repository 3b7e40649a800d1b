"""The client of NATS: several addresses, names with several addresses, and nodes that it is reported."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from typing import TYPE_CHECKING, Any

import structlog
from nats.aio.client import Client, Srv
from nats.aio.transport import TcpTransport

from services.platform.logs import without_identifiers
from services.platform.settings import broker_urls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from services.platform.settings import ServiceSettings

_CONNECT_SECONDS = 2
_log = structlog.get_logger()


class BrokerClient(Client):
    """nats-py's client, which tries one address of a name for ever, checks the certificate of a node that it was
    reported of against the address of another, and leaves connections open that led to nothing.
    """

    def _setup_server_pool(self, connect_url: list[str]) -> None:
        super()._setup_server_pool(connect_url)
        for known in list(self._server_pool):
            self._server_pool += _each_address(known)

    async def _connect_to_server(self, s: Srv) -> None:
        if self._transport is not None:
            self._transport.close()  # type: ignore[no-untyped-call]  # of an attempt that a node took and did not answer
        await super()._connect_to_server(s)

    async def leave_silent(self) -> None:
        """Give the connection up, because nobody answers at its other end, and connect anew."""
        silent = self._transport
        await self.force_reconnect()
        writer = silent._io_writer if isinstance(silent, TcpTransport) else None  # noqa: SLF001  # nats-py only closes
        if writer is not None:
            writer.transport.abort()  # a polite end of TLS is waited for for half a minute

    async def _process_info(
        self, info: dict[str, Any], initial_connection: bool = False
    ) -> None:  # the base class's signature
        await super()._process_info(info, initial_connection)
        for server in self._server_pool:
            if server.discovered and _is_address(server.tls_name):
                server.tls_name = None  # its own address is in its certificate, another node's is not


def _each_address(known: Srv) -> list[Srv]:
    """Return the addresses of a name, to be tried beside the name itself; none where it is an address, or has only one.

    Of a name whose first address swallows everything the others would never be tried.
    """
    host, port = known.uri.hostname or "", known.uri.port
    if _is_address(host):
        return []
    try:
        found = socket.getaddrinfo(host, port, family=socket.AF_INET, type=socket.SOCK_STREAM)
    except OSError as error:
        _log.warning("broker_name_unknown", host=host, reason=str(error))
        return []
    addresses = sorted({str(each[4][0]) for each in found})
    if len(addresses) < 2:  # noqa: PLR2004  # one is the name's own
        return []
    return [Srv(known.uri._replace(netloc=f"{address}:{port}"), tls_name=host) for address in addresses]


def _is_address(host: str | None) -> bool:
    try:
        ipaddress.ip_address(host or "")
    except ValueError:
        return False
    return True


async def open_client(
    settings: ServiceSettings,
    name: str,
    disconnected: Callable[[], Awaitable[None]],
    reconnected: Callable[[], Awaitable[None]],
    client: BrokerClient | None = None,
) -> BrokerClient:
    """Connect as `settings` say, with `client` where there is one. Tries every node until one takes it, so give it a
    time limit.
    """
    said = ""

    async def failed(error: Exception) -> None:
        nonlocal said
        reason = without_identifiers(f"{type(error).__name__}: {error}")
        if reason != said:  # else the same for every attempt, for as long as it is away
            said = reason
            _log.warning("broker_error", reason=reason)

    async def back() -> None:
        nonlocal said
        said = ""
        await reconnected()

    tls = None
    if settings.nats_ca:
        tls = ssl.create_default_context(cafile=str(settings.nats_ca))
        tls.load_cert_chain(settings.tls_cert, settings.tls_key)  # for a broker that asks who it is
    client = client or BrokerClient()
    await client.connect(
        broker_urls(settings.nats_url),
        name=name,
        # What is answered to it comes there, and no other service may listen there.
        inbox_prefix=f"_INBOX.{name.removeprefix('service-')}",
        user=settings.nats_user,
        password=settings.nats_password_file.read_text(encoding="utf-8").strip(),
        tls=tls,
        tls_hostname=settings.nats_tls_name,
        connect_timeout=_CONNECT_SECONDS,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.2,  # type: ignore[arg-type]  # seconds, of which it takes parts too
        ping_interval=5,
        max_outstanding_pings=2,
        pending_size=0,  # a publish while the broker is away fails, and does not wait in memory
        disconnected_cb=disconnected,
        reconnected_cb=back,
        error_cb=failed,
    )
    return client

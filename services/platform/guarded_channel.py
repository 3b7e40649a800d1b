"""A gRPC channel that leaves out replicas whose certificate is revoked.

gRPC for Python has no hook for revocation in its handshake, and does not tell a client which certificate it was
shown. So every address of the target is asked for its certificate apart, again and again while the list names any:
calls go to those alone that show a good one. While nothing is revoked nobody is asked.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from cryptography import x509

from services.platform.revocation import RevocationList

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from services.platform.revocation import CertificateId
    from services.platform.settings import ServerSettings

    Address = tuple[str, int]

_HANDSHAKE_SECONDS = 2.0
_GRACE_SECONDS = 5.0
"""Longer than any call between services may take."""
NOWHERE = "ipv4:127.0.0.1:1"
"""Where nobody listens: every replica shows a revoked certificate."""
_log = structlog.get_logger()


class GuardedChannel(grpc.aio.Channel):
    """The channel that `open_to` opens to a target, and once a replica is revoked another one without that.

    `target` and `name` are the replicas' addresses and the name in their certificates; see channel.open_channel.
    """

    def __init__(
        self, settings: ServerSettings, target: str, name: str, open_to: Callable[[str], grpc.aio.Channel]
    ) -> None:
        self._whole = target
        self._name = name
        self._open_to = open_to
        self._channel = open_to(target)
        self._methods: dict[tuple[Any, ...], Any] = {}
        self._left_out: frozenset[Address] = frozenset()
        self._revoked: frozenset[CertificateId] = frozenset()
        self._closing: set[asyncio.Task[None]] = set()
        self._list: RevocationList | None = None
        self._watching: asyncio.Task[None] | None = None
        if settings.revoked_workloads is not None:
            self._list = RevocationList(settings.revoked_workloads, settings.tls_ca, self._use)
            self._list.follow(settings.revocation_check_seconds)
            self._tls = ssl.create_default_context(cafile=str(settings.tls_ca))
            self._tls.load_cert_chain(settings.tls_cert, settings.tls_key)
            self._tls.set_alpn_protocols(["h2"])
            watch = self._watch(settings.revocation_check_seconds)
            self._watching = asyncio.get_running_loop().create_task(watch)

    def _use(self, revoked: frozenset[CertificateId]) -> None:
        self._revoked = revoked

    async def _watch(self, every_seconds: float) -> None:
        while True:
            try:
                await self.look()
            except Exception:  # noqa: BLE001  # whatever one look meets, the next one must come
                _log.exception("replicas_not_looked_at", replica=self._name)
            await asyncio.sleep(every_seconds)

    async def look(self) -> None:
        """See which certificate each replica shows, and call those alone that show a good one."""
        if not (self._revoked or self._left_out):
            return
        addresses = await _addresses(self._whole)
        shown = await asyncio.gather(*(self._certificate_at(*address) for address in addresses))
        bad = frozenset(each for each, one in zip(addresses, shown, strict=True) if one in self._revoked)
        if bad == self._left_out:
            return
        good = [f"{host}:{port}" for host, port in addresses if (host, port) not in bad]
        _log.warning("revoked_replicas_left_out", service=self._name, left_out=len(bad), left=len(good))
        self._left_out = bad
        target = self._whole if not bad else f"ipv4:{','.join(good)}" if good else NOWHERE
        before, self._channel, self._methods = self._channel, self._open_to(target), {}
        closing = asyncio.get_running_loop().create_task(before.close(_GRACE_SECONDS))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _certificate_at(self, host: str, port: int) -> CertificateId | None:
        """Return what this replica shows; None where nobody answers, or not as TLS wants it: gRPC finds that by
        itself.
        """
        try:
            async with asyncio.timeout(_HANDSHAKE_SECONDS):
                _reader, writer = await asyncio.open_connection(
                    host, port, ssl=self._tls, server_hostname=self._name
                )
        except (OSError, TimeoutError):
            return None
        shown: ssl.SSLObject = writer.get_extra_info("ssl_object")
        certificate = x509.load_der_x509_certificate(shown.getpeercert(binary_form=True) or b"")
        writer.transport.abort()
        return certificate.issuer.public_bytes(), certificate.serial_number

    def _method(self, kind: str, path: str, rest: tuple[Any, ...], named: dict[str, Any]) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            method = self._methods.get((kind, path))
            if method is None:
                method = getattr(self._channel, kind)(path, *rest, **named)
                self._methods[kind, path] = method
            return method(*args, **kwargs)

        return call

    def unary_unary(self, method: str, *rest: Any, **named: Any) -> Any:
        """See grpc.aio.Channel; the same for the other three."""
        return self._method("unary_unary", method, rest, named)

    def unary_stream(self, method: str, *rest: Any, **named: Any) -> Any:
        """See unary_unary."""
        return self._method("unary_stream", method, rest, named)

    def stream_unary(self, method: str, *rest: Any, **named: Any) -> Any:
        """See unary_unary."""
        return self._method("stream_unary", method, rest, named)

    def stream_stream(self, method: str, *rest: Any, **named: Any) -> Any:
        """See unary_unary."""
        return self._method("stream_stream", method, rest, named)

    def get_state(
        self, try_to_connect: bool = False
    ) -> grpc.ChannelConnectivity:  # the base class's signature
        """See grpc.aio.Channel."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """See grpc.aio.Channel."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """See grpc.aio.Channel."""
        await self._channel.channel_ready()

    async def close(self, grace: float | None = None) -> None:
        """See grpc.aio.Channel."""
        if self._list is not None:
            self._list.stop()
        tasks: Iterable[asyncio.Task[None]] = [*self._closing]
        if self._watching is not None:
            tasks = [*tasks, self._watching]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._channel.close(grace)

    async def __aenter__(self) -> GuardedChannel:
        """See grpc.aio.Channel."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """See grpc.aio.Channel."""
        await self.close()


async def _addresses(target: str) -> list[Address]:
    """Return every address of a target (see settings.grpc_target); those of a name as it is resolved now."""
    scheme, _, rest = target.partition(":")
    endpoints = rest.removeprefix("///").split(",")
    pairs = [(host, int(port)) for host, _, port in (each.rpartition(":") for each in endpoints)]
    if scheme == "ipv4":
        return pairs
    found: dict[Address, None] = {}
    for host, port in pairs:
        try:
            answers = await asyncio.get_running_loop().getaddrinfo(
                host, port, family=socket.AF_INET, type=socket.SOCK_STREAM
            )
        except OSError as error:
            _log.warning("replicas_name_unknown", host=host, reason=str(error))
            continue
        found |= dict.fromkeys((str(each[4][0]), port) for each in answers)
    return list(found)

"""Wiring of the gateway: `python -m gateway`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.page_server import PageServer
from gateway.server import WebSocketServer
from gateway.settings import GatewaySettings
from gateway.watches import WatchAuthorizer, WatchFeed
from services.platform import boot
from services.platform.capability import CapabilityVerifier
from services.platform.channel import open_channel, watch_channel
from services.platform.clock import CLOCK
from services.platform.health import Health

if TYPE_CHECKING:
    import asyncio

NAME = "gateway"


async def main(settings: GatewaySettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; then send every client to another process."""
    health = Health()
    to_access = open_channel(settings, settings.access_target, "access")
    to_status = open_channel(settings, settings.status_target, "status")
    authorizer = WatchAuthorizer(to_access)
    patience = settings.health_patience_seconds
    feed = WatchFeed(to_status, authorizer, health.condition("watches", patience_seconds=patience))
    verifier = CapabilityVerifier(settings.capability_jwks)
    server = WebSocketServer(settings, feed, authorizer, verifier, health, CLOCK.seconds)
    pages = PageServer(settings) if settings.pages_listen else None
    await server.start()
    if pages is not None:
        pages.start()
    try:
        await boot.run_until(
            stop,
            feed.run(),
            health.keep(),
            watch_channel(to_access, health.condition("access", patience_seconds=patience)),
            *([pages.run()] if pages is not None else []),
        )
    finally:
        stopping = [pages.stop] if pages is not None else []
        await boot.close_all(*stopping, server.stop, to_access.close, to_status.close)


if __name__ == "__main__":
    boot.run(NAME, GatewaySettings, main)

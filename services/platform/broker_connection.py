"""How a service gets its connection to the broker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from services.platform.broker_client import open_client
from services.platform.jetstream import Broker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.platform.broker_layout import BrokerConfigs
    from services.platform.health import Health
    from services.platform.settings import ServiceSettings

CONNECT_SECONDS = 10.0
_log = structlog.get_logger()


async def connect(
    settings: ServiceSettings,
    name: str,
    health: Health | None = None,
    store_prefix: str = "",
    *,
    configs: BrokerConfigs,
    headers: Mapping[str, str] | None = None,
) -> Broker:
    """Connect to one of the broker's nodes, and keep coming back to any. The rest: see Broker.

    Waits for it for as long as there is none; says so after CONNECT_SECONDS, once.
    """
    broker: Broker | None = None

    async def reconnected() -> None:
        if broker is not None:
            await broker.reconnected()

    async def disconnected() -> None:
        if broker is not None:
            await broker.disconnected()

    connecting = asyncio.ensure_future(open_client(settings, name, disconnected, reconnected))
    try:
        await asyncio.wait({connecting}, timeout=CONNECT_SECONDS)
        if not connecting.done():
            _log.warning("broker_awaited")
        client = await connecting
    finally:
        connecting.cancel()
    broker = Broker(
        client,
        settings.nats_replicas,
        health,
        configs=configs,
        headers=headers,
        patience_seconds=settings.health_patience_seconds,
        broker_patience_seconds=settings.broker_patience_seconds,
        silence_seconds=settings.broker_silence_seconds,
        look_seconds=settings.broker_look_seconds,
        probe_subject=f"room.{name.removeprefix('service-')}.probe",
        provisions=settings.nats_provision == "self",
        api_prefix=settings.nats_api_prefix,
        store_prefix=store_prefix,
    )
    return broker

"""The broker as the platform connects to it, with the streams and consumers of `protocol`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol import stream_config
from protocol.streams import MQTT_QOS_HEADER
from services.platform.broker_connection import connect

if TYPE_CHECKING:
    from services.platform.health import Health
    from services.platform.jetstream import Broker
    from services.platform.settings import ServiceSettings

HEADERS = {MQTT_QOS_HEADER: "1"}
"""Of everything that is published: sessions over MQTT are to get it at least once."""


async def connect_broker(
    settings: ServiceSettings, name: str, health: Health | None = None, store_prefix: str = ""
) -> Broker:
    """Connect to one of the broker's nodes, and keep coming back to any. `store_prefix`: see BrokerLayout.

    Waits for it for as long as there is none.
    """
    return await connect(settings, name, health, store_prefix, configs=stream_config, headers=HEADERS)

"""The settings of the gateway."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from services.platform.settings import ServerSettings, Target

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?")


def origins_in(text: str) -> frozenset[str]:
    """Return the origins in DOORS_WEBSOCKET_ORIGINS: `https://console.example.com`, with commas between. Raises
    ValueError.
    """
    origins = [each.strip().lower() for each in text.split(",") if each.strip()]
    for each in origins:
        if not _ORIGIN.fullmatch(each):
            raise ValueError("must be origins (https://host or https://host:port) with commas between")
    return frozenset(origins)


def _checked_origins(text: str) -> str:
    origins_in(text)
    return text


class GatewaySettings(ServerSettings):
    """What the gateway needs besides what every server needs."""

    access_target: Target
    status_target: Target
    websocket_origins: Annotated[str, AfterValidator(_checked_origins)] = Field(default="", max_length=4_096)
    websocket_connections: int = Field(default=5_000, ge=1, le=100_000)
    websocket_connections_per_user: int = Field(default=20, ge=1, le=100_000)
    websocket_connections_per_address: int = Field(default=100, ge=1, le=100_000)
    websocket_subscriptions: int = Field(default=200, ge=1, le=10_000)
    """Of one connection."""
    websocket_subscriptions_per_user: int = Field(default=1_000, ge=1, le=100_000)
    websocket_subscriptions_per_address: int = Field(default=5_000, ge=1, le=1_000_000)
    websocket_message_bytes: int = Field(default=16_384, ge=1_024, le=65_536)
    websocket_messages_per_minute: int = Field(default=120, ge=1, le=100_000)
    websocket_vehicles_per_minute: int = Field(default=2_000, ge=1, le=1_000_000)
    """About which access is asked for one user, over all connections."""
    websocket_frames_per_minute: int = Field(default=600, ge=10, le=1_000_000)
    """Of any kind: parts of messages, pings and pongs."""
    websocket_waiting_bytes: int = Field(default=1_048_576, ge=16_384, le=16_777_216)
    websocket_behind_seconds: float = Field(default=10.0, ge=1, le=300)
    websocket_ping_seconds: float = Field(default=20.0, ge=0.1, le=50)
    websocket_pong_seconds: float = Field(default=20.0, ge=0.1, le=120)
    websocket_idle_seconds: float = Field(default=60.0, ge=0.1, le=3_600)
    """How long a connection may be without a subscription."""

    @property
    def origins(self) -> frozenset[str]:
        """The origins whose pages may open a WebSocket."""
        return origins_in(self.websocket_origins)

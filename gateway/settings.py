"""The settings of the gateway."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path  # noqa: TC003  # pydantic reads it
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from services.platform.origins import OriginAllowlist, allowlist_of
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


def _checked_origin(text: str) -> str:
    if text and not _ORIGIN.fullmatch(text):
        raise ValueError("must be an origin (https://host or https://host:port)")
    return text


def _checked_allowlist(text: str) -> str:
    allowlist_of(text)
    return text


def _checked_issuer(text: str) -> str:
    if not text:
        return text
    parts = urlsplit(text)
    is_here = parts.hostname in {"localhost", "127.0.0.1"}
    if not _ORIGIN.fullmatch(f"{parts.scheme}://{parts.netloc}") or parts.query or parts.fragment:
        raise ValueError("must be the issuer's URL, as its metadata name it")
    if parts.scheme != "https" and not is_here:
        raise ValueError("must be https://, but for an issuer on this machine")
    return text


_CLIENT = r"^[\x21-\x7e]{0,128}$"
_WORDS = r"^[\x21\x23-\x5b\x5d-\x7e ]{0,512}$"
"""Scopes and classes of sign-ins, with spaces between (RFC 6749, 3.3)."""


class GatewaySettings(ServerSettings):
    """What the gateway needs besides what every server needs."""

    access_target: Target
    status_target: Target
    websocket_origins: Annotated[str, AfterValidator(_checked_origins)] = Field(default="", max_length=4_096)
    cors_origins: Annotated[str, AfterValidator(_checked_allowlist)] = Field(default="", max_length=4_096)
    """The origins whose pages may call the API: those may open a WebSocket, too."""
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

    pages_listen: str = Field(default="", pattern=r"^([^:]+:\d{1,5})?$")
    """Where the pages at /app/, /console/ and /portal/ are served to the edge; without, they are not."""
    pages_issuer: Annotated[str, AfterValidator(_checked_issuer)] = Field(default="", max_length=256)
    pages_app_client: str = Field(default="", pattern=_CLIENT)
    pages_console_client: str = Field(default="", pattern=_CLIENT)
    pages_app_scope: str = Field(default="door person", pattern=_WORDS)
    pages_console_scope: str = Field(default="door security.watch security.act", pattern=_WORDS)
    pages_push_key: str = Field(default="", pattern=r"^([A-Za-z0-9_-]{87})?$")
    """Under which browsers subscribe to notifications (VAPID's public key, base64url); without, none is offered."""
    pages_console_acr_values: str = Field(default="urn:ecarus:acr:2fa", pattern=_WORDS)
    pages_openapi: Path | None = None
    """The OpenAPI document, to be served at /openapi.json."""
    pages_asyncapi: Path | None = None
    """The AsyncAPI document, to be served at /asyncapi.json."""
    pages_api_origin: Annotated[str, AfterValidator(_checked_origin)] = Field(default="", max_length=256)
    """Where clients find the API: the AsyncAPI document names it as its server."""
    pages_docs: Path | None = None
    """The folder of the documentation's site, which `make docs` builds, to be served at /portal/docs/."""
    pages_sample_key: str = Field(default="", pattern=r"^(sk_[0-9a-f]{16,128})?$")
    """An API key that the developers' page offers to whoever opens it: the sandbox's."""

    @model_validator(mode="after")
    def _pages_know_who_signs_in(self) -> Self:
        if self.pages_listen and not (
            self.pages_issuer and self.pages_app_client and self.pages_console_client
        ):
            raise ValueError(
                "DOORS_PAGES_LISTEN needs DOORS_PAGES_ISSUER, DOORS_PAGES_APP_CLIENT and DOORS_PAGES_CONSOLE_CLIENT"
            )
        return self

    def allows_origin(self, origin: str) -> bool:
        """Return whether pages of this origin, as a browser names it, may open a WebSocket."""
        return origin in self._websocket_origins or self._cors_origins.allows(origin)

    @cached_property
    def _websocket_origins(self) -> frozenset[str]:
        return origins_in(self.websocket_origins)

    @cached_property
    def _cors_origins(self) -> OriginAllowlist:
        return allowlist_of(self.cors_origins)

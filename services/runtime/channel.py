"""Calling another room over mTLS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from services.runtime.settings import ServerSettings


def open_channel(settings: ServerSettings, target: str, room: str) -> grpc.aio.Channel:
    """A channel to the room named `room` at `target` (host:port), under this room's own certificate."""
    credentials = grpc.ssl_channel_credentials(
        root_certificates=settings.tls_ca.read_bytes(),
        private_key=settings.tls_key.read_bytes(),
        certificate_chain=settings.tls_cert.read_bytes(),
    )
    options = (
        ("grpc.ssl_target_name_override", f"{room}.rooms.ecarus.internal"),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        ("grpc.keepalive_time_ms", 30_000),
    )
    return grpc.aio.secure_channel(target, credentials, options=options)

"""Calling another service over mTLS: balanced over all its replicas, and away from one that hangs within two
seconds.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, TypeVar

import grpc
import structlog

from services.platform.guarded_channel import GuardedChannel
from services.platform.settings import grpc_target
from services.registry import descriptor_of

if TYPE_CHECKING:
    from services.platform.health import HealthCondition
    from services.platform.settings import ServerSettings

Request = TypeVar("Request")
Answer = TypeVar("Answer")

WATCH_SECONDS = 1.0
_ANOTHER_MAY_ANSWER = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
_USABLE = {grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.IDLE}
_log = structlog.get_logger()


def open_channel(settings: ServerSettings, target: str, name: str) -> grpc.aio.Channel:
    """Open a channel to the service of this name at `target` (see settings.Target), under this service's own
    certificate.

    Calls go to its replicas in turn; one that says that it does not serve, and one that does not answer pings, is
    left out. Whatever its address, a replica must show the certificate of its service, and one that is revoked is left
    out, too. Call it where an event loop runs. Raises what RevocationList raises.
    """
    service = descriptor_of(name)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=settings.tls_ca.read_bytes(),
        private_key=settings.tls_key.read_bytes(),
        certificate_chain=settings.tls_cert.read_bytes(),
    )
    balanced = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": service.contract},
    }
    options = (
        ("grpc.ssl_target_name_override", service.tls_name),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        ("grpc.min_reconnect_backoff_ms", 2_000),  # which is also how long a connection may take
        # A process that is stopped keeps its connections: only pings that stay unanswered tell.
        ("grpc.keepalive_time_ms", 1_000),
        ("grpc.keepalive_timeout_ms", 800),
        ("grpc.http2.ping_timeout_ms", 800),  # without it a minute, whatever keepalive_timeout_ms says
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.service_config", json.dumps(balanced)),
    )
    return GuardedChannel(
        settings,
        grpc_target(target),
        service.tls_name,
        lambda where: grpc.aio.secure_channel(where, credentials, options=options),
    )


async def ask(
    method: grpc.aio.UnaryUnaryMultiCallable[Request, Answer],
    request: Request,
    *,
    seconds: float,
    attempts: int = 2,
) -> Answer:
    """Call an RPC that does no harm when it runs twice; the next replica is asked when one does not answer.

    Together the attempts take at most `seconds`. Raises grpc.aio.AioRpcError, the last attempt's.
    """
    for _ in range(attempts - 1):
        try:
            return await method(request, timeout=seconds / attempts)
        except grpc.aio.AioRpcError as error:
            if error.code() not in _ANOTHER_MAY_ANSWER:
                raise
            _log.info("another_replica_asked", code=error.code().name, detail=error.details())
    return await method(request, timeout=seconds / attempts)


async def watch_channel(channel: grpc.aio.Channel, condition: HealthCondition) -> None:
    """Keep `condition` true to whether any replica at the other end can be called, until cancelled."""
    while True:
        state = channel.get_state(try_to_connect=True)
        if state in _USABLE:
            condition.good()
        else:
            condition.bad(f"no replica answers ({state.name})")
        await asyncio.sleep(WATCH_SECONDS)

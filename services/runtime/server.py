"""The only builder of gRPC servers: mTLS, the interceptor, health, reflection, a graceful stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1 import health as grpc_health
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.runtime.audit import log_call
from services.runtime.health import CALLS, GROUPS, Health
from services.runtime.interceptor import CallInterceptor
from services.runtime.policy import STANDARD, complete
from services.runtime.validation import body_field_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.runtime.audit import Audit
    from services.runtime.capability import CapabilityVerifier
    from services.runtime.errors import Refusal
    from services.runtime.policy import Policy
    from services.runtime.settings import ServerSettings

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.so_reuseport", 0),  # two processes on one port must be an error, not a coin toss
    ("grpc.max_receive_message_length", 256 * 1024),
    ("grpc.keepalive_permit_without_calls", 1),
    # Envoy pings every 30 s, other services every second to find out who hangs (channel.py), and teams as they
    # please; gRPC takes five minutes between pings for abuse.
    ("grpc.http2.min_ping_interval_without_data_ms", 300),
)


class RoomServer:
    """A room's gRPC server.

    `services` are the full names of the protobuf services; `register` adds their servicers. Raises
    ValueError when `policy` does not name exactly the RPCs of `services`, or asks for an action on a
    vehicle where the request names none. `health` is what health checks are told;
    without it all is well as long as the server serves. Reflection shows `services` and those in `also_reflected`,
    which another room serves.
    """

    def __init__(
        self,
        settings: ServerSettings,
        services: Sequence[str],
        register: Callable[[grpc.aio.Server], None],
        policy: Policy,
        verifier: CapabilityVerifier,
        translate_error: Callable[[Exception], Refusal | None],
        *,
        also_reflected: Sequence[str] = (),
        audit: Audit = log_call,
        health: Health | None = None,
    ) -> None:
        methods = _methods_of(services)
        complete(policy, methods)
        blind = [path for path in methods if policy[path].action and not _names_a_vehicle(methods[path])]
        if blind:
            raise ValueError(f"policy: an action on a vehicle, but no field vin in the request of {blind}")
        body_fields = {path: field for path, method in methods.items() if (field := body_field_of(method))}
        interceptor = CallInterceptor({**STANDARD, **policy}, verifier, body_fields, translate_error, audit)
        self._server = grpc.aio.server(interceptors=[interceptor], options=_OPTIONS)
        self._conditions = health or Health()
        self._groups = {"": "", **dict.fromkeys(services, CALLS), **{group: group for group in GROUPS}}
        self._health = grpc_health.aio.HealthServicer()
        self._serving = False
        self._drain_seconds = settings.drain_seconds
        register(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (*services, *also_reflected, grpc_health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )
        self.port: int = self._server.add_secure_port(settings.listen, _credentials(settings))
        """The port it listens on, also when the settings said 0."""

    async def start(self) -> None:
        """Serve, and say so to health checks."""
        await self._server.start()
        self._serving = True
        self._conditions.look()
        await self._tell_health()

    async def keep_health(self) -> None:
        """Tell health checks what holds and what does not, until cancelled."""
        await self._conditions.keep(self._tell_health)

    async def stop(self) -> None:
        """Tell health checks first, let calls in flight finish within the drain time, then end."""
        self._serving = False
        await self._tell_health()
        await self._server.stop(self._drain_seconds)

    async def _tell_health(self) -> None:
        for name, group in self._groups.items():
            serves = self._serving and self._conditions.serves(group)
            await self._health.set(name, _SERVING if serves else _NOT_SERVING)


def _methods_of(services: Sequence[str]) -> dict[str, Any]:
    pool = descriptor_pool.Default()
    return {
        f"/{name}/{method.name}": method
        for name in services
        for method in pool.FindServiceByName(name).methods
    }


def _names_a_vehicle(method: Any) -> bool:
    return "vin" in method.input_type.fields_by_name


def _credentials(settings: ServerSettings) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(settings.tls_key.read_bytes(), settings.tls_cert.read_bytes())],
        root_certificates=settings.tls_ca.read_bytes(),
        require_client_auth=True,
    )

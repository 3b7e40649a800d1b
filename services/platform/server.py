"""The only builder of gRPC servers: mTLS, the interceptor, health, reflection, a graceful stop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from google.protobuf import descriptor_pool
from grpc_health.v1 import health as grpc_health
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.platform import reflection
from services.platform.audit import log_call
from services.platform.health import CALLS, GROUPS, Health
from services.platform.interceptor import CallInterceptor
from services.platform.policy import STANDARD, complete
from services.platform.revocation import RevocationList
from services.platform.settings import DatabaseSettings
from services.platform.space import Space, SpaceWatch, folder_of
from services.platform.validation import body_field_of
from services.platform.workload import Workloads
from services.product import RESOURCE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.platform.audit import Audit
    from services.platform.capability import CapabilityVerifier
    from services.platform.errors import Refusal
    from services.platform.policy import Policy
    from services.platform.settings import ServerSettings

_log = structlog.get_logger()
STORAGE = "storage"
"""The health service's name for the service's disk: NOT_SERVING while it is nearly full, before anything fails."""

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVER_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.so_reuseport", 0),  # two processes on one port must be an error, not a coin toss
    ("grpc.max_receive_message_length", 256 * 1024),
    ("grpc.keepalive_permit_without_calls", 1),
    # Envoy pings every 30 s, other services every second to find out who hangs (channel.py), and teams as they
    # please; gRPC takes five minutes between pings for abuse.
    ("grpc.http2.min_ping_interval_without_data_ms", 300),
)


@dataclass(frozen=True, slots=True)
class ServedApi:
    """A protobuf service besides the service's own: its full name, its policy, and how to add its servicer."""

    name: str
    policy: Policy
    register: Callable[[grpc.aio.Server], None]


class GrpcServer:
    """A service's gRPC server.

    With `revoked_workloads` in the settings it follows that file: see RevocationList, whose exceptions it raises.

    `services` are the full names of the protobuf services; `register` adds their servicers; `besides` are APIs that
    are not the service's own. Raises ValueError when `policy` does not name exactly the RPCs of `services`, or asks
    for an action on a resource where the request names none, or on none where it names one. Reflection shows those of
    `services` that are called through the edge, and those in `also_reflected`, which another service serves. `health`
    is what health checks are told; without it all is well as long as the server serves. Where `settings` name a
    database in a file, health checks are told under STORAGE whether its disk has service. `workloads` is given by who
    wants to know of revoked certificates, too.
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
        besides: Sequence[ServedApi] = (),
        workloads: Workloads | None = None,
    ) -> None:
        services = [*services, *(api.name for api in besides)]
        policy = {**policy, **{method: rule for api in besides for method, rule in api.policy.items()}}
        methods = _methods_of(services)
        complete(policy, methods)
        blind = [
            path
            for path, method in methods.items()
            if policy[path].action and policy[path].without_resource == _names_a_resource(method)
        ]
        if blind:
            raise ValueError(
                f"policy: an action on a resource, but no field {RESOURCE} in the request of {blind}, or on none, "
                "and there is one"
            )
        body_fields = {path: field for path, method in methods.items() if (field := body_field_of(method))}
        interceptor = CallInterceptor(
            {**STANDARD, **policy}, verifier, body_fields, translate_error, audit, workloads or Workloads()
        )
        self.revoke = interceptor.revoke
        """Refuse these certificates from now on, and end the streams they have; the list says so, too."""
        self._revocations = (
            RevocationList(settings.revoked_workloads, settings.tls_ca, self.revoke)
            if settings.revoked_workloads is not None
            else None
        )
        self._revocation_check_seconds = settings.revocation_check_seconds
        self._server = grpc.aio.server(interceptors=[interceptor], options=SERVER_OPTIONS)
        self._conditions = health or Health()
        self._groups = {"": "", **dict.fromkeys(services, CALLS), **{group: group for group in GROUPS}}
        self._health = _Health()
        self._serving = False
        self._drain_seconds = settings.drain_seconds
        self._space = self._space_watch(settings)
        self._watching: asyncio.Task[None] | None = None
        register(self._server)
        for api in besides:
            api.register(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable(self._server, (*reflection.public_services(services, policy), *also_reflected))
        self.port: int = self._server.add_secure_port(settings.listen, _credentials(settings))
        """The port it listens on, also when the settings said 0."""

    async def start(self) -> None:
        """Serve, and say so to health checks."""
        await self._server.start()
        self._serving = True
        self._conditions.look()
        if self._revocations is not None:
            self._revocations.follow(self._revocation_check_seconds)
        await self._tell_health()
        if self._space is not None:
            await self._health.set(STORAGE, _SERVING)
            await self._space.look()
            self._watching = asyncio.create_task(self._space.run())

    async def keep_health(self) -> None:
        """Tell health checks what holds and what does not, until cancelled. Raises what ends the watch of the disk."""
        keeping = [self._conditions.keep(self._tell_health)]
        await asyncio.gather(*keeping, *([self._watching] if self._watching is not None else []))

    async def stop(self) -> None:
        """Tell health checks first, let calls in flight finish within the drain time, then end."""
        if self._watching is not None:
            self._watching.cancel()
        self._serving = False
        await self._tell_health()
        await self._server.stop(self._drain_seconds)
        if self._revocations is not None:
            self._revocations.stop()

    def _space_watch(self, settings: ServerSettings) -> SpaceWatch | None:
        if not isinstance(settings, DatabaseSettings) or (folder := folder_of(settings.database_url)) is None:
            return None
        return SpaceWatch(folder, settings.low_space_bytes, self._tell_space)

    async def _tell_space(self, space: Space) -> None:
        facts = {"folder": str(space.folder), "free_bytes": space.free_bytes}
        states = health_pb2.HealthCheckResponse
        if space.is_low:
            _log.warning("space_low", **facts, reason=space.reason or "below DOORS_LOW_SPACE_BYTES")
            await self._health.set(STORAGE, states.NOT_SERVING)
        else:
            _log.info("space_enough_again", **facts)
            await self._health.set(STORAGE, states.SERVING)

    async def _tell_health(self) -> None:
        for name, group in self._groups.items():
            serves = self._serving and self._conditions.serves(group)
            await self._health.set(name, _SERVING if serves else _NOT_SERVING)


class _Health(grpc_health.aio.HealthServicer):  # type: ignore[misc]  # published without types
    """The library's, which leaves List to the synchronous one."""

    async def List(  # noqa: N802  # the RPC's name
        self,
        request: health_pb2.HealthListRequest,  # noqa: ARG002  # grpc's signature
        context: Any,  # noqa: ARG002  # grpc's signature
    ) -> health_pb2.HealthListResponse:
        """Return the status of every service, as Check would."""
        statuses = {
            name: health_pb2.HealthCheckResponse(status=status)
            for name, status in self._server_status.items()
        }
        return health_pb2.HealthListResponse(statuses=statuses)


def _methods_of(services: Sequence[str]) -> dict[str, Any]:
    pool = descriptor_pool.Default()
    return {
        f"/{name}/{method.name}": method
        for name in services
        for method in pool.FindServiceByName(name).methods
    }


def _names_a_resource(method: Any) -> bool:
    return RESOURCE in method.input_type.fields_by_name


def _credentials(settings: ServerSettings) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(settings.tls_key.read_bytes(), settings.tls_cert.read_bytes())],
        root_certificates=settings.tls_ca.read_bytes(),
        require_client_auth=True,
    )

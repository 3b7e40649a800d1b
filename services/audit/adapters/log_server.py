"""AuditLogService: RPC in, RPC out. For operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.audit.v1 import audit_log_service_pb2 as contract
from ecarus.remotecontrol.audit.v1.audit_log_service_pb2_grpc import (
    AuditLogServiceServicer,
    add_AuditLogServiceServicer_to_server,
)
from typing_extensions import override

from services.platform.policy import policy_of
from services.platform.server import ServedApi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import grpc

    from services.audit.adapters.export import LogExport
    from tlog.notes import NoteKey

    Context = grpc.aio.ServicerContext[Any, Any]

LOG_SERVICE = "ecarus.remotecontrol.audit.v1.AuditLogService"
LOG_POLICY = policy_of(LOG_SERVICE)


class AuditLogServicer(AuditLogServiceServicer):
    """Serves the contract of the same name."""

    def __init__(self, export: LogExport, keys: Sequence[NoteKey]) -> None:
        self._export = export
        self._keys = keys

    @override
    async def GetCheckpoint(
        self, request: contract.GetCheckpointRequest, context: Context
    ) -> contract.GetCheckpointResponse:
        latest = await self._export.checkpoint()
        return contract.GetCheckpointResponse(
            checkpoint=latest.note,
            verifier_keys=[each.vkey() for each in self._keys],
            leaves=await self._export.tree.size(),
        )

    @override
    async def StreamLogFiles(
        self, request: contract.StreamLogFilesRequest, context: Context
    ) -> AsyncIterator[contract.StreamLogFilesResponse]:
        async for path, data in self._export.files(with_members=request.with_members):
            yield contract.StreamLogFilesResponse(path=path, data=data)


def log_api(export: LogExport, keys: Sequence[NoteKey]) -> ServedApi:
    """Make the operators' API, which the service's server also serves."""
    servicer = AuditLogServicer(export, keys)
    return ServedApi(
        LOG_SERVICE, LOG_POLICY, lambda server: add_AuditLogServiceServicer_to_server(servicer, server)
    )

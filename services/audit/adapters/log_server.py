"""AuditLogService: RPC in, RPC out. For operators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.audit.v1 import audit_log_service_pb2 as contract
from ecarus.remotecontrol.audit.v1.audit_log_service_pb2_grpc import (
    AuditLogServiceServicer,
    add_AuditLogServiceServicer_to_server,
)
from typing_extensions import override

from services.audit.adapters.reading_translate import copied_by_operator
from services.platform import errors
from services.platform.call import current_call
from services.platform.errors import Refusal
from services.platform.policy import policy_of
from services.platform.server import ServedApi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from datetime import datetime

    import grpc

    from services.audit.adapters.export import LogExport
    from services.audit.domain.entries import AuditEntry
    from tlog.notes import NoteKey

    Context = grpc.aio.ServicerContext[Any, Any]

LOG_SERVICE = "ecarus.remotecontrol.audit.v1.AuditLogService"
LOG_POLICY = policy_of(LOG_SERVICE)


@dataclass(frozen=True, slots=True)
class ReadingRecord:
    """Keeps that somebody read: `record` does, `new_id` makes the entries' ids, `now` gives aware times."""

    record: Callable[[AuditEntry], Awaitable[None]]
    new_id: Callable[[], str]
    now: Callable[[], datetime]


class AuditLogServicer(AuditLogServiceServicer):
    """Serves the contract of the same name."""

    def __init__(self, export: LogExport, keys: Sequence[NoteKey], readings: ReadingRecord) -> None:
        self._export = export
        self._keys = keys
        self._readings = readings

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
        if request.with_members:
            raise Refusal(
                errors.INVALID_REQUEST,
                "What is in clear is shown to operators by name: ask StreamLogFilesInClear, with a reason.",
            )
        async for path, data in self._export.files(with_members=False):
            yield contract.StreamLogFilesResponse(path=path, data=data)

    @override
    async def StreamLogFilesInClear(
        self, request: contract.StreamLogFilesInClearRequest, context: Context
    ) -> AsyncIterator[contract.StreamLogFilesInClearResponse]:
        readings = self._readings
        copied = copied_by_operator(request.reason, current_call(), readings.new_id(), readings.now())
        await readings.record(copied)
        async for path, data in self._export.files(with_members=True):
            yield contract.StreamLogFilesInClearResponse(path=path, data=data)


def log_api(export: LogExport, keys: Sequence[NoteKey], readings: ReadingRecord) -> ServedApi:
    """Make the operators' API, which the service's server also serves."""
    servicer = AuditLogServicer(export, keys, readings)
    return ServedApi(
        LOG_SERVICE, LOG_POLICY, lambda server: add_AuditLogServiceServicer_to_server(servicer, server)
    )

"""AuditIntakeService: RPC in, RPC out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from ecarus.remotecontrol.audit.v1 import audit_intake_service_pb2_grpc
from ecarus.remotecontrol.audit.v1.audit_intake_service_pb2_grpc import AuditIntakeServiceServicer
from typing_extensions import override

from services.audit.adapters import translate
from services.audit.domain.entries import AuditEntry, RejectedEntry
from services.audit.usecases.recording import record_entries
from services.platform.call import current_call
from services.platform.policy import policy_of

if TYPE_CHECKING:
    import grpc
    from ecarus.remotecontrol.audit.v1.audit_intake_service_pb2 import (
        RecordEntriesRequest,
        RecordEntriesResponse,
    )

    from services.audit.usecases.recording import LedgerRecord
    from services.audit.usecases.signing import HistoryWatch

    Context = grpc.aio.ServicerContext[Any, Any]

SERVICE = "ecarus.remotecontrol.audit.v1.AuditIntakeService"
POLICY = policy_of(SERVICE)
_log = structlog.get_logger()


class AuditIntakeServicer(AuditIntakeServiceServicer):
    """Serves the contract of the same name."""

    def __init__(self, ledger: LedgerRecord, history: HistoryWatch) -> None:
        self._ledger = ledger
        self._history = history

    def register(self, server: grpc.aio.Server) -> None:
        """Add this servicer to `server`."""
        audit_intake_service_pb2_grpc.add_AuditIntakeServiceServicer_to_server(self, server)

    @override
    async def RecordEntries(self, request: RecordEntriesRequest, context: Context) -> RecordEntriesResponse:
        service = translate.service_of(current_call().peer)
        read = [translate.entry_of(each, service) for each in request.entries]
        rejected = [each for each in read if isinstance(each, RejectedEntry)]
        rejected += await record_entries(
            self._ledger, self._history, [each for each in read if isinstance(each, AuditEntry)]
        )
        for each in rejected:
            _log.warning(
                "audit_entry_rejected", service=service, reason=each.reason.value, detail=each.detail
            )
        return translate.response_of(rejected)

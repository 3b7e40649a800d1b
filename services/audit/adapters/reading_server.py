"""DoorAuditService and AuditReadingService: RPC in, RPC out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from ecarus.remotecontrol.audit.v1 import audit_reading_service_pb2_grpc
from ecarus.remotecontrol.door.v1 import door_audit_service_pb2_grpc
from google.api.httpbody_pb2 import HttpBody
from typing_extensions import override

from services.audit.adapters import reading_translate as translate
from services.audit.domain.history import HistoryBrokenError
from services.audit.usecases import reading
from services.platform.call import current_call
from services.platform.policy import policy_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    import grpc
    from ecarus.remotecontrol.audit.v1 import audit_reading_service_pb2
    from ecarus.remotecontrol.door.v1 import door_audit_pb2, door_audit_service_pb2

    from services.audit.domain.entries import AuditEntry
    from services.audit.usecases.reading import LedgerReading, ReceiptMaker

    Context = grpc.aio.ServicerContext[Any, Any]

DOOR_SERVICE = "ecarus.remotecontrol.door.v1.DoorAuditService"
READING_SERVICE = "ecarus.remotecontrol.audit.v1.AuditReadingService"
READING_POLICY = {**policy_of(DOOR_SERVICE), **policy_of(READING_SERVICE)}
RECEIPT_TYPE = "text/plain; charset=utf-8"
_log = structlog.get_logger()


class DoorAuditServicer(door_audit_service_pb2_grpc.DoorAuditServiceServicer):
    """Serves the contract of the same name. `now` gives aware times."""

    def __init__(self, ledger: LedgerReading, receipts: ReceiptMaker, now: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._receipts = receipts
        self._now = now

    def register(self, server: grpc.aio.Server) -> None:
        """Add this servicer to `server`."""
        door_audit_service_pb2_grpc.add_DoorAuditServiceServicer_to_server(self, server)

    @override
    async def ListDoorAudit(
        self, request: door_audit_service_pb2.ListDoorAuditRequest, context: Context
    ) -> door_audit_pb2.DoorAudit:
        reader = translate.reader_of(current_call())
        page = await reading.list_audit(
            self._ledger,
            reader,
            request.vin,
            since=translate.begins(request, self._now()),
            before=translate.place_of(request.page_token),
            limit=request.limit if request.HasField("limit") else translate.DEFAULT_LIMIT,
            decision=translate.decision_of(request),
        )
        return translate.audit_message(request.vin, page, reader)

    @override
    async def GetCommandReceipt(
        self, request: door_audit_service_pb2.GetCommandReceiptRequest, context: Context
    ) -> HttpBody:
        reader = translate.reader_of(current_call())
        try:
            receipt = await reading.command_receipt(
                self._ledger, self._receipts, reader, request.vin, request.command_id
            )
        except HistoryBrokenError as error:  # why is for operators, whom health tells too
            _log.error("receipt_not_proven", reason=str(error))
            raise translate.nothing_proven() from error
        return HttpBody(content_type=RECEIPT_TYPE, data=receipt)


class AuditReadingServicer(audit_reading_service_pb2_grpc.AuditReadingServiceServicer):
    """Serves the contract of the same name. `record` keeps that somebody read; `new_id` makes the ids of that."""

    def __init__(
        self,
        ledger: LedgerReading,
        record: Callable[[AuditEntry], Awaitable[None]],
        new_id: Callable[[], str],
        now: Callable[[], datetime],
    ) -> None:
        self._ledger = ledger
        self._record = record
        self._new_id = new_id
        self._now = now

    def register(self, server: grpc.aio.Server) -> None:
        """Add this servicer to `server`."""
        audit_reading_service_pb2_grpc.add_AuditReadingServiceServicer_to_server(self, server)

    @override
    async def ListEntries(
        self, request: audit_reading_service_pb2.ListEntriesRequest, context: Context
    ) -> audit_reading_service_pb2.ListEntriesResponse:
        read = translate.read_by_operator(request, current_call(), self._new_id(), self._now())
        page = await reading.list_for_operators(
            self._ledger,
            self._record,
            read,
            vin=request.vin,
            principal=request.principal,
            before=translate.place_of(request.page_token),
            limit=request.page_size if request.HasField("page_size") else translate.DEFAULT_LIMIT,
        )
        return translate.entries_message(page)

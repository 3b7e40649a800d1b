"""The public RPCs about a person's rights: what is kept of them, as a file, and erasure."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from ecarus.remotecontrol.door.v1 import personal_data_pb2, personal_data_service_pb2_grpc
from google.api.httpbody_pb2 import HttpBody
from typing_extensions import override

from services.access.domain.personal_data import (
    ACCOUNT_STOPPED,
    MOST_DOWNLOADS,
    OPEN_CASE,
    SERVICE_AWAY,
    ErasureBegunError,
    ErasureStage,
    PersonalDataUnknownError,
    TooManyExportsError,
)
from services.platform import errors
from services.platform.call import current_call
from services.platform.errors import Refusal
from services.platform.policy import policy_of
from services.platform.storage import StorageUnavailableError
from services.platform.times import set_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from datetime import datetime

    from ecarus.remotecontrol.door.v1 import personal_data_service_pb2

    from services.access.domain.personal_data import PersonalExport, PersonErasure
    from services.access.usecases.personal_data import PersonalData

    RowsOf = Callable[[str], AsyncIterator[tuple[str, str]]]

SERVICE = "ecarus.remotecontrol.door.v1.PersonalDataService"
POLICY = policy_of(SERVICE)
CONTENT_TYPE = "application/vnd.ecarus.personal-data+json"
"""JSON. By another name than that of answers, so that nothing on the way holds the whole file in memory."""
FORMAT = "ecarus-personal-data/1"
MOST_BYTES = 64 * 1024 * 1024
MOST_AT_ONCE = 4
EXPORT_SECONDS = 600.0
"""A file is read within this: enough for the largest over a slow line, and whoever reads none of it lets others in."""
_CHUNK_CHARACTERS = 32 * 1024
_WAITS = {
    ACCOUNT_STOPPED: "Your account is locked or restricted: nothing is erased until it is yours again, nor for seven "
    "days after that, in which you can take it back.",
    OPEN_CASE: "Something abnormal about your account is being looked at; it goes on by itself after that.",
    SERVICE_AWAY: "A part of the service is away; it goes on by itself.",
    "COMMAND_IN_FLIGHT": "A command of yours is under way; it goes on by itself once that has ended.",
    "SETTINGS_IN_FLIGHT": "A vehicle has not answered to settings of yours; it goes on by itself once it has.",
    "MESSAGES_WAITING": "Messages about you wait to be sent; it goes on by itself.",
    "MESSAGES_KEPT": "Copies of messages about you are being erased; it goes on by itself.",
    "LEGAL_HOLD": "The law forbids to erase it for now; contact customer support.",
}
_STAGES = {
    ErasureStage.WAITING: "It begins at dueAt; until then you can take it back.",
    ErasureStage.DEFERRED: "It goes on by itself.",
    ErasureStage.ERASING: "It is being done.",
    ErasureStage.DONE: "Nothing is kept about you any more but what the law wants kept, without your name.",
    ErasureStage.CANCELLED: "You took it back; nothing was erased.",
}

Context = grpc.aio.ServicerContext[Any, Any]
_log = structlog.get_logger()


class PersonalDataServicer(personal_data_service_pb2_grpc.PersonalDataServiceServicer):
    """Serves PersonalDataService: whose data it is says the capability, never the request. `sources` gives of each
    service that keeps something its rows about a person: table and JSON object.
    """

    def __init__(
        self, data: PersonalData, sources: Mapping[str, RowsOf], now: Callable[[], datetime]
    ) -> None:
        self._data = data
        self._sources = sources
        self._now = now
        self._running: set[str] = set()

    def register(self, server: grpc.aio.Server) -> None:
        """Add this servicer to `server`."""
        personal_data_service_pb2_grpc.add_PersonalDataServiceServicer_to_server(self, server)

    @override
    async def RequestDataExport(
        self, request: personal_data_service_pb2.RequestDataExportRequest, context: Context
    ) -> personal_data_pb2.DataExport:
        return self._export_message(await self._data.export(_caller()))

    @override
    async def GetDataExport(
        self, request: personal_data_service_pb2.GetDataExportRequest, context: Context
    ) -> personal_data_pb2.DataExport:
        return self._export_message(await self._data.found_export(_caller(), request.export_id))

    @override
    async def StreamDataExport(
        self, request: personal_data_service_pb2.StreamDataExportRequest, context: Context
    ) -> AsyncIterator[HttpBody]:
        person = _caller()
        if person in self._running or len(self._running) >= MOST_AT_ONCE:
            raise TooManyExportsError
        self._running.add(person)
        try:
            async with asyncio.timeout(EXPORT_SECONDS):
                await self._data.fetch(person, request.export_id)
                async for chunk in self._file(person, request.export_id):
                    yield HttpBody(content_type=CONTENT_TYPE, data=chunk.encode())
        finally:
            self._running.discard(person)

    @override
    async def RequestErasure(
        self, request: personal_data_service_pb2.RequestErasureRequest, context: Context
    ) -> personal_data_pb2.Erasure:
        return _erasure_message(await self._data.erase(_caller()))

    @override
    async def GetErasure(
        self, request: personal_data_service_pb2.GetErasureRequest, context: Context
    ) -> personal_data_pb2.Erasure:
        return _erasure_message(await self._data.found_erasure(_caller(), request.erasure_id))

    @override
    async def CancelErasure(
        self, request: personal_data_service_pb2.CancelErasureRequest, context: Context
    ) -> personal_data_pb2.Erasure:
        return _erasure_message(await self._data.take_back(_caller(), request.erasure_id))

    async def _file(self, person: str, export_id: str) -> AsyncIterator[str]:
        """Yield the file in pieces. It is made as it is read: no more of it is in memory than a piece."""
        head = {
            "format": FORMAT,
            "exportId": export_id,
            "subject": person,
            "at": self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        piece = json.dumps(head, ensure_ascii=False)[:-1] + ', "rows": [\n'
        written, between = 0, ""
        missing: list[str] = []
        for name, rows_of in self._sources.items():
            try:
                async for table, row in rows_of(person):
                    piece += f'{between}{{"service": "{name}", "table": "{table}", "row": {row}}}'
                    between = ",\n"
                    if len(piece) >= _CHUNK_CHARACTERS:
                        written += len(piece)
                        yield piece
                        piece = ""
                    if written > MOST_BYTES:
                        missing.append(f"{name}: too much for one file; ask customer support for the rest")
                        break
            except (grpc.aio.AioRpcError, StorageUnavailableError) as error:
                _log.warning("export_incomplete", source=name, reason=type(error).__name__)
                missing.append(f"{name}: away; ask again")
        yield piece + "\n], " + json.dumps({"complete": not missing, "missing": missing})[1:] + "\n"

    def _export_message(self, export: PersonalExport) -> personal_data_pb2.DataExport:
        states = personal_data_pb2.DataExportState
        message = personal_data_pb2.DataExport(
            export_id=export.export_id,
            state=states.READY if export.is_ready(self._now()) else states.EXPIRED,
            downloads_left=MOST_DOWNLOADS - export.downloads,
        )
        set_time(message.requested_at, export.requested_at)
        set_time(message.expires_at, export.expires_at)
        return message


def refusal_of(error: Exception) -> Refusal | None:
    """Return how what is wrong about exports and erasures is told; None for what is not about them."""
    if isinstance(error, PersonalDataUnknownError):
        return Refusal(
            errors.REASONS["PERSONAL_DATA_NOT_FOUND"],
            "There is no export or erasure of this id among yours, or the export can be fetched no longer.",
        )
    if isinstance(error, ErasureBegunError):
        detail = "The erasure is being done, or is done: it cannot be taken back."
        return Refusal(errors.REASONS["ERASURE_BEGUN"], detail)
    if isinstance(error, TooManyExportsError):
        detail = "Your file is being fetched already, or as many as may be at once; try again shortly."
        return Refusal(errors.RATE_LIMITED, detail, retry_after_seconds=30)
    return None


def _caller() -> str:
    return current_call().granted().subject


def _erasure_message(erasure: PersonErasure) -> personal_data_pb2.Erasure:
    detail = _STAGES[erasure.stage]
    if erasure.in_the_way:
        detail = _WAITS.get(erasure.in_the_way, "Something is in the way; it goes on by itself.")
    message = personal_data_pb2.Erasure(
        erasure_id=erasure.erasure_id,
        state=personal_data_pb2.ErasureState.Value.Value(erasure.stage.value),
        waits_for=erasure.in_the_way or None,
        detail=detail,
    )
    set_time(message.requested_at, erasure.requested_at)
    set_time(message.due_at, erasure.due_at)
    if erasure.ended_at is not None:
        set_time(message.ended_at, erasure.ended_at)
    return message

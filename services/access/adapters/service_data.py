"""The other services, as far as what they keep about people goes: holds, a person's rows, erasure."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import grpc
import structlog
from ecarus.remotecontrol.access.v1 import (
    retention_service_pb2,
    retention_service_pb2_grpc,
    subject_data_service_pb2,
    subject_data_service_pb2_grpc,
)

from services.access.domain.personal_data import SERVICE_AWAY
from services.platform.times import exact_time
from services.registry import descriptor_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from services.access.domain.holds import HoldDecision
    from services.access.domain.personal_data import PersonErasure

_TELL_SECONDS = 3.0
_ERASE_SECONDS = 60.0
_ROWS_SECONDS = 300.0
_log = structlog.get_logger()


class ServiceData:
    """Asks each of them by its channel."""

    def __init__(self, channels: Mapping[str, grpc.aio.Channel]) -> None:
        self.names = tuple(channels)
        self._held = tuple(name for name in channels if not descriptor_of(name).keeps_for_ever)
        self._retention = {
            name: retention_service_pb2_grpc.RetentionServiceStub(channel)
            for name, channel in channels.items()
        }
        self._subject_data = {
            name: subject_data_service_pb2_grpc.SubjectDataServiceStub(channel)
            for name, channel in channels.items()
        }
        self._channels = channels

    @property
    def sources(self) -> dict[str, Callable[[str], AsyncIterator[tuple[str, str]]]]:
        """What gives the rows of each about a person, by name."""
        return {name: partial(self.rows, name) for name in self.names}

    async def tell_holds(self, holds: Sequence[HoldDecision]) -> list[str]:
        """Tell all of them; the names of those that could not be told."""
        request = retention_service_pb2.ReplaceLegalHoldsRequest(
            holds=[
                retention_service_pb2.HeldSubject(
                    hold_id=each.asked.hold_id,
                    vin=each.asked.vin,
                    person=each.asked.person,
                    since=exact_time(each.set_at or each.requested_at),
                )
                for each in holds
            ]
        )
        told = await asyncio.gather(*(self._tell(name, request) for name in self._held))
        return [name for name, done in zip(self._held, told, strict=True) if not done]

    async def _tell(self, name: str, request: retention_service_pb2.ReplaceLegalHoldsRequest) -> bool:
        try:
            await self._retention[name].ReplaceLegalHolds(request, timeout=_TELL_SECONDS)
        except grpc.aio.AioRpcError as error:
            _log.warning("holds_untold", to=name, code=error.code().name)
            return False
        return True

    async def rows(self, name: str, person: str) -> AsyncIterator[tuple[str, str]]:
        """Yield table and row of all that one of them keeps about a person. Raises grpc.aio.AioRpcError."""
        request = subject_data_service_pb2.ExportSubjectDataRequest(subject=person)
        async for each in self._subject_data[name].ExportSubjectData(request, timeout=_ROWS_SECONDS):
            yield each.table, each.row

    async def look(self, name: str, person: str, erasure_id: str) -> str:
        """See usecases.personal_data.OtherServices."""
        return await self._erase(name, person, erasure_id, only_look=True)

    async def erase(self, name: str, person: str, erasure_id: str) -> str:
        """See usecases.personal_data.OtherServices."""
        return await self._erase(name, person, erasure_id, only_look=False)

    async def _erase(self, name: str, person: str, erasure_id: str, *, only_look: bool) -> str:
        request = subject_data_service_pb2.EraseSubjectDataRequest(
            subject=person, erasure_id=erasure_id, only_look=only_look
        )
        try:
            answer = await self._subject_data[name].EraseSubjectData(request, timeout=_ERASE_SECONDS)
        except grpc.aio.AioRpcError as error:
            _log.warning("erasure_waits_for_service", service_name=name, code=error.code().name)
            return SERVICE_AWAY
        return answer.in_the_way

    async def close(self) -> None:
        """Close the channels."""
        for channel in self._channels.values():
            await channel.close()


def log_erased(erasure: PersonErasure) -> None:
    """Say that somebody is erased, and not who."""
    _log.info("person_erased", erasure=erasure.erasure_id)

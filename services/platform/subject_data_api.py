"""SubjectDataService and RetentionService: RPC in, RPC out. Every service with a database serves both."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
from ecarus.remotecontrol.access.v1 import (
    retention_service_pb2,
    retention_service_pb2_grpc,
    subject_data_service_pb2,
    subject_data_service_pb2_grpc,
)
from typing_extensions import override

from services.platform.legal_holds import HeldSubject
from services.platform.policy import policy_of
from services.platform.retention import Retention
from services.platform.scrub import scrub
from services.platform.server import ServedApi
from services.platform.subject_data import SubjectData
from services.platform.times import shown_time, time_of
from services.product import RESOURCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from datetime import datetime

    from services.platform.database import Database
    from services.platform.kept_data import KeptTable, TablePurge
    from services.platform.legal_holds import LegalHolds

RETENTION = "ecarus.remotecontrol.access.v1.RetentionService"
SUBJECT_DATA = "ecarus.remotecontrol.access.v1.SubjectDataService"

Context = grpc.aio.ServicerContext[Any, Any]


class RetentionServicer(retention_service_pb2_grpc.RetentionServiceServicer):
    """Answers about what one service keeps how long."""

    def __init__(self, database: Database, retention: Retention) -> None:
        self._database = database
        self._retention = retention

    @override
    async def GetRetention(
        self, request: retention_service_pb2.GetRetentionRequest, context: Context
    ) -> retention_service_pb2.RetentionStatus:
        return await self._status()

    @override
    async def RunRetention(
        self, request: retention_service_pb2.RunRetentionRequest, context: Context
    ) -> retention_service_pb2.RetentionStatus:
        await self._retention.run_once()
        return await self._status()

    @override
    async def ReplaceLegalHolds(
        self, request: retention_service_pb2.ReplaceLegalHoldsRequest, context: Context
    ) -> retention_service_pb2.ReplaceLegalHoldsResponse:
        holds = [
            HeldSubject(each.hold_id, getattr(each, RESOURCE), each.person, time_of(each.since))
            for each in request.holds
        ]
        await self._database.write(lambda c: self._retention.holds.replace(c, holds))
        return retention_service_pb2.ReplaceLegalHoldsResponse()

    async def _status(self) -> retention_service_pb2.RetentionStatus:
        last = self._retention.last
        done: dict[str, TablePurge] = {} if last is None else {each.table: each for each in last.tables}
        status = retention_service_pb2.RetentionStatus(
            holds=await self._database.read(self._retention.holds.count)
        )
        if last is not None:
            status.began_at.CopyFrom(shown_time(last.began_at))
            status.ended_at.CopyFrom(shown_time(last.ended_at))
            status.failed = last.failed
        for kept in self._retention.tables:
            purged = done.get(kept.name)
            status.tables.add(
                table=kept.name,
                what=kept.what,
                until=kept.until,
                deleted=purged.deleted if purged else 0,
                held=purged.held if purged else 0,
            )
        return status


class SubjectDataServicer(subject_data_service_pb2_grpc.SubjectDataServiceServicer):
    """Hands over, and erases, what one service keeps about a person."""

    def __init__(self, subject_data: SubjectData) -> None:
        self._subject_data = subject_data

    @override
    async def ExportSubjectData(
        self, request: subject_data_service_pb2.ExportSubjectDataRequest, context: Context
    ) -> AsyncIterator[subject_data_service_pb2.ExportSubjectDataResponse]:
        async for table, row in self._subject_data.rows(request.subject):
            yield subject_data_service_pb2.ExportSubjectDataResponse(table=table, row=row)

    @override
    async def EraseSubjectData(
        self, request: subject_data_service_pb2.EraseSubjectDataRequest, context: Context
    ) -> subject_data_service_pb2.EraseSubjectDataResponse:
        if request.only_look:
            stands = await self._subject_data.look(request.subject)
            return subject_data_service_pb2.EraseSubjectDataResponse(in_the_way=stands)
        erased = await self._subject_data.erase(request.subject, request.erasure_id)
        return subject_data_service_pb2.EraseSubjectDataResponse(
            done=not erased.in_the_way, in_the_way=erased.in_the_way, rows=erased.rows
        )


class OwnData:
    """What a service keeps, by its lines: the job that deletes what is over, a person's rows, and the APIs that its
    server also serves. `more` is of SubjectData.
    """

    def __init__(
        self,
        database: Database,
        database_url: str,
        tables: Sequence[KeptTable],
        holds: LegalHolds,
        now: Callable[[], datetime],
        **more: Any,
    ) -> None:
        self.retention = Retention(database, tables, holds, now)
        self.subject_data = SubjectData(database, tables, holds, partial(scrub, database_url), **more)
        self.apis = subject_data_apis(database, self.retention, self.subject_data)


def subject_data_apis(database: Database, retention: Retention, subject_data: SubjectData) -> list[ServedApi]:
    """Make the APIs that a service's server also serves."""
    about_retention = RetentionServicer(database, retention)
    about_persons = SubjectDataServicer(subject_data)
    return [
        ServedApi(
            RETENTION,
            policy_of(RETENTION),
            lambda server: retention_service_pb2_grpc.add_RetentionServiceServicer_to_server(
                about_retention, server
            ),
        ),
        ServedApi(
            SUBJECT_DATA,
            policy_of(SUBJECT_DATA),
            lambda server: subject_data_service_pb2_grpc.add_SubjectDataServiceServicer_to_server(
                about_persons, server
            ),
        ),
    ]

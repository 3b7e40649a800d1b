"""A person's entries in the ledger: handed over as far as they are about them, and forgotten with their key.

The tree stays as it is: what it holds are commitments, that nobody can open any more.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

import grpc
from ecarus.remotecontrol.access.v1 import subject_data_service_pb2, subject_data_service_pb2_grpc
from typing_extensions import override

from services.audit.domain.reading import OPERATOR_READ, WORKLOAD
from services.platform.policy import policy_of
from services.platform.server import ServedApi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from services.audit.adapters.store.ledger import OpenEntry

SUBJECT_DATA = "ecarus.remotecontrol.access.v1.SubjectDataService"
TABLE = "ledger_entry"
_PAGE = 100

Context = grpc.aio.ServicerContext[Any, Any]


class PersonsEntries(Protocol):
    """The ledger, as far as one person goes."""

    async def entries_of_person(
        self, principal: str, before: int | None = None, limit: int = _PAGE
    ) -> list[OpenEntry]:
        """Return entries about them, newest first."""

    async def destroy_key(self, principal: str) -> int:
        """Destroy their key; how many there were."""


class AuditSubjectDataServicer(subject_data_service_pb2_grpc.SubjectDataServiceServicer):
    """Hands over, and forgets, what the ledger holds of a person."""

    def __init__(self, ledger: PersonsEntries, scrub: Callable[[], Awaitable[None]]) -> None:
        self._ledger = ledger
        self._scrub = scrub

    @override
    async def ExportSubjectData(
        self, request: subject_data_service_pb2.ExportSubjectDataRequest, context: Context
    ) -> AsyncIterator[subject_data_service_pb2.ExportSubjectDataResponse]:
        before: int | None = None
        while page := await self._ledger.entries_of_person(request.subject, before, _PAGE):
            for entry in page:
                row = json.dumps(_told(entry, request.subject), ensure_ascii=False)
                yield subject_data_service_pb2.ExportSubjectDataResponse(table=TABLE, row=row)
            before = page[-1].leaf_index

    @override
    async def EraseSubjectData(
        self, request: subject_data_service_pb2.EraseSubjectDataRequest, context: Context
    ) -> subject_data_service_pb2.EraseSubjectDataResponse:
        if request.only_look:
            return subject_data_service_pb2.EraseSubjectDataResponse()
        keys = await self._ledger.destroy_key(request.subject)
        await self._scrub()
        return subject_data_service_pb2.EraseSubjectDataResponse(done=True, rows={"person_key": keys})


def _told(entry: OpenEntry, person: str) -> dict[str, Any]:
    """Return an entry as JSON: all of it where it is about the person; where they only acted, that they did.

    No operator is named, and why one read is between them and who watches over them.
    """
    about = entry.value("subject") == person
    members = {
        name: each.value
        for name, each in entry.members.items()
        if (about or each.value == person)
        and not each.value.startswith(WORKLOAD)
        and not (name == "detail" and entry.leaf.kind == OPERATOR_READ)
    }
    leaf = entry.leaf
    return {
        "leafIndex": entry.leaf_index,
        "kind": leaf.kind,
        "decision": leaf.decision,
        "service": leaf.service,
        **members,
    }


def subject_data_api(ledger: PersonsEntries, scrub: Callable[[], Awaitable[None]]) -> ServedApi:
    """Make the API that the ledger's server also serves."""
    servicer = AuditSubjectDataServicer(ledger, scrub)
    return ServedApi(
        SUBJECT_DATA,
        policy_of(SUBJECT_DATA),
        lambda server: subject_data_service_pb2_grpc.add_SubjectDataServiceServicer_to_server(
            servicer, server
        ),
    )

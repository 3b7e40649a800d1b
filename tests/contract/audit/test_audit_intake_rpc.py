"""The ledger's intake over real mTLS: what services bring is there once, and one bad entry keeps none out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.audit.v1 import audit_entry_pb2, audit_intake_service_pb2
from ecarus.remotecontrol.audit.v1.audit_intake_service_pb2_grpc import AuditIntakeServiceStub

from services.audit.adapters.server import POLICY, SERVICE, AuditIntakeServicer
from services.audit.adapters.translate import refusal_of
from services.audit.usecases.signing import HistoryWatch
from services.platform.storage import StorageUnavailableError
from tests.contract.conftest import ServedRoom
from tests.support.audit_entries import VIN, opened_ledger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from services.audit.adapters.store import SqlLedger


@pytest.fixture
def served() -> ServedRoom:
    return ServedRoom("audit", [SERVICE], POLICY, refusal_of)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqlLedger]:
    async with opened_ledger(f"sqlite:///{tmp_path}/ledger.sqlite3") as ledger:
        yield ledger


@pytest.fixture
def history() -> HistoryWatch:
    watch = HistoryWatch()
    watch.good()
    return watch


@pytest.fixture
def grpc_servicer(ledger: SqlLedger, history: HistoryWatch) -> AuditIntakeServicer:
    return AuditIntakeServicer(ledger, history)


@pytest.fixture
def grpc_add_to_server() -> Any:
    return AuditIntakeServicer.register


@pytest.fixture
def grpc_workload() -> str:
    return "room/command"


@pytest.fixture
def grpc_stub_cls() -> Any:
    return AuditIntakeServiceStub


def message(number: int = 1, **more: Any) -> audit_entry_pb2.AuditEntry:
    made = audit_entry_pb2.AuditEntry(
        entry_id=f"command-{number}",
        kind="COMMAND_ACCEPTED",
        decision=audit_entry_pb2.AUDIT_DECISION_ALLOWED,
        vin=VIN,
        subject="user-123",
        action="door.unlock",
        command_id=f"cmd-{number}",
    )
    made.at.FromSeconds(1_768_228_200 + number)
    made.MergeFrom(audit_entry_pb2.AuditEntry(**more))
    return made


async def bring(stub: Any, *messages: audit_entry_pb2.AuditEntry) -> dict[str, str]:
    """Why each that was rejected was, by id."""
    answer = await stub.RecordEntries(
        audit_intake_service_pb2.RecordEntriesRequest(entries=messages), timeout=30
    )
    names = audit_intake_service_pb2.RejectionReason.Name
    return {each.entry_id: names(each.reason).removeprefix("REJECTION_REASON_") for each in answer.rejections}


async def test_an_entry_that_is_brought_again_is_the_same_leaf(grpc_stub: Any, ledger: SqlLedger) -> None:
    assert await bring(grpc_stub, message(1), message(2), message(1)) == {}
    assert await bring(grpc_stub, message(2), message(3)) == {}
    entries = await ledger.entries_from(0, 10)
    assert [each.leaf_index for each in entries] == [0, 1, 2]
    assert [each.value("entry_id") for each in entries] == ["command-1", "command-2", "command-3"]
    assert {each.leaf.service for each in entries} == {"command"}


async def test_replicas_that_bring_the_same_at_once_leave_it_once(grpc_stub: Any, ledger: SqlLedger) -> None:
    many = [message(number) for number in range(150)]
    await asyncio.gather(*(bring(grpc_stub, *many) for _ in range(3)))
    entries = await ledger.entries_from(0, 1_000)
    assert [each.leaf_index for each in entries] == list(range(150))
    assert len({each.value("entry_id") for each in entries}) == 150


async def test_one_that_cannot_be_taken_keeps_none_of_the_others_out(
    grpc_stub: Any, ledger: SqlLedger
) -> None:
    await bring(grpc_stub, message(1))
    rejected = await bring(
        grpc_stub,
        message(1, rule="another content"),
        message(2, detail={"text": "x" * 70_000}),
        message(3, kind="no word"),
        message(4, vin="short"),
        message(5, result_sha256=b"short"),
        message(6, decision=77),
        message(7, detail={"Not a name": "x"}),
        message(8),
        audit_entry_pb2.AuditEntry(entry_id="command-9"),
        audit_entry_pb2.AuditEntry(),
        message(10, entry_id="access-10"),
    )
    assert rejected == {
        "command-1": "ID_REUSED",
        "command-2": "TOO_LARGE",
        **dict.fromkeys(
            ("command-3", "command-4", "command-5", "command-6", "command-7", "command-9", "", "access-10"),
            "MALFORMED",
        ),
    }
    assert [each.value("command_id") for each in await ledger.entries_from(0, 10)] == ["cmd-1", "cmd-8"]


async def test_whose_entry_it_is_says_the_certificate(grpc_create_channel: Any, ledger: SqlLedger) -> None:
    async with grpc_create_channel("room/access") as channel:
        stub = AuditIntakeServiceStub(channel)
        assert await bring(stub, message(1)) == {"command-1": "MALFORMED"}
        assert await bring(stub, message(2, entry_id="access-2")) == {}
    assert [each.leaf.service for each in await ledger.entries_from(0, 10)] == ["access"]


@pytest.mark.parametrize(
    "workload", ["edge", "room/audit", "room/other", "operator", "team/demo", f"vehicle/{VIN}"]
)
async def test_nobody_else_writes_into_the_ledger(grpc_create_channel: Any, workload: str) -> None:
    async with grpc_create_channel(workload) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await bring(AuditIntakeServiceStub(channel), message(1))
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_request_without_an_entry_or_with_too_many_is_refused(grpc_stub: Any) -> None:
    for many in (0, 513):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await bring(grpc_stub, *[audit_entry_pb2.AuditEntry(entry_id="command-1")] * many)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def refused_with(stub: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await bring(stub, message(1))
    return refused.value


async def test_a_ledger_whose_history_is_broken_takes_nothing(
    grpc_stub: Any, ledger: SqlLedger, history: HistoryWatch
) -> None:
    history.broken("the database was rolled back")
    refused = await refused_with(grpc_stub)
    assert refused.code() is grpc.StatusCode.UNAVAILABLE
    assert "the database was rolled back" in str(refused.details())
    assert await ledger.entries_from(0, 9) == []
    history.good()
    assert await bring(grpc_stub, message(1)) == {}


async def test_a_full_disk_is_told_so_that_the_entries_are_kept_where_they_are(
    grpc_stub: Any, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_entries: Any, _at_least: int = 0) -> Any:
        raise StorageUnavailableError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "append", full)
        assert (await refused_with(grpc_stub)).code() is grpc.StatusCode.UNAVAILABLE
    assert await bring(grpc_stub, message(1)) == {}
    assert len(await ledger.entries_from(0, 9)) == 1

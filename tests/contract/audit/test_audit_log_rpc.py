"""The log over real mTLS: operators take copies of it, and nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.audit.v1 import audit_log_service_pb2 as contract
from ecarus.remotecontrol.audit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub

from doorctl.log_files import LogTrust, Verdict, verify_log
from services.audit.adapters.export import LogExport
from services.audit.adapters.log_server import LOG_POLICY, LOG_SERVICE, ReadingRecord, log_api
from services.audit.adapters.store import LedgerInspection
from services.audit.adapters.translate import refusal_of
from tests.contract.conftest import ServedRoom
from tests.support.audit_entries import HOUSE_KEY, T0, VIN
from tests.support.audit_log import KEYS, VKEY, AuditLog, opened_log
from tlog.checkpoints import open_checkpoint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from services.audit.domain.entries import AuditEntry


@pytest.fixture
def served() -> ServedRoom:
    return ServedRoom("audit", [LOG_SERVICE], LOG_POLICY, refusal_of)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[AuditLog]:
    async with opened_log(f"sqlite:///{tmp_path}/ledger.sqlite3", tmp_path) as log:
        yield log


@pytest.fixture
def grpc_servicer(log: AuditLog) -> Any:
    numbers = iter(range(1, 100))

    async def record(made: AuditEntry) -> None:
        assert not (await log.ledger.append([made]))[0]

    readings = ReadingRecord(record, lambda: f"audit-{next(numbers)}", lambda: T0)
    export = LogExport(log.tree, LedgerInspection(log.database, HOUSE_KEY), KEYS, lambda: T0)
    return log_api(export, KEYS.public, readings)


@pytest.fixture
def grpc_add_to_server() -> Any:
    return lambda api, server: api.register(server)


@pytest.fixture
def grpc_workload() -> str:
    return "operator"


@pytest.fixture
def grpc_stub_cls() -> Any:
    return AuditLogServiceStub


async def copied(parts: Any, folder: Path) -> str:
    """Write the copy; the tables' text."""
    table = b""
    async for part in parts:
        path = folder / part.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(part.data)
        table += part.data if part.path.startswith("table/") else b""
    return table.decode()


async def test_a_copy_verifies_and_tells_of_people_only_when_asked(
    grpc_stub: Any, grpc_create_channel: Any, log: AuditLog, tmp_path: Path
) -> None:
    await log.grow(0, 260)
    await log.sequencer.step()
    await log.grow(260, 270)  # not signed yet: not in the copy
    answer = await grpc_stub.GetCheckpoint(contract.GetCheckpointRequest(), timeout=30)
    assert (list(answer.verifier_keys), answer.leaves) == ([VKEY], 270)
    assert open_checkpoint(answer.checkpoint, KEYS.public[0].name, KEYS.public).checkpoint.size == 260
    plain = grpc_stub.StreamLogFiles(contract.StreamLogFilesRequest(), timeout=30)
    assert VIN not in await copied(plain, tmp_path / "plain")
    async with grpc_create_channel("team/operator/alice") as channel:
        asked = contract.StreamLogFilesInClearRequest(reason="her request")
        members = AuditLogServiceStub(channel).StreamLogFilesInClear(asked, timeout=30)
        assert VIN in await copied(members, tmp_path / "members")
    trust = LogTrust(KEYS.public, answer.checkpoint)
    for name in ("plain", "members"):
        report = verify_log(tmp_path / name, trust, tables=True)
        assert (report.verdict, report.size, report.notes) == (
            Verdict.WHOLE,
            260,
            ["the tables are those of 2026-01-12T14:30:00.000+00:00"],
        )


async def test_what_is_in_clear_is_copied_on_the_record_only(
    grpc_stub: Any, grpc_create_channel: Any, log: AuditLog
) -> None:
    await log.grow(0, 3)
    await log.sequencer.step()
    in_clear = contract.StreamLogFilesInClearRequest(reason="her request")
    for call, code in (
        (grpc_stub.StreamLogFilesInClear(in_clear, timeout=30), grpc.StatusCode.PERMISSION_DENIED),
        (
            grpc_stub.StreamLogFiles(contract.StreamLogFilesRequest(with_members=True), timeout=30),
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
        assert refused.value.code() is code
    async with grpc_create_channel("team/operator/alice") as channel:
        stub = AuditLogServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.StreamLogFilesInClear(contract.StreamLogFilesInClearRequest(), timeout=30).read()
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert await log.tree.size() == 3
        call = stub.StreamLogFilesInClear(in_clear, timeout=30)
        await call.read()  # with the first file at the latest it is there
        [kept] = await log.ledger.entries_from(3, 10)
        call.cancel()
    assert (kept.leaf.kind, kept.value("actor")) == ("AUDIT_COPIED", "spiffe://ecarus/team/operator/alice")
    assert kept.value("detail") == '{"reason":"her request"}'


async def test_before_anything_is_signed_there_is_nothing_to_copy(grpc_stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await grpc_stub.GetCheckpoint(contract.GetCheckpointRequest(), timeout=30)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_database_that_was_rolled_back_is_not_copied(grpc_stub: Any, log: AuditLog) -> None:
    await log.grow(0, 3)
    await log.sequencer.step()
    await log.database.write(lambda c: c.exec_driver_sql("UPDATE ledger_tree SET size = 2") and None)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await grpc_stub.GetCheckpoint(contract.GetCheckpointRequest(), timeout=30)
    assert "3 leaves were signed" in str(refused.value.details())


@pytest.mark.parametrize(
    "workload", ["edge", "room/command", "room/audit", "team/demo", "team/operator/anna"]
)
async def test_nobody_else_copies_the_log(grpc_create_channel: Any, workload: str) -> None:
    async with grpc_create_channel(workload) as channel:
        stub = AuditLogServiceStub(channel)
        for call in (
            stub.GetCheckpoint(contract.GetCheckpointRequest(), timeout=30),
            stub.StreamLogFiles(contract.StreamLogFilesRequest(), timeout=30).read(),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call
            assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED

"""What a service keeps about people, as the access service and operators ask for it, over real mTLS."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import retention_service_pb2 as retention
from ecarus.remotecontrol.access.v1 import subject_data_service_pb2 as contract
from ecarus.remotecontrol.access.v1.retention_service_pb2_grpc import RetentionServiceStub
from ecarus.remotecontrol.access.v1.subject_data_service_pb2_grpc import SubjectDataServiceStub
from sqlalchemy import insert

import services.config
from services.config.adapters import store
from services.config.adapters.kept import kept_tables
from services.config.adapters.store.tables import audit
from services.platform.database import open_database
from services.platform.server import GrpcServer
from services.platform.subject_data_api import OwnData
from services.platform.times import exact_time
from tests.support.databases import migrated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.platform.capability import CapabilityVerifier
    from services.platform.settings import ServiceSettings

WHO, VIN = "canary-31", "KMHSH81C7LU123456"
LONG_AGO = datetime(2019, 1, 1, tzinfo=UTC)


@pytest.fixture
def room_name() -> str:
    return "config"


@pytest.fixture
async def build_room(tmp_path: Path) -> AsyncIterator[Any]:
    url = f"sqlite:///{tmp_path}/config.sqlite3"
    migrations = Path(services.config.__file__).with_name("migrations")
    await asyncio.to_thread(migrated, url, migrations, store.HEAD)
    database = await open_database(url)
    row = {
        "vin": VIN,
        "changed_at": LONG_AGO,
        "subject": WHO,
        "actor": WHO,
        "source": "WEB",
        "correlation_id": "word-31",
        "desired_version": 1,
        "before": "{}",
        "after": "{}",
    }
    await database.write(lambda c: c.execute(insert(audit), row) and None)
    own = OwnData(
        database,
        url,
        kept_tables(timedelta(days=30)),
        store.holds,
        lambda: datetime.now(UTC),
        outbox=store.outbox,
        audit_outbox=store.audit_outbox,
        in_the_way=store.in_the_way_of_erasure,
        besides=store.erase_proofs,
    )

    def build(settings: ServiceSettings, verifier: CapabilityVerifier) -> GrpcServer:
        return GrpcServer(
            settings, [], lambda _server: None, {}, verifier, lambda _error: None, besides=own.apis
        )

    yield build
    await database.close()


@pytest.fixture
def grpc_workload() -> str:
    return "room/access"


@pytest.fixture
def grpc_stub_cls() -> type[SubjectDataServiceStub]:
    return SubjectDataServiceStub


async def _rows(stub: SubjectDataServiceStub) -> list[str]:
    return [
        each.table
        async for each in stub.ExportSubjectData(contract.ExportSubjectDataRequest(subject=WHO), timeout=20)
    ]


async def test_it_is_handed_over_and_erased(grpc_stub: SubjectDataServiceStub) -> None:
    assert await _rows(grpc_stub) == ["config_audit"]
    look = contract.EraseSubjectDataRequest(subject=WHO, erasure_id="er-1", only_look=True)
    assert await grpc_stub.EraseSubjectData(look, timeout=20) == contract.EraseSubjectDataResponse()
    erase = contract.EraseSubjectDataRequest(subject=WHO, erasure_id="er-1")
    done = await grpc_stub.EraseSubjectData(erase, timeout=20)
    assert (done.done, done.in_the_way) == (True, "")
    assert done.rows["config_audit"] >= 1
    assert await _rows(grpc_stub) == []
    assert (await grpc_stub.EraseSubjectData(erase, timeout=20)).done


async def test_an_operator_has_it_run_and_a_hold_keeps_it(grpc_server: Any, grpc_stub: Any) -> None:
    hold = retention.HeldSubject(hold_id="h-1", vin=VIN, since=exact_time(LONG_AGO))
    async with grpc_server.channel("room/access") as access, grpc_server.channel("operator") as operator:
        keeper, clerk = RetentionServiceStub(access), RetentionServiceStub(operator)
        await keeper.ReplaceLegalHolds(retention.ReplaceLegalHoldsRequest(holds=[hold]), timeout=20)
        status = await clerk.RunRetention(retention.RunRetentionRequest(), timeout=20)
        assert status.holds == 1
        assert {each.table: (each.deleted, each.held) for each in status.tables}["config_audit"] == (0, 1)
        await keeper.ReplaceLegalHolds(retention.ReplaceLegalHoldsRequest(), timeout=20)
        await clerk.RunRetention(retention.RunRetentionRequest(), timeout=20)
        status = await clerk.GetRetention(retention.GetRetentionRequest(), timeout=20)
        assert {each.table: each.deleted for each in status.tables}["config_audit"] == 1
        assert status.HasField("ended_at")
        assert all(each.until for each in status.tables)
        with pytest.raises(grpc.aio.AioRpcError, match="may not use"):
            await clerk.ReplaceLegalHolds(retention.ReplaceLegalHoldsRequest(), timeout=20)
    assert await _rows(grpc_stub) == []

"""Every decision on a command, and everything that became of it, is one entry for the audit ledger."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.audit.v1.audit_entry_pb2 import AuditDecision, AuditEntry

import services.command
from services.command.adapters import store
from services.command.adapters.audit_entries import COMMAND_REFUSED, CommandAuditEntries
from services.command.adapters.kept import kept_tables
from services.command.adapters.server import DoorCommandServicer
from services.command.domain.commands import AdvisoryState, DoorResult, Ending, Status
from services.command.domain.reports import ReportedResult, SignedEvidence
from services.command.usecases.history import RefusedRequests
from services.command.usecases.vehicle_reports import VerifiedMessage, ingest_messages
from services.platform.audit_entry import EntryIds
from services.platform.audit_trail import AuditTrail
from services.platform.database import open_database
from services.platform.retention import Retention
from services.platform.server import GrpcServer
from tests.contract.command.conftest import VIN, CommandRpcHarness, refused
from tests.support.command_store_harness import FakeConditions, FakeDispatch
from tests.support.databases import migrated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.platform.database import Database

EVIDENCE = SignedEvidence(b"o" * 32, b"what the vehicle signed")


class Audit:
    """The entries that wait for the ledger."""

    def __init__(self, database: Database, now: Any) -> None:
        self.database = database
        self.ids = EntryIds("command")
        self.trail = AuditTrail(
            self.ids,
            lambda entries: database.write(lambda c: store.audit_outbox.add(c, entries)),
            now,
            COMMAND_REFUSED,
        )

    async def entries(self) -> list[AuditEntry]:
        await self.trail.flush()
        places = (store.audit_rows, store.audit_outbox)
        found = [
            AuditEntry.FromString(each.entry)
            for place in places
            for each in await self.database.read(partial(place.waiting, most=1_000))
        ]
        assert len({each.entry_id for each in found}) == len(found)
        return found

    async def told(self) -> list[tuple[str, str, str]]:
        """Kind, decision and correlation id of each."""
        return [
            (
                each.kind,
                AuditDecision.Name(each.decision).removeprefix("AUDIT_DECISION_"),
                each.correlation_id,
            )
            for each in await self.entries()
        ]

    async def deliver(self) -> None:
        for place in (store.audit_rows, store.audit_outbox):
            found = await self.database.read(partial(place.waiting, most=1_000))
            if found:
                await self.database.write(lambda c, p=place, f=found: p.delivered(c, f, self.trail._now()))


@pytest.fixture
async def unserved(signer: Any, tmp_path: Path) -> AsyncIterator[CommandRpcHarness]:
    url = f"sqlite:///{tmp_path}/command.sqlite3"
    migrations = Path(services.command.__file__).with_name("migrations")
    await asyncio.to_thread(migrated, url, migrations, store.HEAD)
    database = await open_database(url)
    service = CommandRpcHarness(FakeDispatch(), FakeConditions(), None)  # type: ignore[arg-type]  # below
    service.signer = signer
    service.audit = Audit(database, lambda: service.now)
    service.commands = store.SqlCommands(database, CommandAuditEntries(service.audit.ids))
    yield service
    await database.close()


@pytest.fixture
def audit(unserved: Any) -> Audit:
    found: Audit = unserved.audit
    return found


@pytest.fixture
def build_room(served: Any, unserved: Any, grpc_add_to_server: Any) -> Any:
    service = unserved
    service.refused = RefusedRequests(service.commands, lambda: service.now)

    def build(settings: Any, verifier: Any) -> GrpcServer:
        register = partial(
            grpc_add_to_server, DoorCommandServicer(service.deps, service.refused, service.waits)
        )
        return GrpcServer(
            settings,
            list(served.services),
            register,
            served.policy,
            verifier,
            served.refusal_of,
            audit=service.audit.trail.tell,
        )

    return build


def succeeded(at: Any) -> Ending:
    doors = (DoorResult("driver", True, False),)
    return Ending(Status.SUCCESS, at, "Done.", door_results=doors)


async def test_an_accepted_command_is_one_row_with_all_that_the_ledger_needs(
    service: CommandRpcHarness, audit: Audit
) -> None:
    claims = {
        "actor": "agent-7",
        "case": "case-9",
        "acr": "urn:two",
        "source": "CALL_CENTER",
        "role": "OWNER",
    }
    answer = await service.unlock("c-1", {"targetDoors": ["driver"], "unlockMode": "NORMAL"}, **claims)
    (entry,) = await audit.entries()
    assert (entry.kind, AuditDecision.Name(entry.decision)) == ("COMMAND_ACCEPTED", "AUDIT_DECISION_ALLOWED")
    assert (entry.vin, entry.command_id, entry.correlation_id) == (VIN, answer.command_id, "c-1")
    assert (entry.subject, entry.actor, entry.source) == ("user-123", "agent-7", "CALL_CENTER")
    assert (entry.action, entry.rule, entry.factors[-1]) == ("door.unlock", "OWNER", "acr:urn:two")
    assert dict(entry.detail) == {"doors": "driver", "mode": "NORMAL", "case": "case-9"}
    assert entry.at.ToDatetime(tzinfo=service.now.tzinfo) == service.now


async def test_of_each_request_there_is_one_decision_whatever_becomes_of_it(
    service: CommandRpcHarness, audit: Audit
) -> None:
    await service.unlock("c-1")
    await service.unlock("c-1")  # repeated: the first answer
    await refused(service.unlock("c-2"))  # another is in flight
    await refused(service.unlock("c-1", {"targetDoors": ["driver"]}))  # the id with another body
    await refused(service.unlock("c-3", {"targetDoors": ["driver", "driver"]}))  # not valid
    service.advisory_states[VIN] = AdvisoryState(service.now, speed_kmh=30.0)
    await refused(service.unlock("c-4"))
    await refused(service.cancel("x-1", "c-unknown"))
    await refused(service.unlock("c-5", actions=("door.status.read",)))
    decisions = [told for told in await audit.told() if told[1] != "NONE"]
    assert sorted(decisions) == sorted(
        [
            ("COMMAND_ACCEPTED", "ALLOWED", "c-1"),
            ("NOTHING_CHANGED", "ALLOWED", "c-1"),
            ("COMMAND_REFUSED", "REFUSED", "c-2"),
            ("COMMAND_REFUSED", "REFUSED", "c-1"),
            ("COMMAND_REFUSED", "REFUSED", "c-3"),
            ("COMMAND_REFUSED", "REFUSED", "c-4"),
            ("COMMAND_REFUSED", "REFUSED", "x-1"),
            ("COMMAND_REFUSED", "REFUSED", "c-5"),
        ]
    )
    reasons = {e.correlation_id: e.rule for e in await audit.entries() if e.kind == "COMMAND_REFUSED"}
    assert (reasons["c-2"], reasons["c-4"]) == ("COMMAND_IN_PROGRESS", "VEHICLE_MOVING")


async def test_reading_is_accesss_to_record(service: CommandRpcHarness, audit: Audit) -> None:
    answer = await service.unlock("c-1")
    await service.details(answer.command_id)
    await refused(service.details("cmd-unknown"))
    assert await audit.told() == [("COMMAND_ACCEPTED", "ALLOWED", "c-1")]


async def test_what_the_vehicle_signed_is_with_what_became_of_the_command(
    service: CommandRpcHarness, audit: Audit
) -> None:
    answer = await service.unlock("c-1", {"targetDoors": ["driver"]})
    report = ReportedResult("m-1", VIN, answer.command_id, succeeded(service.now))
    said = VerifiedMessage(VIN, lambda _store: report, EVIDENCE)
    await ingest_messages(service.deps, [said])
    await ingest_messages(service.deps, [said])  # a message may come twice
    first, ended = await audit.entries()
    assert (ended.kind, ended.command_id) == ("COMMAND_SUCCESS", answer.command_id)
    assert AuditDecision.Name(ended.decision) == "AUDIT_DECISION_NONE"
    assert (ended.order_sha256, ended.result) == (EVIDENCE.order_sha256, EVIDENCE.signed)
    assert ended.result_sha256 == hashlib.sha256(EVIDENCE.signed).digest()
    assert ended.detail["doors"] == "driver"
    assert (first.order_sha256, first.result) == (b"", b"")


async def test_a_result_too_large_for_an_entry_leaves_its_hash(
    service: CommandRpcHarness, audit: Audit
) -> None:
    answer = await service.unlock("c-1", {"targetDoors": ["driver"]})
    report = ReportedResult("m-1", VIN, answer.command_id, succeeded(service.now))
    large = SignedEvidence(b"o" * 32, b"x" * 5_000)
    await ingest_messages(service.deps, [VerifiedMessage(VIN, lambda _store: report, large)])
    ended = (await audit.entries())[-1]
    assert (ended.result, ended.result_sha256) == (b"", large.sha256)


async def test_a_cancellation_is_a_decision_and_the_end_tells_of_it(
    service: CommandRpcHarness, audit: Audit
) -> None:
    await service.unlock("c-1")
    await service.cancel("x-1", "c-1")
    told = await audit.told()
    assert ("CANCEL_REQUESTED", "ALLOWED", "x-1") in told
    cancelled = next(e for e in await audit.entries() if e.kind == "CANCEL_REQUESTED")
    assert (cancelled.action, cancelled.detail["force"]) == ("door.cancel", "false")
    assert cancelled.detail["reason"] == "User cancellation"


async def test_retention_takes_what_the_ledger_has_and_nothing_else(
    service: CommandRpcHarness, audit: Audit
) -> None:
    answer = await service.unlock("c-1", {"targetDoors": ["driver"]})
    await service.vehicle_ends(answer.command_id, succeeded(service.now))
    service.now += timedelta(days=366 * 3)
    tables = kept_tables(service.deps.rules, timedelta(days=30))
    retention = Retention(audit.database, tables, store.holds, lambda: service.now)
    await retention.run_once()
    assert [kind for kind, _, _ in await audit.told()] == ["COMMAND_ACCEPTED", "COMMAND_SUCCESS"]
    await audit.deliver()
    await retention.run_once()
    count = await audit.database.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM audit").scalar_one())
    assert count == 0


async def test_a_row_of_an_older_version_is_told_as_well(service: CommandRpcHarness, audit: Audit) -> None:
    await service.unlock("c-1", {"targetDoors": ["driver"]})
    await audit.database.write(lambda c: c.exec_driver_sql("UPDATE audit SET entry = NULL").rowcount)
    (entry,) = await audit.entries()
    assert (entry.entry_id, entry.kind, entry.detail["doors"]) == (
        "command-row-1",
        "COMMAND_ACCEPTED",
        "driver",
    )

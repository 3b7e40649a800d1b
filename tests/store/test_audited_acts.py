"""What is done and the entry that says so are one commit, on both databases; whose call it was comes with it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.audit.v1.audit_entry_pb2 import AuditDecision, AuditEntry
from sqlalchemy import MetaData

import services.enrolment
from services.enrolment.adapters import store
from services.enrolment.domain import CredentialInUseError, Enrolment
from services.platform import call as calls
from services.platform.audit_entry import EntryIds
from services.platform.audit_outbox import AuditOutbox
from services.platform.audited_database import AuditedAct, AuditedDatabase, note_act
from services.platform.call import Call
from services.platform.capability import Capability
from services.platform.database import open_database
from services.platform.dead_letters import DeadLetter, DeadLetters, LetterLimits
from services.telematics.senders import sender_of
from tests.support.databases import migrated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.platform.database import Database

VIN, OTHER = "KMHSH81C7LU123456", "KMHSH81C7LU654321"
T0 = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
OPERATOR = "spiffe://ecarus/operator"
MIGRATIONS = Path(services.enrolment.__file__).with_name("migrations")
LETTERS_AND_ENTRIES = MetaData()
LETTERS = DeadLetters(LETTERS_AND_ENTRIES, sender_of)
ENTRIES = AuditOutbox(LETTERS_AND_ENTRIES)


@pytest.fixture
async def plain(database_url: str) -> AsyncIterator[Database]:
    await asyncio.to_thread(migrated, database_url, MIGRATIONS, store.HEAD)
    opened = await open_database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
def database(plain: Database) -> AuditedDatabase:
    return AuditedDatabase(plain, store.audit_outbox, EntryIds("enrolment"))


def operators(method: str = "/x.VehicleEnrolmentService/EnrolVehicle") -> Call:
    return Call(method, "corr-1", OPERATOR, None, {}, changes=True)


async def during(call: Call, work: Any) -> Any:
    """Run it as a server does: the call is bound in the task that serves it."""

    async def serve() -> Any:
        calls.bind(call)
        return await work

    return await asyncio.create_task(serve())


async def entries(database: Any, outbox: AuditOutbox = store.audit_outbox) -> list[tuple[str, str, str, str]]:
    """Kind, decision, actor and vehicle of each."""
    waiting = await database.read(lambda c: outbox.waiting(c, 100))
    found = [AuditEntry.FromString(each.entry) for each in waiting]
    assert len({each.entry_id for each in found}) == len(found)
    return [
        (e.kind, AuditDecision.Name(e.decision).removeprefix("AUDIT_DECISION_"), e.actor, e.vin)
        for e in found
    ]


async def test_what_an_operator_does_to_cars_is_an_entry_of_its_commit(database: AuditedDatabase) -> None:
    record = store.SqlEnrolmentRecord(database)
    enrol, revoke, again = operators(), operators(), operators()
    await during(enrol, record.put(Enrolment(VIN, "aa", T0)))
    await during(revoke, record.revoke(VIN, T0))
    await during(again, record.revoke(VIN, T0))
    assert await entries(database) == [
        ("VEHICLE_ENROLLED", "ALLOWED", OPERATOR, VIN),
        ("VEHICLE_REVOKED", "ALLOWED", OPERATOR, VIN),
    ]
    assert (enrol.is_recorded, revoke.is_recorded, again.is_recorded) == (True, True, False)


async def test_what_is_rolled_back_was_not_done(database: AuditedDatabase) -> None:
    record = store.SqlEnrolmentRecord(database)
    await record.put(Enrolment(VIN, "aa", T0))
    call = operators()
    with pytest.raises(CredentialInUseError):
        await during(call, record.put(Enrolment(OTHER, "aa", T0)))
    assert [kind for kind, *_ in await entries(database)] == ["VEHICLE_ENROLLED"]
    assert not call.is_recorded


async def test_what_nobody_asked_for_decides_nothing(database: AuditedDatabase) -> None:
    await store.SqlEnrolmentRecord(database).put(Enrolment(VIN, "aa", T0))
    assert await entries(database) == [("VEHICLE_ENROLLED", "NONE", "", VIN)]


async def test_of_several_acts_of_a_call_one_is_the_decision(database: AuditedDatabase) -> None:
    capability = Capability(
        subject="user-123",
        actor="agent-7",
        resource=VIN,
        actions=frozenset({"door.grants.write"}),
        factors=frozenset({"pwd", "otp"}),
        source="CALL_CENTER",
        issued_at=0.0,
        expires_at=60.0,
        role="OWNER",
        case="case-9",
    )
    call = Call("/x/TransferOwnership", "corr-1", "spiffe://ecarus/edge", capability, {}, changes=True)

    def work(connection: Any) -> None:
        for kind in ("GRANT_REVOKED", "OWNERSHIP_TRANSFERRED"):
            note_act(connection, AuditedAct(kind, T0, "user-123", "user-789", VIN))

    await during(call, database.write(work))
    await during(call, database.write(work))  # what follows in another commit decides nothing any more
    told = [(kind, decision) for kind, decision, _, _ in await entries(database)]
    assert told == [
        ("GRANT_REVOKED", "NONE"),
        ("OWNERSHIP_TRANSFERRED", "ALLOWED"),
        ("GRANT_REVOKED", "NONE"),
        ("OWNERSHIP_TRANSFERRED", "NONE"),
    ]
    assert {actor for _, _, actor, _ in await entries(database)} == {"agent-7"}


async def test_without_a_ledger_nothing_is_written_for_it(plain: Database) -> None:
    await store.SqlEnrolmentRecord(plain).put(Enrolment(VIN, "aa", T0))
    assert await entries(plain) == []


async def test_a_dead_letter_that_is_replayed_is_an_entry_once(empty_database_url: str) -> None:
    opened = await open_database(empty_database_url)
    try:
        await opened.write(LETTERS_AND_ENTRIES.create_all)
        limits = LetterLimits(payload_bytes=10, per_sender=3)
        await LETTERS.dead_letter(opened, [DeadLetter(f"vehicle.{VIN}.evt.result", b"x", "why", T0)], limits)
        (letter,) = await LETTERS.newest(opened, 10)
        database = AuditedDatabase(opened, ENTRIES, EntryIds("command"))
        for _ in range(2):
            call = operators("/x.DeadLetterService/ReplayDeadLetter")
            await during(call, LETTERS.mark_replayed(database, letter.letter_id, T0))
        assert await entries(database, ENTRIES) == [("DEAD_LETTER_REPLAYED", "ALLOWED", OPERATOR, "")]
    finally:
        await opened.close()

"""A vehicle's audit as people read it: what is theirs to see, in plain words, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.audit.v1 import audit_reading_service_pb2 as reading_rpc
from ecarus.remotecontrol.audit.v1.audit_reading_service_pb2_grpc import AuditReadingServiceStub
from ecarus.remotecontrol.door.v1 import door_audit_service_pb2 as rpc
from ecarus.remotecontrol.door.v1.door_audit_pb2 import AuditOutcome
from ecarus.remotecontrol.door.v1.door_audit_service_pb2_grpc import DoorAuditServiceStub

from services.audit.adapters import reading_server
from services.audit.adapters.reading_server import AuditReadingServicer, DoorAuditServicer
from services.audit.adapters.reading_translate import reading_refusal_of
from services.audit.adapters.store import SqlLedger, SqlLedgerReading
from services.audit.domain.entries import AuditDecision, AuditEntry
from services.audit.domain.history import HistoryBrokenError
from services.platform.database import open_database
from services.platform.server import GrpcServer
from tests.support.audit_entries import HOUSE_KEY, VIN, migrated_audit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

OTHER = "KMHSH81C7LU654321"
NOW = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
OWNER_SINCE = NOW - timedelta(days=3)
MEMBERS = {
    "owner": {"subject": "user-123", "actor": "user-123", "role": "OWNER", "since": OWNER_SINCE},
    "agent": {
        "subject": "user-123",
        "actor": "agent-7",
        "role": "OWNER",
        "since": OWNER_SINCE,
        "case": "c-9",
    },
    "shared": {"subject": "user-789", "actor": "user-789", "role": "SHARED_USER", "since": OWNER_SINCE},
    "new owner": {"subject": "user-900", "actor": "user-900", "role": "OWNER", "since": NOW},
}


class FakeReceipts:
    """Proves every leaf below `size`."""

    def __init__(self) -> None:
        self.size = 0
        self.broken = ""

    async def receipt(self, leaf_index: int) -> bytes | None:
        if self.broken:
            raise HistoryBrokenError(self.broken)
        return f"receipt of leaf {leaf_index}\n".encode() if leaf_index < self.size else None


class AuditHarness:
    """The ledger with what the test says, and who asks."""

    def __init__(self, database: Any, signer: Any) -> None:
        self.ledger = SqlLedger(database, HOUSE_KEY, lambda: NOW)
        self.reading = SqlLedgerReading(database, HOUSE_KEY)
        self.receipts = FakeReceipts()
        self.signer = signer
        self.stub: Any = None
        self._number = 0

    async def keep(self, kind: str, **more: Any) -> AuditEntry:
        self._number += 1
        decision = AuditDecision[more.pop("decision", "ALLOWED")]
        made = AuditEntry(
            entry_id=f"access-{self._number}",
            at=more.pop("at", NOW - timedelta(minutes=60 - self._number)),
            service="access",
            kind=kind,
            decision=decision,
            vin=more.pop("vin", VIN),
            subject=more.pop("subject", "user-123"),
            correlation_id=f"c-{self._number}",
        )
        entry = replace(made, **more)
        assert not (await self.ledger.append([entry]))[0]
        return entry

    def metadata(self, who: str, action: str = "door.audit.read") -> Any:
        claims = dict(MEMBERS[who])
        claims["since"] = claims["since"].timestamp()
        token = self.signer.capability(VIN, action, services=("audit",), **claims)
        return (
            ("x-ecarus-capability", token),
            ("x-correlation-id", "t-1"),
            ("x-envoy-original-path", "/door/audit?x=1"),
        )

    async def audit(self, who: str = "owner", **query: Any) -> Any:
        request = rpc.ListDoorAuditRequest(vin=VIN, **query)
        return await self.stub.ListDoorAudit(request, metadata=self.metadata(who), timeout=30)

    async def sentences(self, who: str = "owner", **query: Any) -> list[str]:
        return [entry.sentence for entry in (await self.audit(who, **query)).entries]

    async def receipt(self, command_id: str, who: str = "owner") -> Any:
        request = rpc.GetCommandReceiptRequest(vin=VIN, command_id=command_id)
        return await self.stub.GetCommandReceipt(
            request, metadata=self.metadata(who, "door.status.read"), timeout=30
        )


@pytest.fixture
async def unserved(signer: Any, tmp_path: Path) -> AsyncIterator[AuditHarness]:
    url = f"sqlite:///{tmp_path}/ledger.sqlite3"
    await migrated_audit(url)
    database = await open_database(url)
    yield AuditHarness(database, signer)
    await database.close()


@pytest.fixture
def room_name() -> str:
    return "audit"


@pytest.fixture
def build_room(unserved: AuditHarness) -> Any:
    async def record(entry: AuditEntry) -> None:
        assert not (await unserved.ledger.append([entry]))[0]

    numbers = iter(range(1, 1_000))

    def build(settings: Any, verifier: Any) -> GrpcServer:
        def register(server: Any) -> None:
            DoorAuditServicer(unserved.reading, unserved.receipts, lambda: NOW).register(server)
            AuditReadingServicer(
                unserved.reading, record, lambda: f"audit-{next(numbers)}", lambda: NOW
            ).register(server)

        return GrpcServer(
            settings,
            [reading_server.DOOR_SERVICE, reading_server.READING_SERVICE],
            register,
            reading_server.READING_POLICY,
            verifier,
            reading_refusal_of,
        )

    return build


@pytest.fixture
def grpc_stub_cls() -> type[DoorAuditServiceStub]:
    return DoorAuditServiceStub


@pytest.fixture
def house(unserved: AuditHarness, grpc_stub: Any) -> AuditHarness:
    unserved.stub = grpc_stub
    return unserved


def code_of(caught: Any) -> str:
    details = dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
    return next(
        word
        for word in ("COMMAND_NOT_FOUND", "RECEIPT_NOT_READY", "INVALID_REQUEST", "CALLER_NOT_ALLOWED")
        if word.encode() in details
    )


async def test_an_owner_reads_in_plain_words_who_looked_who_asked_and_who_was_refused(
    house: AuditHarness,
) -> None:
    await house.keep("ACCESS_ALLOWED", action="door.status.read", rule="OWNER", source="WEB")
    await house.keep("ACCESS_ALLOWED", action="door.history.read", subject="user-789", rule="SHARED_USER")
    await house.keep(
        "ACCESS_REFUSED",
        decision="REFUSED",
        action="door.unlock",
        subject="user-456",
        rule="VEHICLE_NOT_FOUND",
    )
    await house.keep(
        "COMMAND_ACCEPTED",
        action="door.unlock",
        actor="agent-7",
        command_id="cmd-1",
        detail={"doors": "driver", "case": "case-9"},
    )
    await house.keep("COMMAND_SUCCESS", decision="NONE", action="door.unlock", command_id="cmd-1",
                     detail={"doors": "driver"})  # fmt: skip
    await house.keep("COMMAND_REFUSED", decision="REFUSED", action="door.lock", rule="DOOR_OPEN")
    await house.keep("GRANT_OFFERED", action="door.grants.write", subject="user-789", actor="user-123")
    await house.keep("ACCOUNT_LOCKED", subject="user-789", actor="spiffe://ecarus/operator")
    await house.keep("CONFIG_CHANGED", detail={"auto_lock_enabled": "False"})
    await house.keep("SOMETHING_NEW", decision="NONE")
    page = await house.audit()
    assert [entry.sentence for entry in page.entries] == [
        "You: something new.",
        "You changed the door settings (auto lock enabled False).",
        "An operator: account locked for user-789.",
        "You offered a right for user-789.",
        "You asked to lock the doors and was refused: a door stood open.",
        "The vehicle did as it was asked to (driver).",
        "Agent agent-7 asked to unlock the doors, and it was accepted (driver).",
        "Somebody without a right to this vehicle asked to unlock the doors and was refused: "
        "there was no right to this vehicle.",
        "user-789 looked at the history.",
        "You looked at the doors, or at a command.",
    ]
    assert not page.HasField("next_page_token")
    stranger = page.entries[-3]
    assert (stranger.HasField("user_id"), stranger.HasField("correlation_id")) == (False, False)
    assert (stranger.decision, stranger.rule) == (AuditOutcome.REFUSED, "VEHICLE_NOT_FOUND")
    assert "user-456" not in str(page)
    accepted = page.entries[6]
    assert (accepted.user_id, accepted.actor_id, accepted.command_id) == ("user-123", "agent-7", "cmd-1")
    operators = page.entries[2]
    assert not operators.HasField("actor_id")
    assert "spiffe" not in str(page)


@pytest.mark.parametrize("rule", ["RATE_LIMITED", "ACCOUNT_LOCKED", "CASE_NOT_OPEN", "VEHICLE_NOT_FOUND"])
async def test_strangers_are_named_to_nobody_whatever_they_were_refused_for(
    house: AuditHarness, rule: str
) -> None:
    refused = {"decision": "REFUSED", "action": "door.status.read", "rule": rule}
    await house.keep("ACCESS_REFUSED", subject="mallory", actor="agent-9", **refused)
    await house.keep(
        "ACCESS_REFUSED",
        subject="user-789",
        **refused | {"rule": "RATE_LIMITED"},
        detail={"has_right": "true"},
    )
    page = await house.audit()
    known, stranger = page.entries
    assert "mallory" not in str(page)
    assert "agent-9" not in str(page)
    assert not stranger.HasField("correlation_id")
    assert stranger.sentence.startswith("Somebody without a right to this vehicle asked to look")
    assert (known.user_id, known.correlation_id) == ("user-789", "c-2")


async def test_nobody_sees_more_than_their_role_allows(house: AuditHarness) -> None:
    await house.keep("ACCESS_ALLOWED", action="door.status.read", at=OWNER_SINCE - timedelta(hours=1))
    await house.keep("ACCESS_ALLOWED", action="door.status.read", at=NOW - timedelta(hours=2))
    await house.keep("ACCESS_ALLOWED", action="door.status.read", subject="user-789")
    await house.keep("GRANT_OFFERED", subject="user-789", actor="user-123", action="door.grants.write")
    await house.keep("ACCESS_ALLOWED", action="door.status.read", vin=OTHER)
    owner, shared = await house.audit(period="30d"), await house.audit("shared", period="30d")
    assert [entry.user_id for entry in owner.entries] == ["user-789", "user-789", "user-123"]
    assert [entry.sentence for entry in shared.entries] == [
        "user-123 offered a right for you.",
        "You looked at the doors, or at a command.",
    ]
    agents = await house.audit("agent", period="30d")
    assert [entry.entry_id for entry in agents.entries] == [entry.entry_id for entry in owner.entries]
    assert await house.sentences("new owner", period="30d") == []  # nothing of the seller's time
    assert len((await house.audit(period="1h")).entries) == 2


async def test_a_severance_is_seen_by_who_asked_for_it_alone(house: AuditHarness) -> None:
    severed = {"subject": "user-789", "actor": "user-789", "detail": {"person": "user-123"}}
    await house.keep("GRANT_SEVERED", decision="NONE", **severed)
    await house.keep("ACCESS_SEVERED", action="door.access.sever", **severed)
    await house.keep("ACCESS_REFUSED", decision="REFUSED", action="door.access.sever",
                     rule="STEP_UP_REQUIRED", subject="user-789")  # fmt: skip
    await house.keep("ACCESS_ALLOWED", action="door.access.sever", subject="user-789")
    assert await house.sentences("owner") == []
    assert await house.sentences("agent") == []
    assert len(await house.sentences("shared")) == 4
    await house.keep("ACCESS_SEVERED", action="door.access.sever")
    assert len(await house.sentences("owner")) == 1
    assert await house.sentences("agent") == []  # an agent is told of nobody's


async def test_pages_follow_each_other_and_hold_still_under_what_comes(house: AuditHarness) -> None:
    for number in range(7):
        await house.keep("ACCESS_ALLOWED", action="door.status.read", at=NOW - timedelta(minutes=9 - number))
    seen: list[str] = []
    token = ""
    for _ in range(10):
        page = await house.audit(limit=3, **({"page_token": token} if token else {}))
        seen += [entry.entry_id for entry in page.entries]
        await house.keep("ACCESS_ALLOWED", action="door.history.read")
        token = page.next_page_token
        if not token:
            break
    assert len(seen) == len(set(seen)) == 7
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await house.audit(page_token="MTp4")
    assert code_of(caught) == "INVALID_REQUEST"


async def test_only_what_was_refused(house: AuditHarness) -> None:
    await house.keep("ACCESS_ALLOWED", action="door.status.read")
    await house.keep("COMMAND_REFUSED", decision="REFUSED", action="door.lock", rule="DOOR_OPEN")
    page = await house.audit(decision=AuditOutcome.REFUSED)
    assert [entry.kind for entry in page.entries] == ["COMMAND_REFUSED"]


async def test_who_is_forgotten_is_somebody(house: AuditHarness) -> None:
    await house.keep("ACCESS_ALLOWED", action="door.status.read", subject="user-789")
    await house.ledger.destroy_key("user-789")
    page = await house.audit()
    assert [entry.sentence for entry in page.entries] == [
        "Somebody whose data were erased was allowed to look."
    ]
    assert not page.entries[0].HasField("user_id")


async def test_a_receipt_is_there_once_the_end_is_under_a_checkpoint(house: AuditHarness) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await house.receipt("cmd-1")
    assert code_of(caught) == "COMMAND_NOT_FOUND"
    assert dict(caught.value.trailing_metadata())["retry-after"] == "2"
    await house.keep("COMMAND_ACCEPTED", action="door.unlock", command_id="cmd-1", subject="user-789")
    for state in ("in flight", "ended, and under no checkpoint"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await house.receipt("cmd-1")
        assert code_of(caught) == "RECEIPT_NOT_READY", state
        if state == "in flight":
            await house.keep("COMMAND_TIMEOUT", decision="NONE", command_id="cmd-1", subject="user-789")
    house.receipts.size = 2
    answer = await house.receipt("cmd-1")
    assert answer.content_type.startswith("text/plain")
    assert answer.data == b"receipt of leaf 1\n"
    house.receipts.size = 3
    await house.keep("LATE_RESULT", decision="NONE", command_id="cmd-1", subject="user-789")
    assert (await house.receipt("cmd-1", "shared")).data == b"receipt of leaf 2\n"  # what the vehicle said
    await house.keep("COMMAND_ACCEPTED", action="door.unlock", command_id="cmd-2", subject="user-123")
    for who, command in (("shared", "cmd-2"), ("new owner", "cmd-1")):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await house.receipt(command, who)
        assert code_of(caught) == "COMMAND_NOT_FOUND"


async def test_an_operator_reads_on_the_record(house: AuditHarness, grpc_create_channel: Any) -> None:
    await house.keep("ACCESS_ALLOWED", action="door.status.read", subject="user-789")
    await house.keep("ACCESS_ALLOWED", action="door.status.read", subject="user-789", vin=OTHER)
    async with grpc_create_channel("team/operator/alice") as channel:
        stub = AuditReadingServiceStub(channel)
        about = reading_rpc.ListEntriesRequest(principal="user-789", reason="ticket 7")
        answer = await stub.ListEntries(about, timeout=30)
        assert [(e.members["vin"], e.service) for e in answer.entries if e.kind != "AUDIT_READ"] == [
            (OTHER, "access"),
            (VIN, "access"),
        ]
        read = answer.entries[0]  # it is in the ledger before it is answered
        assert (read.kind, read.members["actor"]) == ("AUDIT_READ", "spiffe://ecarus/team/operator/alice")
        assert "ticket 7" in read.members["detail"]
        first = await stub.ListEntries(
            reading_rpc.ListEntriesRequest(vin=VIN, reason="ticket 7", page_size=1), timeout=30
        )
        assert len(first.entries) == 1
        assert first.next_page_token
    assert await house.sentences("owner") == [
        "An operator read the audit.",
        "user-789 looked at the doors, or at a command.",
    ]
    async with grpc_create_channel("operator") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await AuditReadingServiceStub(channel).ListEntries(about, timeout=30)
    assert code_of(caught) == "CALLER_NOT_ALLOWED"


async def test_people_are_not_told_what_is_wrong_with_a_ledger(
    house: AuditHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    await house.keep("COMMAND_SUCCESS", command_id="cmd-1", decision="NONE")
    house.receipts.broken = "the checkpoint of 12 leaves was changed: it is of another tree"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await house.receipt("cmd-1")
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert refused.value.details() == (
        "The audit's ledger can neither take nor prove anything now; its operators are told. Ask again later."
    )
    assert house.receipts.broken in capsys.readouterr().out

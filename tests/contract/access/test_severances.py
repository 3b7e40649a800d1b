"""Severing access: one request ends all that a person may do with a vehicle, tells nobody, and takes two to undo."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2, grant_pb2
from ecarus.remotecontrol.door.v1 import door_grant_service_pb2 as rpc
from ecarus.remotecontrol.door.v1.door_grant_pb2 import SeveranceState

from services.access.domain.severance import business_days_after
from tests.contract.access.access_service import VIN, acting, revocations
from tests.contract.access.door_of_rights import KINDS, STATES, DoorOfRights, RefusedError, alerts, reason_of

if TYPE_CHECKING:
    from pathlib import Path

RATES = {"command": 100, "cancel": 60, "read": 100, "refused": 30, "unknown": 20, "failed": 60}


@pytest.fixture
def rates() -> dict[str, int]:
    return RATES


async def sever(rights: DoorOfRights, who: str, person: str, **more: Any) -> Any:
    request = rpc.SeverAccessRequest(vin=VIN)
    request.severance.person = person
    request.severance.evidence = more.pop("evidence", "court file 17/2026")
    return await rights.ask(who, "POST", "access/sever", request, body=request.severance, **more)


async def shown(rights: DoorOfRights, who: str, severance_id: str) -> Any:
    request = rpc.GetSeveranceRequest(vin=VIN, severance_id=severance_id)
    return await rights.ask(who, "GET", f"access/severances/{severance_id}", request)


async def test_who_shares_a_car_severs_its_owner(
    rights: DoorOfRights, sent: list[Any], tmp_path: Path
) -> None:
    await rights.accepted(principal="survivor", kind=KINDS.SHARED_USER, name="first")
    await rights.give(principal="user-123", name="own")  # a key of the owner's own phone
    sent.clear()
    done = await sever(rights, "survivor", "user-123")
    assert (done.person, done.state) == ("user-123", SeveranceState.IN_PROGRESS)
    assert done.due_at.seconds > done.requested_at.seconds + 86_400
    refused = await rights.may("user-123")
    assert refused is not None
    assert refused["code"] == "VEHICLE_NOT_FOUND"  # as if there were no such vehicle
    assert await rights.may("survivor") is None
    (told,) = revocations(sent)
    assert (told.principal, told.vin, list(told.remaining)) == ("user-123", VIN, [])
    assert alerts(sent) == []
    (heard,) = (
        grant_pb2.AccessChanged.FromString(m.payload) for m in sent if m.subject == "room.access.changed"
    )
    assert (heard.change, list(heard.owners)) == (grant_pb2.ACCESS_CHANGE_SEVERED, [])
    again = await shown(rights, "survivor", done.severance_id)
    assert again.state == SeveranceState.IN_PROGRESS  # nothing has left: the relay is not running
    with closing(sqlite3.connect(tmp_path / "access-record.sqlite3")) as record, record:
        record.execute("UPDATE outbox SET sent_at = created_at + 1000000")
    again = await shown(rights, "survivor", done.severance_id)
    assert again.state == SeveranceState.DONE
    assert (again.HasField("due_at"), again.HasField("completed_at")) == (False, True)
    with closing(sqlite3.connect(tmp_path / "access-record.sqlite3")) as record:
        acts = record.execute(
            "SELECT actor, principal FROM audit_entry WHERE act = 'ACCESS_SEVERED'"
        ).fetchall()
    assert acts == [("survivor", "user-123")]


async def test_the_same_again_is_one_and_only_who_asked_sees_it(rights: DoorOfRights) -> None:
    await rights.accepted(principal="survivor", kind=KINDS.SHARED_USER, name="first")
    one = await sever(rights, "survivor", "nobody-here", id="s-1")  # also of somebody without a right
    assert await sever(rights, "survivor", "nobody-here", id="s-1") == one
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await sever(rights, "survivor", "somebody-else", id="s-1")
    assert reason_of(caught) == "CORRELATION_ID_REUSED"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await shown(rights, "user-123", one.severance_id)
    assert reason_of(caught) == "GRANT_NOT_FOUND"


async def test_a_key_a_stranger_and_an_agent_sever_nothing(rights: DoorOfRights) -> None:
    await rights.accepted(principal="key", name="first")
    with pytest.raises(RefusedError, match="ACTION_NOT_GRANTED"):
        await sever(rights, "key", "user-123")
    with pytest.raises(RefusedError, match="VEHICLE_NOT_FOUND"):
        await sever(rights, "stranger", "user-123")
    with pytest.raises(RefusedError, match="ACTION_NOT_GRANTED"):
        await sever(rights, "user-123", "key", **acting("agent-7"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await sever(rights, "user-123", "user-123")
    assert reason_of(caught) == "INVALID_REQUEST"


async def test_who_is_severed_gets_no_right_until_two_operators_take_it_back(
    rights: DoorOfRights, operators: Any
) -> None:
    alice, bob = operators
    await rights.accepted(principal="survivor", kind=KINDS.SHARED_USER, name="first")
    shared = await rights.accepted(principal="other", kind=KINDS.SHARED_USER, name="second")
    done = await sever(rights, "survivor", "other")
    assert "other" not in {grant.principal for grant in await rights.listed()}  # nor is it shown as ended
    for name in ("again", "second"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rights.give(principal="other", kind=KINDS.SHARED_USER, name=name)
        assert reason_of(caught) == "GRANT_NOT_POSSIBLE"
    request = access_service_pb2.CreateGrantRequest(
        grant_id="g-1", principal="other", vin=VIN, role=grant_pb2.GRANT_ROLE_DIGITAL_KEY
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await alice.CreateGrant(request, timeout=5)
    assert reason_of(caught) == "GRANT_NOT_POSSIBLE"
    (listed,) = (await alice.ListSeverances(access_service_pb2.ListSeverancesRequest(), timeout=5)).severances
    assert (listed.requested_by, listed.evidence) == ("survivor", "court file 17/2026")
    back = access_service_pb2.ReverseSeveranceRequest(severance_id=done.severance_id, reason="a mistake")
    for _ in range(2):  # one operator does not do it, however often
        asked = await alice.ReverseSeverance(back, timeout=5)
        assert (bool(asked.reversal_requested_by), asked.HasField("reversed_at")) == (True, False)
    assert (await rights.may("other")) is not None
    assert (await bob.ReverseSeverance(back, timeout=5)).HasField("reversed_at")
    assert await rights.may("other") is None
    ids = [grant.grant_id for grant in await rights.listed("other") if grant.state == 2]
    assert ids != [shared.grant_id]
    assert len(ids) == 1
    assert (await shown(rights, "survivor", done.severance_id)).state == SeveranceState.REVERSED


async def take_back(operators: Any, severance_id: str) -> None:
    request = access_service_pb2.ReverseSeveranceRequest(severance_id=severance_id, reason="a mistake")
    for operator in operators:
        severance = await operator.ReverseSeverance(request, timeout=5)
    assert severance.HasField("reversed_at")


async def test_what_two_have_severed_comes_back_when_both_are_taken_back(
    rights: DoorOfRights, operators: Any, sent: list[Any]
) -> None:
    for name in ("survivor-1", "survivor-2", "other"):
        await rights.accepted(principal=name, kind=KINDS.SHARED_USER, name=name)
    one = await sever(rights, "survivor-1", "other")
    two = await sever(rights, "survivor-2", "other")
    sent.clear()
    await take_back(operators, one.severance_id)
    refused = await rights.may("other")
    assert refused is not None
    assert refused["code"] == "VEHICLE_NOT_FOUND"
    assert sent == []
    await take_back(operators, two.severance_id)
    assert await rights.may("other") is None
    (alert,) = alerts(sent)
    assert alert.system_alert.code == "ACCESS_BEGUN"
    (heard,) = (
        grant_pb2.AccessChanged.FromString(m.payload) for m in sent if m.subject == "room.access.changed"
    )
    assert (heard.principal, list(heard.owners)) == ("other", ["user-123"])


async def test_what_was_given_back_and_ended_since_does_not_come_back_a_second_time(
    rights: DoorOfRights, operators: Any
) -> None:
    for name in ("survivor", "other"):
        await rights.accepted(principal=name, kind=KINDS.SHARED_USER, name=name)
    await take_back(operators, (await sever(rights, "survivor", "other", id="s-1")).severance_id)
    (back,) = [grant for grant in await rights.listed("other") if grant.state == STATES.ACTIVE]
    await rights.do("end", back)
    await take_back(operators, (await sever(rights, "survivor", "other", id="s-2")).severance_id)
    refused = await rights.may("other")
    assert refused is not None
    assert refused["code"] == "VEHICLE_NOT_FOUND"


async def test_nobody_gets_back_what_they_had_before_the_vehicle_was_handed_over(
    rights: DoorOfRights, operators: Any
) -> None:
    alice, _ = operators
    request = access_service_pb2.CreateGrantRequest(
        grant_id="co-owner", principal="partner", vin=VIN, role=grant_pb2.GRANT_ROLE_OWNER
    )
    await alice.CreateGrant(request, timeout=5)
    done = await sever(rights, "partner", "user-123")
    handed = rpc.TransferOwnershipRequest(vin=VIN, transfer={"new_owner": "buyer-1"})
    await rights.ask("partner", "POST", "ownership/transfer", handed, body=handed.transfer)
    await take_back(operators, done.severance_id)
    refused = await rights.may("user-123")
    assert refused is not None
    assert refused["code"] == "VEHICLE_NOT_FOUND"
    assert await rights.may("buyer-1") is None


async def made_owner(operator: Any, name: str) -> None:
    request = access_service_pb2.CreateGrantRequest(
        grant_id=f"own-{name}", principal=name, vin=VIN, role=grant_pb2.GRANT_ROLE_OWNER
    )
    await operator.CreateGrant(request, timeout=5)


@pytest.mark.parametrize("order", ["the new owner first", "the old owner first"])
async def test_nobody_gets_back_what_they_had_before_operators_handed_the_vehicle_over(
    rights: DoorOfRights, operators: Any, order: str
) -> None:
    alice, _ = operators
    await rights.accepted(principal="friend", kind=KINDS.SHARED_USER, name="first")
    done = await sever(rights, "user-123", "friend")
    end = access_service_pb2.RevokeGrantRequest(grant_id="sandbox-1")
    if order == "the old owner first":
        await alice.RevokeGrant(end, timeout=5)
    await made_owner(alice, "buyer-1")
    if order == "the new owner first":
        await alice.RevokeGrant(end, timeout=5)
    await take_back(operators, done.severance_id)
    refused = await rights.may("friend")
    assert refused is not None
    assert refused["code"] == "VEHICLE_NOT_FOUND"
    assert await rights.may("buyer-1") is None


async def test_a_second_owner_made_since_keeps_nothing_back(rights: DoorOfRights, operators: Any) -> None:
    alice, _ = operators
    await rights.accepted(principal="friend", kind=KINDS.SHARED_USER, name="first")
    done = await sever(rights, "user-123", "friend")
    await made_owner(alice, "partner")
    await take_back(operators, done.severance_id)
    assert await rights.may("friend") is None


async def test_an_operator_severs_for_who_has_no_right(rights: DoorOfRights, operators: Any) -> None:
    alice, _ = operators
    request = access_service_pb2.SeverVehicleAccessRequest(
        severance_id="case-1", vin=VIN, person="user-123", evidence="order 4", on_behalf_of="file 99"
    )
    severed = await alice.SeverVehicleAccess(request, timeout=5)
    assert await alice.SeverVehicleAccess(request, timeout=5) == severed
    refused = await rights.may("user-123")
    assert refused is not None
    assert refused["code"] == "VEHICLE_NOT_FOUND"
    request.evidence = "a\x1b[2J"
    request.severance_id = "case-2"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await alice.SeverVehicleAccess(request, timeout=5)
    assert reason_of(caught) == "INVALID_REQUEST"


async def test_one_person_asks_so_often(rights: DoorOfRights) -> None:
    for n in range(3):
        await sever(rights, "user-123", f"person-{n}", id=f"s-{n}")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await sever(rights, "user-123", "person-3", id="s-3")
    assert reason_of(caught) == "RATE_LIMITED"


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("2026-01-13T15:00", "2026-01-15T15:00"),
        ("2026-01-15T15:00", "2026-01-19T15:00"),  # Thursday to Monday
        ("2026-01-16T15:00", "2026-01-20T15:00"),  # Friday to Tuesday
        ("2026-01-17T15:00", "2026-01-20T15:00"),  # Saturday to Tuesday
        ("2026-01-18T15:00", "2026-01-20T15:00"),
    ],
)
def test_the_legal_clock_counts_business_days(begin: str, end: str) -> None:
    found = business_days_after(datetime.fromisoformat(begin).replace(tzinfo=UTC), 2)
    assert found == datetime.fromisoformat(end).replace(tzinfo=UTC)

"""A person's erasure, and legal holds, as people and operators ask for them."""

from __future__ import annotations

import importlib
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2
from ecarus.remotecontrol.access.v1 import legal_hold_service_pb2 as holds
from ecarus.remotecontrol.access.v1.legal_hold_service_pb2_grpc import LegalHoldServiceStub
from ecarus.remotecontrol.door.v1 import personal_data_service_pb2 as rpc
from sqlalchemy import update

from services.access.adapters.published_key import PUBLISHED_KEY
from services.access.adapters.store.person_rows import hold_decisions
from services.access.domain.approvals import APPROVAL_TIME
from tests.contract.access.access_service import (
    ALICE,
    BOB,
    FOREIGN,
    VIN,
    acting,
    problem_in,
    revocations,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.access.door_of_rights import DoorOfRights
    from tests.contract.access.other_services import OtherServices

from tests.contract.access.personal_data_door import ERASURES, PATHS, WISH, Person


@pytest.fixture
async def hold_stubs(access: Any) -> AsyncIterator[tuple[LegalHoldServiceStub, LegalHoldServiceStub]]:
    service, _ = access
    async with service.channel(ALICE) as one, service.channel(BOB) as other:
        yield LegalHoldServiceStub(one), LegalHoldServiceStub(other)


@pytest.mark.parametrize("name", PATHS)
async def test_nobody_asks_for_somebody_else_and_what_counts_needs_a_second_factor(
    person: Person, name: str
) -> None:
    request = {
        "RequestDataExport": rpc.RequestDataExportRequest(),
        "GetDataExport": rpc.GetDataExportRequest(export_id="ex-1"),
        "StreamDataExport": rpc.StreamDataExportRequest(export_id="ex-1"),
        "RequestErasure": rpc.RequestErasureRequest(wish=WISH),
        "GetErasure": rpc.GetErasureRequest(erasure_id="er-1"),
        "CancelErasure": rpc.CancelErasureRequest(erasure_id="er-1"),
    }[name]
    assert problem_in(await person.admitted(request, **acting("agent-7")))["code"] == "ACTION_NOT_GRANTED"
    assert problem_in(await person.admitted(request, bearer=PUBLISHED_KEY))["code"] == "ACTION_NOT_GRANTED"
    for_one = await person.admitted(request, vin=VIN)
    assert problem_in(for_one)["code"] == "ACTION_NOT_GRANTED"
    assert "good for one vehicle" in problem_in(for_one)["detail"]
    old = await person.admitted(request, auth_time=int(time.time()) - 3_000)
    if name in {"RequestDataExport", "StreamDataExport", "RequestErasure"}:
        assert problem_in(old)["code"] == "STEP_UP_REQUIRED"
    else:
        assert old.HasField("ok_response")


async def test_a_person_is_erased_and_no_word_of_theirs_is_left(
    person: Person, others: OtherServices, rights: DoorOfRights, sent: list[Any]
) -> None:
    who = "canary-7d41"
    await rights.accepted(principal=who, label="Key of canary-7d41")
    assert others.remains_of(who)
    asked = await person.ask(rpc.RequestErasureRequest(wish=WISH), who)
    assert asked == await person.ask(rpc.RequestErasureRequest(wish=WISH), who)
    await others.erasures.look()
    assert (await person.erasure(asked.erasure_id, who)).waits_for == "MESSAGES_WAITING"
    assert others.erased == []
    sent.clear()
    await others.step()  # the rights end; what tells of that waits to be sent
    locked = await person.admitted(rpc.GetErasureRequest(erasure_id=asked.erasure_id), who)
    assert problem_in(locked)["code"] == "ACCOUNT_LOCKED"  # nothing begins while it is done
    assert [each.principal for each in revocations(sent)] == [who, who]  # of the grant, and of the account
    assert others.erased == [(who, asked.erasure_id)]
    await others.step()
    assert [each.erasure_id for each in others.done] == [asked.erasure_id]
    assert others.remains_of(who) == []
    told = await person.erasure(asked.erasure_id, who)
    assert (told.state, told.HasField("ended_at"), told.waits_for) == (ERASURES.DONE, True, "")
    with pytest.raises(grpc.aio.AioRpcError, match="no export or erasure of this id"):
        await person.erasure(asked.erasure_id, "user-456")
    with pytest.raises(grpc.aio.AioRpcError, match="cannot be taken back"):
        await person.ask(rpc.CancelErasureRequest(erasure_id=asked.erasure_id), who)
    assert len(await rights.listed()) == 1  # the owner's own


async def test_without_its_owner_nobody_has_a_right_on_a_vehicle(
    person: Person, others: OtherServices, rights: DoorOfRights, operators: Any
) -> None:
    await rights.accepted(principal="user-789")
    await person.ask(rpc.RequestErasureRequest(wish=WISH))
    await others.step()
    problem = await rights.may("user-789")
    assert problem is not None
    assert problem["code"] == "VEHICLE_NOT_FOUND"
    alice, _ = operators
    grants = (await alice.ListGrants(access_service_pb2.ListGrantsRequest(vin=VIN), timeout=5)).grants
    assert grants
    assert all(each.HasField("revoked_at") for each in grants)
    assert (
        not (await alice.ListGrants(access_service_pb2.ListGrantsRequest(vin=FOREIGN), timeout=5))
        .grants[0]
        .HasField("revoked_at")
    )


@pytest.mark.parametrize("how", ["Lock", "Restrict"])
async def test_an_account_that_is_stopped_is_not_erased(
    person: Person, others: OtherServices, rights: DoorOfRights, operators: Any, clerk: Any, how: str
) -> None:
    asked = await person.ask(rpc.RequestErasureRequest(wish=WISH))
    stop = getattr(access_service_pb2, f"{how}AccountRequest")(principal="user-123", reason="stolen phone")
    await getattr(clerk, f"{how}Account")(stop, timeout=5)
    for _ in range(2):
        await others.step()
    (waits,) = await others.erasures_now()
    assert (waits.state, waits.in_the_way) == ("DEFERRED", "ACCOUNT_STOPPED")
    problem = await rights.may("user-123", "unlock")
    assert problem is not None
    assert problem["code"] == {"Lock": "ACCOUNT_LOCKED", "Restrict": "ACCOUNT_RESTRICTED"}[how]
    restore = access_service_pb2.RestoreAccountRequest(principal="user-123")
    for operator in operators:
        await operator.RestoreAccount(restore, timeout=5)
    await others.step()
    assert await rights.may("user-123", "unlock") is None
    told = await person.erasure(asked.erasure_id)
    assert (told.state, told.waits_for) == (ERASURES.WAITING, "")
    assert told.due_at.seconds >= time.time() + 6 * 86_400
    gone = await person.ask(rpc.CancelErasureRequest(erasure_id=asked.erasure_id))
    assert gone.state == ERASURES.CANCELLED


@pytest.mark.parametrize("how", ["Lock", "Restrict"])
async def test_a_stop_between_the_look_and_the_beginning_counts(
    person: Person, others: OtherServices, clerk: Any, how: str
) -> None:
    await person.ask(rpc.RequestErasureRequest(wish=WISH))
    stop = getattr(access_service_pb2, f"{how}AccountRequest")(principal="user-123", reason="stolen phone")
    others.before_answer = lambda: getattr(clerk, f"{how}Account")(stop, timeout=5)
    await others.step()
    assert others.erased == []
    (waits,) = await others.erasures_now()
    assert waits.state == "WAITING"
    accounts = await clerk.ListAccounts(access_service_pb2.ListAccountsRequest(), timeout=5)
    assert [each.account.reason for each in accounts.accounts if each.account.HasField("locked_at")] == (
        ["stolen phone"] if how == "Lock" else []
    )


async def test_a_restricted_person_takes_back_what_a_thief_asked_for(
    person: Person, others: OtherServices, clerk: Any
) -> None:
    asked = await person.ask(rpc.RequestErasureRequest(wish=WISH))
    stop = access_service_pb2.RestrictAccountRequest(principal="user-123", reason="odd")
    await clerk.RestrictAccount(stop, timeout=5)
    for request in (rpc.RequestErasureRequest(wish=WISH), rpc.RequestDataExportRequest()):
        assert problem_in(await person.admitted(request))["code"] == "ACCOUNT_RESTRICTED"
    assert (await person.erasure(asked.erasure_id)).state == ERASURES.WAITING
    gone = await person.ask(rpc.CancelErasureRequest(erasure_id=asked.erasure_id))
    assert gone.state == ERASURES.CANCELLED
    await others.step()
    assert others.erased == []


@pytest.mark.parametrize("stands", ["COMMAND_IN_FLIGHT", "SETTINGS_IN_FLIGHT", "away"])
async def test_an_erasure_waits_and_can_be_taken_back(
    person: Person, others: OtherServices, rights: DoorOfRights, stands: str
) -> None:
    others.stands, others.is_away = stands, stands == "away"
    asked = await person.ask(rpc.RequestErasureRequest(wish=WISH))
    assert asked.state == ERASURES.WAITING
    await others.step()
    told = await person.erasure(asked.erasure_id)
    assert told.state == ERASURES.DEFERRED
    assert told.waits_for == ("SERVICE_AWAY" if stands == "away" else stands)
    assert others.erased == []
    assert await rights.may("user-123") is None  # nothing of theirs was touched
    gone = await person.ask(rpc.CancelErasureRequest(erasure_id=asked.erasure_id))
    assert gone.state == ERASURES.CANCELLED
    await person.ask(rpc.CancelErasureRequest(erasure_id=asked.erasure_id))
    others.stands, others.is_away = "", False
    await others.step()
    assert others.erased == []
    again = await person.ask(rpc.RequestErasureRequest(wish=WISH))
    assert again.erasure_id != asked.erasure_id


async def test_what_comes_up_after_it_began_is_waited_for(person: Person, others: OtherServices) -> None:
    asked = await person.ask(rpc.RequestErasureRequest(wish=WISH), "user-456")
    others.stands_later = "COMMAND_IN_FLIGHT"
    await others.step()
    assert others.done == []
    others.stands_later = ""
    await others.step()
    assert [each.erasure_id for each in others.done] == [asked.erasure_id]


async def test_a_legal_hold_takes_two_and_forbids_to_erase(
    person: Person, others: OtherServices, hold_stubs: Any
) -> None:
    alice, bob = hold_stubs
    request = holds.SetLegalHoldRequest(hold_id="h-1", person="user-456", reason="Court order 7 C 12/26")
    one = await alice.SetLegalHold(request, timeout=5)
    assert (one.requested_by, one.HasField("set_at")) == ("spiffe://ecarus/" + ALICE, False)
    again = await alice.SetLegalHold(request, timeout=5)
    assert not again.HasField("set_at")
    assert others.held == []
    both = await bob.SetLegalHold(request, timeout=5)
    assert (both.approved_by, both.HasField("set_at")) == ("spiffe://ecarus/" + BOB, True)
    assert others.held == ["h-1"]

    asked = await person.ask(rpc.RequestErasureRequest(wish=WISH), "user-456")
    await others.step()
    assert (await person.erasure(asked.erasure_id, "user-456")).waits_for == "LEGAL_HOLD"

    others.is_away = True
    lifted = await alice.LiftLegalHold(holds.LiftLegalHoldRequest(hold_id="h-1"), timeout=5)
    assert not lifted.HasField("lifted_at")
    assert list(lifted.untold_services) == ["command"]
    others.is_away = False
    lifted = await bob.LiftLegalHold(holds.LiftLegalHoldRequest(hold_id="h-1"), timeout=5)
    assert lifted.HasField("lifted_at")
    assert others.held == []
    await others.step()
    assert others.erased == [("user-456", asked.erasure_id)]
    listed = (await alice.ListLegalHolds(holds.ListLegalHoldsRequest(), timeout=5)).holds
    assert [each.hold_id for each in listed] == ["h-1"]


async def test_a_request_to_lift_a_hold_lapses(others: OtherServices, hold_stubs: Any) -> None:
    alice, bob = hold_stubs
    lift = holds.LiftLegalHoldRequest(hold_id="h-1")
    for stub in (alice, bob):
        await stub.SetLegalHold(holds.SetLegalHoldRequest(hold_id="h-1", vin=VIN, reason="x"), timeout=5)
    assert (await alice.LiftLegalHold(lift, timeout=5)).HasField("lift_requested_at")
    day_ago = update(hold_decisions).values(lift_requested_at=datetime.now(UTC) - APPROVAL_TIME)
    await others.database.write(lambda connection: connection.execute(day_ago) and None)
    asked = await bob.LiftLegalHold(lift, timeout=5)
    assert (asked.lift_requested_by, asked.HasField("lifted_at")) == ("spiffe://ecarus/" + BOB, False)
    assert others.held == ["h-1"]
    lifted = await alice.LiftLegalHold(lift, timeout=5)
    assert (lifted.lift_requested_by, lifted.lifted_by) == (
        "spiffe://ecarus/" + BOB,
        "spiffe://ecarus/" + ALICE,
    )


async def test_no_hold_is_called_set_that_reaches_no_service(
    others: OtherServices, hold_stubs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("services.access.adapters.store.holds")  # the package has a name like it
    monkeypatch.setattr(module, "MOST_HOLDS", 2)
    alice, bob = hold_stubs

    async def asked(hold_id: str) -> Any:
        request = holds.SetLegalHoldRequest(hold_id=hold_id, vin=VIN, reason="x")
        await alice.SetLegalHold(request, timeout=5)
        return await bob.SetLegalHold(request, timeout=5)

    async def listed() -> list[str]:
        answer = await alice.ListLegalHolds(holds.ListLegalHoldsRequest(), timeout=5)
        return [each.hold_id for each in answer.holds]

    for hold_id in ("h-1", "h-2"):
        await asked(hold_id)
    with pytest.raises(grpc.aio.AioRpcError, match="would keep nothing") as caught:
        await asked("h-3")
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    await asked("h-2")  # what is in force stays, whoever asks again
    assert others.held == ["h-1", "h-2"]
    assert await listed() == ["h-2", "h-1"]  # no newer one that keeps nothing hides one in force
    for stub in (alice, bob):
        await stub.LiftLegalHold(holds.LiftLegalHoldRequest(hold_id="h-2"), timeout=5)
    await asked("h-3")
    assert others.held == ["h-1", "h-3"]
    assert await listed() == ["h-3", "h-1"]


@pytest.mark.parametrize(
    ("request_", "match"),
    [
        (holds.SetLegalHoldRequest(hold_id="h", reason="x"), "on a vehicle or on a person"),
        (
            holds.SetLegalHoldRequest(hold_id="h", vin=VIN, person="p", reason="x"),
            "on a vehicle or on a person",
        ),
        (holds.SetLegalHoldRequest(hold_id="h", vin="short", reason="x"), "not valid"),
        (holds.LiftLegalHoldRequest(hold_id="nobody"), "no hold of this id"),
    ],
)
async def test_what_is_no_hold_is_refused(hold_stubs: Any, request_: Any, match: str) -> None:
    alice, _ = hold_stubs
    call = alice.LiftLegalHold if isinstance(request_, holds.LiftLegalHoldRequest) else alice.SetLegalHold
    with pytest.raises(grpc.aio.AioRpcError, match=match):
        await call(request_, timeout=5)

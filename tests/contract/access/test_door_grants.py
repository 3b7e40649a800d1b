"""The public door of rights: given, accepted, narrowed, suspended, ended, handed over, and who is told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2, grant_pb2
from ecarus.remotecontrol.access.v1.access_service_pb2_grpc import AccessServiceStub
from ecarus.remotecontrol.door.v1 import door_grant_service_pb2 as rpc

from tests.contract.access.access_service import FOREIGN, RATES, UNKNOWN, VIN, acting, revocations
from tests.contract.access.door_of_rights import (
    KINDS,
    STATES,
    DoorOfRights,
    RefusedError,
    alerts,
    reason_of,
)


@pytest.fixture
def rates() -> dict[str, int]:
    return {**RATES, "command": 100}


async def test_a_key_is_given_accepted_and_taken(rights: DoorOfRights, sent: list[Any]) -> None:
    given = await rights.give(label="Anna's phone")
    assert (given.state, given.label, given.given_by) == (STATES.CREATED, "Anna's phone", "user-123")
    assert not given.in_force
    refused = await rights.may("user-789")
    assert refused is not None
    assert (refused["code"], "at this time" in refused["detail"]) == ("ACTION_NOT_GRANTED", True)
    accepted = await rights.do("accept", given, "user-789")
    assert (accepted.state, accepted.in_force) == (STATES.ACTIVE, True)
    assert await rights.do("accept", given, "user-789") == accepted
    assert await rights.may("user-789") is None
    refused = await rights.may("user-789", "history")
    assert refused is not None
    assert refused["code"] == "ACTION_NOT_GRANTED"
    ended = await rights.do("end", given)
    assert ended.state == STATES.TERMINATED
    assert await rights.do("end", given) == ended
    refused = await rights.may("user-789")
    assert refused is not None
    assert refused["code"] == "VEHICLE_NOT_FOUND"
    (told,) = revocations(sent)
    assert (told.principal, told.vin, list(told.remaining)) == ("user-789", VIN, [])
    codes = [update.system_alert.code for update in alerts(sent)]
    assert codes == ["ACCESS_OFFERED", "ACCESS_BEGUN", "ACCESS_ENDED"]
    heard = [
        grant_pb2.AccessChanged.FromString(m.payload) for m in sent if m.subject == "room.access.changed"
    ]
    assert [list(each.owners) for each in heard] == [["user-123"]] * 3


async def test_everybody_sees_their_own_and_the_owner_all(rights: DoorOfRights) -> None:
    first = await rights.accepted()
    second = await rights.accepted(principal="user-456", kind=KINDS.SHARED_USER, name="second")
    assert {grant.grant_id for grant in await rights.listed()} == {
        first.grant_id,
        second.grant_id,
        "sandbox-1",
    }
    assert [grant.grant_id for grant in await rights.listed("user-789")] == [first.grant_id]
    request = rpc.GetGrantRequest(vin=VIN, grant_id=second.grant_id)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rights.ask("user-789", "GET", f"grants/{second.grant_id}", request)
    assert reason_of(caught) == "GRANT_NOT_FOUND"
    with pytest.raises(RefusedError, match="ACTION_NOT_GRANTED"):  # who shares the car lets nobody in
        await rights.give("user-456", principal="user-000")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rights.do("end", first, "user-456")
    assert reason_of(caught) == "GRANT_NOT_FOUND"
    assert (await rights.do("end", second, "user-456")).state == STATES.TERMINATED  # given back


async def test_whose_key_it_is(rights: DoorOfRights) -> None:
    own = await rights.give(principal="user-123")
    assert (own.state, own.key_role) == (STATES.ACTIVE, 1)
    assert (await rights.give(name="friend")).key_role == 2


async def test_a_suspended_key_opens_nothing_until_it_is_resumed(
    rights: DoorOfRights, sent: list[Any]
) -> None:
    key = await rights.accepted()
    sent.clear()
    assert (await rights.do("suspend", key)).state == STATES.SUSPENDED
    (told,) = revocations(sent)
    assert "door.unlock" not in {each.action for each in told.remaining}
    refused = await rights.may("user-789")
    assert refused is not None
    assert refused["code"] == "ACTION_NOT_GRANTED"
    with pytest.raises(RefusedError, match="ACTION_NOT_GRANTED"):
        await rights.do("resume", key, "user-789")
    assert (await rights.do("resume", key)).state == STATES.ACTIVE
    assert await rights.may("user-789") is None


async def test_a_right_is_narrowed_and_never_widened(rights: DoorOfRights, sent: list[Any]) -> None:
    shared = await rights.accepted(kind=KINDS.SHARED_USER, valid_seconds=3_600)
    path = f"grants/{shared.grant_id}/narrow"
    sent.clear()
    request = rpc.NarrowGrantRequest(
        vin=VIN, grant_id=shared.grant_id, narrowing={"actions": ["door.lock", "door.status.read"]}
    )
    less = await rights.ask("user-123", "POST", path, request, body=request.narrowing)
    assert "door.unlock" not in less.actions
    (told,) = revocations(sent)
    remaining = {each.action for each in told.remaining}
    assert {"door.lock", "door.status.read"} <= remaining
    assert not remaining & {"door.unlock", "door.updates.read"}
    refused = await rights.may("user-789")
    assert refused is not None
    assert refused["code"] == "ACTION_NOT_GRANTED"
    for wider in ({"actions": ["door.unlock"]}, {"expires_at": "2099-01-01T00:00:00Z"}):
        request = rpc.NarrowGrantRequest(vin=VIN, grant_id=shared.grant_id)
        for name, value in wider.items():
            if name == "actions":
                request.narrowing.actions.extend(value)
            else:
                request.narrowing.expires_at.FromJsonString(str(value))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rights.ask("user-123", "POST", path, request, body=request.narrowing)
        assert reason_of(caught) == "INVALID_REQUEST"


async def test_service_and_valet_end_by_themselves(rights: DoorOfRights) -> None:
    helper = await rights.accepted(kind=KINDS.SERVICE)
    assert helper.expires_at.seconds - helper.accepted_at.seconds == 3_600
    assert set(helper.actions) >= {"door.unlock"}
    assert await rights.may("user-789") is None
    refused = await rights.may("user-789", "lock")
    assert refused is not None
    assert refused["code"] == "ACTION_NOT_GRANTED"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rights.give(kind=KINDS.SERVICE, valid_seconds=3_601, name="long")
    assert reason_of(caught) == "INVALID_REQUEST"
    valet = await rights.accepted(kind=KINDS.VALET, principal="valet-1", name="valet")
    assert valet.expires_at.seconds - valet.accepted_at.seconds == 86_400


async def test_a_key_outside_of_its_hours_opens_nothing(rights: DoorOfRights, access: Any) -> None:
    # Whatever the hour is: all of the week but this day and those beside it.
    today = datetime.now(UTC).weekday()
    days = [((today + n) % 7) + 1 for n in (2, 3, 4)]
    schedule = {"time_zone": "UTC", "windows": [{"weekdays": days, "opens": "00:00", "closes": "00:00"}]}
    key = await rights.accepted(schedule=schedule)
    assert (key.state, key.in_force) == (STATES.ACTIVE, False)
    refused = await rights.may("user-789")
    assert refused is not None
    assert (refused["code"], "hours" in refused["detail"]) == ("ACTION_NOT_GRANTED", True)
    service, _ = access
    question = access_service_pb2.GrantQuestion(subject="user-789", vin=VIN, action="door.unlock")
    async with service.channel("room/signer") as channel:  # so a queued unlock is not signed
        answer = await AccessServiceStub(channel).CheckGrants(
            access_service_pb2.CheckGrantsRequest(questions=[question]), timeout=5
        )
    assert list(answer.allowed) == [False]
    assert [grant.grant_id for grant in await rights.listed("user-789")] == [key.grant_id]


async def test_the_vehicle_is_handed_over_in_one_act(
    rights: DoorOfRights, sent: list[Any], operators: Any
) -> None:
    for n, kind in enumerate((KINDS.SHARED_USER, KINDS.DIGITAL_KEY, KINDS.VALET)):
        await rights.accepted(principal=f"friend-{n}", kind=kind, name=f"n-{n}")
    await rights.give(principal="late", name="late")
    sent.clear()
    request = rpc.TransferOwnershipRequest(vin=VIN, transfer={"new_owner": "buyer-1"})
    done = await rights.ask("user-123", "POST", "ownership/transfer", request, body=request.transfer)
    assert (done.new_owner, done.ended_grants, done.withdrawn_offers) == ("buyer-1", 4, 1)
    assert "yours included" in done.message
    for who in ("user-123", "friend-0", "friend-1", "friend-2", "late"):
        refused = await rights.may(who)
        assert refused is not None
        assert refused["code"] == "VEHICLE_NOT_FOUND"
    assert await rights.may("buyer-1") is None
    told = {each.principal for each in revocations(sent)}
    assert told == {"user-123", "friend-0", "friend-1", "friend-2", "late"}
    (update,) = alerts(sent)
    assert update.system_alert.code == "ACCESS_TRANSFERRED"
    (heard,) = (
        grant_pb2.AccessChanged.FromString(m.payload) for m in sent if m.subject == "room.access.changed"
    )
    assert list(heard.owners) == ["user-123", "buyer-1"]
    operator, _ = operators
    listed = await operator.ListGrants(access_service_pb2.ListGrantsRequest(vin=VIN), timeout=5)
    assert [grant.principal for grant in listed.grants if not grant.HasField("revoked_at")] == ["buyer-1"]


async def hand_over(rights: DoorOfRights, who: str, to: str, name: str) -> Any:
    request = rpc.TransferOwnershipRequest(vin=VIN, transfer={"new_owner": to})
    return await rights.ask(who, "POST", "ownership/transfer", request, body=request.transfer, id=name)


async def test_a_hand_over_sent_again_after_the_vehicle_came_back_ends_nothing(rights: DoorOfRights) -> None:
    await hand_over(rights, "user-123", "buyer-1", "x")
    with pytest.raises(RefusedError, match="VEHICLE_NOT_FOUND"):
        await hand_over(rights, "user-123", "buyer-1", "x")
    await hand_over(rights, "buyer-1", "user-123", "y")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await hand_over(rights, "user-123", "buyer-1", "x")
    assert reason_of(caught) == "CORRELATION_ID_REUSED"
    assert await rights.may("user-123") is None


async def test_a_new_owner_does_not_see_whom_the_former_one_let_in(rights: DoorOfRights) -> None:
    friend = await rights.accepted(principal="friend", name="friend")
    ended = await rights.accepted(principal="former-friend", name="former")
    await rights.do("end", ended)
    assert {grant.grant_id for grant in await rights.listed()} >= {friend.grant_id, ended.grant_id}
    await hand_over(rights, "user-123", "buyer-1", "x")
    assert [grant.principal for grant in await rights.listed("buyer-1")] == ["buyer-1"]
    for grant in (friend, ended):
        request = rpc.GetGrantRequest(vin=VIN, grant_id=grant.grant_id)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rights.ask("buyer-1", "GET", f"grants/{grant.grant_id}", request)
        assert reason_of(caught) == "GRANT_NOT_FOUND"


async def test_foreign_and_unknown_vehicles_are_answered_alike(rights: DoorOfRights) -> None:
    answers = []
    for vin in (FOREIGN, UNKNOWN):
        with pytest.raises(RefusedError) as caught:
            await rights.give(vin=vin, name="same")
        problem = caught.value.problem
        answers.append({**problem, "instance": problem["instance"].replace(vin, "VIN")})
    assert answers[0] == answers[1]
    assert answers[0]["code"] == "VEHICLE_NOT_FOUND"


async def test_the_same_again_gives_the_first_answer(rights: DoorOfRights) -> None:
    first = await rights.give(name="once")
    assert await rights.give(name="once") == first
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rights.give(name="once", kind=KINDS.VALET)
    assert reason_of(caught) == "CORRELATION_ID_REUSED"


@pytest.mark.parametrize("grants_per_vehicle", [8])
async def test_there_may_be_so_many(rights: DoorOfRights, grants_per_vehicle: int) -> None:
    for n in range(grants_per_vehicle - 1):
        await rights.give(principal=f"friend-{n}", name=f"n-{n}")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rights.give(principal="one-more", name="more")
    assert reason_of(caught) == "TOO_MANY_GRANTS"


async def test_an_agent_changes_nobodys_rights(rights: DoorOfRights) -> None:
    request = rpc.GiveGrantRequest(vin=VIN, grant={"principal": "x", "kind": KINDS.DIGITAL_KEY})
    with pytest.raises(RefusedError, match="ACTION_NOT_GRANTED"):
        await rights.ask("user-123", "POST", "grants", request, body=request.grant, **acting("agent-7"))


HOSTILE = ["a\r\nX: y", "a\x1b[31m", "a\x00", "\u202egnp.exe", "a\u200bb", "a\nb", " a", "x" * 65]


@pytest.mark.parametrize("text", HOSTILE)
async def test_a_label_is_one_readable_line(rights: DoorOfRights, text: str) -> None:
    with pytest.raises((grpc.aio.AioRpcError, RefusedError)) as caught:
        await rights.give(label=text)
    if isinstance(caught.value, RefusedError):
        assert [each["field"] for each in caught.value.problem["errors"]] == ["label"]
    else:
        details = dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
        assert b"label" in details


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("principal", {"principal": "a b", "kind": "DIGITAL_KEY"}),
        ("principal", {"principal": "a\r\nb", "kind": "DIGITAL_KEY"}),
        ("principal", {"principal": "é", "kind": "DIGITAL_KEY"}),
        ("principal", {"principal": "x" * 60_000, "kind": "DIGITAL_KEY"}),
        ("kind", {"principal": "a", "kind": "OWNER"}),
        ("kind", {"principal": "a", "kind": "BUTLER"}),
        ("label", {"principal": "a", "kind": "VALET", "label": "y" * 60_000}),
        ("actions[0]", {"principal": "a", "kind": "VALET", "actions": ["z" * 60_000]}),
        ("validSeconds", {"principal": "a", "kind": "VALET", "validSeconds": 59}),
        (
            "schedule.timeZone",
            {"principal": "a", "kind": "VALET", "schedule": {"timeZone": "../x", "windows": []}},
        ),
        (
            "schedule.windows[0].opens",
            {
                "principal": "a",
                "kind": "VALET",
                "schedule": {
                    "timeZone": "UTC",
                    "windows": [{"weekdays": ["MONDAY"], "opens": "24:00", "closes": "01:00"}],
                },
            },
        ),
    ],
)
async def test_unsound_members_are_named(rights: DoorOfRights, field: str, body: dict[str, Any]) -> None:
    with pytest.raises(RefusedError) as caught:
        await rights.ask("user-123", "POST", "grants", rpc.GiveGrantRequest(), body=body)
    assert caught.value.problem["code"] == "INVALID_REQUEST"
    assert field in {each["field"] for each in caught.value.problem["errors"]}

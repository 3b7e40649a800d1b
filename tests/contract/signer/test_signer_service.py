"""What is signed, and for whom."""

from __future__ import annotations

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as contract
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2_grpc as stubs
from ecarus.remotecontrol.vehicle.v1 import command_pb2, session_pb2

from protocol import cose
from protocol.domains import Domain, subject_of
from services.telematics.order_signer import OrderSigningClient
from tests.contract.platform_service import reason_of, refused
from tests.contract.signer.conftest import (
    CLOUD_SIGNER_KEY,
    MAC,
    MANIFEST_VERSION,
    OTHER_VIN,
    VIN,
    SignerHarness,
)


async def test_an_order_is_signed_for_its_vehicle_and_place(service: SignerHarness) -> None:
    [answer] = await service.sign(service.order())
    signed = cose.decode(answer.envelope)
    cose.verify(signed, CLOUD_SIGNER_KEY, subject_of(VIN, Domain.COMMAND))
    order = session_pb2.SignedOrder.FromString(signed.payload)
    assert (order.vin, order.counter, order.expires_at_millis) == (VIN, 3, 40_000)
    assert (order.role, order.manifest_version) == (session_pb2.ROLE_OWNER, MANIFEST_VERSION)
    assert order.door.command_id == "cmd-1"
    assert service.rights.asked == [("user-123", "user-123", VIN, "door.unlock")]


async def test_a_look_at_the_history_opens_no_door_and_no_unlock_becomes_an_emergency(
    service: SignerHarness,
) -> None:
    def emergency(capability: str) -> contract.OrderToSign:
        order = service.order(capability=capability)
        order.requested.door.mode = command_pb2.DOOR_ACTION_MODE_EMERGENCY
        order.requested.mac = MAC.of(order.requested)
        return order

    looked = service.signer.capability(VIN, "door.history.read", services=("command",))
    assert await service.verdict(service.order(capability=looked)) == "NOT_PROVEN"
    unlocked = service.signer.capability(VIN, "door.unlock", services=("command",))
    assert await service.verdict(service.order(capability=unlocked)) == "SIGNED"
    assert await service.verdict(emergency(unlocked)) == "NOT_PROVEN"
    asked = service.signer.capability(VIN, "door.unlock", services=("command",), mode="EMERGENCY")
    assert await service.verdict(emergency(asked)) == "SIGNED"


async def test_one_bad_order_keeps_no_other_from_being_signed(service: SignerHarness) -> None:
    bad = [
        service.order(capability="not a token"),
        service.order(vin=OTHER_VIN),
        service.order(vin="no vin"),
        service.order(subject="user-456"),
        service.order(epoch=b"short"),
        service.order(counter=0),
        service.order(counter=2**48 - 1),
        service.order(counter=2**48),
        service.order(expires_at_millis=0),
        service.order(expires_at_millis=2**48),
        service.order(capability=service.signer.capability(VIN, "door.lock")),
        service.order(capability=service.signer.capability(VIN, "door.unlock", "door.lock")),
        service.order(mac=bytes(32)),
        contract.OrderToSign(),
    ]
    answers = await service.sign(*bad, service.order())
    assert [answer.verdict for answer in answers] == [
        *[contract.SIGNING_VERDICT_NOT_PROVEN] * len(bad),
        contract.SIGNING_VERDICT_SIGNED,
    ]
    assert service.rights.asked == [("user-123", "user-123", VIN, "door.unlock")]


async def test_a_room_has_its_own_orders_signed_and_no_others(service: SignerHarness) -> None:
    async with service.running.channel("room/config") as channel:
        answers = await OrderSigningClient(channel).sign([service.order()])
    assert answers is not None
    assert answers[0].verdict == contract.SIGNING_VERDICT_NOT_PROVEN


@pytest.mark.parametrize(
    ("action", "mode"),
    [
        (command_pb2.DOOR_ACTION_UNLOCK, command_pb2.DOOR_ACTION_MODE_SECURE),
        (command_pb2.DOOR_ACTION_LOCK, command_pb2.DOOR_ACTION_MODE_EMERGENCY),
        (command_pb2.DOOR_ACTION_UNLOCK, 77),
    ],
)
async def test_a_mode_that_does_not_belong_to_the_action_is_not_signed(
    service: SignerHarness,
    action: command_pb2.DoorAction.ValueType,
    mode: command_pb2.DoorActionMode.ValueType,
) -> None:
    name = "door.unlock" if action == command_pb2.DOOR_ACTION_UNLOCK else "door.lock"
    order = service.order(capability=service.signer.capability(VIN, name, mode="EMERGENCY"))
    order.requested.door.action, order.requested.door.mode = action, mode
    order.requested.mac = MAC.of(order.requested)
    assert await service.verdict(order) == "NOT_PROVEN"


@pytest.mark.parametrize("member", ["doors", "all_doors", "mode", "action", "expires_at", "command_id"])
async def test_what_was_changed_after_the_stamp_is_not_signed(service: SignerHarness, member: str) -> None:
    order = service.order(capability=service.signer.capability(VIN, "door.unlock", mode="EMERGENCY"))
    door = order.requested.door
    match member:
        case "doors":
            door.doors.append(1)  # type: ignore[arg-type]  # its number
        case "all_doors":
            door.all_doors = True
        case "mode":
            door.mode = command_pb2.DOOR_ACTION_MODE_EMERGENCY
        case "action":
            door.action = command_pb2.DOOR_ACTION_LOCK
        case "expires_at":
            door.expires_at.nanos = 1
        case "command_id":
            door.command_id = "cmd-2"
    assert await service.verdict(order) == "NOT_PROVEN"


async def test_a_review_says_what_would_be_signed_and_signs_nothing(service: SignerHarness) -> None:
    orders = [
        service.order().requested,
        service.order(mac=bytes(32)).requested,
        service.order(age_seconds=31).requested,
    ]
    async with service.running.channel("room/command") as channel:
        client = OrderSigningClient(channel)
        before = await client.review(orders)
        service.rights.ended.add("user-123")
        after = await client.review(orders)
        service.rights.away = True
        assert await client.review(orders) is None
    proven = contract.SIGNING_VERDICT_NOT_PROVEN
    assert before == [contract.SIGNING_VERDICT_SIGNED, proven, proven]
    assert after == [contract.SIGNING_VERDICT_NOT_ALLOWED, proven, proven]


async def test_session_requests_for_one_vehicle_are_few(service: SignerHarness) -> None:
    async with service.running.channel("room/command") as channel:
        client = OrderSigningClient(channel)
        envelopes = await client.sign_session_requests([(VIN, bytes(16))] * 20 + [(OTHER_VIN, bytes(16))])
    assert envelopes is not None
    assert [bool(envelope) for envelope in envelopes] == [True] * 6 + [False] * 14 + [True]


async def test_an_old_proof_signs_nothing_new(service: SignerHarness) -> None:
    assert await service.verdict(service.order(age_seconds=5)) == "SIGNED"
    assert (
        await service.verdict(service.order(age_seconds=31)) == "NOT_PROVEN"
    )  # the capability was not there then


async def test_nothing_is_signed_once_the_right_has_ended(service: SignerHarness) -> None:
    service.rights.ended.add("user-123")
    assert await service.verdict(service.order()) == "NOT_ALLOWED"


async def test_while_the_right_cannot_be_asked_for_nothing_is_signed(service: SignerHarness) -> None:
    service.rights.away = True
    async with service.running.channel("room/command") as channel:
        assert await OrderSigningClient(channel).sign([service.order()]) is None
        call = stubs.OrderSigningServiceStub(channel).SignOrders(
            contract.SignOrdersRequest(orders=[service.order()])
        )
        assert reason_of(await refused(call)) == "DEPENDENCY_UNAVAILABLE"


@pytest.mark.parametrize("peer", ["edge", "room/status", "room/enrolment", "team/fleet"])
async def test_nobody_else_may_ask(service: SignerHarness, peer: str) -> None:
    async with service.running.channel(peer) as channel:
        call = stubs.OrderSigningServiceStub(channel).SignOrders(
            contract.SignOrdersRequest(orders=[service.order()])
        )
        assert (await refused(call)).code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_session_request_is_signed_without_a_right(service: SignerHarness) -> None:
    async with service.running.channel("room/command") as channel:
        envelopes = await OrderSigningClient(channel).sign_session_requests(
            [(VIN, bytes(16)), (OTHER_VIN, bytes(16))]
        )
    assert envelopes is not None
    for vin, envelope in zip((VIN, OTHER_VIN), envelopes, strict=True):
        signed = cose.decode(envelope)
        cose.verify(signed, CLOUD_SIGNER_KEY, subject_of(vin, Domain.CHALLENGE))
        assert session_pb2.SessionRequest.FromString(signed.payload).vin == vin

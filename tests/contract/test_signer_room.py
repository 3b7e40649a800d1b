"""The signer over real gRPC: what it signs, and what it does not."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from ecarus.remotecontrol.access.v1 import grant_pb2
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as contract
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2_grpc as stubs
from ecarus.remotecontrol.vehicle.v1 import command_pb2, session_pb2

from protocol import cose
from protocol.domains import Domain, subject_of
from services.runtime.order_mac import OrderMac
from services.runtime.order_signer import OrderSigner
from services.runtime.server import RoomServer
from services.signer.server import POLICY, SERVICE, OrderSigningServicer
from services.signer.translate import KeyPen, refusal_of
from services.signer.usecases import AccessAway
from tests.contract.runtime_room import reason_of, refused
from tests.protocol.stand import CLOUD_SIGNER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

VIN = "KMHSH81C7LU123456"
OTHER_VIN = "KMHSH81C7LU654321"
MANIFEST_VERSION = 7
MAC = OrderMac(b"only in tests, and long enough for a key")
CLOUD_SIGNER_KEY = Ed25519PublicKey.from_public_bytes(CLOUD_SIGNER.public_bytes)


@dataclass
class FakeRights:
    """The access room: everybody is the owner, but for `ended`."""

    away: bool = False
    ended: set[str] = field(default_factory=set)
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    async def roles(self, questions: Sequence[tuple[str, str, str]]) -> list[int | None]:
        if self.away:
            raise AccessAway
        self.asked += questions
        return [None if subject in self.ended else grant_pb2.GRANT_ROLE_OWNER for subject, _, _ in questions]


@dataclass
class Room:
    """The signer with its access room, and who may ask it."""

    rights: FakeRights
    running: Any
    signer: Any

    def order(
        self, *, subject: str = "user-123", age_seconds: float = 0, **changed: Any
    ) -> contract.OrderToSign:
        now = datetime.now(UTC) - timedelta(seconds=age_seconds)
        door = command_pb2.DoorCommand(
            command_id="cmd-1", action=command_pb2.DOOR_ACTION_UNLOCK, subject=subject, actor=subject
        )
        door.expires_at.FromDatetime(now + timedelta(seconds=30))
        token = changed.pop("capability", None) or self.signer.capability(VIN, "door.unlock", "door.cancel")
        requested = contract.RequestedOrder(vin=changed.pop("vin", VIN), capability=token, door=door)
        requested.asked_at.FromDatetime(now)
        requested.mac = changed.pop("mac", None) or MAC.of(requested)
        values: dict[str, Any] = {"epoch": bytes(16), "counter": 3, "expires_at_millis": 40_000}
        return contract.OrderToSign(requested=requested, **(values | changed))

    async def sign(self, *orders: contract.OrderToSign) -> list[contract.SigningAnswer]:
        async with self.running.channel("room/command") as channel:
            answers = await OrderSigner(channel).sign(orders)
        assert answers is not None
        return answers

    async def verdict(self, order: contract.OrderToSign) -> str:
        [answer] = await self.sign(order)
        assert bool(answer.envelope) is (answer.verdict == contract.SIGNING_VERDICT_SIGNED)
        return contract.SigningVerdict.Name(answer.verdict).removeprefix("SIGNING_VERDICT_")


@pytest_asyncio.fixture
async def room(start_room: Callable[..., Awaitable[Any]], signer: Any) -> AsyncIterator[Room]:
    rights = FakeRights()

    def build(settings: Any, verifier: Any) -> RoomServer:
        pen = KeyPen(CLOUD_SIGNER, MANIFEST_VERSION)
        servicer = OrderSigningServicer(rights, pen, CLOUD_SIGNER, verifier, MAC, lambda: datetime.now(UTC))
        register = partial(stubs.add_OrderSigningServiceServicer_to_server, servicer)
        return RoomServer(settings, [SERVICE], register, POLICY, verifier, refusal_of)

    yield Room(rights, await start_room("signer", build), signer)


async def test_an_order_is_signed_for_its_vehicle_and_place(room: Room) -> None:
    [answer] = await room.sign(room.order())
    signed = cose.decode(answer.envelope)
    cose.verify(signed, CLOUD_SIGNER_KEY, subject_of(VIN, Domain.COMMAND))
    order = session_pb2.SignedOrder.FromString(signed.payload)
    assert (order.vin, order.counter, order.expires_at_millis) == (VIN, 3, 40_000)
    assert (order.role, order.manifest_version) == (session_pb2.ROLE_OWNER, MANIFEST_VERSION)
    assert order.door.command_id == "cmd-1"
    assert room.rights.asked == [("user-123", VIN, "door.unlock")]


async def test_a_look_at_the_history_opens_no_door_and_no_unlock_becomes_an_emergency(room: Room) -> None:
    def emergency(capability: str) -> contract.OrderToSign:
        order = room.order(capability=capability)
        order.requested.door.mode = command_pb2.DOOR_ACTION_MODE_EMERGENCY
        order.requested.mac = MAC.of(order.requested)
        return order

    looked = room.signer.capability(VIN, "door.history.read", services=("command",))
    assert await room.verdict(room.order(capability=looked)) == "NOT_PROVEN"
    unlocked = room.signer.capability(VIN, "door.unlock", services=("command",))
    assert await room.verdict(room.order(capability=unlocked)) == "SIGNED"
    assert await room.verdict(emergency(unlocked)) == "NOT_PROVEN"
    asked = room.signer.capability(VIN, "door.unlock", services=("command",), mode="EMERGENCY")
    assert await room.verdict(emergency(asked)) == "SIGNED"


async def test_one_bad_order_keeps_no_other_from_being_signed(room: Room) -> None:
    bad = [
        room.order(capability="not a token"),
        room.order(vin=OTHER_VIN),
        room.order(vin="no vin"),
        room.order(subject="user-456"),
        room.order(epoch=b"short"),
        room.order(counter=0),
        room.order(capability=room.signer.capability(VIN, "door.lock")),
        room.order(mac=bytes(32)),
        contract.OrderToSign(),
    ]
    answers = await room.sign(*bad, room.order())
    assert [answer.verdict for answer in answers] == [
        *[contract.SIGNING_VERDICT_NOT_PROVEN] * len(bad),
        contract.SIGNING_VERDICT_SIGNED,
    ]
    assert room.rights.asked == [("user-123", VIN, "door.unlock")]


async def test_an_old_proof_signs_nothing_new(room: Room) -> None:
    assert await room.verdict(room.order(age_seconds=5)) == "SIGNED"
    assert await room.verdict(room.order(age_seconds=31)) == "NOT_PROVEN"  # the capability was not there then


async def test_nothing_is_signed_once_the_right_has_ended(room: Room) -> None:
    room.rights.ended.add("user-123")
    assert await room.verdict(room.order()) == "NOT_ALLOWED"


async def test_while_the_right_cannot_be_asked_for_nothing_is_signed(room: Room) -> None:
    room.rights.away = True
    async with room.running.channel("room/command") as channel:
        assert await OrderSigner(channel).sign([room.order()]) is None
        call = stubs.OrderSigningServiceStub(channel).SignOrders(
            contract.SignOrdersRequest(orders=[room.order()])
        )
        assert reason_of(await refused(call)) == "DEPENDENCY_UNAVAILABLE"


@pytest.mark.parametrize("peer", ["edge", "room/status", "room/enrolment", "team/fleet"])
async def test_nobody_else_may_ask(room: Room, peer: str) -> None:
    async with room.running.channel(peer) as channel:
        call = stubs.OrderSigningServiceStub(channel).SignOrders(
            contract.SignOrdersRequest(orders=[room.order()])
        )
        assert (await refused(call)).code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_session_request_is_signed_without_a_right(room: Room) -> None:
    async with room.running.channel("room/command") as channel:
        envelopes = await OrderSigner(channel).sign_session_requests(
            [(VIN, bytes(16)), (OTHER_VIN, bytes(16))]
        )
    assert envelopes is not None
    for vin, envelope in zip((VIN, OTHER_VIN), envelopes, strict=True):
        signed = cose.decode(envelope)
        cose.verify(signed, CLOUD_SIGNER_KEY, subject_of(vin, Domain.CHALLENGE))
        assert session_pb2.SessionRequest.FromString(signed.payload).vin == vin

"""The signer over real gRPC: what it signs, and what it does not."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from ecarus.remotecontrol.access.v1 import grant_pb2
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as contract
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2_grpc as stubs
from ecarus.remotecontrol.vehicle.v1 import command_pb2, session_pb2

from protocol import cose
from protocol.domains import Domain, subject_of
from services.platform.server import GrpcServer
from services.signer.adapters.server import POLICY, SERVICE, OrderSigningServicer
from services.signer.adapters.translate import Ed25519OrderSigner, refusal_of
from services.signer.domain import CurrentRight
from services.signer.usecases import AccessUnavailableError
from services.telematics.order_mac import OrderMac
from services.telematics.order_signer import OrderSigningClient
from tests.contract.platform_service import reason_of, refused
from tests.support.protocol_harness import CLOUD_SIGNER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.signer.usecases import PermissionQuery

VIN = "KMHSH81C7LU123456"
OTHER_VIN = "KMHSH81C7LU654321"
MANIFEST_VERSION = 7
MAC = OrderMac(b"only in tests, and long enough for a key")
CLOUD_SIGNER_KEY = Ed25519PublicKey.from_public_bytes(CLOUD_SIGNER.public_bytes)


@dataclass
class FakeRights:
    """The access service: everybody is the owner, but for `ended`; rights end by themselves at `ends_at`."""

    away: bool = False
    ended: set[str] = field(default_factory=set)
    locked: set[str] = field(default_factory=set)
    ends_at: datetime | None = None
    asked: list[tuple[str, str, str, str]] = field(default_factory=list)
    credentials: list[str] = field(default_factory=list)

    async def rights(self, questions: Sequence[PermissionQuery]) -> list[CurrentRight | None]:
        if self.away:
            raise AccessUnavailableError
        self.asked += [(q.subject, q.actor, q.vin, q.action) for q in questions]
        self.credentials += [q.credential for q in questions]
        return [
            None
            if q.subject in self.ended or q.actor in self.locked
            else CurrentRight(grant_pb2.GRANT_ROLE_OWNER, self.ends_at)
            for q in questions
        ]


@dataclass
class SignerHarness:
    """The signer with its access service, and who may ask it."""

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
        token = changed.pop("capability", None) or self.signer.capability(VIN, "door.unlock")
        requested = contract.RequestedOrder(vin=changed.pop("vin", VIN), capability=token, door=door)
        requested.asked_at.FromDatetime(now)
        requested.mac = changed.pop("mac", None) or MAC.of(requested)
        values: dict[str, Any] = {"epoch": bytes(16), "counter": 3, "expires_at_millis": 40_000}
        return contract.OrderToSign(requested=requested, **(values | changed))

    async def sign(self, *orders: contract.OrderToSign) -> list[contract.SigningAnswer]:
        async with self.running.channel("room/command") as channel:
            answers = await OrderSigningClient(channel).sign(orders)
        assert answers is not None
        return answers

    async def verdict(self, order: contract.OrderToSign) -> str:
        [answer] = await self.sign(order)
        assert bool(answer.envelope) is (answer.verdict == contract.SIGNING_VERDICT_SIGNED)
        return contract.SigningVerdict.Name(answer.verdict).removeprefix("SIGNING_VERDICT_")


@pytest.fixture
def rights() -> FakeRights:
    return FakeRights()


@pytest.fixture
def room_name() -> str:
    return "signer"


@pytest.fixture
def build_room(rights: FakeRights) -> Any:
    def build(settings: Any, verifier: Any) -> GrpcServer:
        order_signer = Ed25519OrderSigner(CLOUD_SIGNER, MANIFEST_VERSION)
        servicer = OrderSigningServicer(
            rights, order_signer, CLOUD_SIGNER, verifier, MAC, lambda: datetime.now(UTC)
        )
        register = partial(stubs.add_OrderSigningServiceServicer_to_server, servicer)
        return GrpcServer(settings, [SERVICE], register, POLICY, verifier, refusal_of)

    return build


@pytest.fixture
def service(rights: FakeRights, grpc_server: Any, signer: Any) -> SignerHarness:
    return SignerHarness(rights, grpc_server, signer)


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


async def test_who_acts_for_another_is_asked_about_too(service: SignerHarness) -> None:
    capability = service.signer.capability(VIN, "door.unlock", actor="agent-7")
    order = service.order(capability=capability)
    order.requested.door.actor = "agent-7"
    order.requested.mac = MAC.of(order.requested)
    assert await service.verdict(order) == "SIGNED"
    service.rights.locked.add("agent-7")
    assert await service.verdict(order) == "NOT_ALLOWED"
    assert service.rights.credentials == ["key_1"] * 2
    assert service.rights.asked == [("user-123", "agent-7", VIN, "door.unlock")] * 2


async def test_an_order_ends_with_the_right_to_it(service: SignerHarness) -> None:
    order = service.order()
    ends_at = order.requested.door.expires_at.ToDatetime(tzinfo=UTC) - timedelta(seconds=20)
    service.rights.ends_at = ends_at
    [answer] = await service.sign(order)
    signed = session_pb2.SignedOrder.FromString(cose.decode(answer.envelope).payload)
    assert signed.expires_at_millis == order.expires_at_millis - 20_000
    assert signed.door.expires_at.ToDatetime(tzinfo=UTC) == ends_at


def withdrawal_of(order: contract.OrderToSign, **changed: Any) -> contract.OrderToSign:
    cancel = command_pb2.CancelCommand(cancel_id="ended-cmd-1", command_id="cmd-1", reason="Right ended")
    requested = contract.RequestedOrder(vin=VIN, cancel=cancel, withdraws=order.requested)
    requested.asked_at.GetCurrentTime()
    for name, value in changed.items():
        setattr(requested, name, value)
    requested.mac = MAC.of(requested)
    return contract.OrderToSign(requested=requested, epoch=bytes(16), counter=1, expires_at_millis=60_000)


async def test_the_cloud_cancels_by_itself_once_the_right_has_ended(service: SignerHarness) -> None:
    order = service.order()
    assert await service.verdict(withdrawal_of(order)) == "NOT_ALLOWED"
    service.rights.ended.add("user-123")
    [answer] = await service.sign(withdrawal_of(order))
    envelope = cose.decode(answer.envelope)
    cose.verify(envelope, CLOUD_SIGNER_KEY, subject_of(VIN, Domain.CANCEL))
    signed = session_pb2.SignedOrder.FromString(envelope.payload)
    assert (signed.cancel.command_id, signed.WhichOneof("order")) == ("cmd-1", "cancel")
    assert signed.role == session_pb2.ROLE_DIGITAL_KEY


async def test_the_cloud_cancels_nothing_else(service: SignerHarness) -> None:
    service.rights.ended.add("user-123")
    order = service.order()
    other_vehicle = withdrawal_of(order, vin=OTHER_VIN)
    of_another = withdrawal_of(order)
    of_another.requested.cancel.command_id = "cmd-2"
    of_another.requested.mac = MAC.of(of_another.requested)
    unstamped = withdrawal_of(service.order(mac=bytes(32)))
    never_asked = withdrawal_of(service.order(capability="not a token"))
    moves_a_door = withdrawal_of(order)
    moves_a_door.requested.door.CopyFrom(order.requested.door)
    moves_a_door.requested.mac = MAC.of(moves_a_door.requested)
    of_a_withdrawal = withdrawal_of(withdrawal_of(order))
    bad = [other_vehicle, of_another, unstamped, never_asked, moves_a_door, of_a_withdrawal]
    answers = await service.sign(*bad)
    assert {answer.verdict for answer in answers} == {contract.SIGNING_VERDICT_NOT_PROVEN}


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


def superseding_of(
    service: SignerHarness, unlock: contract.OrderToSign, **changed: Any
) -> contract.OrderToSign:
    """The cancellation of an unlock by a lock; `changed` is of the lock, `cancels` the command that it names."""
    cancels, mac = changed.pop("cancels", "cmd-1"), changed.pop("mac", None)
    action = changed.pop("action", command_pb2.DOOR_ACTION_LOCK)
    lock = service.order(**({"capability": service.signer.capability(VIN, "door.lock")} | changed)).requested
    lock.door.action = action
    lock.mac = mac or MAC.of(lock)
    cancel = command_pb2.CancelCommand(cancel_id="superseded-cmd-1", command_id=cancels, force=True)
    requested = contract.RequestedOrder(
        vin=VIN, cancel=cancel, withdraws=unlock.requested, superseded_by=lock, asked_at=lock.asked_at
    )
    requested.mac = MAC.of(requested)
    return contract.OrderToSign(requested=requested, epoch=bytes(16), counter=1, expires_at_millis=60_000)


async def test_a_lock_cancels_the_unlock_before_it(service: SignerHarness) -> None:
    [answer] = await service.sign(superseding_of(service, service.order()))
    envelope = cose.decode(answer.envelope)
    cose.verify(envelope, CLOUD_SIGNER_KEY, subject_of(VIN, Domain.CANCEL))
    signed = session_pb2.SignedOrder.FromString(envelope.payload)
    assert (signed.cancel.command_id, signed.cancel.force) == ("cmd-1", True)
    assert service.rights.asked == [("user-123", "user-123", VIN, "door.lock")]
    # Not once the lock itself would be signed no more.
    service.rights.ended.add("user-123")
    assert await service.verdict(superseding_of(service, service.order())) == "NOT_ALLOWED"


async def test_a_lock_cancels_nothing_else(service: SignerHarness) -> None:
    unlock, lock = service.order(), service.order()
    lock.requested.door.action = command_pb2.DOOR_ACTION_LOCK
    lock.requested.mac = MAC.of(lock.requested)
    unlocks = service.signer.capability(VIN, "door.unlock")
    later = service.order(age_seconds=-20)
    bad = {
        "a lock": superseding_of(service, lock),
        "another command": superseding_of(service, unlock, cancels="cmd-2"),
        "by an unlock": superseding_of(
            service, unlock, capability=unlocks, action=command_pb2.DOOR_ACTION_UNLOCK
        ),
        "with an unlock's proof": superseding_of(service, unlock, capability=unlocks),
        "with a made-up lock": superseding_of(service, unlock, mac=bytes(32)),
        "of another vehicle": superseding_of(service, unlock, vin=OTHER_VIN),
        "of a made-up unlock": superseding_of(service, service.order(mac=bytes(32))),
        "of a later unlock": superseding_of(service, later),
        "of what supersedes": superseding_of(service, superseding_of(service, unlock)),
    }
    verdicts = {what: await service.verdict(order) for what, order in bad.items()}
    assert verdicts == dict.fromkeys(bad, "NOT_PROVEN")

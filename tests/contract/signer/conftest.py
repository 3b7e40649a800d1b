"""The signer over real gRPC, and whom it asks about rights."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from ecarus.remotecontrol.access.v1 import grant_pb2
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as contract
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2_grpc as stubs
from ecarus.remotecontrol.vehicle.v1 import command_pb2

from services.platform.server import GrpcServer
from services.signer.adapters.server import POLICY, SERVICE, OrderSigningServicer
from services.signer.adapters.translate import Ed25519OrderSigner, refusal_of
from services.signer.domain import CurrentRight
from services.signer.usecases import AccessUnavailableError
from services.telematics.order_mac import OrderMac
from services.telematics.order_signer import OrderSigningClient
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

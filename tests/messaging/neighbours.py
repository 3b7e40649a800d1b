"""The services that a service asks about vehicles, for tests: the real signer with a right that tests end, and
enrolment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from ecarus.remotecontrol.access.v1 import grant_pb2
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2_grpc as signing_stubs
from ecarus.remotecontrol.access.v1 import vehicle_keys_service_pb2 as keys_contract
from ecarus.remotecontrol.access.v1 import vehicle_keys_service_pb2_grpc as keys_stubs

from mesh.pki import CertificateIdentity
from protocol.manifest import endorse
from services.platform.capability import CapabilityVerifier
from services.platform.clock import CLOCK
from services.platform.server import GrpcServer
from services.platform.settings import ServerSettings
from services.signer.adapters.server import POLICY as SIGNER_POLICY
from services.signer.adapters.server import SERVICE as SIGNER
from services.signer.adapters.server import OrderSigningServicer
from services.signer.adapters.translate import Ed25519OrderSigner, refusal_of
from services.signer.domain import CurrentRight
from services.signer.usecases import AccessUnavailableError
from services.telematics.order_mac import OrderMac
from tests.messaging.fake_vehicle import keys_of
from tests.support.ports import free_port
from tests.support.protocol_harness import CLOUD_REPORT, CLOUD_SEAL, CLOUD_SIGNER, ROOT, manifest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    import grpc
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from mesh.pki import Pair, Pki
    from services.signer.usecases import PermissionQuery

MAC_KEY = b"only in tests, and long enough for a key"
ENROLMENT = "ecarus.remotecontrol.access.v1.VehicleKeysService"


class Neighbours:
    """The signer and the enrolment service on one port.

    Everything is allowed until `revoked`; `go_away` and `come_back` as crashed services would. Every vehicle is
    enrolled with FakeVehicle's keys, but for `strangers`.
    """

    def __init__(self, folder: Path, pki: Pki, jwks: Path) -> None:
        self.target = f"127.0.0.1:{free_port()}"
        self.revoked = False
        self.access_away = False
        self.locked: set[str] = set()
        self.ends_at: datetime | None = None
        self.strangers: set[str] = set()
        self._folder = folder
        self._pki = pki
        self._jwks = jwks
        self._server: GrpcServer | None = None

    def environment(self) -> dict[str, str]:
        """What a service's process reads to find them, and the keys of the cloud."""
        mac_key = self._folder / "order-mac.key"
        mac_key.write_bytes(MAC_KEY)
        manifests = self._folder / "manifests"
        manifests.mkdir(exist_ok=True)
        (manifests / "1.manifest").write_bytes(endorse(manifest(), ROOT, ROOT))
        return {
            "DOORS_SIGNER_TARGET": self.target,
            "DOORS_VEHICLE_KEYS_TARGET": self.target,
            "DOORS_CLOUD_SEAL_KEYS": str(self._pem("seal.keys", CLOUD_SEAL)),
            "DOORS_CLOUD_REPORT_KEYS": str(self._pem("report.keys", CLOUD_REPORT)),
            "DOORS_KEY_MANIFESTS": str(manifests),
            "DOORS_ORDER_MAC_KEY": str(mac_key),
        }

    async def come_back(self) -> None:
        verifier = CapabilityVerifier(self._jwks)
        pair = self._pair()
        settings = ServerSettings(
            listen=self.target,
            tls_cert=pair.cert,
            tls_key=pair.key,
            tls_ca=self._pki.ca,
            capability_jwks=self._jwks,
            drain_seconds=0,
        )
        order_signer = Ed25519OrderSigner(CLOUD_SIGNER, 1)
        signer = OrderSigningServicer(
            self, order_signer, CLOUD_SIGNER, verifier, OrderMac(MAC_KEY), CLOCK.now
        )

        def register(server: grpc.aio.Server) -> None:
            signing_stubs.add_OrderSigningServiceServicer_to_server(signer, server)
            keys_stubs.add_VehicleKeysServiceServicer_to_server(_Enrolment(self), server)

        policy = SIGNER_POLICY | {f"/{ENROLMENT}/GetVehicleKeys": SIGNER_POLICY[f"/{SIGNER}/SignOrders"]}
        self._server = GrpcServer(settings, [SIGNER, ENROLMENT], register, policy, verifier, refusal_of)
        await self._server.start()

    async def go_away(self) -> None:
        if self._server is not None:
            await self._server.stop()
            self._server = None

    async def rights(self, questions: Sequence[PermissionQuery]) -> list[CurrentRight | None]:
        """The access service's answer (signer.usecases.Rights)."""
        if self.access_away:
            raise AccessUnavailableError
        ended = [self.revoked or bool(self.locked & {q.subject, q.actor}) for q in questions]
        return [None if gone else CurrentRight(grant_pb2.GRANT_ROLE_OWNER, self.ends_at) for gone in ended]

    def _pair(self) -> Pair:
        dns = ("localhost", "signer.rooms.ecarus.internal", "enrolment.rooms.ecarus.internal")
        uri = "spiffe://ecarus/room/signer"
        return self._pki.ensure(CertificateIdentity("neighbours", uri=uri, dns=dns, addresses=("127.0.0.1",)))

    def _pem(self, name: str, key: X25519PrivateKey) -> Path:
        path = self._folder / name
        path.write_bytes(private_pem(key))
        return path


class _Enrolment(keys_stubs.VehicleKeysServiceServicer):
    def __init__(self, neighbours: Neighbours) -> None:
        self._neighbours = neighbours

    async def GetVehicleKeys(  # noqa: N802  # the contract's name
        self, request: keys_contract.GetVehicleKeysRequest, _context: Any
    ) -> keys_contract.GetVehicleKeysResponse:
        answer = keys_contract.GetVehicleKeysResponse()
        for vin in request.vins:
            if vin not in self._neighbours.strangers:
                verify_key, seal_key = keys_of(vin)
                answer.keys.add(vin=vin, verify_key=verify_key, seal_key=seal_key)
        return answer


def private_pem(key: Any) -> bytes:
    """A private key as PKCS8."""
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem

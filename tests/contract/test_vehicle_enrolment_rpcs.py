"""Enrolment as an operator sees it, over real mTLS: what is enrolled, what is refused, and to whom it is open."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ecarus.remotecontrol.access.v1 import vehicle_enrolment_service_pb2 as contract
from ecarus.remotecontrol.access.v1.vehicle_enrolment_service_pb2_grpc import VehicleEnrolmentServiceStub

import services.enrolment
from key_files.pem import private_pem, public_pem
from mesh.pki import VEHICLE_CA, CertificateIdentity, Pki
from mesh.sandbox import vehicle_identity
from protocol.keys import key_id
from services.enrolment.adapters import store
from services.enrolment.adapters.certificates import CertificateCheck
from services.enrolment.adapters.server import POLICY, SERVICE, VehicleKeysServer, enrolment_api
from services.enrolment.adapters.translate import refusal_of
from services.enrolment.usecases import BrokerSilentError, Cut, EnrolmentDependencies
from services.platform.database import open_database
from services.platform.server import GrpcServer
from tests.contract.platform_service import reason_of
from tests.support.databases import migrated
from tests.support.protocol_harness import exchange_key, seed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.platform.capability import CapabilityVerifier
    from services.platform.settings import ServiceSettings
    from tests.support.certificates import Certificates

VIN, OTHER = "KMHSH81C7LU123456", "KMHSH81C7LU654321"
NOW = datetime(2031, 1, 1, tzinfo=UTC)


class Broker:
    """Connections and key changes in one."""

    silent = False

    async def publish(self, *_vins: str) -> None:
        if self.silent:
            raise BrokerSilentError("TimeoutError")

    async def keep_newest(self, _vin: str, _most: int) -> Cut:
        raise NotImplementedError

    async def cut(self, _vin: str) -> int:
        return 2


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def makers(tmp_path: Path) -> Pki:
    """The vehicles' CA."""
    folder = tmp_path / "makers"
    folder.mkdir()
    return Pki(folder, datetime.now(UTC), VEHICLE_CA)


@pytest.fixture
async def deps(broker: Broker, tmp_path: Path) -> AsyncIterator[EnrolmentDependencies]:
    url = f"sqlite:///{tmp_path}/record.sqlite3"
    migrations = Path(services.enrolment.__file__).with_name("migrations")
    await asyncio.to_thread(migrated, url, migrations, store.HEAD)
    database = await open_database(url)
    yield EnrolmentDependencies(store.SqlEnrolmentRecord(database), broker, broker, lambda: NOW)
    await database.close()


@pytest.fixture
def room_name() -> str:
    return "enrolment"


@pytest.fixture
def build_room(deps: EnrolmentDependencies, makers: Pki) -> Any:
    def build(settings: ServiceSettings, verifier: CapabilityVerifier) -> GrpcServer:
        keys = VehicleKeysServer(deps.register)
        check = CertificateCheck.read(makers.ca.read_bytes(), lambda: datetime.now(UTC))
        api = enrolment_api(deps, check)
        return GrpcServer(settings, [SERVICE], keys.register, POLICY, verifier, refusal_of, besides=[api])

    return build


@pytest.fixture
def running(grpc_server: Any) -> Any:
    return grpc_server


@pytest.fixture
def grpc_workload() -> str:
    return "operator"


@pytest.fixture
def grpc_stub_cls() -> type[VehicleEnrolmentServiceStub]:
    return VehicleEnrolmentServiceStub


@pytest.fixture
def operator(grpc_stub: Any) -> Any:
    return grpc_stub


def sign_key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(seed(name))


def keys_of(vin: str) -> bytes:
    return public_pem(sign_key(vin).public_key(), exchange_key(vin).public_key())


@pytest.fixture
def enrolling(makers: Pki) -> Any:
    def request(vin: str, /, **changed: Any) -> contract.EnrolVehicleRequest:
        certificate = makers.ensure(vehicle_identity(vin)).cert.read_bytes()
        form = {"vin": vin, "certificate": certificate, "public_keys": keys_of(vin), **changed}
        return contract.EnrolVehicleRequest(**form)

    return request


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value


async def test_a_car_is_enrolled_revoked_and_listed(operator: Any, enrolling: Any, makers: Pki) -> None:
    enrolled = await operator.EnrolVehicle(enrolling(VIN))
    certificate = x509.load_pem_x509_certificate(makers.ensure(vehicle_identity(VIN)).cert.read_bytes())
    assert enrolled.vin == VIN
    assert enrolled.certificate_sha256 == certificate.fingerprint(hashes.SHA256())
    assert enrolled.verify_key_id == key_id(sign_key(VIN).public_key().public_bytes_raw())
    assert enrolled.seal_key_id == key_id(exchange_key(VIN).public_key().public_bytes_raw())
    assert enrolled.enrolled_at.ToDatetime(UTC) == NOW
    assert not enrolled.HasField("revoked_at")
    assert enrolled.certificate_ends_at.ToDatetime(UTC) == certificate.not_valid_after_utc

    revoked = await operator.RevokeVehicle(contract.RevokeVehicleRequest(vin=VIN))
    assert (revoked.connections_cut, revoked.enrolment.revoked_at.ToDatetime(UTC)) == (2, NOW)
    listed = await operator.ListVehicles(contract.ListVehiclesRequest())
    assert (list(listed.enrolments), listed.next_page_token) == ([revoked.enrolment], "")
    again = await operator.EnrolVehicle(enrolling(VIN))
    assert again == enrolled


async def test_a_fleet_is_listed_page_by_page(operator: Any, enrolling: Any) -> None:
    vins = [f"KMHSH81C7LU00000{n}" for n in range(5)]
    for vin in vins:
        await operator.EnrolVehicle(enrolling(vin))
    found, token, pages = [], "", 0
    while token or not pages:
        page = await operator.ListVehicles(contract.ListVehiclesRequest(page_size=2, page_token=token))
        found += [each.vin for each in page.enrolments]
        token, pages = page.next_page_token, pages + 1
    assert (found, pages) == (vins, 3)


async def test_the_operator_is_told_what_is_wrong(
    operator: Any, enrolling: Any, pki: Certificates, makers: Pki
) -> None:
    service = pki.of("room/command").cert.read_bytes()
    other = makers.ensure(vehicle_identity(OTHER)).cert.read_bytes()
    nobody = makers.ensure(vehicle_identity("nobody")).cert.read_bytes()
    ours = makers.ensure(vehicle_identity(VIN))
    services = Pki(pki.authority.ca.parent, datetime.now(UTC)).ensure(
        CertificateIdentity("like-a-car", uri=vehicle_identity(VIN).uri, server=False)
    )
    private = keys_of(VIN) + private_pem(exchange_key(VIN))
    wrong = [
        ({"certificate": other}, "another vehicle"),
        ({"certificate": service}, "not a vehicle's"),
        ({"certificate": nobody}, "17 characters"),
        ({"certificate": b"x"}, "PEM"),
        ({"certificate": services.cert.read_bytes()}, "not signed by the vehicles' CA"),
        ({"certificate": made_before(makers)}, "expired at"),
        ({"certificate": ours.cert.read_bytes() + ours.key.read_bytes()}, "private key"),
        ({"public_keys": b"x"}, "Ed25519"),
        ({"public_keys": private}, "private"),
    ]
    for changed, sentence in wrong:
        error = await refused(operator.EnrolVehicle(enrolling(VIN, **changed)))
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
        assert sentence in error.details()
    for request in (
        enrolling(VIN, vin="x"),
        enrolling(VIN, certificate=b""),
        enrolling(VIN, public_keys=b""),
        enrolling(VIN, public_keys=b"x" * 4_097),
    ):
        error = await refused(operator.EnrolVehicle(request))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert list((await operator.ListVehicles(contract.ListVehiclesRequest())).enrolments) == []


def made_before(makers: Pki) -> bytes:
    """A certificate that ended yesterday."""
    then = datetime.now(UTC) - timedelta(days=91)
    identity = CertificateIdentity("made-before", uri=vehicle_identity(VIN).uri, server=False)
    return Pki(makers.ca.parent, then, VEHICLE_CA).ensure(identity).cert.read_bytes()


async def test_what_is_another_cars_or_nobodys_is_refused(operator: Any, enrolling: Any) -> None:
    await operator.EnrolVehicle(enrolling(VIN))
    error = await refused(operator.EnrolVehicle(enrolling(OTHER, public_keys=keys_of(VIN))))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_ENROLLED")
    assert error.details() == "the keys are enrolled for another vehicle"
    error = await refused(operator.RevokeVehicle(contract.RevokeVehicleRequest(vin=OTHER)))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.NOT_FOUND, "VEHICLE_NOT_FOUND")
    assert error.details() == "the vehicle is not enrolled"


async def test_a_silent_broker_is_said_and_may_be_asked_again(
    operator: Any, enrolling: Any, broker: Broker
) -> None:
    broker.silent = True
    error = await refused(operator.EnrolVehicle(enrolling(VIN)))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert "do it again" in error.details()
    broker.silent = False
    assert (await operator.EnrolVehicle(enrolling(VIN))).vin == VIN


@pytest.mark.parametrize(
    "workload",
    ["edge", "room/access", "room/command", "room/enrolment", "team/operator", "team/demo", f"vehicle/{VIN}"],
)
async def test_nobody_else_enrols(running: Any, enrolling: Any, workload: str) -> None:
    async with running.channel(workload) as channel:
        stub = VehicleEnrolmentServiceStub(channel)
        for call in (
            stub.EnrolVehicle(enrolling(VIN)),
            stub.RevokeVehicle(contract.RevokeVehicleRequest(vin=VIN)),
            stub.ListVehicles(contract.ListVehiclesRequest()),
        ):
            error = await refused(call)
            assert (error.code(), reason_of(error)) == (
                grpc.StatusCode.PERMISSION_DENIED,
                "CALLER_NOT_ALLOWED",
            )

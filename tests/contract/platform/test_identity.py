"""Which certificates are whose: exactly one URI of our trust domain counts, until it is revoked; over real mTLS."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
import jwt
import pytest
from cryptography import x509
from ecarus.remotecontrol.access.v1 import access_service_pb2
from ecarus.remotecontrol.door.v1 import door_status_service_pb2, door_status_service_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from mesh.pki import CertificateIdentity, Pki
from services.platform.policy import RpcPolicy
from services.platform.revocation import RevocationListError
from services.platform.session import ISSUER, SESSION_AUDIENCE, SESSION_KEY
from services.platform.workload import certificate_name, workload_of
from tests.contract.platform_service import (
    CONFIG,
    LIVE,
    POLICY,
    READ,
    STATUS,
    VIN,
    InterceptorHarness,
    get,
    native,
    reason_of,
    refused,
    watch,
)

if TYPE_CHECKING:
    from pathlib import Path

    from mesh.pki import Pair
    from services.platform.capability import CapabilityVerifier
    from services.platform.server import GrpcServer
    from services.platform.settings import ServiceSettings
    from tests.contract.conftest import RunningService, StartRoom
    from tests.support.capabilities import Signer
    from tests.support.certificates import Certificates

EDGE, URI = "spiffe://ecarus/edge", x509.UniformResourceIdentifier
DENIED = grpc.StatusCode.PERMISSION_DENIED
ADDRESS = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


@pytest.mark.parametrize(
    "names",
    [
        [x509.DNSName(EDGE)],
        [x509.DNSName("localhost"), x509.DNSName(EDGE)],
        [x509.RFC822Name(EDGE)],
        [URI(EDGE), URI("spiffe://ecarus/room/command")],
        [URI(EDGE), URI(EDGE)],
        [URI("https://ecarus.example/"), URI(EDGE)],
        [URI("spiffe://other/edge")],
        [URI("spiffe://ecarus.other/edge")],
        [URI("SPIFFE://ecarus/edge")],
        [URI("spiffe://ecarus/team/../edge")],
        [URI("spiffe://ecarus/edge/")],
        [URI("spiffe://ecarus/edge?x")],
        [URI("spiffe://ecarus/room/command"), x509.DNSName(EDGE)],
        [x509.DNSName("localhost")],
    ],
)
async def test_what_is_not_one_uri_of_ours_is_not_the_edge(
    running: RunningService,
    service: InterceptorHarness,
    signer: Signer,
    pki: Certificates,
    names: list[x509.GeneralName],
) -> None:
    async with running.channel_under(pki.signed(names)) as channel:
        error = await refused(get(channel, native(signer.capability(VIN, READ))))
    assert (error.code(), reason_of(error)) == (DENIED, "CALLER_NOT_ALLOWED")
    assert service.seen == []


@pytest.mark.parametrize("names", [[URI(EDGE)], [x509.DNSName("localhost"), ADDRESS, URI(EDGE)]])
async def test_one_uri_is_whatever_other_names_stand_beside_it(
    running: RunningService, signer: Signer, pki: Certificates, names: list[x509.GeneralName]
) -> None:
    async with running.channel_under(pki.signed(names)) as channel:
        assert (await get(channel, native(signer.capability(VIN, READ)))).vin == VIN


def test_a_certificate_without_names_is_nobodys(tmp_path: Path) -> None:
    assert workload_of(Pki(tmp_path, datetime.now(UTC)).ca.read_bytes()) is None
    assert workload_of(b"no certificate") is None


async def _reflect(channel: grpc.aio.Channel) -> Any:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    answer = await call.read()
    if answer is grpc.aio.EOF:
        await call  # raises what it ended with
    return answer


@pytest.mark.parametrize("workload", [f"vehicle/{VIN}", "operator", "enrolment", "room", "edge/other"])
async def test_health_and_reflection_are_not_for_cars_and_operators(
    running: RunningService, workload: str
) -> None:
    check = health_pb2.HealthCheckRequest()
    async with running.channel(workload) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for call in (health.Check(check), health.List(health_pb2.HealthListRequest()), _reflect(channel)):
            assert (await refused(call)).code() is DENIED
        assert (await refused(health.Watch(check).read())).code() is DENIED


@pytest.mark.parametrize("workload", ["edge", "room/command", "team/fleet"])
async def test_health_and_reflection_are_for_who_serves_and_asks(
    running: RunningService, workload: str
) -> None:
    serving = health_pb2.HealthCheckResponse.SERVING
    async with running.channel(workload) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == serving
        names = {each.name for each in (await _reflect(channel)).list_services_response.service}
    assert names == {CONFIG, STATUS, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


async def test_what_is_for_others_is_found_by_no_name(running: RunningService) -> None:
    internal = access_service_pb2.DESCRIPTOR.services_by_name[
        "AccessService"
    ].full_name  # so this process knows it
    async with running.channel("team/fleet") as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        for asked in (
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=internal),
            reflection_pb2.ServerReflectionRequest(file_by_filename=access_service_pb2.DESCRIPTOR.name),
        ):
            answer = await stub.ServerReflectionInfo(iter([asked])).read()
            assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
        wanted = reflection_pb2.ServerReflectionRequest(file_containing_symbol=CONFIG)
        answer = await stub.ServerReflectionInfo(iter([wanted])).read()
        assert answer.file_descriptor_response.file_descriptor_proto


async def test_health_lists_every_service(running: RunningService) -> None:
    async with running.channel() as channel:
        health = health_pb2_grpc.HealthStub(channel)
        answer = await health.List(health_pb2.HealthListRequest())
        statuses = {name: each.status for name, each in answer.statuses.items()}
    assert statuses[CONFIG] == statuses[""] == health_pb2.HealthCheckResponse.SERVING


async def test_health_of_what_is_not_there_is_not_found(running: RunningService) -> None:
    async with running.channel() as channel:
        health = health_pb2_grpc.HealthStub(channel)
        error = await refused(health.Check(health_pb2.HealthCheckRequest(service="nothing")))
    assert error.code() is grpc.StatusCode.NOT_FOUND


# Revocation.


@pytest.fixture
def authority(tmp_path: Path) -> Pki:
    """A CA of this test, which revokes."""
    pki = Pki(tmp_path / "authority", datetime.now(UTC))
    pki.ensure_revocations()
    return pki


def client(authority: Pki, name: str, workload: str) -> Pair:
    return authority.ensure(CertificateIdentity(name, uri=f"spiffe://ecarus/{workload}", server=False))


@pytest.fixture
async def guarded(service: InterceptorHarness, start_room: StartRoom, authority: Pki) -> RunningService:
    pair = authority.ensure(
        CertificateIdentity(
            "config", uri="spiffe://ecarus/room/config", dns=("config.rooms.ecarus.internal",)
        )
    )

    def build(settings: ServiceSettings, verifier: CapabilityVerifier) -> GrpcServer:
        own = {
            "tls_ca": authority.ca,
            "tls_cert": pair.cert,
            "tls_key": pair.key,
            "revoked_workloads": authority.revocations,
            "revocation_check_seconds": 0.1,
        }
        return service.build(settings.model_copy(update=own), verifier)

    return await start_room("config", build)


async def test_a_revoked_certificate_ends_on_a_live_connection_and_its_streams_too(
    guarded: RunningService, service: InterceptorHarness, authority: Pki, signer: Signer
) -> None:
    stolen, other = client(authority, "stolen", "edge"), client(authority, "other", "edge")
    service.raises_after, service.harness = 1, asyncio.Event()
    async with (
        guarded.channel_under(stolen, authority) as thief,
        guarded.channel_under(other, authority) as owner,
    ):
        theirs = watch(thief, native(signer.capability(VIN, LIVE)))
        ours = watch(owner, native(signer.capability(VIN, LIVE)))
        assert (await theirs.read()).vin == (await ours.read()).vin == VIN
        health = health_pb2_grpc.HealthStub(thief).Watch(health_pb2.HealthCheckRequest())
        await health.read()

        authority.revoke(stolen.cert)
        async with asyncio.timeout(30):
            assert (await refused(theirs.read())).code() is DENIED
            assert (await refused(health.read())).code() is DENIED
        error = await refused(get(thief, native(signer.capability(VIN, READ))))
        assert (error.code(), error.details()) == (DENIED, "This workload's certificate is revoked.")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await ours.read()
    service.harness.set()


async def test_a_team_s_stream_through_the_edge_ends_with_the_team_s_certificate(
    guarded: RunningService, service: InterceptorHarness, authority: Pki, signer: Signer
) -> None:
    """The edge calls, and goes on; the capability names the certificate under which it was asked."""
    edge, stolen, other = (client(authority, name, name) for name in ("edge", "team/stolen", "team/other"))
    service.raises_after, service.harness = 1, asyncio.Event()

    def behind(pair: Pair) -> dict[str, str]:
        workload = workload_of(pair.cert.read_bytes())
        assert workload is not None
        return {"cert": certificate_name(workload.certificate)}

    async with guarded.channel_under(edge, authority) as channel:
        theirs = watch(channel, native(signer.capability(VIN, LIVE, **behind(stolen))))
        ours = watch(channel, native(signer.capability(VIN, LIVE, **behind(other))))
        users = watch(channel, native(signer.capability(VIN, LIVE)))
        for stream in (theirs, ours, users):
            assert (await stream.read()).vin == VIN
        assert service.server is not None
        lists = service.server._revocations
        assert lists is not None
        authority.revoke(stolen.cert)
        lists.look()
        async with asyncio.timeout(30):
            assert (await refused(theirs.read())).code() is DENIED
        error = await refused(get(channel, native(signer.capability(VIN, READ, **behind(stolen)))))
        assert error.code() is DENIED
        for stream in (ours, users):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await stream.read()
    service.harness.set()


@pytest.fixture
def by_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """The RPC that is asked is about a caller: a session comes in place of a capability."""
    rule = RpcPolicy(peers=frozenset({EDGE}), needs_session=True)
    monkeypatch.setitem(POLICY, f"/{CONFIG}/GetDoorConfig", rule)


@pytest.mark.usefixtures("by_session")
async def test_a_session_ends_with_the_certificate_that_it_was_opened_under(
    guarded: RunningService, service: InterceptorHarness, authority: Pki, signer: Signer
) -> None:
    edge, stolen, other = (client(authority, name, name) for name in ("edge", "team/stolen", "team/other"))

    def under(pair: Pair | None) -> list[tuple[str, str]]:
        workload = workload_of(pair.cert.read_bytes()) if pair is not None else None
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": SESSION_AUDIENCE, "sub": "u", "act": "u", "iat": now, "exp": now + 60}
        if workload is not None:
            claims["cert"] = certificate_name(workload.certificate)
        return [(SESSION_KEY, jwt.encode(claims, signer.key, algorithm="EdDSA", headers={"kid": "test"}))]

    async with guarded.channel_under(edge, authority) as channel:
        for pair in (stolen, other, None):
            assert (await get(channel, under(pair))).vin == VIN
        assert (await refused(get(channel, native(signer.capability(VIN, READ))))).code() is not DENIED
        authority.revoke(stolen.cert)
        lists = service.server._revocations
        assert lists is not None
        lists.look()
        error = await refused(get(channel, under(stolen)))
        assert (error.code(), error.details()) == (DENIED, "This workload's certificate is revoked.")
        for pair in (other, None):
            assert (await get(channel, under(pair))).vin == VIN


async def test_rooms_between_themselves_are_revoked_too(guarded: RunningService, authority: Pki) -> None:
    stolen = client(authority, "stolen", "room/command")
    request = door_status_service_pb2.GetDoorStatusRequest(vin=VIN)
    async with guarded.channel_under(stolen, authority) as channel:
        stub = door_status_service_pb2_grpc.DoorStatusServiceStub(channel)
        assert (await stub.GetDoorStatus(request)).vin == VIN
        authority.revoke(stolen.cert)
        async with asyncio.timeout(30):
            while True:
                try:
                    await stub.GetDoorStatus(request)
                except grpc.aio.AioRpcError as error:
                    assert error.code() is DENIED  # noqa: PT017  # until the file is read again it answers
                    break


async def test_a_list_that_nobody_of_ours_signed_or_that_is_broken_changes_nothing(
    guarded: RunningService, authority: Pki, signer: Signer, tmp_path: Path, service: InterceptorHarness
) -> None:
    stolen, owner = client(authority, "stolen", "edge"), client(authority, "owner", "edge")
    authority.revoke(stolen.cert)
    list_of_ours = authority.revocations.read_bytes()
    foreign = Pki(tmp_path / "foreign", datetime.now(UTC))
    foreign.revoke(owner.cert)
    lists = service.server._revocations
    assert lists is not None
    lists.look()
    for content in (
        foreign.revocations.read_bytes(),
        b"",
        b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----",
    ):
        authority.revocations.write_bytes(content)
        with pytest.raises(RevocationListError):
            lists.look()
    async with guarded.channel_under(owner, authority) as channel:
        assert (await get(channel, native(signer.capability(VIN, READ)))).vin == VIN
    async with guarded.channel_under(stolen, authority) as channel:
        assert (await refused(get(channel, native(signer.capability(VIN, READ))))).code() is DENIED
    authority.revocations.write_bytes(list_of_ours)


@pytest.mark.parametrize("content", [b"", b"no list"])
async def test_a_list_that_cannot_be_read_stops_the_start(
    service: InterceptorHarness, start_room: StartRoom, tmp_path: Path, content: bytes
) -> None:
    lists = tmp_path / "lists"
    lists.write_bytes(content)

    def build(settings: ServiceSettings, verifier: CapabilityVerifier) -> GrpcServer:
        return service.build(settings.model_copy(update={"revoked_workloads": lists}), verifier)

    with pytest.raises(RevocationListError):
        await start_room("config", build)

"""Native gRPC for teams, TLS, and what the edge answers when what lies behind it is away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import grpc
import httpx
import pytest
from ecarus.remotecontrol.door.v1 import (
    door_command_pb2,
    door_command_service_pb2,
    door_command_service_pb2_grpc,
    door_status_service_pb2,
    door_status_service_pb2_grpc,
)
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from mesh.pki import CertificateIdentity
from services.platform.workload import workload_of
from tests.support.plain_http import NO_TLS
from tests.system.edge_harness import BASE, CAPABILITY, VIN, EdgeHarness

if TYPE_CHECKING:
    from collections.abc import Awaitable

pytestmark = pytest.mark.asyncio(loop_scope="module")

STATUS = door_status_service_pb2.GetDoorStatusRequest(vin=VIN)
UNLOCK = door_command_service_pb2.UnlockDoorsRequest(vin=VIN)


async def refusal(call: Awaitable[object]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_a_team_is_known_by_its_certificate_and_access_reads_the_request(edge: EdgeHarness) -> None:
    forged = ((CAPABILITY, "forged"), ("x-envoy-original-path", "/forged"), ("x-correlation-id", "team-1"))
    async with edge.team_channel() as channel:
        call = door_status_service_pb2_grpc.DoorStatusServiceStub(channel).GetDoorStatus(
            STATUS, metadata=forged
        )
        assert (await call).vin == VIN
        assert dict(await call.initial_metadata())["x-correlation-id"] == "team-1"
    asked = edge.access.checks[-1].attributes
    assert asked.source.principal == "spiffe://ecarus/team/demo"
    assert asked.request.http.path.endswith("DoorStatusService/GetDoorStatus")
    assert asked.request.http.raw_body[5:] == STATUS.SerializeToString()
    assert "forged" not in str(edge.received.last[1])
    assert "x-envoy-original-path" not in edge.received.last[1]


async def test_access_is_told_the_teams_certificate(edge: EdgeHarness) -> None:
    async with edge.team_channel() as channel:
        await door_status_service_pb2_grpc.DoorStatusServiceStub(channel).GetDoorStatus(STATUS)
    certificate = unquote_to_bytes(edge.access.checks[-1].attributes.source.certificate)
    assert workload_of(certificate) == workload_of(edge.pki.pair("team-demo").cert.read_bytes())


async def test_a_revoked_team_gets_no_connection_from_a_running_envoy(edge: EdgeHarness) -> None:
    stolen = CertificateIdentity("team-stolen", uri="spiffe://ecarus/team/stolen", server=False)
    pair = edge.pki.ensure(stolen)

    async def asks(name: str) -> grpc.StatusCode:
        async with edge.team_channel(name) as channel:
            try:
                await door_status_service_pb2_grpc.DoorStatusServiceStub(channel).GetDoorStatus(STATUS)
            except grpc.aio.AioRpcError as error:
                return error.code()
        return grpc.StatusCode.OK

    assert await asks(stolen.name) is grpc.StatusCode.OK
    edge.pki.revoke(pair.cert)
    async with asyncio.timeout(60):
        while await asks(stolen.name) is not grpc.StatusCode.UNAVAILABLE:  # noqa: ASYNC110  # Envoy has yet to read
            await asyncio.sleep(0.05)
    assert await asks("team-demo") is grpc.StatusCode.OK


async def test_the_access_service_chooses_the_grpc_status(edge: EdgeHarness) -> None:
    async with edge.team_channel() as channel:
        stub = door_status_service_pb2_grpc.DoorStatusServiceStub(channel)
        refused = await refusal(stub.GetDoorStatus(STATUS, metadata=(("authorization", "Bearer 404"),)))
    assert refused.code() is grpc.StatusCode.NOT_FOUND  # Envoy alone would say UNIMPLEMENTED
    assert dict(refused.trailing_metadata() or ())["grpc-status-details-bin"] == b"\x08\x05\x12\x02no"


async def test_a_typed_stream(edge: EdgeHarness) -> None:
    async with edge.team_channel() as channel, asyncio.timeout(30):
        request = door_status_service_pb2.WatchDoorUpdatesRequest(vin=VIN)
        call = door_status_service_pb2_grpc.DoorStatusServiceStub(channel).WatchDoorUpdates(request)
        assert [update.vin async for update in call] == [VIN]


async def test_health_and_reflection(edge: EdgeHarness) -> None:
    async with edge.team_channel() as channel, asyncio.timeout(30):
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))  # and stays open
        assert (await call.read()).list_services_response.service
        call.cancel()


async def test_errors_of_the_edge_have_fixed_words(edge: EdgeHarness) -> None:
    large = door_command_service_pb2.UnlockDoorsRequest(
        vin=VIN, unlock=door_command_pb2.DoorUnlock(target_doors=["x" * 300_000])
    )
    async with edge.team_channel() as channel:
        stub = door_command_service_pb2_grpc.DoorCommandServiceStub(channel)
        assert "64 KiB" in str((await refusal(stub.UnlockDoors(large))).details())
        unknown = channel.unary_unary("/no.Such/Rpc", request_serializer=bytes, response_deserializer=bytes)
        refused = await refusal(unknown(b""))
        assert refused.code() is grpc.StatusCode.UNIMPLEMENTED
        assert refused.details() == "There is no such RPC."


@pytest.mark.parametrize("name", ["command", "edge", "public"])
async def test_only_a_team_s_certificate_opens_the_mtls_port(edge: EdgeHarness, name: str) -> None:
    async with edge.team_channel(name) as channel:
        refused = await refusal(health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest()))
    assert refused.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(("flag", "version"), [("--http2", "2"), ("--http1.1", "1.1")])
async def test_rest_over_tls_in_both_http_versions(edge: EdgeHarness, flag: str, version: str) -> None:
    url = f"https://localhost:{edge.ports.https}{BASE}/status"
    words = ("-sS", flag, "--cacert", str(edge.pki.ca), "-H", "authorization: Bearer good", "-o", "-")
    curl = await asyncio.create_subprocess_exec(
        "curl", *words, "-w", "\n%{http_code} %{http_version}", url, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await curl.communicate()
    assert output.decode().splitlines()[-1] == f"200 {version}"


async def test_a_room_that_is_away_is_503_and_comes_back(edge: EdgeHarness) -> None:
    good = {"authorization": "Bearer good"}
    async with httpx.AsyncClient(base_url=edge.http, verify=NO_TLS, trust_env=False) as client:
        await edge.stop_room("command")
        answer = await client.post(f"{BASE}/unlock", headers=good, json={})
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["code"] == "DEPENDENCY_UNAVAILABLE"
        assert answer.json()["mayHaveSucceeded"] is False
        assert (await client.get(f"{BASE}/status", headers=good)).status_code == 200  # the others serve on
        async with edge.team_channel() as channel:
            stub = door_command_service_pb2_grpc.DoorCommandServiceStub(channel)
            refused = await refusal(stub.UnlockDoors(UNLOCK))
        assert refused.code() is grpc.StatusCode.UNAVAILABLE
        assert "nothing was accepted" in str(refused.details())
        await edge.start_room("command")
        async with asyncio.timeout(60):
            while (await client.post(f"{BASE}/unlock", headers=good, json={})).status_code != 202:  # noqa: ASYNC110  # Envoy's own pace
                await asyncio.sleep(0.1)


async def test_a_cut_off_command_may_have_succeeded(edge: EdgeHarness) -> None:
    calls = len(edge.received.calls)
    async with httpx.AsyncClient(base_url=edge.http, verify=NO_TLS, trust_env=False) as client:
        headers = {"authorization": "Bearer good", "x-fail": "hang"}
        cut = asyncio.create_task(client.post(f"{BASE}/unlock", headers=headers, json={}))
        async with asyncio.timeout(30):
            while len(edge.received.calls) == calls:  # noqa: ASYNC110  # the request travels
                await asyncio.sleep(0.01)
        await edge.stop_room("command")
        answer = await cut
        assert answer.status_code == 503, answer.text
        assert answer.json()["mayHaveSucceeded"] is True
        assert answer.json()["retryable"] is True
        await edge.start_room("command")


async def test_without_the_access_service_nothing_passes(edge: EdgeHarness) -> None:
    await edge.stop_room("access")
    calls = len(edge.received.calls)
    async with httpx.AsyncClient(base_url=edge.http, verify=NO_TLS, trust_env=False) as client:
        answer = await client.get(f"{BASE}/status", headers={"authorization": "Bearer good"})
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["code"] == "DEPENDENCY_UNAVAILABLE"
    assert answer.json()["correlationId"] == answer.headers["x-correlation-id"]
    async with edge.team_channel() as channel:
        stub = door_command_service_pb2_grpc.DoorCommandServiceStub(channel)
        assert (await refusal(stub.UnlockDoors(UNLOCK))).code() is grpc.StatusCode.UNAVAILABLE
    assert len(edge.received.calls) == calls
    await edge.start_room("access")

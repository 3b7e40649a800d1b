"""What somebody with the gateway's certificate asks of the status service."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ecarus.remotecontrol.access.v1 import door_watch_service_pb2 as pb2
from ecarus.remotecontrol.access.v1.door_watch_service_pb2_grpc import DoorWatchServiceStub

from tests.contract.gateway.conftest import SECOND, VIN, WAIT_SECONDS, GatewayHarness
from tests.support.capabilities import Signer


def channel(gateway: GatewayHarness, workload: str) -> grpc.aio.Channel:
    pair = gateway.certificates.of(workload)
    credentials = grpc.ssl_channel_credentials(
        gateway.certificates.authority.ca.read_bytes(), pair.key.read_bytes(), pair.cert.read_bytes()
    )
    name = ("grpc.ssl_target_name_override", "status.rooms.ecarus.internal")
    return grpc.aio.secure_channel(f"127.0.0.1:{gateway.status_port}", credentials, options=(name,))


async def told(call: Any) -> pb2.WatchEvent:
    async with asyncio.timeout(WAIT_SECONDS):
        response: pb2.WatchVehiclesResponse = await call.read()
    (event,) = response.events
    return event


async def test_without_a_capability_for_it_no_vehicle_is_watched(
    gateway: GatewayHarness, signer: Signer
) -> None:
    forged = Signer(Ed25519PrivateKey.generate(), signer.jwks)
    for capability in (
        "x",
        forged.capability(VIN, "door.updates.read"),
        signer.capability(SECOND, "door.updates.read"),
        signer.capability(VIN, "door.status.read"),
        signer.capability(VIN, "door.updates.read", seconds=-1),
        gateway.session(),
    ):
        async with channel(gateway, "room/gateway") as stolen:
            call = DoorWatchServiceStub(stolen).WatchVehicles()
            begin = pb2.WatchBegin(watch=1, vin=VIN, capability=capability)
            await call.write(pb2.WatchVehiclesRequest(begin=[begin]))
            ended = (await told(call)).ended
            assert ended.code in {"TOKEN_INVALID", "TOKEN_EXPIRED", "VEHICLE_NOT_FOUND"}
    assert gateway.hub.watcher_count == 0


@pytest.mark.parametrize("workload", ["room/command", "room/access", "edge", "team/fleet", "operator"])
async def test_nobody_else_feeds_on_it(gateway: GatewayHarness, signer: Signer, workload: str) -> None:
    async with channel(gateway, workload) as other:
        call = DoorWatchServiceStub(other).WatchVehicles()
        capability = signer.capability(VIN, "door.updates.read")
        begin = pb2.WatchBegin(watch=1, vin=VIN, capability=capability)
        with contextlib.suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
            await call.write(pb2.WatchVehiclesRequest(begin=[begin]))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    "request_",
    [
        pb2.WatchVehiclesRequest(begin=[pb2.WatchBegin(watch=1, vin=VIN, capability="y")] * 201),
        pb2.WatchVehiclesRequest(begin=[pb2.WatchBegin(watch=1, vin="x", capability="y")] * 201),
        pb2.WatchVehiclesRequest(end=range(1_001)),
    ],
)
async def test_what_is_unsound_ends_the_call(gateway: GatewayHarness, request_: Any) -> None:
    async with channel(gateway, "room/gateway") as stolen:
        call = DoorWatchServiceStub(stolen).WatchVehicles()
        await call.write(request_)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "unsound",
    [
        pb2.WatchBegin(watch=1, vin="x", capability="y"),
        pb2.WatchBegin(watch=1, vin=VIN, capability="y" * 16_385),
        pb2.WatchBegin(watch=1, vin=VIN, capability="y", last_event_id=" "),
    ],
)
async def test_a_watch_that_is_unsound_is_refused_and_the_others_begin(
    gateway: GatewayHarness, signer: Signer, unsound: pb2.WatchBegin
) -> None:
    sound = pb2.WatchBegin(watch=2, vin=VIN, capability=signer.capability(VIN, "door.updates.read"))
    async with channel(gateway, "room/gateway") as stolen:
        call = DoorWatchServiceStub(stolen).WatchVehicles()
        await call.write(pb2.WatchVehiclesRequest(begin=[unsound, sound]))
        async with asyncio.timeout(WAIT_SECONDS):
            events: list[pb2.WatchEvent] = []
            while len(events) < 2:
                events += (await call.read()).events
    assert (events[0].ended.watch, events[0].ended.code) == (1, "INVALID_REQUEST")
    assert events[1].begun.watch == 2

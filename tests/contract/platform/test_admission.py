"""Who may call a service, with what right, and that nothing is served without a rule; over real mTLS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ecarus.remotecontrol.door.v1 import (
    door_status_service_pb2,
    door_status_service_pb2_grpc,
)

from services.platform import errors
from services.platform.audit import log_call
from services.platform.call import Call
from services.platform.capability import CapabilityVerifier
from services.platform.errors import Refusal
from services.platform.interceptor import CallInterceptor
from services.platform.workload import Workloads
from tests.contract.platform_service import (
    CONFIG,
    FOREIGN_VIN,
    POLICY,
    READ,
    VIN,
    WRITE,
    InterceptorHarness,
    get,
    native,
    problem_of,
    public_key_of,
    reason_of,
    refusal_of,
    refused,
    rest,
    through_the_edge,
)

if TYPE_CHECKING:
    from tests.contract.conftest import RunningService, StartRoom
    from tests.support.capabilities import Signer
    from tests.support.certificates import Certificates


async def test_a_granted_call_reaches_the_room_with_all_that_is_known_of_it(
    edge: grpc.aio.Channel, service: InterceptorHarness, signer: Signer
) -> None:
    token = signer.capability(VIN, READ, subject="user-123", actor="agent-7", source="CALL_CENTER")
    answer = await get(edge, native(token))
    assert answer.vin == VIN
    [(_, call)] = service.seen
    granted = call.granted()
    assert (granted.subject, granted.actor, granted.source) == ("user-123", "agent-7", "CALL_CENTER")
    assert call.correlation_id == "test-1"
    assert call.peer == "spiffe://ecarus/edge"


async def test_a_correlation_id_is_made_when_there_is_none(
    edge: grpc.aio.Channel, service: InterceptorHarness, signer: Signer
) -> None:
    await get(edge, [("x-ecarus-capability", signer.capability(VIN, READ))])
    assert len(service.seen[0][1].correlation_id) == 36


async def test_a_vin_in_lower_case_is_the_same_vin(
    edge: grpc.aio.Channel, service: InterceptorHarness, signer: Signer
) -> None:
    answer = await get(edge, native(signer.capability(VIN, READ)), vin=VIN.lower())
    assert answer.vin == VIN
    assert service.seen[0][0].vin == VIN


@pytest.mark.parametrize("workload", ["room/command", "team/fleet", "edge/fake", "room/edge"])
async def test_another_workload_is_refused_even_with_a_capability(
    running: RunningService, service: InterceptorHarness, signer: Signer, workload: str
) -> None:
    async with running.channel(workload) as channel:
        error = await refused(get(channel, native(signer.capability(VIN, READ))))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert reason_of(error) == "CALLER_NOT_ALLOWED"
    assert service.seen == []


async def test_a_room_may_call_what_is_between_rooms_and_the_edge_may_not(
    running: RunningService, edge: grpc.aio.Channel, signer: Signer
) -> None:
    request = door_status_service_pb2.GetDoorStatusRequest(vin=VIN)
    async with running.channel("room/command") as channel:
        stub = door_status_service_pb2_grpc.DoorStatusServiceStub(channel)
        assert (await stub.GetDoorStatus(request)).vin == VIN
    stub = door_status_service_pb2_grpc.DoorStatusServiceStub(edge)
    error = await refused(stub.GetDoorStatus(request, metadata=native(signer.capability(VIN, READ))))
    assert reason_of(error) == "CALLER_NOT_ALLOWED"


async def test_without_a_certificate_there_is_no_connection(
    running: RunningService, pki: Certificates
) -> None:
    credentials = grpc.ssl_channel_credentials(pki.authority.ca.read_bytes())
    name = ("grpc.ssl_target_name_override", "config.rooms.ecarus.internal")
    async with grpc.aio.secure_channel(running.target, credentials, options=(name,)) as channel:
        error = await refused(get(channel))
    assert error.code() is grpc.StatusCode.UNAVAILABLE


# What the capability must say.


async def test_without_a_capability(edge: grpc.aio.Channel, service: InterceptorHarness) -> None:
    error = await refused(get(edge))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAUTHENTICATED, "AUTHENTICATION_REQUIRED")
    assert service.seen == []


async def test_an_expired_capability(edge: grpc.aio.Channel, signer: Signer) -> None:
    error = await refused(get(edge, native(signer.capability(VIN, READ, seconds=-1))))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED")


async def test_a_capability_for_longer_than_a_minute(edge: grpc.aio.Channel, signer: Signer) -> None:
    error = await refused(get(edge, native(signer.capability(VIN, READ, seconds=61))))
    assert reason_of(error) == "TOKEN_INVALID"


async def test_forged_capabilities(
    edge: grpc.aio.Channel, service: InterceptorHarness, signer: Signer
) -> None:
    good = signer.capability(VIN, READ)
    claims = jwt.decode(good, options={"verify_signature": False})
    stranger = Ed25519PrivateKey.generate()
    kid = {"kid": "test"}
    forged = [
        jwt.encode(claims, stranger, algorithm="EdDSA", headers=kid),
        jwt.encode(claims, stranger, algorithm="EdDSA", headers={"kid": "unknown"}),
        jwt.encode(claims, stranger, algorithm="EdDSA"),
        jwt.encode(claims, "", algorithm="none", headers=kid),
        jwt.encode(claims, public_key_of(signer), algorithm="HS256", headers=kid),
        jwt.encode({**claims, "aud": "elsewhere"}, signer.key, algorithm="EdDSA", headers=kid),
        jwt.encode({**claims, "iss": "elsewhere"}, signer.key, algorithm="EdDSA", headers=kid),
        jwt.encode(
            {**claims, "iat": claims["iat"] + 900, "exp": claims["exp"] + 900}, signer.key, "EdDSA", kid
        ),
        jwt.encode({**claims, "exp": float("nan")}, signer.key, algorithm="EdDSA", headers=kid),
        jwt.encode({**claims, "iat": "soon"}, signer.key, algorithm="EdDSA", headers=kid),
        jwt.encode(
            {k: v for k, v in claims.items() if k != "vin"}, signer.key, algorithm="EdDSA", headers=kid
        ),
        good[:-4] + "AAAA",
        good + ".x",
        "",
        "not a token",
    ]
    for token in forged:
        error = await refused(get(edge, native(token)))
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID"), token
    assert service.seen == []


async def test_unknown_and_foreign_vins_are_the_same_404(edge: grpc.aio.Channel, signer: Signer) -> None:
    token = signer.capability(VIN, READ)
    bodies = []
    for vin in (FOREIGN_VIN, "KMHSH81C7LU999999"):
        error = await refused(get(edge, rest(token, "/same"), vin=vin))
        assert error.code() is grpc.StatusCode.NOT_FOUND
        bodies.append(problem_of(error))
    assert bodies[0] == bodies[1]
    assert bodies[0]["code"] == "VEHICLE_NOT_FOUND"


async def test_an_action_that_is_not_granted(edge: grpc.aio.Channel, signer: Signer) -> None:
    error = await refused(get(edge, native(signer.capability(VIN, WRITE))))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.PERMISSION_DENIED, "ACTION_NOT_GRANTED")
    assert READ in (error.details() or "")


async def test_a_capability_for_another_service(edge: grpc.aio.Channel, signer: Signer) -> None:
    error = await refused(get(edge, native(signer.capability(VIN, READ, services=("command", "status")))))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")


@pytest.mark.parametrize("method", sorted(POLICY))
async def test_a_missing_line_stops_the_start(
    service: InterceptorHarness, start_room: StartRoom, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.delitem(POLICY, method)
    with pytest.raises(ValueError, match=method):
        await start_room("config", service.build)


async def test_a_line_for_nothing_stops_the_start(
    service: InterceptorHarness, start_room: StartRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(POLICY, f"/{CONFIG}/Gone", through_the_edge(READ))
    with pytest.raises(ValueError, match="Gone"):
        await start_room("config", service.build)


def test_an_rpc_without_a_line_is_refused_were_the_check_at_the_start_to_miss_it(signer: Signer) -> None:
    interceptor = CallInterceptor({}, CapabilityVerifier(signer.jwks), {}, refusal_of, log_call, Workloads())
    call = Call(f"/{CONFIG}/GetDoorConfig", "test-1", "spiffe://ecarus/edge", None, {})
    with pytest.raises(Refusal) as refusal:
        interceptor._admit(None, call, None)
    assert refusal.value.reason is errors.CALLER_NOT_ALLOWED

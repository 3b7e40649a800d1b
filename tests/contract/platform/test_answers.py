"""How a service's calls end: refusals, defects, deadlines, streams, stopping; over real mTLS."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.door.v1 import (
    door_config_pb2,
    door_status_service_pb2,
    door_status_service_pb2_grpc,
)
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.platform import errors
from services.platform.errors import Refusal, Violation
from services.platform.server import STORAGE
from services.platform.storage import CommitUncertainError, StorageUnavailableError
from tests.contract.platform_service import (
    CONFIG,
    LIVE,
    READ,
    VIN,
    WRITE,
    DoorJammedError,
    InterceptorHarness,
    details_of,
    get,
    native,
    problem_of,
    put,
    reason_of,
    refused,
    rest,
    watch,
)

if TYPE_CHECKING:
    from tests.contract.conftest import RunningService, StartRoom
    from tests.support.capabilities import Signer


async def test_violations_are_named_as_rest_wrote_them(edge: grpc.aio.Channel, signer: Signer) -> None:
    config = door_config_pb2.DoorConfigUpdate(auto_lock_delay=1, speed_lock_threshold=900)
    error = await refused(put(edge, rest(signer.capability(VIN, WRITE)), config))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    document = problem_of(error)
    assert (document["status"], document["code"]) == (400, "INVALID_REQUEST")
    assert {each["field"] for each in document["errors"]} == {"autoLockDelay", "speedLockThreshold"}
    assert all(each["reason"] for each in document["errors"])
    named = details_of(error)["BadRequest"].field_violations
    assert {each.field for each in named} == {"autoLockDelay", "speedLockThreshold"}


async def test_a_rule_of_the_whole_body_is_named_so(edge: grpc.aio.Channel, signer: Signer) -> None:
    error = await refused(put(edge, rest(signer.capability(VIN, WRITE)), door_config_pb2.DoorConfigUpdate()))
    assert problem_of(error)["errors"] == [{"field": "(body)", "reason": "name at least one setting"}]


async def test_a_correlation_id_that_is_none(edge: grpc.aio.Channel, signer: Signer) -> None:
    for wrong in ("", "a b", "x" * 65, 'quote"'):
        token = signer.capability(VIN, READ)
        metadata = [
            ("x-ecarus-capability", token),
            ("x-correlation-id", wrong),
            ("x-envoy-original-path", "/"),
        ]
        if wrong == "":
            await get(edge, metadata)  # as if there were none
            continue
        error = await refused(get(edge, metadata))
        assert [each["field"] for each in problem_of(error)["errors"]] == ["X-Correlation-ID"]


async def test_the_problem_document_is_whole_and_for_rest_only(
    edge: grpc.aio.Channel, service: InterceptorHarness, signer: Signer
) -> None:
    service.raises = Refusal(
        errors.RATE_LIMITED,
        "Too many; come back in a moment, soon; naïve.",
        violations=[Violation("a", "b")],
        may_have_succeeded=False,
        retry_after_seconds=7,
        facts={"commandId": "c-1", "doorResults": [{"doorId": "frontLeft"}]},
        headers={"ratelimit": "r"},
    )
    token = signer.capability(VIN, READ)
    error = await refused(get(edge, rest(token)))
    assert problem_of(error) == {
        "type": "https://docs.ecarus.example/problems/rate-limited",
        "title": "Too many requests",
        "status": 429,
        "detail": "Too many; come back in a moment, soon; naïve.",
        "instance": "/door/config",
        "code": "RATE_LIMITED",
        "correlationId": "test-1",
        "retryable": True,
        "mayHaveSucceeded": False,
        "commandId": "c-1",
        "doorResults": [{"doorId": "frontLeft"}],
        "errors": [{"field": "a", "reason": "b"}],
    }
    trailers = dict(error.trailing_metadata())
    assert (trailers["retry-after"], trailers["ratelimit"]) == ("7", "r")
    assert error.details() == "Too many; come back in a moment, soon; naïve."

    error = await refused(get(edge, native(token)))
    assert {"x-problem", "retry-after", "ratelimit"}.isdisjoint(dict(error.trailing_metadata()))
    details = details_of(error)
    assert details["ErrorInfo"].domain == "remotecontrol.ecarus"
    assert details["ErrorInfo"].metadata["commandId"] == "c-1"
    assert details["ErrorInfo"].metadata["mayHaveSucceeded"] == "false"
    assert details["ErrorInfo"].metadata["correlationId"] == "test-1"
    assert details["RetryInfo"].retry_delay.seconds == 7


@pytest.mark.parametrize(
    ("claimed", "challenge"),
    [
        ({}, 'Bearer error="invalid_token"'),
        (
            {"scheme": "DPoP", "scheme_parameters": 'algs="ES256"'},
            'DPoP error="invalid_token", algs="ES256"',
        ),
    ],
    ids=["bearer", "dpop"],
)
async def test_a_401_has_its_challenge_in_the_scheme_that_the_token_came_by(
    edge: grpc.aio.Channel,
    service: InterceptorHarness,
    signer: Signer,
    claimed: dict[str, str],
    challenge: str,
) -> None:
    token = signer.capability(VIN, READ, **claimed)
    service.raises = Refusal(errors.TOKEN_INVALID, "Not accepted any more.")
    error = await refused(get(edge, rest(token)))
    assert dict(error.trailing_metadata())["www-authenticate"] == challenge
    own = {"www-authenticate": 'Bearer error="insufficient_user_authentication"'}
    service.raises = Refusal(errors.STEP_UP_REQUIRED, "Sign in again.", headers=own)
    error = await refused(get(edge, rest(token)))
    assert dict(error.trailing_metadata())["www-authenticate"] == own["www-authenticate"]
    service.raises = Refusal(errors.ACTION_NOT_GRANTED, "No.")
    error = await refused(get(edge, rest(token)))
    assert "www-authenticate" not in dict(error.trailing_metadata())


async def test_more_violations_than_metadata_can_carry(
    edge: grpc.aio.Channel, service: InterceptorHarness, signer: Signer
) -> None:
    service.raises = Refusal(
        errors.INVALID_REQUEST, "Many.", violations=[Violation(f"door[{n}]", "é" * 50) for n in range(5_000)]
    )
    error = await refused(get(edge, rest(signer.capability(VIN, READ))))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert len(dict(error.trailing_metadata())["x-problem"]) <= errors.MAX_DOCUMENT_BYTES
    assert len(details_of(error)["BadRequest"].field_violations) > 5
    error = await refused(get(edge, native(signer.capability(VIN, READ))))
    assert reason_of(error) == "INVALID_REQUEST"


async def test_changes_and_refusals_are_audited_and_reads_are_not(
    edge: grpc.aio.Channel, service: InterceptorHarness, signer: Signer
) -> None:
    change = door_config_pb2.DoorConfigUpdate(auto_lock_enabled=True)
    await get(edge, rest(signer.capability(VIN, READ)))
    await put(edge, rest(signer.capability(VIN, WRITE)), change)
    service.raises = DoorJammedError("inside")
    await refused(put(edge, rest(signer.capability(VIN, WRITE)), change))
    await refused(get(edge, rest("no capability")))
    update, read = f"/{CONFIG}/UpdateDoorConfig", f"/{CONFIG}/GetDoorConfig"
    subject = service.seen[0][1].capability.subject
    assert service.audited == [
        (update, "OK", subject),
        (update, "DOOR_OPEN", subject),
        (read, "TOKEN_INVALID", None),
    ]


async def test_a_rooms_own_exception_is_translated(
    edge: grpc.aio.Channel, service: InterceptorHarness, signer: Signer
) -> None:
    service.raises = DoorJammedError("inside")
    error = await refused(get(edge, rest(signer.capability(VIN, READ))))
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert (problem_of(error)["status"], problem_of(error)["mayHaveSucceeded"]) == (409, False)


async def test_a_defect_is_told_without_its_inside(
    edge: grpc.aio.Channel, service: InterceptorHarness, signer: Signer
) -> None:
    service.raises = RuntimeError("secret of the inside")
    token = signer.capability(VIN, READ, WRITE)
    error = await refused(get(edge, rest(token)))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in f"{error.details()}{error.trailing_metadata()}"
    assert "mayHaveSucceeded" not in problem_of(error)
    error = await refused(put(edge, rest(token), door_config_pb2.DoorConfigUpdate(auto_lock_delay=30)))
    assert problem_of(error)["mayHaveSucceeded"] is True


@pytest.mark.parametrize(
    ("failure", "may_have_succeeded"),
    [(StorageUnavailableError("disk full"), False), (CommitUncertainError("connection lost"), True)],
)
async def test_a_store_that_is_away_is_a_503(
    edge: grpc.aio.Channel,
    service: InterceptorHarness,
    signer: Signer,
    failure: Exception,
    may_have_succeeded: bool,
) -> None:
    service.raises = failure
    update = door_config_pb2.DoorConfigUpdate(auto_lock_delay=30)
    error = await refused(put(edge, rest(signer.capability(VIN, WRITE)), update))
    document = problem_of(error)
    assert (document["status"], document["code"]) == (503, "STORAGE_UNAVAILABLE")
    assert document["mayHaveSucceeded"] is may_have_succeeded
    assert document["retryable"] is True
    assert dict(error.trailing_metadata())["retry-after"] == "2"


async def test_work_that_outlasts_the_deadline_ends_and_says_so(
    edge: grpc.aio.Channel, service: InterceptorHarness, signer: Signer
) -> None:
    service.harness = asyncio.Event()
    token = signer.capability(VIN, WRITE)
    update = door_config_pb2.DoorConfigUpdate(auto_lock_delay=30)
    error = await refused(put(edge, rest(token), update, timeout=0.5))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert problem_of(error)["mayHaveSucceeded"] is True  # the service's answer, not the client's own clock
    assert service.ended.is_set()


async def test_a_caller_that_leaves_ends_its_call(
    edge: grpc.aio.Channel, service: InterceptorHarness, signer: Signer
) -> None:
    service.harness = asyncio.Event()
    call = get(edge, native(signer.capability(VIN, READ)))
    await asyncio.wait_for(service.entered.wait(), 30)
    call.cancel()
    await asyncio.wait_for(service.ended.wait(), 30)


async def test_a_stream_can_be_refused_before_its_first_message(
    edge: grpc.aio.Channel, signer: Signer
) -> None:
    call = watch(edge, rest(signer.capability(VIN, READ)))
    error = await refused(call.read())
    assert problem_of(error)["code"] == "ACTION_NOT_GRANTED"


async def test_a_stream_can_be_refused_after_some(
    edge: grpc.aio.Channel, service: InterceptorHarness, signer: Signer
) -> None:
    service.raises_after, service.raises = 3, Refusal(errors.RATE_LIMITED, "Too slow.", retry_after_seconds=1)
    call = watch(edge, native(signer.capability(VIN, LIVE)))
    received = [await call.read() for _ in range(3)]
    assert [each.id for each in received] == ["0", "1", "2"]
    error = await refused(call.read())
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")


async def test_a_servicer_may_write_to_the_context(
    edge: grpc.aio.Channel, service: InterceptorHarness, signer: Signer
) -> None:
    service.raises = DoorJammedError("inside")
    stub = door_status_service_pb2_grpc.DoorStatusServiceStub(edge)
    request = door_status_service_pb2.StreamDoorUpdatesRequest(vin=VIN)
    call: Any = stub.StreamDoorUpdates(request, metadata=native(signer.capability(VIN, LIVE)))
    assert (await call.read()).data == b"retry: 1\n\n"
    assert reason_of(await refused(call.read())) == "DOOR_OPEN"


async def test_a_quiet_stream_outlives_the_pings_that_keep_it_alive(
    running: RunningService, service: InterceptorHarness, signer: Signer
) -> None:
    service.raises_after, service.harness = 1, asyncio.Event()
    keepalive = (
        ("grpc.keepalive_time_ms", 1_100),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    )
    async with running.channel("edge", *keepalive) as channel:
        call = watch(channel, native(signer.capability(VIN, LIVE)))
        await call.read()
        ended = asyncio.create_task(call.read())
        # gRPC forgives two pings that come too soon, and ends the connection at the third.
        finished, _ = await asyncio.wait([ended], timeout=6)
        assert not finished, await refused(ended)
        ended.cancel()


async def test_a_reader_that_leaves_a_stream_ends_it(
    edge: grpc.aio.Channel, service: InterceptorHarness, signer: Signer
) -> None:
    service.raises_after, service.harness = 1, asyncio.Event()
    call = watch(edge, native(signer.capability(VIN, LIVE)))
    await call.read()
    await asyncio.wait_for(service.entered.wait(), 30)
    call.cancel()
    await asyncio.wait_for(service.ended.wait(), 30)


async def test_stopping_says_so_first_and_lets_calls_finish(
    running: RunningService, edge: grpc.aio.Channel, service: InterceptorHarness, signer: Signer
) -> None:
    service.harness = asyncio.Event()
    async with running.channel("team/monitoring") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        check = health_pb2.HealthCheckRequest(service=CONFIG)
        states = health.Watch(check)
        assert (await states.read()).status == health_pb2.HealthCheckResponse.SERVING
        call = get(edge, native(signer.capability(VIN, READ)))
        await asyncio.wait_for(service.entered.wait(), 30)
        service.server._drain_seconds = 10
        stopping = asyncio.create_task(service.server.stop())
        assert (await states.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        states.cancel()
        assert not stopping.done()
        service.harness.set()
        assert (await call).vin == VIN
        await asyncio.wait_for(stopping, 30)


async def test_an_audit_hook_that_fails_fails_no_call(
    edge: grpc.aio.Channel, signer: Signer, service: InterceptorHarness
) -> None:
    service.audit_raises = OSError(28, "No space left on device")
    config = door_config_pb2.DoorConfigUpdate(auto_lock_delay=30)
    kept = await put(edge, rest(signer.capability(VIN, WRITE)), config)
    assert kept.vin == VIN
    service.raises = Refusal(errors.STORAGE_UNAVAILABLE, "Full.", may_have_succeeded=False)
    error = await refused(put(edge, rest(signer.capability(VIN, WRITE)), config))
    assert problem_of(error)["code"] == "STORAGE_UNAVAILABLE"
    assert problem_of(error)["mayHaveSucceeded"] is False


@pytest.mark.parametrize(("low_bytes", "storage"), [(1 << 50, "NOT_SERVING"), (1 << 20, "SERVING")])
async def test_health_tells_of_low_space_and_calls_go_on(
    start_room: StartRoom, signer: Signer, service: InterceptorHarness, low_bytes: int, storage: str
) -> None:
    running = await start_room(
        "config", lambda s, v: service.build(s.model_copy(update={"low_space_bytes": low_bytes}), v)
    )
    async with running.channel("edge") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name, expected in ((STORAGE, storage), ("", "SERVING"), (CONFIG, "SERVING")):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status) == expected
        config = door_config_pb2.DoorConfigUpdate(auto_lock_delay=30)
        assert (await put(channel, rest(signer.capability(VIN, WRITE)), config)).vin == VIN

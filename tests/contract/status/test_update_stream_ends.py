"""Why a stream ends, and what its reader is told."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import grpc
import pytest

from services.status.domain.rights import EndingCause, RightEnding
from tests.contract.status.conftest import VIN, WAIT_SECONDS, StatusRpcHarness, change, read, refused


@pytest.mark.parametrize(
    ("ending", "grpc_code", "code"),
    [
        (RightEnding(EndingCause.GRANT, 0.0, "user-123", VIN), "PERMISSION_DENIED", "ACTION_NOT_GRANTED"),
        (RightEnding(EndingCause.ACCOUNT, 0.0, "user-123"), "PERMISSION_DENIED", "ACCOUNT_LOCKED"),
        (RightEnding(EndingCause.CREDENTIAL, 0.0, credential="key_1"), "UNAUTHENTICATED", "TOKEN_INVALID"),
        (RightEnding(EndingCause.CASE, 0.0, "user-123", case="case-1"), "UNAUTHENTICATED", "TOKEN_INVALID"),
    ],
    ids=lambda given: given.cause.name if isinstance(given, RightEnding) else None,
)
async def test_a_right_that_ends_ends_both_streams_and_says_so(
    service: StatusRpcHarness, ending: RightEnding, grpc_code: str, code: str
) -> None:
    ending = replace(ending, at=time.time())
    sse, typed = service.sse(case="case-1"), service.watch(case="case-1")
    await read(sse)
    await typed.initial_metadata()
    service.hub.right_ended(ending)
    assert (await read(sse)).data.startswith(f": the stream ends: {code}: ".encode())
    assert await read(sse) is grpc.aio.EOF
    status, problem, _ = await refused(typed)
    assert (status.name, problem["code"]) == (grpc_code, code)
    status, problem, _ = await refused(service.sse(read=time.time() - 1, case="case-1"))
    assert problem["code"] == code, "the same right opens it again"


async def end_regularly(service: StatusRpcHarness) -> None:
    await service.hub.end_regularly(lambda: frozenset({"test"}))


@pytest.mark.parametrize(
    ("ends_with", "grpc_code", "code"),
    [("TOKEN", "UNAUTHENTICATED", "TOKEN_EXPIRED"), ("GRANT", "PERMISSION_DENIED", "ACTION_NOT_GRANTED")],
)
async def test_streams_end_with_the_right_behind_them(
    service: StatusRpcHarness, ends_with: str, grpc_code: str, code: str
) -> None:
    ending = asyncio.create_task(end_regularly(service))
    try:
        end = time.time() + 0.5
        sse, typed = service.sse(ends=end, ends_with=ends_with), service.watch(ends=end, ends_with=ends_with)
        await read(sse)
        await typed.initial_metadata()
        async with asyncio.timeout(end + 1 - time.time()):
            assert (await read(sse)).data.startswith(f": the stream ends: {code}: ".encode())
            status, problem, _ = await refused(typed)
        assert time.time() >= end
        assert (status.name, problem["code"]) == (grpc_code, code)
        status, problem, _ = await refused(service.sse(ends=end, ends_with=ends_with))
        assert (status.name, problem["code"]) == (grpc_code, code)
    finally:
        ending.cancel()


async def test_streams_of_a_withdrawn_key_of_the_access_service_end(service: StatusRpcHarness) -> None:
    trusted = frozenset({"test"})
    ending = asyncio.create_task(service.hub.end_regularly(lambda: trusted))
    try:
        sse = service.sse()
        await read(sse)
        trusted = frozenset({"next"})
        assert (await read(sse)).data.startswith(b": the stream ends: TOKEN_INVALID: ")
    finally:
        ending.cancel()


async def test_a_reader_that_reads_nothing_is_cut_when_its_right_ends(service: StatusRpcHarness) -> None:
    ending = asyncio.create_task(end_regularly(service))
    try:
        sse = service.sse()
        await read(sse)
        big = change()
        big.door_status.door_id = "x" * 200_000
        while service.hub.watcher_count:  # until so much waits that nothing more can be written
            service.log.publish(big)
            await asyncio.sleep(0.01)
            if service.hub.position.sequence == 6:
                service.hub.right_ended(RightEnding(EndingCause.GRANT, time.time(), "user-123", VIN))
            assert service.hub.position.sequence < 500
    finally:
        ending.cancel()


async def test_the_oldest_stream_of_a_user_gives_way_and_is_told_so(service: StatusRpcHarness) -> None:
    oldest = service.sse()
    await read(oldest)
    others = [service.sse() for _ in range(30)]
    for each in others:
        await read(each)
    last = (await read(oldest)).data
    assert last.startswith(b"retry: 30000\n: the stream ends: RATE_LIMITED: ")
    assert await read(oldest) is grpc.aio.EOF
    service.hub.beat()
    assert (await read(others[0])).data == b": heartbeat\n"


async def test_at_shutdown_streams_end_so_that_clients_come_back(service: StatusRpcHarness) -> None:
    sse, typed = service.sse(), service.watch()
    await read(sse)
    await typed.initial_metadata()
    service.hub.close()
    assert (await read(sse)).data.startswith(b": the stream ends: DEPENDENCY_UNAVAILABLE")
    code, _, _ = await refused(typed)
    assert code is grpc.StatusCode.UNAVAILABLE


async def test_a_reader_slower_than_its_updates_is_ended(service: StatusRpcHarness) -> None:
    typed = service.watch()
    await typed.initial_metadata()
    for _ in range(40):  # without a turn of the loop in between, nobody can read
        service.log.publish(change())
    code, problem, _ = await refused(typed)
    assert (code, problem["code"]) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")


async def test_a_client_that_leaves_is_forgotten(service: StatusRpcHarness) -> None:
    stream = service.sse()
    await read(stream)
    assert service.hub.watcher_count == 1
    stream.cancel()
    async with asyncio.timeout(WAIT_SECONDS):
        while service.hub.watcher_count:  # noqa: ASYNC110  # the hub has no event for it, and needs none
            await asyncio.sleep(0.01)


async def test_streams_are_bounded(service: StatusRpcHarness) -> None:
    streams = [service.sse(subject=f"user-{n}") for n in range(50)]
    for stream in streams:
        await read(stream)
    code, problem, _ = await refused(service.sse(subject="one-too-many"))
    assert (code, problem["code"]) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")

"""`Prefer: wait=N` (RFC 7240): the answer to an unlock or lock is held back until the command has ended."""

from __future__ import annotations

import asyncio
import json
import math
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.access.v1 import grant_pb2
from ecarus.remotecontrol.door.v1 import door_command_pb2

from protocol.subjects import GRANT_REVOKED_SUBJECT
from services.command.adapters.right_link import CommandRevocationHandler
from services.command.domain.commands import DoorResult, Ending, FailureReason, Status
from services.command.usecases import requests
from services.command.usecases.waiting import CommandWait
from tests.contract.command.conftest import VIN, CommandRpcHarness

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.command.domain.commands import RequestedOrder

STATUSES = door_command_pb2.CommandStatus


class RightsHarness:
    """A signer to whom all rights have ended, or none; and the broker's queue."""

    def __init__(self, *, all_ended: bool) -> None:
        self._all_ended = all_ended

    async def ended(self, commands: Sequence[RequestedOrder]) -> set[str]:
        return {command.command_id for command in commands if self._all_ended}

    async def take_out_commands(self, vin: str) -> None:
        assert vin == VIN


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each wait that is over, whether it was woken: the look that follows it sees the end in either case."""
    over: list[bool] = []
    until_ended = CommandWait.until_ended

    async def noted(self: CommandWait, seconds: float) -> bool:
        over.append(await until_ended(self, seconds))
        return over[-1]

    monkeypatch.setattr(CommandWait, "until_ended", noted)
    return over


async def right_ends(service: CommandRpcHarness, *, mine: bool = True, **told: Any) -> None:
    """The access service says so."""
    rights: Any = RightsHarness(all_ended=mine)
    delivery: Any = SimpleNamespace(
        subject=GRANT_REVOKED_SUBJECT, data=grant_pb2.GrantRevoked(**told).SerializeToString()
    )
    handler = CommandRevocationHandler(service.deps, rights, rights, service.waits)
    assert await handler.handle([delivery]) == []


async def headers_of(call: Any) -> dict[str, str]:
    return {key: str(value) for key, value in await call.initial_metadata()}


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # a call that is served sets no event here
            await asyncio.sleep(0.01)


async def in_flight(service: CommandRpcHarness) -> str:
    """The id of the command that somebody waits for."""
    await until(lambda: service.waits._waits)
    return next(iter(service.waits._waits))


@pytest.mark.parametrize("action", ["unlock", "lock"])
async def test_who_waits_is_answered_with_the_end_as_a_look_at_the_command_shows_it(
    service: CommandRpcHarness, action: str, woken: list[bool]
) -> None:
    call = getattr(service, action)(prefer="respond-async, wait=20")
    command_id = await in_flight(service)
    doors = (DoorResult("driver", success=True, locked=action == "lock"),)
    await service.vehicle_ends(command_id, Ending(Status.SUCCESS, service.now, "Done.", door_results=doors))
    answer = await call
    assert woken == [True]
    assert (answer.command_id, answer.status, answer.message) == (command_id, STATUSES.SUCCESS, "Done.")
    headers = await headers_of(call)
    assert "x-http-code" not in headers
    assert headers["preference-applied"] == "wait=20"
    path = f"/api/v1/remotecontrol/vehicles/{VIN}/door/commands/{command_id}"
    assert (headers["location"], headers["content-location"]) == (path, path)
    assert json.loads(headers["x-http-body"]) == await service.details(command_id)
    assert json.loads(headers["x-http-body"])["doorResults"][0]["doorId"] == "driver"


async def test_a_failure_is_an_end_too(service: CommandRpcHarness, woken: list[bool]) -> None:
    call = service.unlock(prefer="wait=20")
    command_id = await in_flight(service)
    ending = Ending(Status.FAILED, service.now, "No.", FailureReason.ENGINE_ON)
    await service.vehicle_ends(command_id, ending)
    assert (await call).status == STATUSES.FAILED
    assert woken == [True]
    document = json.loads((await headers_of(call))["x-http-body"])
    assert (document["status"], document["failureReason"]) == ("FAILED", "ENGINE_ON")


async def test_where_the_time_is_up_the_answer_is_the_usual_one(
    service: CommandRpcHarness, woken: list[bool]
) -> None:
    call = service.unlock(prefer="wait=1")
    answer = await call
    assert woken == [False]
    headers = await headers_of(call)
    assert (answer.status, headers["x-http-code"]) == (STATUSES.PENDING, "202")
    assert headers["preference-applied"] == "wait=1"
    again = service.unlock()
    assert await again == answer
    assert "preference-applied" not in await headers_of(again)


@pytest.mark.parametrize("prefer", ["wait=0", "wait=-5", "wait=soon", "respond-async", "wait", ""])
async def test_what_is_no_wait_is_passed_over(service: CommandRpcHarness, prefer: str) -> None:
    call = service.unlock(prefer=prefer)
    assert (await call).status == STATUSES.PENDING
    headers = await headers_of(call)
    assert headers["x-http-code"] == "202"
    assert "preference-applied" not in headers


async def test_the_same_request_again_waits_for_the_first_command(
    service: CommandRpcHarness, woken: list[bool]
) -> None:
    first = await service.unlock()
    call = service.unlock(prefer="wait=20")
    assert await in_flight(service) == first.command_id
    await service.vehicle_ends(first.command_id, Ending(Status.SUCCESS, service.now, "Done."))
    assert (await call).status == STATUSES.SUCCESS
    assert woken == [True]
    ended = service.unlock(prefer="wait=20")  # at once: it has ended
    assert ((await ended).command_id, (await ended).status) == (first.command_id, STATUSES.SUCCESS)


async def test_too_many_waits_of_one_person_are_answered_at_once(
    service: CommandRpcHarness, woken: list[bool]
) -> None:
    calls = [service.unlock(prefer="wait=20") for _ in range(2)]  # one command, twice
    command_id = await in_flight(service)
    await until(lambda: len(service.waits._waits[command_id]) == 2)
    third = service.unlock(prefer="wait=20")
    assert (await third).status == STATUSES.PENDING
    headers = await headers_of(third)
    assert headers["x-http-code"] == "202"
    assert "preference-applied" not in headers
    await service.vehicle_ends(command_id, Ending(Status.SUCCESS, service.now, "Done."))
    assert [(await call).status for call in calls] == [STATUSES.SUCCESS] * 2
    assert woken == [True] * 2


async def test_waiting_asks_the_record_twice_however_long_it_lasts(
    service: CommandRpcHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    get = type(service.commands).get

    async def counted(self: Any, vin: str, command_id: str) -> Any:
        reads.append(command_id)
        return await get(self, vin, command_id)

    monkeypatch.setattr(type(service.commands), "get", counted)
    await service.unlock(prefer="wait=1")
    assert len(reads) == 2


async def test_who_stops_waiting_leaves_nothing_behind(service: CommandRpcHarness) -> None:
    call = service.unlock(prefer="wait=20")
    command_id = await in_flight(service)
    call.cancel()
    await until(lambda: not service.waits._waits)
    assert not service.waits._by_person
    assert (await service.details(command_id))["status"] == "PENDING"


async def test_a_process_that_ends_answers_who_waits(service: CommandRpcHarness, woken: list[bool]) -> None:
    call = service.unlock(prefer="wait=20")
    await in_flight(service)
    service.waits.close()
    assert (await call).status == STATUSES.PENDING
    assert woken == [True]
    assert (await headers_of(call))["x-http-code"] == "202"


ENDED = {
    "grant": {"kind": grant_pb2.ENDED_RIGHT_GRANT, "principal": "user-123", "vin": VIN},
    "account": {"kind": grant_pb2.ENDED_RIGHT_ACCOUNT, "principal": "user-123"},
    "agent": {"kind": grant_pb2.ENDED_RIGHT_ACCOUNT, "principal": "agent-7"},
    "credential": {"kind": grant_pb2.ENDED_RIGHT_CREDENTIAL, "credential": "key_1"},
    "case": {"kind": grant_pb2.ENDED_RIGHT_CASE, "principal": "user-123", "case_number": "case-1"},
}


@pytest.mark.parametrize("what", ENDED)
async def test_whose_right_ends_is_told_no_more_than_that_it_was_accepted(
    service: CommandRpcHarness, what: str, woken: list[bool]
) -> None:
    call = service.unlock(prefer="wait=20", actor="agent-7", case="case-1")
    command_id = await in_flight(service)
    await right_ends(service, **ENDED[what])
    if what == "case":  # what was asked for because of it goes on
        await service.vehicle_ends(command_id, Ending(Status.SUCCESS, service.now, "Done."))
    answer = await call
    assert woken == [True]
    headers = await headers_of(call)
    assert (answer.status, headers["x-http-code"]) == (STATUSES.PENDING, "202")
    assert "x-http-body" not in headers
    assert (await service.details(command_id))["status"] == ("SUCCESS" if what == "case" else "FAILED")


async def test_a_right_that_ends_while_the_command_is_being_accepted_is_not_missed(
    service: CommandRpcHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = requests.request_doors

    async def accepted(*asked: Any) -> Any:
        command = await accept(*asked)
        await right_ends(service, **ENDED["grant"])  # which ends the command, too
        return command

    monkeypatch.setattr(requests, "request_doors", accepted)
    call = service.unlock(prefer="wait=20")
    answer = await call
    headers = await headers_of(call)
    assert (answer.status, headers["x-http-code"]) == (STATUSES.PENDING, "202")
    assert "x-http-body" not in headers
    assert (await service.details(answer.command_id))["status"] == "FAILED"
    assert not service.waits._all


async def test_the_end_of_a_right_ends_nobody_elses_wait(
    service: CommandRpcHarness, woken: list[bool]
) -> None:
    call = service.unlock(prefer="wait=20")
    command_id = await in_flight(service)
    for other in (
        {**ENDED["grant"], "vin": "KMHSH81C7LU999999"},
        {**ENDED["account"], "principal": "user-456"},
        {**ENDED["credential"], "credential": "key_2"},
        ENDED["case"],
    ):
        await right_ends(service, mine=False, **other)
    await service.vehicle_ends(command_id, Ending(Status.SUCCESS, service.now, "Done."))
    assert (await call).status == STATUSES.SUCCESS
    assert woken == [True]


async def test_nobody_waits_longer_than_a_right_that_ends_by_itself(service: CommandRpcHarness) -> None:
    call = service.unlock(prefer="wait=20", ends=math.floor(service.now.timestamp()) + 1)
    command_id = await in_flight(service)
    service.now += timedelta(seconds=2)
    await service.vehicle_ends(command_id, Ending(Status.SUCCESS, service.now, "Done."))
    assert (await call).status == STATUSES.PENDING
    assert (await headers_of(call))["x-http-code"] == "202"

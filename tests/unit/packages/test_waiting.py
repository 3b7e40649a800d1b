"""Waiting for a command's end, and what is said when it does not come."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from ecarus_doors import CommandNotDoneError, NoAnswerError, PermissionDeniedError
from ecarus_doors._core.results import result_of
from ecarus_doors.models import DoorCommand, DoorCommandDetails

from tests.unit.packages.conftest import VIN, accepted, command, details, problem

if TYPE_CHECKING:
    from tests.unit.packages.conftest import Caller


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What is waited for, in order; the clock goes on by as much at once."""
    paused: list[float] = []
    begin = time.monotonic()

    async def sleep(seconds: float) -> None:
        paused.append(seconds)

    monkeypatch.setattr("ecarus_doors._async.commands.sleep", sleep)
    monkeypatch.setattr("ecarus_doors._sync.commands.sleep", paused.append)

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return begin + sum(paused)

    for half in ("_async", "_sync"):
        monkeypatch.setattr(f"ecarus_doors.{half}.commands.time", Clock)
    return paused


def life(status: str, **members: Any) -> httpx.Response:
    return httpx.Response(200, json=details(status, **members))


def test_the_end_comes_with_the_answer_where_it_is_waited_for(caller: Caller) -> None:
    doors, service = caller.client(life("SUCCESS"))
    result = caller.do(doors.unlock(VIN, wait=30))
    assert service.sent("prefer") == ["wait=30"]
    assert (result.status, result.succeeded, result.finished, result.may_have_acted) == (
        "SUCCESS",
        True,
        True,
        True,
    )
    assert result.raise_for_status() is result


def test_a_command_is_followed_where_the_service_did_not_wait(caller: Caller, no_pauses: list[float]) -> None:
    doors, service = caller.client(accepted(), life("IN_PROGRESS"), life("SUCCESS"))
    result = caller.do(doors.lock(VIN, wait=12.5))
    assert service.sent("prefer")[0] == "wait=13"
    assert [request.url.path.rsplit("/", 1)[1] for request in service.requests] == ["lock", "cmd-1", "cmd-1"]
    assert (result.succeeded, len(no_pauses)) == (True, 2)


def test_after_thirty_seconds_it_is_a_timeout_that_may_have_acted(caller: Caller) -> None:
    doors, _ = caller.client(accepted(), *[life("IN_PROGRESS", mayHaveSucceeded=False)] * 40)
    result = caller.do(doors.unlock(VIN, wait=30))
    assert (result.status, result.by_timer, result.finished) == ("TIMEOUT", True, True)
    assert result.may_have_acted
    assert "may have acted" in result.guidance
    with pytest.raises(CommandNotDoneError) as caught:
        result.raise_for_status()
    assert caught.value.may_have_succeeded
    assert result.to_json()["mayHaveActed"] is True


def test_who_waits_for_less_is_told_how_it_stands(caller: Caller) -> None:
    doors, _ = caller.client(accepted(), *[life("IN_PROGRESS")] * 10)
    result = caller.do(doors.unlock(VIN, wait=3))
    assert (result.status, result.finished, result.by_timer) == ("IN_PROGRESS", False, False)
    assert result.may_have_acted
    assert result.raise_for_status() is result


def test_a_command_is_accepted_whatever_keeps_it_from_being_looked_at(caller: Caller) -> None:
    doors, _ = caller.client(accepted(), problem(403, "ACTION_NOT_GRANTED"))
    result = caller.do(doors.unlock(VIN, wait=30))
    assert (result.status, result.finished, result.may_have_acted) == ("PENDING", False, True)
    assert isinstance(result.follow_error, PermissionDeniedError)


def test_a_look_that_fails_for_a_moment_is_taken_again(caller: Caller) -> None:
    doors, _ = caller.client(accepted(), *[httpx.ReadError("cut")] * 4, life("SUCCESS"))
    result = caller.do(doors.unlock(VIN, wait=30))
    assert (result.succeeded, result.follow_error) == (True, None)


def test_an_answer_that_is_lost_while_it_is_waited_for_is_asked_for_again(caller: Caller) -> None:
    doors, service = caller.client(httpx.ReadError("cut"), life("FAILED", failureReason="DOOR_OPEN"))
    result = caller.do(doors.lock(VIN, wait=30))
    assert len(set(service.sent("x-correlation-id"))) == 1
    assert (result.status, result.failure_reason) == ("FAILED", "DOOR_OPEN")


def test_nobody_knows_what_became_of_a_command_that_was_never_answered(caller: Caller) -> None:
    doors, _ = caller.client(*[httpx.ReadError("cut")] * 4)
    with pytest.raises(NoAnswerError) as caught:
        caller.do(doors.unlock(VIN, wait=30, correlation_id="mine"))
    assert (caught.value.may_have_succeeded, caught.value.correlation_id) == (True, "mine")


def test_a_command_is_followed_by_its_id(caller: Caller) -> None:
    doors, _ = caller.client(life("PENDING"), life("CANCELLED"))
    result = caller.do(doors.follow(VIN, "cmd-1"))
    assert (result.status, result.may_have_acted) == ("CANCELLED", False)


@pytest.mark.parametrize("wait", [-1, 61, float("nan")])
def test_a_wait_makes_sense(caller: Caller, wait: float) -> None:
    doors, service = caller.client()
    with pytest.raises(ValueError, match="wait: 0 to 60 seconds"):
        caller.do(doors.unlock(VIN, wait=wait))
    assert service.requests == []


@pytest.mark.parametrize(
    ("status", "said", "may"),
    [
        ("SUCCESS", None, True),
        ("CANCELLED", None, False),
        ("FAILED", False, False),
        ("FAILED", True, True),
        ("FAILED", None, True),
        ("TIMEOUT", None, True),
        ("TIMEOUT", True, True),
        ("TIMEOUT", False, False),
        ("PENDING", False, True),
        ("A_LATER_WORD", False, True),
    ],
)
def test_only_what_is_known_not_to_have_acted_is_said_not_to(
    status: str, said: bool | None, may: bool
) -> None:
    members = {} if said is None else {"mayHaveSucceeded": said}
    assert result_of(DoorCommandDetails.from_json(details(status, **members))).may_have_acted is may
    if status not in {"SUCCESS", "CANCELLED"}:
        assert result_of(DoorCommand.from_json(command(status))).may_have_acted


def test_a_cancellation_names_the_command_and_why(caller: Caller) -> None:
    doors, service = caller.client(accepted(status="CANCELLED"))
    answer = caller.do(doors.cancel(VIN, "c1", reason="Emergency stop", force=True))
    assert service.requests[0].content == b'{"correlationId":"c1","reason":"Emergency stop","force":true}'
    assert answer.status == "CANCELLED"

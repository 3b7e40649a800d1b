"""What the SDK sends, sends again, and makes of the answers."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from ecarus_doors import (
    VERSION,
    AuthenticationError,
    ClientCredentials,
    ConflictError,
    DoorsError,
    InvalidAnswerError,
    InvalidRequestError,
    NoAnswerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    Retries,
    UnavailableError,
)
from ecarus_doors.errors import NO_ANSWER

from tests.unit.packages.conftest import VIN, accepted, command, details, problem
from tests.unit.packages.stream_server import Says, StreamServer, refusal

if TYPE_CHECKING:
    from tests.unit.packages.conftest import Caller

AWAY = problem(503, "DEPENDENCY_UNAVAILABLE", retryable=True, mayHaveSucceeded=False)
LATE = problem(504, "DEADLINE_EXCEEDED", retryable=True, mayHaveSucceeded=True)


def raised(caller: Caller, doors: Any, ask: str = "unlock", *words: Any, **named: Any) -> DoorsError:
    with pytest.raises(DoorsError) as caught:
        caller.do(getattr(doors, ask)(VIN, *words, **named))
    return caught.value


def test_a_command_is_sent_as_the_specification_shows_it(caller: Caller) -> None:
    doors, service = caller.client(accepted())
    result = caller.do(doors.unlock(VIN, mode="NORMAL"))
    (request,) = service.requests
    assert (request.method, request.url.path) == ("POST", f"/api/v1/remotecontrol/vehicles/{VIN}/door/unlock")
    assert request.content == b'{"targetDoors":["all"],"unlockMode":"NORMAL"}'
    assert request.headers["authorization"] == "Bearer t1"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith(f"ecarus-doors/{VERSION} python/3.")
    assert re.fullmatch(r"[0-9a-f]{32}", request.headers["x-correlation-id"])
    assert "prefer" not in request.headers
    assert (result.status, result.finished, result.may_have_acted) == ("PENDING", False, True)


@pytest.mark.parametrize("base", ["https://api.example/", "https://api.example/api/v1/remotecontrol/"])
def test_a_base_url_may_have_the_path_of_the_api(caller: Caller, base: str) -> None:
    doors, service = caller.client(httpx.Response(200, json={"vin": VIN}), base_url=base)
    caller.do(doors.status(VIN))
    assert (
        str(service.requests[0].url) == f"https://api.example/api/v1/remotecontrol/vehicles/{VIN}/door/status"
    )


@pytest.mark.parametrize(
    ("base", "why"),
    [
        ("http://api.example", "https:// is needed"),
        ("http://localhost.example", "https:// is needed"),
        ("api.example", "begins with https"),
        ("ftp://api.example", "begins with https"),
        ("https://user:secret@api.example", "no user"),
        ("https://api.example:99999", "Port"),
    ],
)
def test_a_token_never_leaves_the_machine_in_the_clear(caller: Caller, base: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        caller.at(base, token="t1")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("base", ["http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080"])
def test_this_machine_is_asked_without_tls(caller: Caller, base: str) -> None:
    caller.at(base, token="t1")


def test_no_proxy_is_told_a_token_in_the_clear(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    with StreamServer([]) as proxy, StreamServer([Says([refusal(403, b"{}")])] * 3) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "ws_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        doors = caller.at(server.url, token="t1", verify=True)
        raised(caller, doors, "status")
        with pytest.raises(DoorsError):
            caller.take(doors.watch_many([VIN]))
        grant = ClientCredentials(token_url=server.url, client_id="a", client_secret="b")
        raised(caller, caller.at(server.url, token=grant, verify=True), "status")
        assert (len(server.asked), proxy.asked) == (3, [])


def test_certificates_are_always_verified(caller: Caller) -> None:
    with pytest.raises(ValueError, match="always verified"):
        caller.at("https://api.example", token="t1", verify=False)


@pytest.mark.parametrize("who", [{}, {"token": "t1", "api_key": "sk_1"}])
def test_exactly_one_says_who_asks(caller: Caller, who: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="either token or api_key"):
        caller.at("https://api.example", **who)


@pytest.mark.parametrize("passing", [AWAY, LATE, problem(429, "RATE_LIMITED", retryable=True)])
def test_what_passes_is_sent_again_under_the_same_id(caller: Caller, passing: httpx.Response) -> None:
    doors, service = caller.client(passing, passing, accepted())
    assert caller.do(doors.lock(VIN)).command_id == "cmd-1"
    ids, bodies = set(service.sent("x-correlation-id")), {request.content for request in service.requests}
    assert (len(service.requests), len(ids), len(bodies)) == (3, 1, 1)


@pytest.mark.parametrize("lost", [httpx.ReadError(""), httpx.ReadTimeout(""), httpx.RemoteProtocolError("")])
def test_a_lost_answer_is_asked_for_again_under_the_same_id(caller: Caller, lost: Exception) -> None:
    doors, service = caller.client(lost, accepted())
    caller.do(doors.unlock(VIN, correlation_id="mine-1"))
    assert service.sent("x-correlation-id") == ["mine-1", "mine-1"]


def test_attempts_are_bounded_and_the_last_refusal_is_raised(caller: Caller) -> None:
    doors, service = caller.client(AWAY, AWAY, AWAY, AWAY)
    error = raised(caller, doors)
    assert isinstance(error, UnavailableError)
    assert (error.code, error.status, error.retryable, error.may_have_succeeded) == (
        "DEPENDENCY_UNAVAILABLE",
        503,
        True,
        False,
    )
    assert len(service.requests) == 4


def test_what_may_have_happened_once_may_have_happened(caller: Caller) -> None:
    doors, _ = caller.client(httpx.ReadError("cut"), AWAY, AWAY, AWAY)
    assert raised(caller, doors).may_have_succeeded
    doors, _ = caller.client(LATE, problem(403, "ACCOUNT_LOCKED", retryable=False, mayHaveSucceeded=False))
    assert raised(caller, doors).may_have_succeeded


def test_no_connection_means_that_nothing_happened(caller: Caller) -> None:
    doors, _ = caller.client(*[httpx.ConnectError("refused")] * 4)
    error = raised(caller, doors)
    assert isinstance(error, NoAnswerError)
    assert (error.code, error.status, error.may_have_succeeded, error.retryable) == (
        NO_ANSWER,
        None,
        False,
        True,
    )
    assert error.correlation_id


def test_a_lost_answer_to_a_command_may_have_acted_and_to_a_read_has_not(caller: Caller) -> None:
    doors, _ = caller.client(*[httpx.ReadError("cut")] * 8)
    error = raised(caller, doors)
    assert error.may_have_succeeded
    assert str(error).endswith("it may have been carried out all the same")
    assert not raised(caller, doors, "status").may_have_succeeded


def test_a_pause_that_is_longer_than_the_time_left_is_not_waited_for(caller: Caller) -> None:
    full = problem(429, "RATE_LIMITED", {"Retry-After": "3600"}, retryable=True)
    doors, service = caller.client(full)
    error = raised(caller, doors)
    assert isinstance(error, RateLimitedError)
    assert (error.retry_after, len(service.requests)) == (3600.0, 1)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "INVALID_REQUEST", InvalidRequestError),
        (403, "ACTION_NOT_GRANTED", PermissionDeniedError),
        (404, "VEHICLE_NOT_FOUND", NotFoundError),
        (409, "COMMAND_IN_PROGRESS", ConflictError),
        (409, "DOOR_OPEN", ConflictError),
        (422, "CORRELATION_ID_REUSED", InvalidRequestError),
        (500, "INTERNAL_ERROR", UnavailableError),
        (418, "A_CODE_OF_LATER", DoorsError),
    ],
)
def test_a_refusal_is_raised_by_its_kind_and_not_repeated(
    caller: Caller, status: int, code: str, kind: type[DoorsError]
) -> None:
    members = {"retryable": True, "mayHaveSucceeded": False, "correlationId": "c9", "commandId": "cmd-9"}
    fields = [{"field": "targetDoors", "reason": "is empty"}]
    doors, service = caller.client(
        problem(status, code, errors=fields, doorResults=[{"door": "trunk"}], **members)
    )
    error = raised(caller, doors)
    assert type(error) is kind
    assert (error.code, error.status, error.correlation_id, error.command_id) == (code, status, "c9", "cmd-9")
    assert error.retryable
    assert error.errors == ({"field": "targetDoors", "reason": "is empty"},)
    assert error.door_results == ({"door": "trunk"},)
    assert "targetDoors: is empty" in str(error)
    assert error.problem["title"] == code
    assert len(service.requests) == 1


def test_a_gateway_that_is_none_of_ours_is_tried_again_and_named(caller: Caller) -> None:
    page = httpx.Response(502, html="<h1>Bad Gateway</h1>")
    doors, _ = caller.client(page, accepted())
    caller.do(doors.unlock(VIN))
    doors, _ = caller.client(*[page] * 4)
    error = raised(caller, doors)
    assert isinstance(error, InvalidAnswerError)
    assert error.may_have_succeeded


def test_a_good_status_without_its_document_is_no_answer(caller: Caller) -> None:
    for body in ("<html>", "[]", '{"vin": 3}', '{"commandId": "cmd-1"}'):
        doors, _ = caller.client(httpx.Response(202, text=body))
        error = raised(caller, doors)
        assert isinstance(error, InvalidAnswerError)
        assert (error.status, error.may_have_succeeded) == (202, True)


def test_a_redirect_is_not_followed(caller: Caller) -> None:
    doors, service = caller.client(httpx.Response(302, headers={"Location": "https://elsewhere.example/"}))
    assert isinstance(raised(caller, doors, "status"), InvalidAnswerError)
    assert len(service.requests) == 1


def test_an_answer_is_read_up_to_a_bound(caller: Caller) -> None:
    doors, _ = caller.client(httpx.Response(200, content=b" " * 2000), longest_answer=1000)
    assert "more than 1000 bytes" in str(raised(caller, doors, "status"))
    doors, _ = caller.client(httpx.Response(202, content=b" " * 2000), longest_answer=1000)
    error = raised(caller, doors)
    assert (error.status, error.may_have_succeeded) == (202, True)


@pytest.mark.parametrize("given", ["", "a b", "ä", "x" * 65, "line\nbreak"])
def test_an_id_that_could_not_be_sent_is_refused_here(caller: Caller, given: str) -> None:
    doors, service = caller.client()
    with pytest.raises(ValueError, match="correlation id"):
        caller.do(doors.unlock(VIN, correlation_id=given))
    assert service.requests == []


def test_a_path_cannot_be_left(caller: Caller) -> None:
    doors, service = caller.client(problem(404, "VEHICLE_NOT_FOUND"))
    with pytest.raises(NotFoundError):
        caller.do(doors.status("../../secret?x=1"))
    assert service.requests[0].url.raw_path.endswith(b"/vehicles/..%2F..%2Fsecret%3Fx%3D1/door/status")
    for nothing in ("", ".", ".."):
        with pytest.raises(ValueError, match="a value is needed"):
            caller.do(doors.status(nothing))


def test_words_and_members_of_later_versions_are_kept(caller: Caller) -> None:
    answer = details(
        "HOVERING", novelty={"a": 1}, doorResults=[{"doorId": "roof", "success": True, "shine": 3}]
    )
    doors, _ = caller.client(httpx.Response(200, json=answer))
    found = caller.do(doors.command(VIN, "cmd-1"))
    assert (found.status, found.status.is_known, found.extra) == ("HOVERING", False, {"novelty": {"a": 1}})
    assert found.door_results[0].extra == {"shine": 3}
    assert found.to_json()["novelty"] == {"a": 1}


def test_nothing_that_is_printed_or_logged_shows_a_token(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    refused = problem(401, "TOKEN_INVALID", {"WWW-Authenticate": 'Bearer error="invalid_token"'})
    doors, _ = caller.client(refused, token="very-secret")
    error = raised(caller, doors, "status")
    assert isinstance(error, AuthenticationError)
    assert "very-secret" not in f"{doors!r} {doors.raw!r} {vars(error)} {error!r} {caplog.text}"


def test_a_token_that_no_header_takes_is_refused_without_being_shown(caller: Caller) -> None:
    doors, service = caller.client(token="very-secret\r\nX-Evil: 1")
    with pytest.raises(ValueError, match="printable") as caught:
        caller.do(doors.status(VIN))
    assert "very-secret" not in str(caught.value)
    assert service.requests == []


def test_settings_are_changed_by_name(caller: Caller) -> None:
    answer = {
        "vin": VIN,
        "autoLockEnabled": True,
        "autoLockDelay": 30.0,
        "unlockMode": "DRIVER_ONLY",
        "childLockEnabled": False,
        "speedBasedLockEnabled": True,
        "speedLockThreshold": 15,
        "parkingAutoUnlock": True,
        "updatedTime": "2026-01-12T10:00:00.000Z",
    }
    doors, service = caller.client(httpx.Response(200, json=answer))
    config = caller.do(doors.update_config(VIN, auto_lock_delay=30, unlock_mode="DRIVER_ONLY"))
    assert service.requests[0].content == b'{"autoLockDelay":30,"unlockMode":"DRIVER_ONLY"}'
    assert (config.auto_lock_delay, config.updated_time.isoformat()) == (30, "2026-01-12T10:00:00+00:00")


def test_all_pages_of_the_history_are_turned(caller: Caller) -> None:
    def page(ids: list[str], **more: Any) -> httpx.Response:
        entries = [
            {
                "commandId": each,
                "action": "LOCK",
                "targetDoors": ["all"],
                "status": "SUCCESS",
                "timestamp": "2026-01-12T14:30:00.000Z",
                "userId": "user-123",
                "source": "WEB",
                "doorResults": [],
                "executionTime": 2.5,
                "correlationId": each,
                "failureReason": None,
            }
            for each in ids
        ]
        return httpx.Response(
            200, json={"vin": VIN, "history": entries, "total": 3, "hasMore": bool(more), **more}
        )

    doors, service = caller.client(page(["a", "b"], nextPageToken="p2"), page(["c"]))
    entries = caller.take(doors.history_entries(VIN, period="7d", action="LOCK"))
    assert [each.command_id for each in entries] == ["a", "b", "c"]
    assert [dict(request.url.params) for request in service.requests] == [
        {"period": "7d", "limit": "200", "action": "LOCK"},
        {"period": "7d", "limit": "200", "action": "LOCK", "pageToken": "p2"},
    ]


@pytest.mark.parametrize(
    "wrong",
    [{"attempts": 0}, {"attempts": 21}, {"first_pause": 0}, {"first_pause": 9}, {"within_seconds": -1}],
)
def test_retries_make_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"attempts|first_pause|within_seconds"):
        Retries(**wrong)


def test_pauses_are_random_grow_and_heed_retry_after() -> None:
    retries = Retries(first_pause=1, longest_pause=8)
    for attempt, most in ((1, 1), (2, 2), (3, 4), (4, 8), (9, 8)):
        pauses = {retries.pause(attempt) for _ in range(50)}
        assert len(pauses) > 1
        assert all(most / 2 <= pause <= most for pause in pauses)
    assert all(5 <= retries.pause(1, 5.0) <= 6 for _ in range(50))


def test_an_accepted_command_is_named_by_what_it_was_answered_with(caller: Caller) -> None:
    doors, _ = caller.client(httpx.Response(202, json=command(correlationId="c7", status="IN_PROGRESS")))
    result = caller.do(doors.lock(VIN, ["driver", "trunk"], mode="SECURE"))
    assert (result.command_id, result.correlation_id, result.status) == ("cmd-1", "c7", "IN_PROGRESS")

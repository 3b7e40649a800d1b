"""The command line `doors`: what it shows, what it exits with, and where secrets come from."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from ecarus_doors import DoorsSync, Retries, cli
from ecarus_doors._version import VERSION
from ecarus_doors.cli import app as doors_app
from ecarus_doors.cli.credentials import Credentials, stored_path
from ecarus_doors.cli.output import plain
from typer.testing import CliRunner

from tests.unit.packages.conftest import BASE, QUICK, VIN, Service, accepted, details, problem
from tests.unit.packages.stream_server import HEAD, Says, StreamServer
from tests.unit.packages.test_watching import OPENED, ends, update

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

STATUS = {
    "vin": VIN,
    "doors": {"driver": {"locked": True, "open": False}, "trunk": {"locked": False}},
    "stale": True,
    "timestamp": "2026-01-12T14:30:00.000Z",
}
CONFIG = {
    "vin": VIN,
    "autoLockEnabled": True,
    "autoLockDelay": 30,
    "unlockMode": "ALL",
    "childLockEnabled": False,
    "speedBasedLockEnabled": True,
    "speedLockThreshold": 15,
    "parkingAutoUnlock": True,
}


class Shell:
    """A shell in which `doors` is run over answers that were laid out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.service = Service([])
        self.opened: list[Credentials] = []

    def __call__(self, *words: str, answers: list[Any] | None = None, typed: str | None = None) -> Result:
        self.service = Service(list(answers or []))

        def opened(credentials: Credentials, _: Path | None) -> DoorsSync:
            self.opened.append(credentials)
            return DoorsSync(
                credentials.url,
                token=credentials.token,
                api_key=credentials.api_key,
                retries=QUICK,
                transport=httpx.MockTransport(self.service),
            )

        self._monkeypatch.setattr(doors_app, "_opened", opened)
        return CliRunner().invoke(doors_app.app, list(words), input=typed)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shell:
    for name in [name for name in os.environ if name.startswith("DOORS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("DOORS_URL", BASE)
    monkeypatch.setenv("DOORS_TOKEN", "t1")
    monkeypatch.setenv("NO_COLOR", "1")
    return Shell(monkeypatch)


def ended(status: str, **members: Any) -> httpx.Response:
    return httpx.Response(200, json=details(status, **members))


@pytest.mark.parametrize(
    ("answer", "exits"),
    [
        (ended("SUCCESS"), 0),
        (ended("FAILED", failureReason="DOOR_OPEN", mayHaveSucceeded=False), 1),
        (ended("CANCELLED"), 1),
        (ended("TIMEOUT", mayHaveSucceeded=True), 3),
        (problem(409, "DOOR_OPEN", retryable=True, mayHaveSucceeded=False), 4),
        (problem(401, "TOKEN_INVALID", mayHaveSucceeded=False), 4),
        (problem(500, "INTERNAL_ERROR", mayHaveSucceeded=False), 5),
        (problem(500, "INTERNAL_ERROR", mayHaveSucceeded=True), 3),
        ([httpx.ConnectError("refused")] * 4, 5),
        ([httpx.ReadError("cut")] * 4, 3),
    ],
)
@pytest.mark.parametrize("form", [["--json"], []])
def test_the_exit_status_says_how_it_went(shell: Shell, answer: Any, exits: int, form: list[str]) -> None:
    done = shell("lock", VIN, *form, answers=answer if isinstance(answer, list) else [answer])
    assert done.exit_code == exits, done.output
    if form:
        (line,) = done.stdout.splitlines()
        assert json.loads(line)
        assert done.stderr == ""
    elif exits >= 4:
        assert done.stdout == ""
        assert done.stderr


def test_a_refusal_is_an_object_too(shell: Shell) -> None:
    fields = [{"field": "targetDoors", "reason": "is empty"}]
    refused = problem(400, "INVALID_REQUEST", errors=fields, mayHaveSucceeded=False, correlationId="c1")
    said = json.loads(shell("unlock", VIN, "--json", answers=[refused]).stdout)
    assert (said["error"], said["errors"], said["mayHaveSucceeded"], said["correlationId"]) == (
        "INVALID_REQUEST",
        fields,
        False,
        "c1",
    )
    people = shell("unlock", VIN, answers=[refused]).stderr
    assert "INVALID_REQUEST: Because." in people
    assert "targetDoors: is empty" in people


def test_a_challenge_says_how_to_sign_in(shell: Shell) -> None:
    header = {
        "WWW-Authenticate": 'Bearer error="insufficient_user_authentication", acr_values="a:2fa", max_age="300"'
    }
    done = shell("unlock", VIN, answers=[problem(401, "STEP_UP_REQUIRED", header)])
    assert (done.exit_code, "Sign in with a:2fa, at most 300 seconds ago" in done.stderr) == (4, True)


def test_doors_mode_id_and_wait_are_sent(shell: Shell) -> None:
    words = [
        "--door",
        "driver",
        "--door",
        "trunk",
        "--mode",
        "EMERGENCY",
        "--correlation-id",
        "mine",
        "--wait",
        "5",
    ]
    shell("unlock", VIN, *words, answers=[ended("SUCCESS")])
    (request,) = shell.service.requests
    assert json.loads(request.content) == {"targetDoors": ["driver", "trunk"], "unlockMode": "EMERGENCY"}
    assert (request.headers["x-correlation-id"], request.headers["prefer"]) == ("mine", "wait=5")


def test_who_does_not_wait_is_told_that_it_was_accepted(shell: Shell) -> None:
    done = shell("lock", VIN, "--wait", "0", answers=[accepted()])
    assert done.exit_code == 0
    assert "PENDING" in done.stdout
    assert "correlation id c1" in done.stdout


def test_the_status_is_shown(shell: Shell) -> None:
    people = shell("status", VIN, answers=[httpx.Response(200, json=STATUS)]).stdout
    assert "stale" in people.splitlines()[0]
    assert [line.split() for line in people.splitlines()[2:]] == [
        ["driver", "locked", "closed"],
        ["trunk", "unlocked"],
    ]
    line = shell("status", VIN, "--json", answers=[httpx.Response(200, json=STATUS)]).stdout
    assert json.loads(line) == STATUS


def test_settings_are_shown_and_changed(shell: Shell) -> None:
    answer = httpx.Response(200, json={**CONFIG, "application": {"state": "APPLIED", "desiredVersion": 2}})
    assert "autoLockDelay" in shell("config", "get", VIN, answers=[answer]).stdout
    words = ["autoLockDelay=30", "unlockMode=DRIVER_ONLY", "childLockEnabled=off"]
    done = shell("config", "set", VIN, *words, "--json", answers=[answer])
    assert json.loads(shell.service.requests[0].content) == {
        "autoLockDelay": 30,
        "unlockMode": "DRIVER_ONLY",
        "childLockEnabled": False,
    }
    assert json.loads(done.stdout)["autoLockDelay"] == 30


@pytest.mark.parametrize(
    "wrong", ["autoLockDelay", "colour=red", "autoLockDelay=soon", "childLockEnabled=7", "vin=x"]
)
def test_a_setting_that_there_is_not_is_wrong_usage(shell: Shell, wrong: str) -> None:
    done = shell("config", "set", VIN, wrong)
    assert (done.exit_code, shell.service.requests) == (2, [])


def entry(number: int) -> dict[str, Any]:
    return {
        "commandId": f"cmd-{number}",
        "action": "LOCK",
        "targetDoors": ["all"],
        "status": "SUCCESS",
        "timestamp": "2026-01-12T14:30:00.000Z",
        "executionTime": 2.5,
        "userId": "user-123",
        "source": "WEB",
        "doorResults": [],
        "correlationId": f"c{number}",
    }


def page(*numbers: int, **more: Any) -> httpx.Response:
    document = {
        "vin": VIN,
        "history": [entry(number) for number in numbers],
        "total": 3,
        "hasMore": False,
        **more,
    }
    return httpx.Response(200, json=document)


def test_the_history_is_shown_up_to_the_limit(shell: Shell) -> None:
    pages = [page(1, 2, nextPageToken="p2"), page(3, 4)]
    done = shell("history", VIN, "--limit", "3", "--json", answers=pages)
    assert [json.loads(line)["commandId"] for line in done.stdout.splitlines()] == ["cmd-1", "cmd-2", "cmd-3"]
    people = shell("history", VIN, answers=[page(1)]).stdout
    assert "user-123" in people.splitlines()[1]


def test_no_page_is_turned_for_more_than_the_limit(shell: Shell) -> None:
    done = shell("history", VIN, "--limit", "2", "--json", answers=[page(1, 2, nextPageToken="p2")])
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, 2)


def test_who_interrupts_a_command_is_told_that_it_may_act(shell: Shell) -> None:
    def interrupted(_: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    done = shell("unlock", VIN, answers=[interrupted])
    assert done.exit_code == 130
    assert "may act all the same" in done.stderr
    assert str(shell.service.sent("x-correlation-id")[0]) in done.stderr


def test_vehicles_are_listed(shell: Shell) -> None:
    listed = httpx.Response(
        200, json={"vehicles": [{"vin": VIN, "role": "OWNER", "actions": ["door.lock"]}], "hasMore": False}
    )
    assert f"{VIN}" in shell("vehicles", answers=[listed]).stdout


def test_a_cancellation_is_sent(shell: Shell) -> None:
    done = shell("cancel", VIN, "c1", "--force", answers=[accepted(status="CANCELLED")])
    assert json.loads(shell.service.requests[0].content)["force"] is True
    assert "CANCELLED" in done.stdout


@pytest.mark.usefixtures("shell")
def test_watching_survives_a_cut_and_ends_with_the_right(monkeypatch: pytest.MonkeyPatch) -> None:
    script = [
        Says([OPENED, update("e1")], resets=True),
        Says([HEAD, update("e2"), ends("ACTION_NOT_GRANTED")]),
    ]
    with StreamServer(script) as server:
        monkeypatch.setenv("DOORS_URL", server.url)
        done = CliRunner().invoke(doors_app.app, ["watch", VIN, "--json"])
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ["e1", "e2"]
    assert (done.exit_code, "ACTION_NOT_GRANTED" in done.stderr) == (4, True)


@pytest.mark.parametrize("form", [["--json"], []])
def test_watching_where_nothing_answers_says_so_and_ends(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, form: list[str]
) -> None:
    quick = Retries(first_pause=0.001, longest_pause=0.002, within_seconds=0.1)
    monkeypatch.setattr(
        doors_app, "_opened", lambda *_: DoorsSync("http://127.0.0.1:1", token="t1", retries=quick)
    )
    done = CliRunner().invoke(doors_app.app, ["watch", VIN, *form])
    assert done.exit_code == 5
    assert "doors: NO_ANSWER: no answer: ConnectError" in done.stderr
    assert "trying again in" in done.stderr
    assert shell.opened == []


@pytest.mark.usefixtures("shell")
def test_watching_ends_after_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    with StreamServer([Says([OPENED, update("e1"), update("e2")], hangs=True)]) as server:
        monkeypatch.setenv("DOORS_URL", server.url)
        done = CliRunner().invoke(doors_app.app, ["watch", VIN, "--count", "1"])
    assert (done.exit_code, done.stdout.count("DOOR_STATUS_UPDATE")) == (0, 1)


SOURCES: list[tuple[dict[str, str], Callable[[Path], list[str]], str]] = [
    ({"DOORS_TOKEN": "t7"}, lambda _: [], "Bearer t7"),
    ({"DOORS_API_KEY": "sk_7"}, lambda _: [], "Bearer sk_7"),
    ({"DOORS_TOKEN": "t7"}, lambda file: ["--token-file", str(file)], "Bearer of-a-file"),
]


@pytest.mark.parametrize(("environment", "words", "sent"), SOURCES)
def test_who_asks_comes_from_the_environment_or_a_file(
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    environment: dict[str, str],
    words: Callable[[Path], list[str]],
    sent: str,
) -> None:
    monkeypatch.delenv("DOORS_TOKEN")
    (tmp_path / "token").write_text("of-a-file\n")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    shell("status", VIN, *words(tmp_path / "token"), answers=[httpx.Response(200, json=STATUS)])
    assert shell.service.sent("authorization") == [sent]


@pytest.mark.parametrize("lacking", ["DOORS_URL", "DOORS_TOKEN"])
def test_nobody_and_nowhere_is_wrong_usage(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    monkeypatch.delenv(lacking)
    done = shell("status", VIN)
    assert (done.exit_code, "doors login" in done.stderr) == (2, True)


def test_no_option_takes_a_secret() -> None:
    done = CliRunner().invoke(doors_app.app, ["status", "--help"])
    assert "--token-file" in done.output
    for refused in ("--token", "--api-key"):
        assert CliRunner().invoke(doors_app.app, ["status", VIN, refused, "x"]).exit_code == 2


def test_a_login_is_tried_kept_for_oneself_used_and_forgotten(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOORS_TOKEN")
    refused = problem(401, "TOKEN_INVALID")
    assert shell("login", answers=[refused], typed="wrong\n").exit_code == 4
    assert not stored_path().exists()
    forbidden = problem(403, "ACTION_NOT_GRANTED")
    assert shell("login", answers=[forbidden], typed="sk_1\n").exit_code == 0
    assert stored_path().stat().st_mode & 0o777 == 0o600
    monkeypatch.delenv("DOORS_URL")
    assert shell("status", VIN, answers=[httpx.Response(200, json=STATUS)]).exit_code == 0
    assert shell.service.sent("authorization") == ["Bearer sk_1"]
    # A secret goes where it was kept for, and nowhere else.
    assert shell("status", VIN, "--url", "https://elsewhere.example").exit_code == 2
    stored_path().chmod(0o644)
    assert shell("status", VIN).exit_code == 2
    stored_path().chmod(0o600)
    assert "forgotten" in shell("logout").stdout
    assert not stored_path().exists()


def test_nothing_that_a_service_says_steers_a_terminal(shell: Shell) -> None:
    assert plain("a\x1b[31mb\x07\u202ec") == "a [31mb  c"
    done = shell(
        "lock", VIN, answers=[ended("FAILED", guidance="\x1b]0;owned\x07[red]x", mayHaveSucceeded=False)]
    )
    assert "\x1b" not in done.output
    assert "[red]x" in done.output


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_a_shell_completes_its_commands(shell_name: str) -> None:
    environment = {"_DOORS_COMPLETE": f"complete_{shell_name}", "COMP_WORDS": "doors un", "COMP_CWORD": "1"}
    environment |= {"_TYPER_COMPLETE_ARGS": "doors un", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    done = CliRunner().invoke(doors_app.app, [], env=environment, prog_name="doors")
    assert "unlock" in done.stdout


def test_without_its_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys  # noqa: PLC0415  # what is taken away

    monkeypatch.delitem(sys.modules, "ecarus_doors.cli.app")
    monkeypatch.setitem(sys.modules, "typer", None)
    with pytest.raises(SystemExit) as ended_with:
        cli.main()
    assert ended_with.value.code == 2
    assert f"pip install 'ecarus_doors-{VERSION}-py3-none-any.whl[cli]'" in capsys.readouterr().err

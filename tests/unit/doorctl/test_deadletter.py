"""What `doorctl deadletter` prints, with services that answer from memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.access.v1 import dead_letter_service_pb2 as contract
from google.protobuf.timestamp_pb2 import Timestamp
from typer.testing import CliRunner

from doorctl.__main__ import app
from doorctl.operator_channel import OperationError, Operator
from services.registry import SERVICES

if TYPE_CHECKING:
    from pathlib import Path

NONE_KEPT: dict[str, list[contract.DeadLetter]] = {
    service.name: [] for service in SERVICES if service.keeps_dead_letters
}
AT = "2031-01-01T00:00:0{}+00:00"
NOT_RUNNING = "the service does not run"


def stamp(second: int) -> Timestamp:
    at = Timestamp()
    at.FromJsonString(AT.format(second))
    return at


def letter(letter_id: int, second: int, replayed: int | None = None, **rest: Any) -> contract.DeadLetter:
    told = {"id": letter_id, "subject": f"a.{letter_id}", "reason": "no", "payload_bytes": 3, **rest}
    replayed_at = None if replayed is None else stamp(replayed)
    return contract.DeadLetter(received_at=stamp(second), replayed_at=replayed_at, **told)


def replayed(one: contract.DeadLetter, problem: str = "") -> contract.DeadLetterReplay:
    return contract.DeadLetterReplay(letter=one, problem=problem)


@dataclass
class FakeServices:
    """Answer as the services do; one that is not there does not run."""

    letters: dict[str, list[contract.DeadLetter]] = field(default_factory=dict)
    replays: list[Any] = field(default_factory=list)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)

    def ask(self, service: str, rpc: str, request: Any, _answer: Any) -> Any:
        self.asked.append((service, rpc.rpartition("/")[2], request))
        if service not in self.letters:
            raise OperationError(NOT_RUNNING)
        if rpc.endswith("/ListDeadLetters"):
            before = request.before if request.HasField("before") else 99
            found = [one for one in self.letters[service] if one.id < before]
            limit = request.page_size
            return contract.ListDeadLettersResponse(letters=found[:limit], more=len(found) > limit)
        return self.replays.pop(0)


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeServices:
    file = tmp_path / "operator.json"
    file.write_text('{"ca": "", "cert": "", "key": "", "services": {}}')
    monkeypatch.setenv("DOORS_OPERATOR_FILE", str(file))
    services = FakeServices()
    monkeypatch.setattr(Operator, "ask", lambda _self, *question: services.ask(*question))
    return services


def doorctl(*words: str) -> tuple[int, list[str], list[str]]:
    done = CliRunner().invoke(app, ["deadletter", *words])
    return done.exit_code, done.stdout.splitlines(), done.stderr.splitlines()


def test_the_letters_of_all_rooms_are_one_list_the_newest_first(services: FakeServices) -> None:
    services.letters = NONE_KEPT | {
        "command": [letter(9, 3, replayed=9), letter(8, 1)],
        "status": [letter(4, 2)],
    }
    assert doorctl("list") == (
        0,
        [
            f"command 9 {AT.format(3)} a.9 3 bytes: no (replayed {AT.format(9)})",
            f"status 4 {AT.format(2)} a.4 3 bytes: no",
            f"command 8 {AT.format(1)} a.8 3 bytes: no",
        ],
        [],
    )
    code, lines, said = doorctl("list", "--limit", "2")
    assert (code, [line.split()[1] for line in lines]) == (0, ["9", "4"])
    assert said == ["there are older ones: --service NAME"]


def test_a_room_is_read_page_by_page(services: FakeServices) -> None:
    services.letters = {"config": [letter(3, 3), letter(2, 2), letter(1, 1)]}
    code, lines, said = doorctl("list", "--service", "config", "--limit", "2")
    assert (code, len(lines), said) == (0, 2, ["there are older ones: --service config --before 2"])
    code, lines, said = doorctl("list", "--service", "config", "--limit", "2", "--before", "2")
    assert (code, len(lines), said) == (0, 1, [])
    assert doorctl("list", "--before", "2")[0] == 1


def test_a_room_that_does_not_run_hides_no_other(services: FakeServices) -> None:
    services.letters = NONE_KEPT | {"command": [letter(1, 1)]}
    del services.letters["config"]
    code, lines, said = doorctl("list")
    assert (code, len(lines), said) == (1, 1, [f"doorctl: config: {NOT_RUNNING}"])


def test_what_a_stranger_wrote_stays_on_its_line(services: FakeServices) -> None:
    services.letters = {"config": [letter(1, 1, subject="a\x1b[2J", reason="x\ny \u202e ü")]}
    _code, lines, _said = doorctl("list", "--service", "config")
    assert lines == [f"config 1 {AT.format(1)} a\\x1b[2J 3 bytes: x\\ny \\u202e ü"]


def test_all_goes_on_until_nothing_is_left_and_tells_what_stays(services: FakeServices) -> None:
    services.letters = {"config": []}
    services.replays = [
        contract.ReplayWaitingDeadLettersResponse(
            replays=[replayed(letter(1, 1, replayed=9)), replayed(letter(2, 2), "still not")], next_after=2
        ),
        contract.ReplayWaitingDeadLettersResponse(replays=[replayed(letter(5, 3, replayed=9))]),
    ]
    code, lines, said = doorctl("replay", "--all", "--service", "config")
    assert code == 1
    assert lines == [
        f"replayed config 1 a.1 at {AT.format(9)}",
        f"replayed config 5 a.5 at {AT.format(9)}",
        "2 replayed, 1 stay",
    ]
    assert said == ["doorctl: config 2 stays: still not"]
    assert [request.after for _, _, request in services.asked] == [0, 2]


def test_one_letter_or_all_of_a_room(services: FakeServices) -> None:
    services.letters = {"config": []}
    services.replays = [replayed(letter(7, 1, replayed=2))]
    assert doorctl("replay", "7", "--service", "config")[0] == 0
    assert services.asked == [("config", "ReplayDeadLetter", contract.ReplayDeadLetterRequest(id=7))]
    for words in (["--service", "config"], ["7", "--all", "--service", "config"]):
        assert doorctl("replay", *words) == (1, [], ["doorctl: say which: an ID, or --all"])
    assert doorctl("replay", "7", "--service", "command") == (1, [], [f"doorctl: {NOT_RUNNING}"])
    assert doorctl("replay", "7")[0] == 2
    assert doorctl("replay", str(2**31), "--service", "config")[0] == 2


def test_a_letter_says_what_it_stands_for_and_what_is_kept(services: FakeServices) -> None:
    services.letters = {
        "command": [letter(1, 1, payload_cut=True, messages=1_940, dropped_before=312)],
        "config": [letter(2, 2, messages=1)],
        "status": [],
        "diagnostics": [],
    }
    _code, lines, _complaints = doorctl("list")
    assert lines[0].endswith("3 bytes: no")
    assert lines[1].endswith(
        "3 bytes (beginning kept): no (stands for 1,940 messages) (312 of this vehicle before it are kept no longer)"
    )

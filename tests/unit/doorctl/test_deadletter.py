"""What `doorctl deadletter` prints, with rooms that answer from memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from doorctl.__main__ import app
from doorctl.broker import Failed, Operator

if TYPE_CHECKING:
    from pathlib import Path

AT = "2031-01-01T00:00:0{}+00:00"


def letter(letter_id: int, second: int, **rest: Any) -> dict[str, Any]:
    told = {"id": letter_id, "subject": f"a.{letter_id}", "reason": "no", "bytes": 3, "replayedAt": None}
    return {**told, "receivedAt": AT.format(second), **rest}


@dataclass
class Rooms:
    """Answer as the desks of the rooms do; a room that is not there does not run."""

    letters: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    replays: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def ask(self, subject: str, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((subject, request))
        room, deed = subject.split(".")[2:]
        if room not in self.letters:
            raise Failed("the service does not run")
        if deed == "list":
            found = [one for one in self.letters[room] if one["id"] < request.get("before", 99)]
            return {"letters": found[: request["limit"]], "more": len(found) > request["limit"]}
        return self.replays.pop(0)


@pytest.fixture
def rooms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Rooms:
    file = tmp_path / "operator.json"
    file.write_text('{"url": "", "ca": "", "cert": "", "key": "", "user": "", "passwordFile": ""}')
    monkeypatch.setenv("DOORS_OPERATOR_FILE", str(file))
    rooms = Rooms()
    monkeypatch.setattr(Operator, "ask", rooms.ask)
    return rooms


def doorctl(*words: str) -> tuple[int, list[str], list[str]]:
    done = CliRunner().invoke(app, ["deadletter", *words])
    return done.exit_code, done.stdout.splitlines(), done.stderr.splitlines()


def test_the_letters_of_all_rooms_are_one_list_the_newest_first(rooms: Rooms) -> None:
    rooms.letters = {
        "command": [letter(9, 3, replayedAt=AT.format(9)), letter(8, 1)],
        "status": [letter(4, 2)],
        "config": [],
        "diagnostics": [],
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
    assert said == ["there are older ones: --room ROOM"]


def test_a_room_is_read_page_by_page(rooms: Rooms) -> None:
    rooms.letters = {"config": [letter(3, 3), letter(2, 2), letter(1, 1)]}
    code, lines, said = doorctl("list", "--room", "config", "--limit", "2")
    assert (code, len(lines), said) == (0, 2, ["there are older ones: --room config --before 2"])
    code, lines, said = doorctl("list", "--room", "config", "--limit", "2", "--before", "2")
    assert (code, len(lines), said) == (0, 1, [])
    assert doorctl("list", "--before", "2")[0] == 1


def test_a_room_that_does_not_run_hides_no_other(rooms: Rooms) -> None:
    rooms.letters = {"command": [letter(1, 1)], "status": [], "diagnostics": []}
    code, lines, said = doorctl("list")
    assert (code, len(lines), said) == (1, 1, ["doorctl: config: the service does not run"])


def test_what_a_stranger_wrote_stays_on_its_line(rooms: Rooms) -> None:
    rooms.letters = {"config": [letter(1, 1, subject="a\x1b[2J", reason="x\ny \ud800 ü")]}
    _code, lines, _said = doorctl("list", "--room", "config")
    assert lines == [f"config 1 {AT.format(1)} a\\x1b[2J 3 bytes: x\\ny \\ud800 ü"]


def test_all_goes_on_until_nothing_is_left_and_tells_what_stays(rooms: Rooms) -> None:
    rooms.letters = {"config": []}
    taken = AT.format(9)
    rooms.replays = [
        {"replays": [letter(1, 1, replayedAt=taken), letter(2, 2, problem="still not")], "after": 2},
        {"replays": [letter(5, 3, replayedAt=taken)], "after": None},
    ]
    code, lines, said = doorctl("replay", "--all", "--room", "config")
    assert code == 1
    assert lines == [
        f"replayed config 1 a.1 at {taken}",
        f"replayed config 5 a.5 at {taken}",
        "2 replayed, 1 stay",
    ]
    assert said == ["doorctl: config 2 stays: still not"]
    assert [request for _, request in rooms.asked] == [{"after": 0}, {"after": 2}]


def test_one_letter_or_all_of_a_room(rooms: Rooms) -> None:
    rooms.letters = {"config": []}
    rooms.replays = [{"replays": [letter(7, 1, replayedAt=AT.format(2))], "after": None}]
    assert doorctl("replay", "7", "--room", "config")[0] == 0
    assert rooms.asked == [("operator.deadletter.config.replay", {"id": 7})]
    for words in (["--room", "config"], ["7", "--all", "--room", "config"]):
        assert doorctl("replay", *words) == (1, [], ["doorctl: say which: an ID, or --all"])
    assert doorctl("replay", "7", "--room", "command") == (1, [], ["doorctl: the service does not run"])
    assert doorctl("replay", "7")[0] == 2


def test_a_letter_says_what_it_stands_for_and_what_is_kept(rooms: Rooms) -> None:
    rooms.letters = {
        "command": [letter(1, 1, whole=False, count=1_940, dropped=312)],
        "config": [letter(2, 2, whole=True, count=1, dropped=0)],
        "status": [],
        "diagnostics": [],
    }
    _code, lines, _complaints = doorctl("list")
    assert lines[0].endswith("3 bytes: no")
    assert lines[1].endswith(
        "3 bytes (beginning kept): no (stands for 1,940 messages) (312 of this vehicle before it are kept no longer)"
    )

"""The journal at every point where a crash can cut it: what was promised is there, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from vehicle.messages.journal import (
    KEEP,
    AnswerKind,
    BegunCommand,
    Journal,
    JournalDamagedError,
    StoredAnswer,
)

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
BEGUN = BegunCommand(NOW, b"command", b"hash of c1")
RESULT = StoredAnswer(AnswerKind.RESULT, "c1", "m1", b"result", b"hash of c1")
CANCEL = StoredAnswer(AnswerKind.CANCEL, "x1", "m2", b"cancel", b"hash of x1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_a_crash_after_begin_shows_an_interrupted_command(path: Path) -> None:
    Journal(path, NOW).begin("c1", BEGUN)
    again = Journal(path, NOW)
    assert again.interrupted() == [BEGUN]
    assert again.has_begun("c1")
    assert again.result_of("c1") is None


def test_a_crash_after_the_answer_shows_it_unsent(path: Path) -> None:
    journal = Journal(path, NOW)
    journal.begin("c1", BEGUN)
    journal.answer(NOW, RESULT, CANCEL)
    again = Journal(path, NOW)
    assert again.interrupted() == []
    assert again.unsent() == [RESULT, CANCEL]
    assert again.result_of("c1") == RESULT
    assert again.cancel_answer("x1") == CANCEL


def test_what_the_broker_has_is_not_sent_again_but_known(path: Path) -> None:
    journal = Journal(path, NOW)
    journal.answer(NOW, RESULT)
    journal.stored("m1")
    again = Journal(path, NOW)
    assert again.unsent() == []
    assert again.result_of("c1") == RESULT
    assert Journal(path, NOW).unsent() == []


def test_a_line_cut_short_anywhere_was_never_promised(path: Path, tmp_path: Path) -> None:
    journal = Journal(path, NOW)
    journal.begin("c1", BEGUN)
    whole = path.read_bytes()
    journal.answer(NOW, RESULT, CANCEL)
    answered = path.read_bytes()
    for length in range(len(whole), len(answered)):
        cut = tmp_path / "cut.jsonl"
        cut.write_bytes(answered[:length])
        again = Journal(cut, NOW)
        assert again.unsent() == []
        assert len(again.interrupted()) == 1
        again.answer(NOW, RESULT)
        again.close()
        assert Journal(cut, NOW).result_of("c1") == RESULT


def test_damage_in_the_middle_stops_the_agent(path: Path) -> None:
    Journal(path, NOW).begin("c1", BEGUN)
    path.write_bytes(b"not json\n" + path.read_bytes())
    with pytest.raises(JournalDamagedError, match="line 1"):
        Journal(path, NOW)


def test_old_commands_are_forgotten_and_unsent_answers_never(path: Path) -> None:
    journal = Journal(path, NOW)
    journal.begin("c1", BEGUN)
    journal.answer(NOW, RESULT, CANCEL)
    journal.stored("m1")
    later = Journal(path, NOW + KEEP + timedelta(seconds=1))
    assert later.result_of("c1") is None
    assert not later.has_begun("c1")
    assert later.unsent() == [CANCEL]


def test_compacting_keeps_an_unfinished_command_whole(path: Path) -> None:
    Journal(path, NOW).begin("c1", BEGUN)
    Journal(path, NOW).close()  # opening compacts
    assert Journal(path, NOW + 2 * KEEP).interrupted() == [BEGUN]


def test_it_compacts_itself_while_running(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vehicle.messages.journal.COMPACT_BYTES", 2000)
    journal = Journal(path, NOW)
    for number in range(100):
        now = NOW + number * KEEP
        journal.begin(f"c{number}", BegunCommand(now, b"command", b"hash"))
        journal.answer(now, StoredAnswer(AnswerKind.RESULT, f"c{number}", f"m{number}", b"result", b"hash"))
        journal.stored(f"m{number}")
    assert path.stat().st_size < 4000
    assert Journal(path, now).result_of("c99") is not None

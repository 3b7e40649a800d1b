"""Where the tests of a run have their folders."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support import run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(run.FOLDER, "put back at the end")
    monkeypatch.delenv(run.TEMPORARY, raising=False)


def test_room_is_asked_for(tmp_path: Path) -> None:
    assert run.roomy(tmp_path, 1)
    assert not run.roomy(tmp_path, 1 << 62)
    assert not run.roomy(tmp_path / "missing", 1)


def test_beside_each_other_they_are_in_memory_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "IN_MEMORY", tmp_path)
    monkeypatch.setattr(run, "roomy", lambda where: where == tmp_path)
    run.begin_run(beside_each_other=True)
    assert run.run_folder().parent == tmp_path
    assert os.environ[run.TEMPORARY] == str(run.run_folder())
    run.end_run()
    assert list(tmp_path.iterdir()) == []
    assert run.TEMPORARY not in os.environ


@pytest.mark.parametrize(("beside", "room"), [(False, True), (True, False)])
def test_by_themselves_or_without_room_they_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, beside: bool, room: bool
) -> None:
    monkeypatch.setattr(run, "IN_MEMORY", tmp_path)
    monkeypatch.setattr(run, "roomy", lambda _where: room)
    run.begin_run(beside_each_other=beside)
    try:
        assert run.run_folder().parent != tmp_path
        assert run.TEMPORARY not in os.environ
    finally:
        run.end_run()


def test_somebody_s_own_choice_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "IN_MEMORY", tmp_path)
    monkeypatch.setattr(run, "roomy", lambda _where: True)
    monkeypatch.setenv(run.TEMPORARY, "/elsewhere")
    run.begin_run(beside_each_other=True)
    run.end_run()
    assert os.environ[run.TEMPORARY] == "/elsewhere"

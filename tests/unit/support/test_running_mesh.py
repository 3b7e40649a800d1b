"""The mesh that tests share is started once more where it was only slow, and never where something is wrong."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import running_mesh

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLOW = "mesh: access was not ready after 30 s: no output"
ENDED = "mesh: access ended with status 2: no key"


class ScriptedStart:
    """A start that says one console line."""

    def __init__(self, said: str) -> None:
        self._said = said

    def wait_for_line(self, _beginning: str, _seconds: float) -> str:
        if not self._said.startswith("ready "):
            raise TimeoutError(self._said)
        return self._said


def starts(monkeypatch: pytest.MonkeyPatch, *said: str) -> list[str]:
    """What happens when one start after the other says this."""
    log: list[str] = []
    left = iter(said)

    @contextlib.contextmanager
    def started(_ports: object, data: Path, *_: object) -> Iterator[ScriptedStart]:
        log.append(
            "started"
            if {found.name for found in data.iterdir()} <= {"pycache"}
            else "started on a used folder"
        )
        (data / "of-a-start").touch()
        try:
            yield ScriptedStart(next(left))
        finally:
            log.append("ended")

    monkeypatch.setattr(running_mesh, "_started", started)
    return log


def ready(data: Path, ends: contextlib.ExitStack) -> Any:
    nowhere: Any = None
    return running_mesh._ready_mesh(nowhere, data, {}, ends)


def test_one_that_was_slow_is_ended_and_started_once_more_and_the_summary_tells(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = starts(monkeypatch, SLOW, "ready http://127.0.0.1:1")
    with contextlib.ExitStack() as ends:
        with pytest.warns(UserWarning, match=f"^{running_mesh.SLOW_START}.*{SLOW}"):
            ready(tmp_path / "doors", ends)
        assert log == ["started", "ended", "started"]
    assert log[-1] == "ended"
    assert (tmp_path / "doors-too-slow" / "of-a-start").exists(), "nobody can look at why it was slow"


def test_the_warning_is_let_through(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as told, contextlib.ExitStack() as ends:
        starts(monkeypatch, SLOW, "ready http://127.0.0.1:1")
        ready(tmp_path / "doors", ends)
    assert len(told) == 1


@pytest.mark.filterwarnings("ignore:a mesh was started twice")
@pytest.mark.parametrize(
    ("said", "times"),
    [
        (SLOW, 2),
        (ENDED, 1),
        (f"{ENDED}; restarting in 0.5 s\n{SLOW}", 1),
        (f"mesh: status was ended by SIGSEGV; restarting in 0.5 s\n{SLOW}", 1),
    ],
)
def test_one_that_stays_slow_or_is_wrong_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, times: int
) -> None:
    log = starts(monkeypatch, *[said] * times)
    with contextlib.ExitStack() as ends, pytest.raises(TimeoutError, match=said):
        ready(tmp_path / "doors", ends)
    assert log == ["started", "ended"] * times

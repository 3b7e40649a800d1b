"""The mesh that tests share is started once more where it was only slow, and never where something is wrong."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import running_mesh

if TYPE_CHECKING:
    from collections.abc import Iterator


class ScriptedStart:
    """A start that says one console line."""

    def __init__(self, said: str, log: list[str]) -> None:
        self._said = said
        self._log = log

    def wait_for_line(self, _beginning: str, _seconds: float) -> str:
        self._log.append("started")
        if not self._said.startswith("ready "):
            raise TimeoutError(self._said)
        return self._said


def starts(monkeypatch: pytest.MonkeyPatch, *said: str) -> list[str]:
    """What happens when one start after the other says this."""
    log: list[str] = []
    left = iter(said)

    @contextlib.contextmanager
    def started(*_where: object) -> Iterator[ScriptedStart]:
        try:
            yield ScriptedStart(next(left), log)
        finally:
            log.append("ended")

    monkeypatch.setattr(running_mesh, "_started", started)
    return log


def ready(ends: contextlib.ExitStack) -> Any:
    nowhere: Any = None
    return running_mesh._ready_mesh(nowhere, nowhere, {}, ends)


def test_one_that_was_slow_is_ended_and_started_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    log = starts(monkeypatch, "mesh: access was not ready after 30 s: no output", "ready http://127.0.0.1:1")
    with contextlib.ExitStack() as ends:
        ready(ends)
        assert log == ["started", "ended", "started"]
    assert log[-1] == "ended"


@pytest.mark.parametrize(
    ("said", "times"),
    [
        ("mesh: access was not ready after 30 s: no output", 2),
        ("mesh: access ended with status 2: no key", 1),
    ],
)
def test_one_that_stays_slow_or_is_wrong_fails(
    monkeypatch: pytest.MonkeyPatch, said: str, times: int
) -> None:
    log = starts(monkeypatch, *[said] * times)
    with contextlib.ExitStack() as ends, pytest.raises(TimeoutError, match=said):
        ready(ends)
    assert log == ["started", "ended"] * times

"""An operator who is answered what a test says."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from doorctl.__main__ import app


class FakeOperator:
    """Answers with what it was given; an exception is raised. `asked` has (service, RPC, request, as whom)."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str, Any, str]] = []
        self._who = "operator"

    def as_person(self) -> FakeOperator:
        self._who = "person"
        return self

    def ask(self, service: str, rpc: str, request: Any, _answer: Any) -> Any:
        self.asked.append((service, rpc.rpartition("/")[2], request, self._who))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run doorctl with an answer; its outcome, and the operator who was asked."""

    def with_answer(answer: Any, *words: str) -> tuple[Any, FakeOperator]:
        operator = FakeOperator(answer)
        monkeypatch.setattr(
            "doorctl.operator_channel.Operator.from_environment", lambda _environment: operator
        )
        return CliRunner().invoke(app, list(words)), operator

    return with_answer

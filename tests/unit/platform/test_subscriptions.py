"""Which subscription takes a subject, and that every service replays to all that it consumes."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

from protocol.subjects import VERDICTS_SUBJECT
from services.command.adapters import vehicle_link
from services.platform.consumer import ConsumerPlan
from services.platform.subscriptions import Subscription


@pytest.mark.parametrize(
    ("pattern", "subject", "covered"),
    [
        ("a.*.c", "a.b.c", True),
        ("a.b.c", "a.b.c", True),
        ("a.*.c", "a.b.d", False),
        ("a.*.c", "a.b.c.d", False),
        ("a.*.c", "a.c", False),
        ("a.b", "a.*", False),
        ("a.*", "a", False),
        ("a", "", False),
    ],
)
def test_a_star_is_any_one_word(pattern: str, subject: str, covered: bool) -> None:
    async def handle(_deliveries: object) -> list[object]:
        return []

    plan = ConsumerPlan("S", "name", ("other", pattern))
    assert Subscription(plan, handle).takes(subject) is covered  # type: ignore[arg-type]  # never called


def test_the_command_service_replays_verdicts() -> None:
    class Events:
        async def handle(self, _deliveries: object) -> list[object]:
            return []

    found = vehicle_link.subscriptions(Events(), object())  # type: ignore[arg-type]  # nothing is handled
    assert [each.plan.name for each in found if each.takes(VERDICTS_SUBJECT)] == ["command-verdicts"]


@pytest.mark.parametrize("service", ["command", "config", "status", "diagnostics"])
def test_a_service_makes_consumers_only_from_the_list_that_its_dead_letters_go_back_to(service: str) -> None:
    folder = Path(importlib.import_module(f"services.{service}").__file__ or "").parent
    for file in folder.rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
        made = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Consumer"]
        assert made == [], f"{file} makes a consumer of its own"

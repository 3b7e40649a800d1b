"""The threat model claims nothing that no test shows."""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "threat-model.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::\w+)*?(?:::(\w+))?`")
PARTIES = (
    "A car with its keys",
    "A user",
    "A guest",
    "An agent",
    "An integrator",
    "One service",
    "The broker's owner",
    "A database's reader",
    "Somebody on the network",
)


def rows() -> list[str]:
    """The rows of every table, without its head."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return [
        line
        for above, line in itertools.pairwise(lines)
        if line.startswith("| ") and above.startswith("|") and not line.startswith("|---")
    ]


def sections() -> list[str]:
    return re.findall(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def test_every_party_has_its_section() -> None:
    assert [party for party in PARTIES if party not in sections()] == []


@pytest.mark.parametrize("row", rows())
def test_every_row_names_a_test_that_exists(row: str) -> None:
    named = NAMED.findall(row)
    assert named, "a claim without a test"
    for path, test in named:
        assert (ROOT / path).is_file(), path
        assert test, f"{path} without the test's name"
        assert test in names_in(ROOT / path), f"{path}::{test}"


def test_every_name_of_a_test_is_read() -> None:
    page = PAGE.read_text(encoding="utf-8")
    read = {found.group() for found in NAMED.finditer(page)}
    assert set(re.findall(r"`tests/[^`]*\.py[^`]*`", page)) - read == set()
    assert ("tests/contract/x.py", "test_y") in NAMED.findall("`tests/contract/x.py::TestX::test_y`")


def test_every_attack_is_in_the_threat_model() -> None:
    named = {test for _, test in NAMED.findall(PAGE.read_text(encoding="utf-8"))}
    made = set().union(*(names_in(path) for path in (ROOT / "tests" / "attacks").rglob("test_*.py")))
    assert sorted(made - named) == []

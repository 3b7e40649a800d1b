"""A document that names a test, or a case of one, names one that there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools.named_tests import missing

if TYPE_CHECKING:
    from pathlib import Path

FILE = """
import pytest

TABLE: dict[str, int] = {"none": 1, "a b": 2}
NAMES = ["one", "two"]
FOUND = find()


def test_alone(): ...
async def test_awaits(): ...
def helper(): ...
@pytest.mark.parametrize("name", TABLE)
def test_of_a_table(name): ...
@pytest.mark.parametrize("end", TABLE.values(), ids=TABLE.keys())
def test_with_ids(end): ...
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("a", "b"), [(1, "x"), pytest.param([], 2, id="named"), (True, None)])
def test_of_two(a, b, name): ...
@pytest.mark.parametrize("thing", FOUND)
def test_unreadable(thing): ...
"""


@pytest.mark.parametrize(
    "name",
    [
        "test_alone",
        "test_awaits",
        "test_of_a_table",
        "test_of_a_table[none]",
        "test_of_a_table[a b]",
        "test_with_ids[none]",
        "test_of_two[1-x-one]",
        "test_of_two[named-two]",
        "test_of_two[True-None-one]",
        "test_unreadable",
    ],
)
def test_what_is_there_is_found(tmp_path: Path, name: str) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_x.py").write_text(FILE)
    assert missing(tmp_path, [f"tests/test_x.py::{name}"]) == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("tests/test_y.py::test_alone", "no such file"),
        ("docs/test_x.py::test_alone", "no such file"),
        ("tests/test_x.py", "no such test"),
        ("tests/test_x.py::helper", "no such test"),
        ("tests/test_x.py::test_gone", "no such test"),
        ("tests/test_x.py::test_alone[x]", "no such case"),
        ("tests/test_x.py::test_of_a_table[some]", "no such case"),
        ("tests/test_x.py::test_of_two[one-1-x]", "no such case"),
        ("tests/test_x.py::test_unreadable[x]", "cannot be read: find()"),
    ],
)
def test_what_is_not_there_is_said(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_x.py").write_text(FILE)
    (line,) = missing(tmp_path, [name])
    assert line.startswith(f"{name}: ")
    assert why in line

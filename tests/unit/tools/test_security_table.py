"""docs/security.md claims nothing that no test shows, and leaves out nothing that it does not say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools import security_table
from tools.security_table import RequirementRefusedError, read

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = {
    "owasp_api": {f"API{number}" for number in range(1, 11)},
    "rfc8725": {f"3.{number}" for number in range(1, 13)},
}
"""The standards of which every section has its row."""
CHAPTERS = ("V4.", "V6.", "V7.", "V8.", "V9.", "V10.", "V11.", "V12.", "V16.")
MITIGATIONS = 24
OTHERS = {"M14", "M16", "M17", "M21", "M22"}
"""Those of R155 that the page says are not this software's."""


def written(folder: Path, rows: str) -> Path:
    source = folder / "source.toml"
    source.write_text(
        f'[x]\ntitle = "X"\nsource = "https://x.test"\nleft_out = "Nothing."\nrows = [{rows}]\n'
    )
    return source


def test_every_row_has_its_tests_or_says_what_stays_open() -> None:
    standards = read()
    for key, numbers in WHOLE.items():
        assert {row.number for row in standards[key].rows} == numbers
    numbers = {row.number for row in standards["asvs"].rows}
    assert [chapter for chapter in CHAPTERS if not any(each.startswith(chapter) for each in numbers)] == []
    named = {row.number for row in standards["r155"].rows}
    assert named | OTHERS == {f"M{number}" for number in range(1, MITIGATIONS + 1)}
    assert not named & OTHERS
    assert [other for other in OTHERS if other not in standards["r155"].left_out] == []


def test_a_test_that_is_not_there_ends_the_generator(tmp_path: Path) -> None:
    gone = 'tests = ["tests/unit/tools/test_security_table.py::test_gone"]'
    with pytest.raises(RequirementRefusedError, match="test_gone: there is no such test"):
        read(source=written(tmp_path, f'{{ id = "1", what = "x", {gone} }}'))


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ('{ id = "1", what = "x" }', "neither a test nor a residual"),
        ('{ id = "1", what = "x", residual = "y" }, { id = "1", what = "x", residual = "y" }', "two of it"),
        ('{ id = "1", what = "x", residuals = "y" }', "unknown residuals"),
        ('{ id = "1", what = "a | b", residual = "y" }', "a bar"),
    ],
)
def test_a_row_that_says_nothing_is_refused(tmp_path: Path, rows: str, why: str) -> None:
    with pytest.raises(RequirementRefusedError, match=why):
        read(source=written(tmp_path, rows))


def test_the_generator_ends_with_what_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = written(tmp_path, '{ id = "1", what = "x", residual = "y" }')
    monkeypatch.setattr(security_table.read, "__defaults__", (tmp_path, source))
    assert security_table.table("x")(None)[-1] == "| 1 | x | no test | y |"
    written(tmp_path, '{ id = "1", what = "x", tests = ["tests/gone.py::test_it"] }')
    monkeypatch.setattr(security_table, "SOURCE", security_table.ROOT / "docs" / "security_requirements.toml")
    with pytest.raises(SystemExit, match="there is no such file"):
        security_table.table("x")(None)

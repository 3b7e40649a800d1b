"""What pages link to is there: a file that moves takes its links along."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)")
PAGES = [
    *(path for path in ROOT.glob("*.md")),
    *(path for path in (ROOT / "docs").rglob("*.md")),
    ROOT / "vehicle" / "README.md",
    ROOT / "gen" / "README.md",
    ROOT / "packages" / "python" / "README.md",
]
WALK = "## One command through the house"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_one_command_goes_through_the_house_in_nine_lines_with_files() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    walk = page.split(WALK)[1].split("\n## ")[0]
    steps = re.findall(r"^(\d)\. (.*?)(?=^\d\. |\Z)", walk, re.MULTILINE | re.DOTALL)
    assert [number for number, _ in steps] == list("123456789")
    for number, step in steps:
        files = [link for link in LINK.findall(step) if Path(link).suffix in {".py", ".yaml", ".lua"}]
        assert files, f"step {number} names no file"


def test_the_glossary_says_where_each_word_is_from() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    ours, standards = page.split("## From standards and products")
    rows = [line for line in ours.splitlines() + standards.splitlines() if line.startswith("| ")]
    assert all(all(cell.strip() for cell in row.strip("|").split("|")) for row in rows)
    words = [row.split("|")[1].strip() for row in rows]
    assert sorted({word for word in words if words.count(word) > 1} - {"word"}) == []

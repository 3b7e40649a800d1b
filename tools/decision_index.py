"""The index of the pages of decisions, from their first lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tools.contract_blocks import Contract

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "decisions"


def index(_contract: Contract, folder: Path = FOLDER) -> list[str]:
    """Return a line for each page, by number. Raises ValueError for a page without a title."""
    lines = []
    for page in sorted(folder.glob("[0-9]*.md")):
        mark, _, title = page.read_text(encoding="utf-8").split("\n", 1)[0].partition(" ")
        if mark != "#" or not title:
            raise ValueError(f"{page.name} has no title in its first line")
        lines.append(f"- [{page.name[:4]}]({page.name}) {title}")
    return lines

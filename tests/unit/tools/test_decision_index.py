"""The index of decisions has every page by its title."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from tools.decision_index import FOLDER, index

if TYPE_CHECKING:
    from pathlib import Path

CONTRACT = cast("Any", None)


def test_every_page_is_listed_once_by_number() -> None:
    lines = index(CONTRACT)
    assert len(lines) == len(list(FOLDER.glob("[0-9]*.md")))
    assert lines == sorted(lines)
    assert "- [0006](0006-update-ids-are-stream-positions.md) " in "\n".join(lines)


def test_a_page_without_a_title_is_told(tmp_path: Path) -> None:
    (tmp_path / "0001-nothing.md").write_text("nothing\n")
    with pytest.raises(ValueError, match="0001-nothing"):
        index(CONTRACT, tmp_path)

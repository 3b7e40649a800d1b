"""The documentation is rendered without a fault, and one with faults is not.

Skipped where its own environment is not: `make docs` makes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.tools.test_site_pages import a_root
from tools.docs_site import OUT, ROOT, build
from tools.site_pages import SiteError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MKDOCS = ROOT / ".venv" / "docs" / "bin" / "mkdocs"
pytestmark = [
    pytest.mark.skipif(not MKDOCS.exists(), reason="make docs was not run here"),
    pytest.mark.timeout(300),
]


def test_the_documentation_is_without_fault_and_is_not_built_twice() -> None:
    build(MKDOCS, OUT)
    for page in ("index.html", "docs/api/index.html", "CHANGELOG/index.html", "docs/decisions/index.html"):
        assert (OUT / "site" / page).is_file()
    assert not build(MKDOCS, OUT)


def test_a_site_is_made_of_its_pages(tmp_path: Path) -> None:
    root = a_root(tmp_path / "root")
    assert build(MKDOCS, tmp_path / "out", root)
    assert '<h1 id="a">' in (tmp_path / "out" / "site" / "docs" / "a" / "index.html").read_text()
    assert not build(MKDOCS, tmp_path / "out", root)
    (root / "docs" / "a.md").write_text("# A\n\nChanged.\n")
    assert build(MKDOCS, tmp_path / "out", root)


def _outside(root: Path) -> None:
    (root / "docs" / "c.md").write_text("# C\n")


def _dead_anchor(root: Path) -> None:
    (root / "docs" / "b.md").write_text("# B\n\n[a](a.md#none)\n")


def _picture_from_elsewhere(root: Path) -> None:
    (root / "docs" / "b.md").write_text("# B\n\n![a](https://example.com/a.png)\n")


@pytest.mark.parametrize(
    ("spoil", "named"),
    [(_outside, "docs/c.md"), (_dead_anchor, "a.md#none"), (_picture_from_elsewhere, "example.com/a.png")],
)
def test_a_fault_ends_the_build_and_is_named(
    tmp_path: Path, spoil: Callable[[Path], None], named: str
) -> None:
    root = a_root(tmp_path / "root")
    spoil(root)
    with pytest.raises(SiteError, match=named):
        build(MKDOCS, tmp_path / "out", root)
    assert not (tmp_path / "out" / "site").exists()

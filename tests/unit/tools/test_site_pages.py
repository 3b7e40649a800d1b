"""Which pages the documentation's site has, and where their links lead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools.site_pages import SiteError, stage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TABLE = "# Documentation\n\n| page | for |\n|---|---|\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small repository with its pages."""
    return a_root(tmp_path)


def a_root(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"):
        (folder / name).write_text(f"# {name}\n")
    (folder / "docs" / "decisions").mkdir(parents=True)
    (folder / "docs" / "README.md").write_text(TABLE + "| [b](b.md) | all |\n| [a](a.md) | all |\n")
    (folder / "docs" / "a.md").write_text("# A\n\n## Part\n")
    (folder / "docs" / "b.md").write_text("# B\n")
    (folder / "docs" / "decisions" / "README.md").write_text("# Decisions\n")
    (folder / "docs" / "decisions" / "0001-one.md").write_text("# One\n")
    return folder


@pytest.fixture
def said(root: Path) -> Callable[[str], str]:
    """What becomes of a text of the first page."""

    def write(text: str) -> str:
        (root / "README.md").write_text(f"# First\n\n{text}\n")
        return stage(root).files["README.md"].removeprefix("# First\n\n").removesuffix("\n")

    return write


def test_the_table_is_the_order(root: Path) -> None:
    nav = stage(root).nav
    assert nav[1] == {"Documentation": ["docs/README.md", {"B": "docs/b.md"}, {"A": "docs/a.md"}]}
    assert nav[3]["Working on it"][-1] == {
        "Decisions": ["docs/decisions/README.md", {"0001 One": "docs/decisions/0001-one.md"}]
    }


def test_a_page_that_is_in_no_table_is_left_for_the_strict_build_to_find(root: Path) -> None:
    (root / "docs" / "c.md").write_text("# C\n")
    staged = stage(root)
    assert "docs/c.md" in staged.files
    assert "docs/c.md" not in staged.beside
    assert "docs/c.md" not in str(staged.nav)


def test_pages_elsewhere_are_there_when_a_page_leads_to_them(root: Path, said: Callable[[str], str]) -> None:
    (root / "car").mkdir()
    (root / "car" / "README.md").write_text("# Car\n")
    assert said("[car](car/README.md#car)") == "[car](car/README.md#car)"
    assert said("[car](car)") == "[car](car/README.md)"
    assert stage(root).beside == ["car/README.md"]


def test_a_file_of_code_becomes_a_page_that_shows_it(root: Path, said: Callable[[str], str]) -> None:
    (root / "code.py").write_text("print('```')\n")
    assert said("[`python -m code`](code.py), `x`") == "[`python -m code`](code.py.md), `x`"
    shown = stage(root).files["code.py.md"]
    assert "# code.py\n\n~~~~~~~~ python\nprint('```')\n~~~~~~~~\n" in shown
    assert "exclude: true" in shown


def test_a_folder_becomes_a_page_that_lists_it(root: Path, said: Callable[[str], str]) -> None:
    (root / "proto").mkdir()
    (root / "proto" / "door.proto").write_text("syntax = 'proto3';\n")
    (root / "proto" / "other.bin").write_text("x")
    assert said("[all](proto)") == "[all](proto/index.md)"
    files = stage(root).files
    assert "- [`door.proto`](door.proto.md)\n- `other.bin`\n" in files["proto/index.md"]
    assert "proto/door.proto.md" in files


@pytest.mark.parametrize(
    "text", ["`[a](nowhere.md)`", "```\n[a](nowhere.md)\n```", "[a](https://example.com/a)", "[a](#part)"]
)
def test_what_is_no_link_to_a_page_stays_as_it_is(said: Callable[[str], str], text: str) -> None:
    assert said(text) == text


def test_the_openapi_document_is_where_the_gateway_has_it(root: Path, said: Callable[[str], str]) -> None:
    (root / "gen").mkdir()
    (root / "gen" / "openapi.json").write_text("{}")
    assert said("[it](gen/openapi.json)") == "[it](/openapi.json)"


@pytest.mark.parametrize("target", ["nowhere.md", "docs/none.py", "../outside.md", "/etc/hostname"])
def test_a_link_that_leads_nowhere_is_a_fault(said: Callable[[str], str], target: str) -> None:
    with pytest.raises(SiteError) as refused:
        said(f"[a]({target})")
    assert refused.value.faults == [f"README.md: the link to {target} leads nowhere"]

"""The pages of the documentation's site: every page of docs/, and what pages lead to, each at its own place.

A file of code that a page links to becomes a page that shows it, a folder one that lists it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST = "README.md"
INDEX = "docs/README.md"
"""The page whose table says which pages there are, and in which order."""
DECISIONS = "docs/decisions"
ABOUT = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
OPENAPI = "gen/openapi.json"
"""Not a page: the gateway serves it, at its root."""
MOST_PAGES = 2_000
MOST_SHOWN_BYTES = 300_000
"""Of a file of code: what is larger is named and not shown."""
_LINK = re.compile(r"(?P<begin>\[(?:[^\[\]`]|`[^`\n]*`)*\]\()(?P<target>[^)\s]+)(?P<end>\))")
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//|#")
_LINK_OR_CODE = re.compile(
    rf"^(?P<fence>`{{3,}}|~{{3,}}).*?^(?P=fence)|{_LINK.pattern}|`[^`\n]+`", re.MULTILINE | re.DOTALL
)
"""Whatever comes first: a link's text may be code, and what looks like a link in code is none."""
_LANGUAGES = {
    ".py": "python",
    ".proto": "protobuf",
    ".lua": "lua",
    ".yaml": "yaml",
    ".toml": "toml",
    ".json": "json",
    ".go": "go",
    ".js": "javascript",
    ".mjs": "javascript",
    ".ts": "typescript",
    ".sh": "sh",
    ".txt": "text",
    ".html": "html",
    ".css": "css",
}
_HIDDEN = frozenset({"__pycache__", "node_modules", "dist", "build"})


class SiteError(Exception):
    """The site cannot be made; `faults` has a line for each reason."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(slots=True)
class SiteSources:
    """What is to be rendered: texts by their names, how they are found, and which are found by links alone."""

    files: dict[str, str] = field(default_factory=dict)
    nav: list[dict[str, Any]] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)


def stage(root: Path) -> SiteSources:
    """Return the pages below `root`. Raises SiteError for links that lead nowhere."""
    return _Stager(root.resolve()).staged()


class _Stager:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._made = SiteSources()
        self._faults: list[str] = []
        self._waiting: list[str] = []

    def staged(self) -> SiteSources:
        pages = sorted(
            each.relative_to(self._root).as_posix() for each in (self._root / "docs").rglob("*.md")
        )
        for page in (FIRST, *ABOUT, *pages):
            self._want(page)
        while self._waiting:
            self._add(self._waiting.pop())
            if len(self._made.files) > MOST_PAGES:
                raise SiteError([f"there are more than {MOST_PAGES} pages"])
        if self._faults:
            raise SiteError(sorted(self._faults))
        self._made.nav = self._nav()
        named = set(_names_in(self._made.nav))
        self._made.beside = sorted(
            name
            for name in self._made.files
            if name not in named and not (name.startswith("docs/") and (self._root / name).is_file())
        )
        return self._made

    def _want(self, name: str) -> None:
        if name not in self._made.files and name not in self._waiting:
            self._waiting.append(name)

    def _add(self, name: str) -> None:
        path = self._root / name
        if path.is_file():
            self._made.files[name] = self._page(name, path.read_text(encoding="utf-8"))
        elif name.endswith("/index.md"):
            self._made.files[name] = self._folder(path.parent)
        else:
            self._made.files[name] = _shown(name.removesuffix(".md"), path.with_suffix(""))

    def _page(self, name: str, text: str) -> str:
        def linked(found: re.Match[str]) -> str:
            if found["target"] is None:
                return found[0]
            return found["begin"] + self._target(name, found["target"]) + found["end"]

        return _LINK_OR_CODE.sub(linked, text)

    def _target(self, name: str, target: str) -> str:
        if _ELSEWHERE.match(target):
            return target
        file, mark, anchor = target.partition("#")
        path = (self._root / name).parent.joinpath(file).resolve()
        if not path.is_relative_to(self._root) or not path.exists():
            self._faults.append(f"{name}: the link to {target} leads nowhere")
            return target
        found = path.relative_to(self._root).as_posix()
        if found == OPENAPI:
            return "/openapi.json"
        if path.is_dir():
            leaf = "README.md" if (path / "README.md").is_file() else "index.md"
            self._want(leaf if found == "." else f"{found}/{leaf}")
            return f"{file.rstrip('/')}/{leaf}{mark}{anchor}"
        if path.suffix == ".md":
            self._want(found)
            return target
        self._want(f"{found}.md")
        return f"{file}.md"

    def _folder(self, folder: Path) -> str:
        name = folder.relative_to(self._root).as_posix()
        lines = [*_hidden_from_search(), f"# {name}/", ""]
        for each in sorted(folder.iterdir()):
            if each.name.startswith(".") or each.name in _HIDDEN or each.suffix == ".pyc":
                continue
            if each.suffix == ".proto":
                self._want(f"{name}/{each.name}.md")
                lines.append(f"- [`{each.name}`]({each.name}.md)")
            else:
                lines.append(f"- `{each.name}{'/' if each.is_dir() else ''}`")
        return "\n".join(lines) + "\n"

    def _nav(self) -> list[dict[str, Any]]:
        """Return the table's pages in its order. A page that is in none is a fault of the site, which mkdocs names."""
        listed = []
        for line in (self._root / INDEX).read_text(encoding="utf-8").splitlines():
            link = _LINK.search(line) if line.startswith("|") else None
            if link is None or _ELSEWHERE.match(link["target"]):
                continue
            path = (self._root / INDEX).parent.joinpath(link["target"].partition("#")[0]).resolve()
            name = path.relative_to(self._root).as_posix()
            if path.suffix == ".md" and name not in (*ABOUT, f"{DECISIONS}/README.md"):
                listed.append(name)
        decisions = [name for name in sorted(self._made.files) if re.match(rf"{DECISIONS}/\d", name)]
        return [
            {"Start": FIRST},
            {"Documentation": [INDEX, *(self._entry(name) for name in dict.fromkeys(listed))]},
            {"Changelog": ABOUT[0]},
            {
                "Working on it": [
                    *(self._entry(name) for name in ABOUT[1:]),
                    {"Decisions": [f"{DECISIONS}/README.md", *(self._entry(name) for name in decisions)]},
                ]
            },
        ]

    def _entry(self, name: str) -> dict[str, str]:
        text = self._made.files[name]
        title = re.search(r"^# (.+)$", text, re.MULTILINE)
        if title is None:
            raise SiteError([f"{name} has no title"])
        number = re.match(rf"{DECISIONS}/(\d+)", name)
        return {f"{number[1]} {title[1]}" if number else title[1]: name}


def _names_in(nav: Any) -> Iterator[str]:
    for each in nav:
        for value in each.values() if isinstance(each, dict) else (each,):
            if isinstance(value, str):
                yield value
            else:
                yield from _names_in(value)


def _hidden_from_search() -> list[str]:
    return ["---", "search:", "  exclude: true", "---", ""]


def _shown(name: str, file: Path) -> str:
    """Return a page that shows a file of code, or names it where it is large."""
    text = file.read_text(encoding="utf-8")
    head = [*_hidden_from_search(), f"# {name}", ""]
    if len(text) > MOST_SHOWN_BYTES:
        return "\n".join([*head, "This file is too large to be shown here."]) + "\n"
    fence = "~" * 8
    language = _LANGUAGES.get(file.suffix, "text")
    return "\n".join([*head, f"{fence} {language}", text.rstrip("\n"), fence]) + "\n"

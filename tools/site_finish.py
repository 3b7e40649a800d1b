"""What is done to a rendered site before it is served: no script stands in a page, and everything leads somewhere.

The pages' policy runs files of their own origin and nothing else (docs/decisions/0235), so that each script that
stands in a page becomes a file.
"""

from __future__ import annotations

import hashlib
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from typing_extensions import override

from tools.site_pages import SiteError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCRIPTS = "assets/scripts"
MERMAID = "site/mermaid.min.js"
SERVED_BESIDE = frozenset({"/openapi.json", "/asyncapi.json", "/portal/", "/app/", "/console/"})
"""What the gateway has at its root, for whom the site leads there."""
_INLINE = re.compile(r"<script>(?P<text>.*?)</script>", re.DOTALL)
_LEFT_OUT = ("assets/javascripts/lunr", "sitemap.xml", "sitemap.xml.gz", "404.html")
_LOADS = {
    ("script", "src"),
    ("link", "href"),
    ("img", "src"),
    ("source", "src"),
    ("iframe", "src"),
    ("object", "data"),
}


def finish(site: Path) -> None:
    """Make `site` such as is served. Raises SiteError for what leads nowhere, or would be loaded from elsewhere."""
    for name in _LEFT_OUT:
        for file in sorted((site / name).rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        if (site / name).is_dir():
            (site / name).rmdir()
        (site / name).unlink(missing_ok=True)
    for file in site.rglob("*.map"):
        file.unlink()
    (site / SCRIPTS).mkdir(parents=True)
    for page in sorted(site.rglob("*.html")):
        _finish_page(site, page)
    if faults := faults_of(site):
        raise SiteError(faults)


_FOR_EVERYBODY = (
    (re.compile(r'(<div class="md-search"[^>]*) role="dialog"'), r'\1 role="dialog" aria-label="Search"'),
    (re.compile(r"<pre>"), '<pre tabindex="0">'),  # it is scrolled by keyboard, too
    (re.compile(r"<th([^>]*)></th>"), r"<td\1></td>"),
)
"""What the theme lacks for those who use no mouse or no eyes."""


def _for_everybody(text: str) -> str:
    for lacking, had in _FOR_EVERYBODY:
        text = lacking.sub(had, text)
    return text


def _finish_page(site: Path, page: Path) -> None:
    up = "../" * (len(page.relative_to(site).parts) - 1)

    def moved(script: re.Match[str]) -> str:
        name = f"{SCRIPTS}/{hashlib.sha256(script['text'].encode()).hexdigest()[:16]}.js"
        (site / name).write_text(script["text"], encoding="utf-8")
        return f'<script src="{up}{name}"></script>'

    text = _for_everybody(_INLINE.sub(moved, page.read_text(encoding="utf-8")))
    if 'class="mermaid"' in text:
        text = text.replace("</head>", f'<script src="{up}{MERMAID}"></script></head>', 1)
    page.write_text(text, encoding="utf-8")


class Links(HTMLParser):
    """What a page has: its ids, where it leads, what it loads, and what its policy would not run."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.ids: set[str] = set()
        self.leads: list[str] = []
        self.loads: list[str] = []
        self.forbidden: list[str] = []

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.leads.append(given["href"])
        for of, name in _LOADS:
            if tag == of and name in given and given.get("rel") not in {"canonical", "next", "prev"}:
                self.loads.append(given[name])
        if tag == "script" and "src" not in given and given.get("type") != "application/json":
            self.forbidden.append("a script of its own")
        self.forbidden += [f"the handler {name}" for name in given if name.startswith("on")]
        if given.get("href", "").startswith("javascript:"):
            self.forbidden.append("a link that is a script")


def faults_of(site: Path) -> list[str]:
    """Return a line for each link, anchor or file that is not there, and for all that is not the site's own."""
    read: dict[Path, Links] = {}
    for page in sorted(site.rglob("*.html")):
        read[page] = Links()
        read[page].feed(page.read_text(encoding="utf-8"))
    faults = []
    for page, links in read.items():
        name = page.relative_to(site).as_posix()
        faults += [f"{name}: {each}" for each in links.forbidden]
        faults += [
            f"{name}: {each} is loaded from elsewhere" for each in links.loads if urlsplit(each).netloc
        ]
        for target in (*links.leads, *links.loads):
            if fault := _fault_of(site, page, target, read):
                faults.append(f"{name}: {fault}")
    return sorted(set(faults))


def _fault_of(site: Path, page: Path, target: str, read: Mapping[Path, Links]) -> str | None:
    parts = urlsplit(target)
    if parts.scheme or parts.netloc or target in SERVED_BESIDE:
        return None
    file = page.parent.joinpath(unquote(parts.path)).resolve() if parts.path else page
    if file.is_dir():
        file = file / "index.html"
    if parts.path.startswith("/") or not file.is_relative_to(site.resolve()) or not file.is_file():
        return f"{target} leads nowhere"
    anchor = unquote(parts.fragment)
    if anchor and file in read and anchor not in read[file].ids:
        return f"{target} leads to no heading"
    return None

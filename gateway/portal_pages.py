"""What the developers' portal has besides its first page: the documentation's site, the catalogue of problems, and
where what has moved is now.

Read once at the start, as the other pages are. The documentation is kept compressed: it is many pages that are alike.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway import problem_pages
from gateway.negotiation import is_preferred
from gateway.page_files import PORTAL, Page, PageFilesError, packed_page
from gateway.portal_layout import CHANGELOG, DOCS, PROBLEMS, layout

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.settings import GatewaySettings

MOST_DOCS_FILES = 3_000
MOST_DOCS_BYTES = 4 << 20
"""Of one file."""
MOST_DOCS_BYTES_ALL = 128 << 20
"""Before they are compressed; what is kept is a tenth of it."""
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".png": "image/png",
}


@dataclass(slots=True)
class PortalPages:
    """Every answer by its path, and where to go from a path that has none. `absent` is told below /portal/docs/ where
    there is no documentation.
    """

    pages: dict[str, Page] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    absent: Page | None = None

    def instead(self, path: str) -> Page | None:
        """Return what is said of a page of a documentation that is not here."""
        return self.absent if path.startswith(DOCS) else None


def read_portal(settings: GatewaySettings) -> PortalPages:
    """Return the portal's pages. Raises PageFilesError for files that are not such as are served."""
    portal = PortalPages()
    _add_docs(portal, settings.pages_docs)
    if settings.pages_openapi is not None:
        _add_problems(portal, settings.pages_openapi)
    return portal


def _add_docs(portal: PortalPages, folder: Path | None) -> None:
    if folder is None:
        portal.absent = Page.of(without_docs(), _TYPES[".html"])
        portal.moved |= {each.rstrip("/"): each for each in (DOCS, CHANGELOG)}
        portal.pages[CHANGELOG] = portal.absent
        return
    if not (folder / "index.html").is_file():
        raise PageFilesError(f"DOORS_PAGES_DOCS: {folder} holds no index.html; make docs builds the site")
    size = 0
    for count, file in enumerate(
        sorted(each for each in folder.rglob("*") if not each.is_dir() or each.is_symlink())
    ):
        size += file.lstat().st_size
        if count >= MOST_DOCS_FILES or size > MOST_DOCS_BYTES_ALL:
            raise PageFilesError(
                f"{folder} holds more than {MOST_DOCS_FILES} files or {MOST_DOCS_BYTES_ALL} bytes"
            )
        path = DOCS + file.relative_to(folder).as_posix()
        page = packed_page(file, _TYPES, MOST_DOCS_BYTES)
        if file.name != "index.html":
            portal.pages[path] = page
            continue
        place = path.removesuffix("index.html")
        portal.pages[place] = page
        portal.moved |= {path: place, place.rstrip("/"): place}
    changelog = f"{DOCS}CHANGELOG/"
    portal.moved |= {
        each: changelog for each in (CHANGELOG, CHANGELOG.rstrip("/")) if changelog in portal.pages
    }


def _add_problems(portal: PortalPages, document: Path) -> None:
    try:
        catalogue = problem_pages.catalogue_of(json.loads(document.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        raise PageFilesError(f"{document} has no catalogue of problems: {error!r}") from error
    portal.pages[PROBLEMS] = Page.of(problem_pages.index(catalogue).encode(), _TYPES[".html"])
    portal.pages[f"{PROBLEMS}index.json"] = _json([entry.told() for entry in catalogue])
    portal.moved[PROBLEMS.rstrip("/")] = PROBLEMS
    for entry in catalogue:
        place = PROBLEMS + entry.slug
        portal.pages[place] = Page.of(problem_pages.page(entry).encode(), _TYPES[".html"])
        portal.pages[f"{place}.json"] = _json(entry.told())
        portal.moved |= {PROBLEMS + entry.code: place, f"{place}/": place}


def _json(document: object) -> Page:
    return Page.of(json.dumps(document, indent=1, ensure_ascii=False).encode(), _TYPES[".json"])


def json_twin(path: str, accept: str) -> str:
    """Return the path of the JSON of an entry of the catalogue where it was asked for rather than HTML
    (`Accept: application/json`), else the path itself.
    """
    if not path.startswith(PROBLEMS) or path.endswith(".json"):
        return path
    if not is_preferred(accept, ("application/json", "application/problem+json"), "text/html"):
        return path
    return f"{path}index.json" if path == PROBLEMS else f"{path}.json"


def without_docs() -> bytes:
    """Return what is said where no documentation was built."""
    return layout(
        "Documentation",
        "<h1>The documentation is not on this server</h1>\n"
        "<p>It is in the source: the folder <code>docs/</code> and <code>CHANGELOG.md</code>. "
        "<code>make docs</code> builds it as a site, which is shown here where the setting "
        "<code>DOORS_PAGES_DOCS</code> names its folder.</p>\n"
        f'<p>What is here: <a href="{PORTAL}">the endpoints, to be tried</a> and <a href="{PROBLEMS}">every problem, '
        "with what to do about it</a>.</p>",
    ).encode()

"""What the portal's pages have in common."""

from __future__ import annotations

import html

from gateway.page_files import PORTAL

DOCS = "/portal/docs/"
PROBLEMS = "/portal/problems/"
CHANGELOG = "/portal/changelog/"


def layout(title: str, main: str) -> str:
    """Return a page of the portal: `main` is markup, `title` is text."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{html.escape(title)}: Remote Door Control</title>"
        '<link rel="icon" href="/app/icon.svg" type="image/svg+xml"><link rel="stylesheet" href="/portal/portal.css">'
        '</head>\n<body><a class="skip" href="#main">Skip to the content</a><header><p class="site">'
        f'<a href="{PORTAL}">Remote Door Control for developers</a></p><nav aria-label="Portal">'
        f'<a href="{DOCS}">Documentation</a> <a href="{PROBLEMS}">Problems</a> <a href="{CHANGELOG}">Changelog</a>'
        f'</nav></header>\n<main id="main" tabindex="-1">\n{main}\n</main></body></html>\n'
    )

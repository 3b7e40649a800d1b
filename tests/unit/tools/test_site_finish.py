"""What is made of a rendered site, and what is found wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools.site_finish import faults_of, finish
from tools.site_pages import SiteError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site with two pages."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "index.html").write_text('<head></head><h1 id="top">A</h1><a href="sub/#there">b</a>')
    (tmp_path / "sub" / "index.html").write_text('<head></head><h1 id="there">B</h1><a href="..">a</a>')
    return tmp_path


def test_a_script_in_a_page_becomes_a_file(site: Path) -> None:
    page = site / "sub" / "index.html"
    page.write_text(
        '<head><script>var a = 1</script><script id="c" type="application/json">{}</script></head>'
    )
    (site / "index.html").write_text("<head><script>var a = 1</script></head>")
    finish(site)
    (script,) = (site / "assets" / "scripts").iterdir()
    assert script.read_text() == "var a = 1"
    assert f'<script src="../assets/scripts/{script.name}"></script><script id="c"' in page.read_text()


def test_what_the_theme_lacks_for_some_people_is_added(site: Path) -> None:
    page = site / "index.html"
    page.write_text(
        '<head></head><div class="md-search" data-a role="dialog"></div>'
        '<pre><span></span><code>x</code></pre><th class="c"></th>'
    )
    finish(site)
    assert page.read_text() == (
        '<head></head><div class="md-search" data-a role="dialog" aria-label="Search"></div>'
        '<pre tabindex="0"><span></span><code>x</code></pre><td class="c"></td>'
    )


def test_what_is_for_other_hosts_is_left_out(site: Path) -> None:
    for name in ("assets/javascripts/lunr/min/lunr.ja.min.js", "assets/a.js.map", "404.html", "sitemap.xml"):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text("x")
    finish(site)
    assert sorted(each.name for each in site.rglob("*") if each.is_file()) == ["index.html", "index.html"]


def test_a_page_with_a_picture_has_what_draws_it(site: Path) -> None:
    (site / "site").mkdir()
    (site / "site" / "mermaid.min.js").write_text("")
    (site / "index.html").write_text('<head></head><pre class="mermaid"><code>flowchart</code></pre>')
    finish(site)
    assert '<script src="site/mermaid.min.js"></script></head>' in (site / "index.html").read_text()
    assert "mermaid" not in (site / "sub" / "index.html").read_text()


@pytest.mark.parametrize(
    ("markup", "fault"),
    [
        ('<a href="none/">x</a>', "none/ leads nowhere"),
        ('<a href="../index.html">x</a>', "../index.html leads nowhere"),
        ('<a href="/etc/">x</a>', "/etc/ leads nowhere"),
        ('<a href="#none">x</a>', "#none leads to no heading"),
        ('<a href="sub/#none">x</a>', "sub/#none leads to no heading"),
        ('<img src="https://example.com/a.png">', "https://example.com/a.png is loaded from elsewhere"),
        (
            '<link rel="stylesheet" href="//example.com/a.css">',
            "//example.com/a.css is loaded from elsewhere",
        ),
        ('<script src="none.js"></script>', "none.js leads nowhere"),
        ('<p onclick="x()">', "the handler onclick"),
        ('<a href="javascript:x()">x</a>', "a link that is a script"),
        ('<script type="module">x</script>', "a script of its own"),
    ],
)
def test_what_is_wrong_is_named(site: Path, markup: str, fault: str) -> None:
    (site / "index.html").write_text(f"<head></head>{markup}")
    assert faults_of(site) == [f"index.html: {fault}"]
    with pytest.raises(SiteError, match=r"index\.html"):
        finish(site)


@pytest.mark.parametrize(
    "markup",
    ['<a href="https://example.com/">x</a>', '<a href="/openapi.json">x</a>', '<a href="sub/#there">x</a>'],
)
def test_what_leads_somewhere_is_none(site: Path, markup: str) -> None:
    (site / "index.html").write_text(markup)
    assert faults_of(site) == []

"""Build the documentation as a site, from the root.

usage: python -m tools.docs_site --mkdocs PROGRAM [--out FOLDER]

The pages are those of docs/ and whatever they lead to, in the order of the table in docs/README.md. It fails, naming
each, for a link or an anchor that leads nowhere, for a page of docs/ that is not in that table, and for anything that a
page would load from elsewhere.
Nothing is done where the site is already that of these pages.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools import site_finish, site_pages
from tools.site_pages import SiteError

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / ".docs"
SETUP = Path(__file__).with_name("docs_site.yaml")
BESIDE = {
    "site.css": Path(__file__).with_name("docs_site.css"),
    "mermaid.min.js": ROOT / "third_party" / "mermaid" / "mermaid.min.js",
    "mermaid.LICENSE.txt": ROOT / "third_party" / "mermaid" / "LICENSE",
}
"""What is put into the site's folder `site`."""
_MADE_OF = ("tools/docs_site.py", "tools/site_pages.py", "tools/site_finish.py", "requirements/docs.txt")
_SECONDS = 300


def build(mkdocs: Path, out: Path, root: Path = ROOT) -> bool:
    """Build `out`/site of the pages below `root`; return whether there was something to do.

    Raises SiteError, with a line for each fault.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        source, site, fresh = out / "source", out / "site", out / "site.new"
        staged = site_pages.stage(root)
        digest = _digest(staged.files)
        kept = out / "digest"
        if site.is_dir() and kept.is_file() and kept.read_text(encoding="utf-8") == digest:
            return False
        kept.unlink(missing_ok=True)
        shutil.rmtree(source, ignore_errors=True)
        for name, text in staged.files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(text, encoding="utf-8")
        (source / "site").mkdir()
        for name, file in BESIDE.items():
            shutil.copyfile(file, source / "site" / name)
        setup = out / "mkdocs.yaml"
        setup.write_text(_setup(staged, source, fresh), encoding="utf-8")
        shutil.rmtree(fresh, ignore_errors=True)
        _mkdocs(mkdocs, setup)
        site_finish.finish(fresh)
        shutil.rmtree(site, ignore_errors=True)
        fresh.rename(site)
        kept.write_text(digest, encoding="utf-8")
    return True


def _setup(staged: site_pages.SiteSources, source: Path, site: Path) -> str:
    lines = [
        SETUP.read_text(encoding="utf-8"),
        f"docs_dir: {json.dumps(str(source.resolve()))}",
        f"site_dir: {json.dumps(str(site.resolve()))}",
        f"nav: {json.dumps(staged.nav, ensure_ascii=False)}",
        "not_in_nav: |",
        *(f"  /{name}" for name in staged.beside),
    ]
    return "\n".join(lines) + "\n"


def _mkdocs(mkdocs: Path, setup: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["NO_MKDOCS_2_WARNING"] = "1"
    ended = subprocess.run(
        [str(mkdocs), "build", "--strict", "--config-file", str(setup)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if ended.returncode:
        said = (ended.stdout + ended.stderr).splitlines()
        faults = [line.strip() for line in said if line.startswith(("WARNING", "ERROR", "  - "))]
        raise SiteError(faults or said[-20:] or [f"mkdocs ended with {ended.returncode}"])


def _digest(files: dict[str, str]) -> str:
    made = hashlib.sha256()
    for name in _MADE_OF:
        made.update((ROOT / name).read_bytes())
    for file in (SETUP, *BESIDE.values()):
        made.update(file.read_bytes())
    for name, text in sorted(files.items()):
        made.update(f"{name}\0{text}\0".encode())
    return made.hexdigest()


def main() -> int:
    """Do what the command line asks; the exit status."""
    asked = argparse.ArgumentParser(description="Build the documentation as a site.")
    asked.add_argument("--mkdocs", type=Path, required=True, help="the program that renders it")
    asked.add_argument("--out", type=Path, default=OUT, help="where its folder `site` goes")
    options = asked.parse_args()
    try:
        build(options.mkdocs, options.out)
    except SiteError as error:
        print("the documentation is not such as can be shown:", *error.faults, sep="\n  ", file=sys.stderr)
        return 1
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"the documentation could not be built: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The fenced blocks of a document, to be run as a reader pastes them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(document: str, heading: str, language: str = "sh") -> list[str]:
    """Those of one language below a heading, up to the next heading of its level or above."""
    text = (ROOT / document).read_text(encoding="utf-8")
    level = len(heading) - len(heading.lstrip("#"))
    start = text.index(f"\n{heading}\n")
    ends = re.search(
        rf"^#{{1,{level}}} (?!.*{re.escape(heading)}$)", text[start + len(heading) + 2 :], re.MULTILINE
    )
    section = text[start:] if ends is None else text[start : start + len(heading) + 2 + ends.start()]
    return [code for kind, code in _FENCED.findall(section) if kind == language]


def checkout(folder: Path) -> Path:
    """Something like a clone, in which a reader's commands may leave files: it links to what is read only."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in sorted({line.split("/")[0] for line in tracked.splitlines()}):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").symlink_to(Path(sys.prefix))
    return folder


def paste(block: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a block in a new shell, stopping at the first command that fails."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("DOORS_", "PYTHONPATH"))
    }
    return subprocess.run(
        ["bash", "-e", "-c", block],
        cwd=folder,
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )

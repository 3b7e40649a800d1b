"""Every setting that a document names is read by something."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
_SETTING = re.compile(r"DOORS_[A-Z0-9_]*[A-Z0-9]")
_READERS = (
    "services",
    "mesh",
    "vehicle",
    "doorctl",
    "gateway",
    "issuer",
    "phones",
    "bench",
    "conformance",
    "Makefile",
    "bin",
)


def test_every_documented_setting_is_read() -> None:
    documents = [ROOT / "README.md", ROOT / "vehicle" / "README.md", *ROOT.glob("docs/**/*.md")]
    named = {name for path in documents for name in _SETTING.findall(path.read_text(encoding="utf-8"))}
    tracked = subprocess.run(
        ["git", "ls-files", *_READERS], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    code = "\n".join(
        (ROOT / path).read_text(encoding="utf-8")
        for path in tracked
        if path.endswith((".py", "Makefile", "doorctl"))
    )
    fields = set(re.findall(r"^    ([a-z][a-z0-9_]*): ", code, re.MULTILINE))
    unread = {
        name for name in named if name not in code and name.removeprefix("DOORS_").lower() not in fields
    }
    assert named
    assert not unread, "documented, and read by nothing"

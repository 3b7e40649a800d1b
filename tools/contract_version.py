"""The contract's version: proto/VERSION, of which the OpenAPI document and every package take theirs."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_SEMANTIC = re.compile(r"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)")


def contract_version(root: Path = ROOT) -> str:
    """Return the version, three numbers with dots. Raise ValueError where the file says something else."""
    said = (root / "proto" / "VERSION").read_text(encoding="utf-8").strip()
    if not _SEMANTIC.fullmatch(said):
        raise ValueError(f"proto/VERSION: three numbers with dots are expected, not {said!r}")
    return said

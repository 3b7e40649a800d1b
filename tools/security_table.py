"""The tables of docs/security.md, from docs/security_requirements.toml.

A row has tests that show it, a residual that says what stays open, or both; a test that is not there ends the
generator, and so `make check`.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.named_tests import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tools.contract_blocks import Contract

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "docs" / "security_requirements.toml"
_ROW_MEMBERS = {"id", "what", "tests", "residual"}


class RequirementRefusedError(Exception):
    """The source is not as it should be; one line for each reason."""


@dataclass(frozen=True, slots=True)
class SecurityRequirement:
    """One requirement of a standard. `tests`: path::test or path::test[case]; `residual`: what stays open, or empty."""

    number: str
    what: str
    tests: tuple[str, ...]
    residual: str


@dataclass(frozen=True, slots=True)
class Standard:
    """A document, where it is, what of it is not in the rows, and the rows."""

    title: str
    source: str
    left_out: str
    rows: tuple[SecurityRequirement, ...]


def read(root: Path = ROOT, source: Path = SOURCE) -> dict[str, Standard]:
    """Return the standards by their key. Raises RequirementRefusedError."""
    standards = {
        key: Standard(
            table["title"],
            table["source"],
            table["left_out"],
            tuple(_requirement(row) for row in table["rows"]),
        )
        for key, table in tomllib.loads(source.read_text(encoding="utf-8")).items()
    }
    wrong = [line for standard in standards.values() for line in _objections(standard)]
    named = (test for standard in standards.values() for row in standard.rows for test in row.tests)
    wrong += missing(root, dict.fromkeys(named))
    if wrong:
        raise RequirementRefusedError("\n".join(wrong))
    return standards


def _requirement(row: dict[str, Any]) -> SecurityRequirement:
    if unknown := row.keys() - _ROW_MEMBERS:
        raise RequirementRefusedError(f"{row.get('id')}: unknown {', '.join(sorted(unknown))}")
    return SecurityRequirement(row["id"], row["what"], tuple(row.get("tests", ())), row.get("residual", ""))


def _objections(standard: Standard) -> Iterable[str]:
    seen: set[str] = set()
    for row in standard.rows:
        if row.number in seen:
            yield f"{standard.title} {row.number}: there are two of it"
        seen.add(row.number)
        if not row.tests and not row.residual:
            yield f"{standard.title} {row.number}: neither a test nor a residual"
        if "|" in row.what + row.residual:
            yield f"{standard.title} {row.number}: a bar within a cell"


def table(key: str) -> Callable[[Contract], list[str]]:
    """Return what makes the block of one standard."""

    def lines(_contract: Contract) -> list[str]:
        try:
            standard = read()[key]
        except RequirementRefusedError as refused:
            raise SystemExit(f"{SOURCE.relative_to(ROOT)}:\n{refused}") from None
        shown = sum(bool(row.tests) for row in standard.rows)
        open_rows = sum(bool(row.residual) for row in standard.rows)
        return [
            f"[{standard.title}]({standard.source}): {len(standard.rows)} rows, {shown} shown by tests, "
            f"{open_rows} with a residual. {standard.left_out}",
            "",
            "| | what it comes to here | shown by | residual |",
            "|---|---|---|---|",
            *(_line(row) for row in standard.rows),
        ]

    return lines


def _line(row: SecurityRequirement) -> str:
    tests = " ".join(f"`{test}`" for test in row.tests)
    return f"| {row.number} | {row.what} | {tests or 'no test'} | {row.residual} |"

"""The one table that a run prints."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.usage import CpuUsage

_WIDTH = 110
_NOTE = " " * 6
_MILLISECOND = 0.001


@dataclass(frozen=True, slots=True)
class Figure:
    """One line. `met` is None where there is no target."""

    name: str
    reached: str
    how: str
    target: str = ""
    met: bool | None = None


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the smallest value that `percent` of them do not exceed (nearest rank). `ordered` is sorted, not empty."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def spread(ordered: Sequence[float]) -> str:
    """Return median and 99th percentile of milliseconds."""
    return f"p50 {percentile(ordered, 50):.1f} ms, p99 {percentile(ordered, 99):.1f} ms"


def cost(what: str, spent: CpuUsage, count: int, load_seconds: float) -> Figure:
    """Return who used how much CPU for one of `count` things; parts below a hundredth of the whole are left out."""
    each = {"load": load_seconds, **spent.by_component}
    total = sum(each.values())
    parts = [
        f"{name} {_duration(seconds / count)}"
        for name, seconds in sorted(each.items(), key=lambda item: -item[1])
        if seconds >= total / 100
    ]
    others = f"the machine's other work took {100 * spent.elsewhere / spent.wall_seconds:.0f}% of a core"
    return Figure(f"  CPU per {what}", _duration(total / count), f"{', '.join(parts)}; {others}")


def _duration(seconds: float) -> str:
    return f"{seconds * 1_000_000:.0f} us" if seconds < _MILLISECOND else f"{seconds * 1_000:.2f} ms"


def render(title: str, figures: Sequence[Figure]) -> str:
    """Return the table as text, each figure's note below it."""
    rows = [(f.name, f.reached, f.target, _verdict(f.met)) for f in figures]
    head = ("figure", "reached", "target", "")
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [title, "", _line(head, widths), "-" * _WIDTH]
    for row, figure in zip(rows, figures, strict=True):
        lines += [
            _line(row, widths),
            textwrap.fill(figure.how, _WIDTH, initial_indent=_NOTE, subsequent_indent=_NOTE),
        ]
    return "\n".join(lines)


def render_markdown(figures: Sequence[Figure]) -> str:
    """Return the same as rows of a Markdown table, for the README."""
    lines = ["| figure | reached | target |", "|---|---|---|"]
    for figure in figures:
        verdict = {None: "", True: ": met", False: ": **missed**"}[figure.met]
        lines.append(f"| {figure.name.strip()}: {figure.how} | {figure.reached} | {figure.target}{verdict} |")
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _verdict(met: bool | None) -> str:
    return {None: "", True: "met", False: "MISSED"}[met]

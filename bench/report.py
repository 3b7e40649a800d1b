"""The one table that a run prints."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.usage import Spent

_GAP = "  "
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
    """The smallest value that `percent` of them do not exceed (nearest rank). `ordered` is sorted, not empty."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def spread(ordered: Sequence[float]) -> str:
    """Median and 99th percentile of milliseconds."""
    return f"p50 {percentile(ordered, 50):.1f} ms, p99 {percentile(ordered, 99):.1f} ms"


def cost(what: str, spent: Spent, count: int, load_seconds: float) -> Figure:
    """Who used how much CPU for one of `count` things; parts below a hundredth of the whole are left out."""
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
    """The table as text."""
    rows = [("figure", "reached", "target", "", "how")]
    rows += [(f.name, f.reached, f.target, _verdict(f.met), f.how) for f in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        _GAP.join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * max(len(line) for line in lines))
    return "\n".join([title, "", *lines])


def _verdict(met: bool | None) -> str:
    return {None: "", True: "met", False: "MISSED"}[met]

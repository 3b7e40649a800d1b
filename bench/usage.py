"""What processes cost, as Linux counts it below /proc."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_PROC = Path("/proc")
_KIB_PER_MIB = 1024


def cpu_seconds(pid: int) -> float:
    """Return user and system time the process and its threads have used. Raises OSError when it has gone."""
    text = (_PROC / str(pid) / "stat").read_text()
    fields = text.rpartition(") ")[2].split()  # the name before it may hold spaces
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Return the memory the process holds in RAM; what it shares with others counts for each of them as its part (PSS).

    Raises OSError when it has gone.
    """
    for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / _KIB_PER_MIB
    raise ProcessLookupError(f"process {pid} has ended")


def busy_seconds() -> float:
    """Return the CPU time the whole machine has spent on anything but idling and waiting for the disk."""
    fields = [int(word) for word in (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _waiting, *others = fields
    return (user + nice + system + sum(others[:3])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class CpuUsage:
    """CPU seconds by component, dearest first, and by all that has nothing to do with the measurement."""

    by_component: dict[str, float]
    elsewhere: float
    wall_seconds: float


class CpuMeter:
    """Measures from when it is made."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self._began = {name: cpu_seconds(pid) for name, pid in self._pids.items()}
        self._busy = busy_seconds()
        self._at = time.perf_counter()

    def read(self, load_seconds: float) -> CpuUsage:
        """Return what was spent since. `load_seconds` is what the load process used, which has ended."""
        wall = time.perf_counter() - self._at
        used = {name: cpu_seconds(pid) - self._began[name] for name, pid in self._pids.items()}
        elsewhere = busy_seconds() - self._busy - sum(used.values()) - load_seconds
        return CpuUsage(dict(sorted(used.items(), key=lambda item: -item[1])), max(0.0, elsewhere), wall)

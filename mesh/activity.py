"""What a process does while it answers nothing: it works, waits for the processor or the disk, or it hangs.

Linux tells for each thread how long it ran and how long it stood in line for a processor. Who is starved by others
stands in line, who is stopped or waits for ever does neither. Where the system does not tell, nothing counts as hung.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

IDLE_SHARE = 0.1
"""Who wanted the processor for less than this part of the time did nothing."""
STARVED_SHARE = 0.75
"""Who had to wait for the processor for more than this part of the time is in no position to judge others."""
LOOKS_PER_SECOND = 1.0
"""Nor is who did not get to look so often: in each look the question and its answer get a step further."""
_DISK = "D"
_NANOSECONDS = 1_000_000_000
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Activity:
    """Seconds of all threads of a process together since it began, and whether one waits for the disk now.

    `threads` names them: what one did that has ended is not among the seconds any more.
    """

    ran: float
    in_line: float
    at_the_disk: bool
    threads: frozenset[str] = frozenset()


def activity_of(pid: int | str, proc: Path = _PROC) -> Activity | None:
    """Return it; None where the system does not tell, or the process is not there."""
    ran = in_line = 0
    at_the_disk = False
    threads = set()
    try:
        for thread in (proc / str(pid) / "task").iterdir():
            try:
                times = (thread / "schedstat").read_text(encoding="ascii").split()
                state = (
                    (thread / "stat")
                    .read_text(encoding="utf-8", errors="replace")
                    .rpartition(")")[2]
                    .split()[0]
                )
            except (
                FileNotFoundError,
                ProcessLookupError,
            ):  # a thread that has just ended; or no schedstat at all
                if not (thread / "stat").exists():
                    continue
                return None
            threads.add(thread.name)
            ran += int(times[0])
            in_line += int(times[1])
            at_the_disk = at_the_disk or state == _DISK
    except (OSError, ValueError, IndexError):
        return None
    return Activity(ran / _NANOSECONDS, in_line / _NANOSECONDS, at_the_disk, frozenset(threads))


class HangWatch:
    """Tells whether a process that answers nothing hangs: for `seconds` it neither ran nor wanted to.

    `look` gives the activity of a process, "self" for the one that watches.
    """

    def __init__(
        self,
        pid: int,
        seconds: float,
        look: Callable[[int | str], Activity | None] = activity_of,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pid = pid
        self._seconds = seconds
        self._look = look
        self._monotonic = monotonic
        self._began: tuple[float, Activity, Activity] | None = None
        self._looks = 0

    def answered(self) -> None:
        """Note that it answers."""
        self._began = None

    def hangs(self) -> bool:
        """Return whether it does, having answered nothing since the first call after `answered`."""
        now, its, own = self._monotonic(), self._look(self._pid), self._look("self")
        if its is None or own is None or its.at_the_disk:
            self._began = None
            return False
        if self._began is None:
            self._began, self._looks = (now, its, own), 0
            return False
        self._looks += 1
        since, its_before, own_before = self._began
        passed = now - since
        wanted = its.ran + its.in_line - its_before.ran - its_before.in_line
        starved = own.in_line - own_before.in_line
        works = its.threads != its_before.threads or wanted >= IDLE_SHARE * max(passed, 1.0)
        if works or starved >= STARVED_SHARE * max(passed, 1.0):
            self._began, self._looks = (now, its, own), 0  # it did something: from here on it may hang
            return False
        return passed >= self._seconds and self._looks >= self._seconds * LOOKS_PER_SECOND

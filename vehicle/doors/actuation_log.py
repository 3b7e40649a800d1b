"""The ground truth of what actuators did: append-only JSON lines, one BEFORE and one AFTER each actuation.

Every line reaches the operating system at once, so it survives the death of the process. `sync`
brings what was written to the disk: once per command, before its result is stored, because a sync
per line would cost more than the command.
"""

from __future__ import annotations

import json
import os
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from vehicle.doors.body import DoorName, LockPosition


class Phase(StrEnum):
    """A BEFORE without its AFTER is an actuation that a crash cut short."""

    BEFORE = "BEFORE"
    AFTER = "AFTER"


class ActuationLog:
    """The log of one car. `cause` is a command id or `automation:<which>`."""

    def __init__(self, path: Path, vin: str) -> None:
        self._path = path
        self._vin = vin
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        self._end_torn_line()

    def write(
        self,
        now: datetime,
        cause: str,
        door: DoorName,
        position: LockPosition,
        phase: Phase,
        outcome: str | None = None,
    ) -> None:
        """One line. `outcome` belongs to AFTER: "moved" or "actuator_fault"."""
        line = {
            "time": now.isoformat(),
            "vin": self._vin,
            "command_id": cause,
            "door": door.value,
            "action": position.value,
            "phase": phase.value,
            "outcome": outcome,
        }
        os.write(self._file, (json.dumps(line) + "\n").encode())

    def sync(self) -> None:
        """Return when everything written is on the disk. Raises OSError."""
        os.fdatasync(self._file)

    def read(self) -> list[dict[str, str | None]]:
        """Return all lines, oldest first."""
        return [json.loads(line) for line in self._path.read_bytes().splitlines() if line.endswith(b"}")]

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        os.close(self._file)

    def _end_torn_line(self) -> None:
        # A power loss may leave half a line; the next one must not be glued to it.
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")

"""What the unit must not forget: one JSON file, on the disk when a change returns."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class Disk:
    """`begun`: request hash by command id. `answers`: what was answered, by order id: payload, hash, message id, and
    whether the broker has it. All bytes are hex. Nothing of an epoch is here.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        self.begun: dict[str, str] = kept.get("begun", {})
        self.answers: dict[str, dict[str, Any]] = kept.get("answers", {})
        self.manifest: list[str] = kept.get("manifest", [])
        self.settings: list[Any] = kept.get("settings", [0, ""])
        self.locked: dict[str, bool] = kept.get("locked", {})

    def keep(self) -> None:
        """Written beside, synced, renamed, and the folder synced: a power cut leaves the old or the new."""
        whole = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        beside = self._file.with_suffix(".new")
        with beside.open("w", encoding="utf-8") as file:
            json.dump(whole, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._file)
        folder = os.open(self._file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

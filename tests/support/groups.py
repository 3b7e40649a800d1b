"""Which tests one worker does in one piece: pytest-xdist's scheduling by groups, told in a file of the run.

Not by its mark `xdist_group`: that writes the group into each test's name, which pytest 9 does not let it, without a
word; and what is played again by its name would not be found under it.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from xdist.scheduler import LoadScopeScheduling

from tests.support.run import run_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pytest


def _file() -> Path:
    return run_folder() / "groups.json"


def tell_groups(groups: Mapping[str, str]) -> None:
    """In a worker: the group of each test by its name. All workers say the same."""
    fresh = _file().with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps(groups))
    fresh.replace(_file())


class GroupScheduling(LoadScopeScheduling):
    """Hands out whole groups, in the order of the tests. A test without one goes by itself."""

    def __init__(self, config: pytest.Config, log: object = None) -> None:
        super().__init__(config, log)
        self._groups: dict[str, str] | None = None

    def _split_scope(self, nodeid: str) -> str:
        if self._groups is None:  # by now every worker has collected, and told
            self._groups = json.loads(_file().read_text())
        return self._groups.get(nodeid, nodeid)

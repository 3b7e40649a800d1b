"""What all processes of one run of tests share: a folder, locks, and the compiled code of the programs they start."""

from __future__ import annotations

import fcntl
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = "TESTS_RUN_FOLDER"
"""The environment variable that names the folder: set by the process that started the run, inherited by the others."""
ROOT = Path(__file__).resolve().parents[2]


def run_folder() -> Path:
    """The folder of this run. It is removed at the end of it."""
    return Path(os.environ[FOLDER])


@contextmanager
def locked(name: str) -> Iterator[None]:
    """One at a time among all processes of the run."""
    with (run_folder() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def compiled_code() -> Path:
    """Where Python keeps compiled code, for this run and the next; a start without it compiles for seconds."""
    return Path(sys.prefix) / "pycache"


def keep_compiled_code() -> None:
    """Have every program that the tests start find it, and add to it."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(compiled_code())

"""What all processes of one run of tests share: a folder, locks, and the compiled code of the programs they start."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = "TESTS_RUN_FOLDER"
"""The environment variable that names the folder: set by the process that started the run, inherited by the others."""
TEMPORARY = "PYTEST_DEBUG_TEMPROOT"
"""The environment variable below which pytest makes the folders of tests."""
ROOT = Path(__file__).resolve().parents[2]
IN_MEMORY = Path("/dev/shm")  # noqa: S108  # only a folder of the run's own in it is used
_REMOVED_SECONDS = 5.0
ROOM_BYTES = 4 << 30
"""The tests of a whole run leave less than a quarter of it."""


def roomy(where: Path, room_bytes: int = ROOM_BYTES) -> bool:
    """Whether there is a file system in memory with so much room, from which programs may be started."""
    try:
        found = os.statvfs(where)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize >= room_bytes and not found.f_flag & os.ST_NOEXEC


def begin_run(*, beside_each_other: bool) -> None:
    """Make the run's folder, and tell the processes that it starts.

    Tests that are run beside each other have their folders in it, in memory where that has room: else each of the many
    commits of databases and streams waits for those of the others at the disk. What is run by itself is on the disk, as
    in production, and its folders stay to be looked at.
    """
    in_memory = beside_each_other and roomy(IN_MEMORY)
    folder = tempfile.mkdtemp(prefix="tests-", dir=IN_MEMORY if in_memory else None)
    os.environ[FOLDER] = folder
    if in_memory:
        os.environ.setdefault(TEMPORARY, folder)


def end_run() -> None:
    """Remove it; where it cannot be, because a program that was killed is still about to end, say so."""
    folder = os.environ.pop(FOLDER)
    if os.environ.get(TEMPORARY) == folder:
        del os.environ[TEMPORARY]
    deadline = time.monotonic() + _REMOVED_SECONDS
    while True:
        try:
            shutil.rmtree(folder)
        except OSError as error:
            if time.monotonic() < deadline:
                time.sleep(0.2)
                continue
            sys.stderr.write(f"tests: {folder} stays: {error}\n")
        return


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

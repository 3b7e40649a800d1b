"""Files that only their owner may read: folders 0700, files 0600, replaced whole or not at all."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def private_folder(path: Path) -> Path:
    """Make the folder (and its parents) with mode 0700 and return it."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
    return path


def owned_folder(path: Path) -> Path:
    """Make the folder with mode 0700 where others may write, too. Raises PermissionError when it is another's."""
    path.mkdir(exist_ok=True, mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{path} is not a folder of this user alone")
    return path


def write_private(path: Path, content: bytes) -> None:
    """Replace the file by `content`, mode 0600. A crash leaves the old file or the new one."""
    private_folder(path.parent)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def write_private_json(path: Path, value: Any) -> None:
    """Replace the file by `value` as JSON, mode 0600."""
    write_private(path, (json.dumps(value, indent=2) + "\n").encode())

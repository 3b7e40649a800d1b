"""Low space is told before there is none."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest

from services.platform.space import CHECK_SECONDS, Space, SpaceWatch, folder_of

FOLDER = Path("/data")


class Disk:
    def __init__(self) -> None:
        self.free = 1_000
        self.told: list[Space] = []

    def measure(self, _folder: Path) -> int:
        if self.free < 0:
            raise OSError(errno.EIO, "Input/output error")
        return self.free

    async def tell(self, space: Space) -> None:
        self.told.append(space)


async def test_each_change_is_told_once() -> None:
    disk = Disk()
    watch = SpaceWatch(FOLDER, 500, disk.tell, disk.measure)
    for free in (1_000, 500, 499, 100, 0, 600, 600):
        disk.free = free
        await watch.look()
    assert disk.told == [
        Space(FOLDER, is_low=True, free_bytes=499),
        Space(FOLDER, is_low=False, free_bytes=600),
    ]


async def test_a_folder_that_can_not_be_measured_is_low() -> None:
    disk = Disk()
    watch = SpaceWatch(FOLDER, 500, disk.tell, disk.measure)
    disk.free = -1
    await watch.look()
    await watch.look()
    assert disk.told == [Space(FOLDER, is_low=True, free_bytes=None, reason="Input/output error")]


async def test_a_real_folder_is_measured_at_once_and_again(tmp_path: Path) -> None:
    disk, pauses = Disk(), 0

    async def sleep(seconds: float) -> None:
        nonlocal pauses
        assert seconds == CHECK_SECONDS
        pauses += 1
        if pauses == 2:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await SpaceWatch(tmp_path, 1 << 60, disk.tell, sleep=sleep).run()
    assert [space.is_low for space in disk.told] == [True]
    await SpaceWatch(tmp_path, 1, disk.tell).look()
    assert len(disk.told) == 1


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("sqlite:////var/lib/room.db", Path("/var/lib")),
        ("sqlite:///data/room.db", Path("data")),
        ("postgresql://host/room", None),
    ],
)
def test_which_folder_a_database_is_in(url: str, folder: Path | None) -> None:
    assert folder_of(url) == folder

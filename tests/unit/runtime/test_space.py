"""Low space is told before there is none."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.runtime.space import SpaceWatch, folder_of


class Disk:
    def __init__(self) -> None:
        self.free = 1_000
        self.told: list[bool] = []

    def measure(self, _folder: Path) -> int:
        if self.free < 0:
            raise OSError(errno.EIO, "Input/output error")
        return self.free

    async def tell(self, low: bool) -> None:
        self.told.append(low)


async def test_each_change_is_told_once() -> None:
    disk = Disk()
    watch = SpaceWatch(Path("/data"), 500, disk.tell, disk.measure)
    with capture_logs() as lines:
        for free in (1_000, 500, 499, 100, 0, 600, 600):
            disk.free = free
            await watch.look()
    assert disk.told == [True, False]
    assert [(line["event"], line["free_bytes"]) for line in lines] == [
        ("space_low", 499),
        ("space_enough_again", 600),
    ]


async def test_a_folder_that_can_not_be_measured_is_low() -> None:
    disk = Disk()
    watch = SpaceWatch(Path("/data"), 500, disk.tell, disk.measure)
    disk.free = -1
    with capture_logs() as lines:
        await watch.look()
        await watch.look()
    assert disk.told == [True]
    assert [line["reason"] for line in lines] == ["Input/output error"]


async def test_a_real_folder_is_measured(tmp_path: Path) -> None:
    disk = Disk()
    await SpaceWatch(tmp_path, 1, disk.tell).look()
    await SpaceWatch(tmp_path, 1 << 60, disk.tell).look()
    assert disk.told == [True]


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

"""The components' logs stay small, whatever is written to them and however little room there is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mesh.component import MeshComponent, RunningComponent
from mesh.logs import keep_bounded, rotate
from mesh.probes import ready_line
from tests.support.small_disk import small_disk

if TYPE_CHECKING:
    from pathlib import Path


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_written_moves_on_and_the_writer_goes_on_at_the_start(tmp_path: Path) -> None:
    log = tmp_path / "envoy.log"
    with log.open("ab", buffering=0) as written_to:  # as a component has it
        for word in (b"first\n", b"second\n", b"third\n"):
            written_to.write(word)
            rotate(log)
        written_to.write(b"fourth\n")
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert kept == {"envoy.log": b"fourth\n", "envoy.log.1": b"third\n", "envoy.log.2": b"second\n"}


def test_without_room_for_a_copy_the_log_is_cut_all_the_same(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", megabytes=1) as disk:
        log = disk.folder / "envoy.log"
        log.write_bytes(b"x" * 300_000)
        rotate(log)
        log.write_bytes(b"y" * 300_000)
        disk.fill()
        rotate(log)
        assert log.stat().st_size == 0
        assert sum(path.stat().st_size for path in disk.folder.glob("envoy.log*")) <= 600_000
        log.write_bytes(b"there is room again")


async def test_one_component_that_never_stops_writing_is_bounded(tmp_path: Path) -> None:
    log = tmp_path / "noisy.log"
    noisy = MeshComponent(
        "noisy", ("/bin/sh", "-c", "while :; do echo twelve bytes; done"), {}, log, lambda: ready_line(log)
    )
    looks, largest = 0, 0
    olds = [tmp_path / f"noisy.log.{number}" for number in (1, 2)]

    async def look(_seconds: float) -> None:
        nonlocal looks, largest
        looks += 1
        async with asyncio.timeout(20):
            while not log.exists() or log.stat().st_size <= 10_000:  # noqa: ASYNC110  # another's file
                await asyncio.sleep(0.01)
        largest = max(largest, *(old.stat().st_size for old in olds if old.exists()), 0)
        if looks == 5:
            raise asyncio.CancelledError

    running = await RunningComponent.start(noisy, tmp_path)
    try:
        with pytest.raises(asyncio.CancelledError):
            await keep_bounded(tmp_path, pytest.fail, largest_bytes=10_000, sleep=look)
    finally:
        await running.stop()
    assert largest > 10_000
    assert names_in(tmp_path) == ["noisy.log", "noisy.log.1", "noisy.log.2"]


async def test_a_log_that_can_not_be_cut_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "broken.log").mkdir()  # larger than nothing, and no file
    said: list[str] = []
    looks = 0

    async def look(_seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await keep_bounded(tmp_path, said.append, largest_bytes=-1, sleep=look)
    assert [line.rpartition(": ")[2] for line in said] == ["Is a directory"]


async def test_ready_is_seen_in_a_log_that_was_cut_since(tmp_path: Path) -> None:
    log = tmp_path / "vehicles.log"
    log.write_text("an old line\n" * 10)
    is_ready = ready_line(log)
    rotate(log)
    assert not await is_ready()
    log.write_text('{"event": "ready"}\n')
    assert await is_ready()


async def test_a_component_whose_log_can_not_be_made_runs_without(tmp_path: Path) -> None:
    log = tmp_path / "missing" / "quiet.log"
    quiet = MeshComponent("quiet", ("/bin/sh", "-c", "echo a word"), {}, log, lambda: ready_line(log))
    running = await RunningComponent.start(quiet, tmp_path)
    assert await running.wait() == 0
    assert running.obituary() == "quiet ended with status 0: no output"


async def test_the_log_of_a_masked_component_holds_no_whole_vin(tmp_path: Path) -> None:
    log = tmp_path / "talker.log"
    words = "user:KMHSH81C7LU123456 - vehicle.KMHSH81C7LU123456.evt.x; XKMHSH81C7LU1234567 is none"
    means_nothing = 'User "x" found in connect proto, but user required from cert'
    script = f'echo "{words}"; echo "{means_nothing}"; echo the end >&2'
    talker = MeshComponent("talker", ("/bin/sh", "-c", script), {}, log, lambda: ready_line(log), masked=True)
    running = await RunningComponent.start(talker, tmp_path)
    await running.wait()
    async with asyncio.timeout(60):
        while "the end" not in log.read_text():  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)
    said = log.read_text().splitlines()
    assert said == ["user:KMH...3456 - vehicle.KMH...3456.evt.x; XKMHSH81C7LU1234567 is none", "the end"]


async def test_a_masked_component_goes_on_when_its_words_cannot_be_kept(tmp_path: Path) -> None:
    full = tmp_path / "full.log"
    full.symlink_to("/dev/full")
    script = "for i in 1 2 3; do echo KMHSH81C7LU123456; done; exit 7"
    talker = MeshComponent(
        "talker", ("/bin/sh", "-c", script), {}, full, lambda: ready_line(full), masked=True
    )
    assert await (await RunningComponent.start(talker, tmp_path)).wait() == 7

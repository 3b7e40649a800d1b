"""The tree of the ledger's database: what is signed of it, by whom, and what makes it refuse."""

from __future__ import annotations

import asyncio
import shutil
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text, update

from services.audit.adapters.log_key import LogKeys
from services.audit.adapters.publication import LogPublication
from services.audit.adapters.store import SqlLedger
from services.audit.adapters.store.tables import tree as tree_size
from services.audit.domain.history import HistoryBrokenError, SignedTree
from services.audit.usecases.recording import record_entries
from services.audit.usecases.signing import SecondPlaceError, look_at_history, sign_new
from tests.support.audit_entries import HOUSE_KEY, entry
from tests.support.audit_log import KEYS, ORIGIN, AuditLog, opened_log
from tests.unit.tlog import naive_tree as naive
from tlog.checkpoints import CHECKPOINT, open_checkpoint
from tlog.hashing import leaf_hash, verify_consistency, verify_inclusion
from tlog.tiles import TileError, leaves_of, tile_of, tiles_between

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def log(database_url: str, tmp_path: Path) -> AsyncIterator[AuditLog]:
    async with opened_log(database_url, tmp_path) as log:
        yield log


async def test_the_tree_is_that_of_the_leaves_and_proves_them(log: AuditLog) -> None:
    roots = {}
    for end in (1, 7, 260, 300):
        await log.grow(await log.tree.size(), end)
        head = await log.tree.head()
        assert head.size == end
        roots[end] = head.root
    leaves = [each.leaf.encode() for each in await log.ledger.entries_from(0, 1_000)]
    assert {end: naive.mth(leaves[:end]) for end in roots} == roots
    assert await log.tree.root_at(7) == roots[7]
    assert await log.tree.root_at(301) is None
    for index in (0, 6, 255, 256, 299):
        path = await log.tree.inclusion_proof(index, 300)
        verify_inclusion(leaf_hash(leaves[index]), index, 300, path, roots[300])
    verify_consistency(7, 260, roots[7], roots[260], await log.tree.consistency_proof(7, 260))
    assert leaves_of(await log.tree.content_of(tile_of("tile/entries/001.p/44"))) == leaves[256:]
    for beyond in ("tile/0/001.p/45", "tile/entries/001.p/45", "tile/2/000.p/1"):
        with pytest.raises(TileError):
            await log.tree.content_of(tile_of(beyond))


async def test_what_is_new_is_signed_once_and_saved_first(log: AuditLog) -> None:
    assert await sign_new(log.deps) is None  # there is nothing
    await log.grow(0, 3)
    signed = await sign_new(log.deps)
    assert signed is not None
    assert open_checkpoint(signed.note, ORIGIN, KEYS.public).checkpoint.size == 3
    assert await log.second.read() == signed == await log.tree.latest_checkpoint()
    assert await sign_new(log.deps) is None
    await log.grow(2, 5)
    again = await sign_new(log.deps)
    assert again is not None
    assert again.head.size == 5


async def test_one_replica_signs_and_the_other_follows_when_it_is_gone(
    database_url: str, tmp_path: Path, log: AuditLog
) -> None:
    async with opened_log(database_url, tmp_path, holder="two", now=log.now) as other:
        await log.grow(0, 2)
        signed = await asyncio.gather(*(sign_new(each.deps) for each in (log, other, log, other)))
        assert len([each for each in signed if each is not None]) in {
            1,
            2,
        }  # the same, where it is signed twice
        assert {each.head.size for each in signed if each is not None} == {2}
        await log.grow(2, 4)
        assert await sign_new(other.deps) is None
        log.now[0] += timedelta(seconds=11)
        taken_over = await sign_new(other.deps)
        assert taken_over is not None
        assert taken_over.head.size == 4
        await log.grow(4, 6)
        assert await sign_new(log.deps) is None


@pytest.mark.parametrize("after", ["signing", "saving", "keeping"])
async def test_whenever_it_dies_there_is_one_tree_of_each_size(log: AuditLog, after: str) -> None:
    await log.grow(0, 3)
    notes: list[SignedTree] = []

    class DiesError(Exception):
        pass

    class DyingTree:
        def __getattr__(self, name: str) -> Any:
            return getattr(log.tree, name)

        async def keep_checkpoint(self, signed: SignedTree) -> None:
            notes.append(signed)
            if after == "saving":
                raise DiesError
            await log.tree.keep_checkpoint(signed)
            raise DiesError

    class DyingPlace:
        async def read(self) -> SignedTree | None:
            return await log.second.read()

        async def write(self, signed: SignedTree) -> None:
            notes.append(signed)
            if after == "signing":
                raise DiesError
            await log.second.write(signed)

    log.deps = type(log.deps)(DyingTree(), DyingPlace(), KEYS, log.history, "one")  # type: ignore[arg-type]  # the doubles
    with pytest.raises(DiesError):
        await sign_new(log.deps)
    log.__post_init__()  # it starts again
    await log.sequencer.step()
    assert log.failing() == {}
    latest = await log.tree.latest_checkpoint()
    assert latest is not None
    assert {latest.note} == {each.note for each in notes}
    await log.grow(3, 5)
    await log.sequencer.step()
    assert [each.leaf_index for each in await log.ledger.entries_from(0, 10)] == list(range(5))


async def broken(log: AuditLog) -> str:
    """Why it refuses to sign."""
    with pytest.raises(HistoryBrokenError) as refused:
        await sign_new(log.deps)
    assert log.history.reason == str(refused.value)
    await log.sequencer.step()
    assert log.failing()["ledger_intact"] == str(refused.value)
    assert not log.health.serves("calls")
    return str(refused.value)


async def test_a_database_of_yesterday_is_neither_signed_nor_added_to(tmp_path: Path) -> None:
    url, file = f"sqlite:///{tmp_path}/ledger.sqlite3", tmp_path / "ledger.sqlite3"
    async with opened_log(url, tmp_path) as log:
        await log.grow(0, 5)
        await log.sequencer.step()
    yesterday = shutil.copy(file, tmp_path / "backup")
    async with opened_log(url, tmp_path) as log:
        await log.grow(5, 9)
        await log.sequencer.step()
    shutil.copy(yesterday, file)
    saved = (tmp_path / "second" / CHECKPOINT).read_bytes()
    published = (tmp_path / "log" / CHECKPOINT).read_bytes()
    async with opened_log(url, tmp_path) as log:
        assert "rolled back" in await broken(log)
        with pytest.raises(HistoryBrokenError):
            log.history.check()
        await log.grow(20, 30)  # and had it been added to: it is another one then
        assert "not those that were signed" in await broken(log)
    assert (tmp_path / "second" / CHECKPOINT).read_bytes() == saved
    assert (tmp_path / "log" / CHECKPOINT).read_bytes() == published


async def test_nothing_is_taken_before_the_second_place_was_read(log: AuditLog) -> None:
    with pytest.raises(HistoryBrokenError, match="not been read"):
        log.history.check()
    await look_at_history(log.deps)
    log.history.check()


async def test_a_leaf_that_was_changed_is_not_signed_over(log: AuditLog) -> None:
    await log.grow(0, 5)
    await log.sequencer.step()
    await log.database.write(
        lambda c: c.execute(text("UPDATE ledger_tile SET hashes = :h WHERE level = 0"), {"h": bytes(160)})
    )
    await log.grow(5, 6)
    assert "not those that were signed" in await broken(log)


async def test_hashes_that_are_gone_are_said(log: AuditLog) -> None:
    await log.grow(0, 5)
    await log.database.write(lambda c: c.execute(text("DELETE FROM ledger_tile")))
    await log.sequencer.step()
    assert "not all there" in log.failing()["ledger_intact"]
    with pytest.raises(HistoryBrokenError):
        log.history.check()


async def test_a_second_place_that_was_emptied_or_rolled_back_is_not_believed(log: AuditLog) -> None:
    place = log.folder / "second" / CHECKPOINT
    await log.grow(0, 2)
    await log.sequencer.step()
    first = place.read_bytes()
    await log.grow(2, 4)
    await log.sequencer.step()
    second = place.read_bytes()
    await log.grow(4, 6)
    place.unlink()
    assert "holds no checkpoint" in await broken(log)
    place.write_bytes(first)
    assert "ends at 2" in await broken(log)
    place.write_bytes(second)
    await log.sequencer.step()
    assert log.failing() == {}
    log.history.check()


async def test_a_checkpoint_of_another_log_is_not_taken_for_ours(log: AuditLog) -> None:
    await log.grow(0, 2)
    await log.sequencer.step()
    head = await log.tree.head()
    other = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
    for keys in (LogKeys("other.test/log", other), LogKeys(ORIGIN, other)):
        (log.folder / "second" / CHECKPOINT).write_bytes(keys.sign(head).note)
        assert "no checkpoint of this log" in await broken(log)


async def test_a_second_place_that_is_away_stops_the_signing_and_nothing_else(log: AuditLog) -> None:
    await log.grow(0, 2)
    await log.sequencer.step()
    away = (log.folder / "second").rename(log.folder / "away")
    await log.grow(2, 4)
    await log.sequencer.step()
    assert log.failing().keys() == {"second_place"}
    log.history.check()
    latest = await log.tree.latest_checkpoint()
    assert latest is not None
    assert latest.head.size == 2
    away.rename(log.folder / "second")
    await log.sequencer.step()
    assert log.failing() == {}
    latest = await log.tree.latest_checkpoint()
    assert latest is not None
    assert latest.head.size == 4


async def test_a_later_checkpoint_in_the_second_place_stays(log: AuditLog) -> None:
    await log.grow(0, 2)
    small = await sign_new(log.deps)
    await log.grow(2, 4)
    await sign_new(log.deps)
    assert small is not None
    with pytest.raises(SecondPlaceError, match="4 leaves is there"):
        await log.second.write(small)


async def test_the_log_is_published_as_files_that_are_written_once(log: AuditLog) -> None:
    await log.grow(0, 3)
    await log.sequencer.step()
    folder = log.folder / "log"
    first = folder / "tile/entries/000.p/3"
    before = (first.read_bytes(), first.stat().st_mtime_ns)
    await log.ledger.append([entry(number) for number in range(3, 100)])
    await log.sequencer.step()
    assert (first.read_bytes(), first.stat().st_mtime_ns) == before
    await log.ledger.append([entry(number) for number in range(100, 300)])
    await log.sequencer.step()
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == {".lock", CHECKPOINT, *(tile.path for tile in tiles_between(0, 300))}
    for tile in tiles_between(0, 300):
        assert (folder / tile.path).read_bytes() == await log.tree.content_of(tile)


async def test_only_the_replica_that_signs_publishes(
    database_url: str, tmp_path: Path, log: AuditLog
) -> None:
    async with opened_log(database_url, tmp_path, holder="two", now=log.now) as other:
        await log.grow(0, 3)
        assert await sign_new(log.deps) is not None
        await other.sequencer.step()
        assert not (log.folder / "log" / CHECKPOINT).exists()
        await log.sequencer.step()
        assert (log.folder / "log" / CHECKPOINT).exists()
        await log.grow(3, 5)
        log.now[0] += timedelta(seconds=11)
        await other.sequencer.step()  # the one that signed is gone
    signed = await log.tree.latest_checkpoint()
    assert signed is not None
    assert (log.folder / "log" / CHECKPOINT).read_bytes() == signed.note


async def test_a_slower_replica_puts_no_smaller_checkpoint_over_a_later_one(log: AuditLog) -> None:
    await log.grow(0, 3)
    await log.sequencer.step()
    small = await log.tree.latest_checkpoint()
    await log.grow(3, 5)
    await log.sequencer.step()
    published = (log.folder / "log" / CHECKPOINT).read_bytes()

    class SlowTree:
        def __getattr__(self, name: str) -> Any:
            return getattr(log.tree, name)

        async def latest_checkpoint(self) -> SignedTree | None:
            return small

    async def leads() -> bool:
        return True

    tree: Any = SlowTree()
    condition = log.health.condition("slower")
    await LogPublication(log.folder / "log", tree, condition, leads).publish()
    assert (log.folder / "log" / CHECKPOINT).read_bytes() == published
    assert "5 leaves is there already" in log.failing()["slower"]


async def test_a_folder_that_cannot_be_written_is_said_and_made_good(log: AuditLog) -> None:
    await log.grow(0, 3)
    folder = log.folder / "log"
    (folder / "tile").write_text("in the way")
    await log.sequencer.step()
    assert "cannot be published" in log.failing()["publication"]
    assert await log.tree.latest_checkpoint() is not None
    (folder / "tile").unlink()
    await log.sequencer.step()
    assert log.failing() == {}
    assert (folder / CHECKPOINT).is_file()


async def test_a_key_that_is_replaced_signs_beside_the_new_one_for_a_while(log: AuditLog) -> None:
    await log.grow(0, 2)
    await log.sequencer.step()
    new = Ed25519PrivateKey.from_private_bytes(b"n" * 32)
    log.keys = LogKeys(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"k" * 32), new)
    log.__post_init__()
    await log.grow(2, 4)
    await log.sequencer.step()
    both = await log.tree.latest_checkpoint()
    assert both is not None
    for key in (*KEYS.public, *LogKeys(ORIGIN, new).public):
        assert open_checkpoint(both.note, ORIGIN, [key]).checkpoint.size == 4
    log.keys = LogKeys(ORIGIN, new)
    log.__post_init__()
    await log.grow(4, 6)
    await log.sequencer.step()
    assert log.failing() == {}


async def test_a_database_that_lost_leaves_while_it_is_served_takes_nothing_more(log: AuditLog) -> None:
    """Also between two looks, and while the second place is away: who brought it would delete what were taken."""
    await log.grow(0, 5)
    await look_at_history(log.deps)

    async def roll_back(to: int) -> None:
        await log.database.write(lambda c: c.execute(update(tree_size).values(size=to)).rowcount)

    await roll_back(3)
    log.history.check()  # nobody has looked yet
    with pytest.raises(HistoryBrokenError, match="5 leaves"):
        await record_entries(log.ledger, log.history, [entry(9)])
    other = SqlLedger(
        log.database, HOUSE_KEY, lambda: entry(1).at
    )  # another replica, which saw it in its look
    with pytest.raises(HistoryBrokenError, match="5 leaves"):
        await record_entries(other, log.history, [entry(9)])
    await roll_back(5)  # a later copy was restored
    assert await record_entries(log.ledger, log.history, [entry(9)]) == []
    assert await log.tree.size() == 6

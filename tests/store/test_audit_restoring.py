"""A ledger whose database was rolled back goes on where it was signed, from the published log, or not at all."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, update

from doorctl.log_files import LogTrust, Verdict, verify_log
from services.audit.adapters.published_log import FolderPublishedLog
from services.audit.adapters.store.tables import checkpoints, entries, tiles, tree
from services.audit.domain.history import HistoryBrokenError
from services.audit.usecases.recording import record_entries
from services.audit.usecases.restoring import NotRestoredError, restore_leaves
from tests.support.audit_entries import entry
from tests.support.audit_log import KEYS, ORIGIN, opened_log
from tests.support.log_copies import export_to
from tlog.tiles import tiles_between

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy import Connection

    from tests.support.audit_log import AuditLog

SIGNED, BEFORE = 600, 300
"""So many leaves were signed, and so many had the database that came back: neither ends with a bundle."""


@pytest.fixture
async def log(database_url: str, tmp_path: Path) -> AsyncIterator[AuditLog]:
    async with opened_log(database_url, tmp_path) as log:
        await log.grow(0, BEFORE)
        await log.sequencer.step()
        yield log


async def rolled_back(log: AuditLog) -> None:
    """Grow, sign and publish, and take the database back to what it was before."""
    before = await log.database.read(lambda c: [dict(row._mapping) for row in c.execute(tiles.select())])
    kept = await log.tree.latest_checkpoint()
    await log.grow(BEFORE, SIGNED)
    await log.sequencer.step()
    assert kept is not None

    def work(connection: Connection) -> None:
        connection.execute(delete(entries).where(entries.c.leaf_index >= BEFORE))
        connection.execute(delete(tiles))
        connection.execute(tiles.insert(), before)
        connection.execute(update(tree).values(size=BEFORE))
        connection.execute(
            update(checkpoints).values(size=kept.head.size, root=kept.head.root, note=kept.note)
        )

    await log.database.write(work)
    await log.sequencer.step()
    assert "rolled back" in log.history.reason


def published(log: AuditLog) -> FolderPublishedLog:
    return FolderPublishedLog(log.folder / "log", ORIGIN, KEYS.public)


async def test_it_goes_on_behind_all_that_was_signed(log: AuditLog) -> None:
    await rolled_back(log)
    saved = (log.folder / "second" / "checkpoint").read_bytes()
    assert await restore_leaves(log.ledger, log.second, published(log)) == SIGNED - BEFORE
    await log.sequencer.step()
    assert log.history.reason == ""
    # What a service still had is taken; what it had brought already is a leaf of its own again.
    assert await record_entries(log.ledger, log.history, [entry(SIGNED), entry(BEFORE)]) == []
    await log.sequencer.step()
    found = verify_log(log.folder / "log", LogTrust(KEYS.public, saved))
    assert (found.verdict, found.size) == (Verdict.WHOLE, SIGNED + 2)
    await export_to(log.database, log.folder / "copy")
    report = verify_log(log.folder / "copy", LogTrust(KEYS.public, saved), tables=True)
    assert report.tampered == []
    lost = f"the keys of {SIGNED - BEFORE} entries are lost: their members cannot be opened"
    assert report.missing == [lost]
    assert (await log.ledger.entries_from(BEFORE - 1, 2))[1].lost == {"subject", "actor"}
    assert (
        await restore_leaves(
            log.ledger, log.second, FolderPublishedLog(log.folder / "log", ORIGIN, KEYS.public)
        )
        == 0
    )


async def test_other_leaves_are_not_put_in_their_place(log: AuditLog) -> None:
    await rolled_back(log)
    bundle = log.folder / "log" / next(each.path for each in tiles_between(0, SIGNED) if each.number == 1)
    data = bundle.read_bytes()
    at = data.rindex(b'"kind":"COMMAND_ACCEPTED"')
    bundle.write_bytes(data[: at + 8] + b"COMMAND_REJECTED" + data[at + 24 :])
    with pytest.raises(NotRestoredError, match="are not those that were signed"):
        await restore_leaves(log.ledger, log.second, published(log))
    assert await log.tree.size() == BEFORE
    bundle.write_bytes(data[:-1])
    with pytest.raises(NotRestoredError, match="ends within a leaf"):
        await restore_leaves(log.ledger, log.second, published(log))
    bundle.unlink()
    with pytest.raises(NotRestoredError, match="No such file"):
        await restore_leaves(log.ledger, log.second, published(log))
    await log.sequencer.step()
    with pytest.raises(HistoryBrokenError):
        await record_entries(log.ledger, log.history, [entry(SIGNED)])


async def test_a_published_log_that_ends_earlier_or_is_another_restores_nothing(log: AuditLog) -> None:
    shutil.copytree(log.folder / "log", log.folder / "earlier")
    await rolled_back(log)
    earlier = FolderPublishedLog(log.folder / "earlier", ORIGIN, KEYS.public)
    with pytest.raises(NotRestoredError, match=f"is of {BEFORE} leaves, and {SIGNED} were signed"):
        await restore_leaves(log.ledger, log.second, earlier)
    other = FolderPublishedLog(log.folder / "log", "another.example/log", KEYS.public)
    with pytest.raises(NotRestoredError, match="its checkpoint"):
        await restore_leaves(log.ledger, log.second, other)
    (log.folder / "second" / "checkpoint").unlink()
    assert await restore_leaves(log.ledger, log.second, published(log)) == 0
    assert await log.tree.size() == BEFORE

"""The status service's store, and what is kept in it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

import services.status
from services.platform.database import open_database
from services.status.adapters import store, translate
from services.status.domain.doors import LOCKED, PRESENT, Report
from tests.support.databases import migrated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from services.platform.outbox import OutgoingMessage
    from services.status.domain.judgement import ReportedActuation


MIGRATIONS = Path(services.status.__file__).with_name("migrations")


VIN = "KMHSH81C7LU123456"


NOW_US = 1_768_228_218_000_000


class FakeRelay:
    """Holds what it was handed."""

    def __init__(self) -> None:
        self.held: list[OutgoingMessage] = []

    def hand_over(self, messages: Sequence[OutgoingMessage]) -> None:
        self.held += messages


@pytest.fixture
async def records(database_url: str) -> AsyncIterator[store.StatusStore]:
    await asyncio.to_thread(migrated, database_url, MIGRATIONS, store.HEAD)
    database = await open_database(database_url)
    yield store.StatusStore(database, FakeRelay(), translate)  # type: ignore[arg-type]  # a relay that keeps
    await database.close()


def report(
    sequence: int,
    counter: int = 1,
    *,
    locked: bool = True,
    vin: str = VIN,
    epoch: tuple[str, int] = ("e", 7),
    at: int = 0,
) -> Report:
    """`at` is when it arrived. The vehicle's clock runs backwards, because it decides nothing."""
    flags = bytes([PRESENT | LOCKED if locked else PRESENT, 0, 0, 0, 0, 0])
    return Report(
        vin,
        NOW_US - sequence,
        "b",
        sequence,
        flags,
        1,
        0.0,
        f"{sequence}/{counter}".encode(),
        epoch=epoch[0].encode(),
        epoch_order=epoch[1],
        counter=counter,
        received_at_us=NOW_US + at,
    )


async def outbox_rows(records: store.StatusStore) -> list[Any]:
    table = store.outbox.table
    return list(
        await records._database.read(lambda c: c.execute(select(table).order_by(table.c.sequence)).all())
    )


async def take_result(records: store.StatusStore, *results: ReportedActuation) -> None:
    await records.take_reports([each.status for each in results], results, NOW_US)

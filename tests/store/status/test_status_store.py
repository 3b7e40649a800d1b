"""Reports as they are kept: the newest, once, and what a report does not name."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.door.v1.door_update_pb2 import DoorUpdate
from ecarus.remotecontrol.vehicle.v1 import report_pb2
from sqlalchemy import create_engine, select
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from services.platform.migration import config_for, migrate
from services.platform.times import moment
from services.status.adapters import store, translate
from services.status.adapters.model_limits import ModelLimits
from services.status.adapters.vehicle_translate import ReportOrigin, report_of, reported_actuation_of
from services.status.domain.doors import (
    KEPT_AT_MOST_MICROSECONDS,
    NEWEST_ORDER,
    OLDEST_ORDER,
    Report,
    is_newer,
)
from services.status.usecases.door_status import LastReport, StatusIngestResult
from services.vehicle_models.catalogue import VehicleModels

if TYPE_CHECKING:
    from ecarus.remotecontrol.door.v1 import door_status_pb2
    from sqlalchemy import Connection

    from services.status.domain.judgement import ReportedActuation

from tests.store.status.conftest import MIGRATIONS, NOW_US, VIN, outbox_rows, report, take_result


async def test_the_migrated_schema_is_the_codes(empty_database_url: str) -> None:
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415  # half a second, for this test only
    from alembic.migration import MigrationContext  # noqa: PLC0415  # see above

    await asyncio.to_thread(migrate, empty_database_url, MIGRATIONS, store.HEAD)
    await asyncio.to_thread(migrate, empty_database_url, MIGRATIONS, store.HEAD)

    def differences(connection: Connection) -> list[Any]:
        assert config_for(connection, MIGRATIONS, store.StatusModel.metadata)
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, store.StatusModel.metadata))

    if empty_database_url.startswith("sqlite"):
        engine = create_engine(empty_database_url, poolclass=NullPool)
        with engine.connect() as connection:
            assert differences(connection) == []
    else:
        url = empty_database_url.replace("postgresql://", "postgresql+asyncpg://", 1)
        async_engine = create_async_engine(url, poolclass=NullPool)
        async with async_engine.connect() as async_connection:
            assert await async_connection.run_sync(differences) == []


async def test_the_newest_report_is_kept_and_none_goes_back(records: store.StatusStore) -> None:
    await records.take_reports([report(5), report(3), report(9)], [], NOW_US)
    assert await records.last_report(VIN) == LastReport(b"9/1", NOW_US)
    ended = report(99, 4, epoch=("x", 6))
    assert await records.take_reports([report(8), report(9), ended], [], NOW_US) == StatusIngestResult({})
    assert await records.last_report(VIN) == LastReport(b"9/1", NOW_US)
    await records.take_reports([report(9, 2, at=1)], [], NOW_US)
    assert await records.last_report(VIN) == LastReport(b"9/2", NOW_US + 1)
    await records.take_reports([report(1, 1, epoch=("f", 8), at=2)], [], NOW_US)
    assert await records.last_report(VIN) == LastReport(b"1/1", NOW_US + 2)
    assert await records.last_report("KMHSH81C7LU654321") is None


async def test_status_and_updates_are_committed_together_once(records: store.StatusStore) -> None:
    batch = [report(1), report(2, locked=False), report(3)]
    await records.take_reports(batch, [], NOW_US)
    await records.take_reports(batch, [], NOW_US)
    rows = await outbox_rows(records)
    assert [row.message_id for row in rows] == [f"door-{VIN}-65-{number}-1-0" for number in (2, 3)]
    assert [m.message_id for m in records._relay.held] == [row.message_id for row in rows]  # type: ignore[attr-defined]  # the fake
    assert rows[0].created_at == moment(NOW_US)


@pytest.mark.parametrize(
    ("values", "taken"),
    [
        ({"sequence": 99, "counter": 0}, True),
        ({"sequence": 9, "counter": 2}, True),
        ({"sequence": 9, "counter": 1}, False),
        ({"sequence": 0, "counter": 2}, True),
        ({"sequence": 0, "counter": 1}, False),
        ({"epoch": b"f", "epoch_order": 8, "sequence": 1}, True),
        ({"epoch": b"f", "epoch_order": 6, "sequence": 99}, False),
        ({"epoch": b"f", "epoch_order": NEWEST_ORDER, "sequence": 1}, True),
        ({"epoch": b"f", "epoch_order": OLDEST_ORDER, "sequence": 99}, False),
    ],
)
async def test_the_database_itself_has_the_same_order(
    records: store.StatusStore, values: dict[str, Any], *, taken: bool
) -> None:
    await records.take_reports([report(9)], [], NOW_US)
    [known] = await records._database.read(lambda c: c.execute(select(store._status)).mappings().all())
    row = {**known, "awaited": True, "report": b"other", **values}
    await records._database.write(lambda c: store._UPSERT(c, row) and None)
    last = await records.last_report(VIN)
    assert (last is not None and last.payload == b"other") == taken
    probe = report(row["sequence"], row["counter"], epoch=(row["epoch"].decode(), row["epoch_order"]))
    assert is_newer(probe, report(9)) == taken


async def test_a_row_of_an_earlier_version_gives_way_to_every_report(records: store.StatusStore) -> None:
    await records.take_reports([report(9)], [], NOW_US)
    invalidate = store._status.update().values(epoch=None, epoch_order=0, counter=0)
    await records._database.write(lambda c: c.execute(invalidate) and None)
    await records.take_reports([report(1, locked=False)], [], NOW_US)
    assert await records.last_report(VIN) == LastReport(b"1/1", NOW_US)
    assert len(await outbox_rows(records)) == 1


def full_report(sequence: int, named: dict[int, bool], **members: Any) -> Report:
    """The doors `named`, by number, are locked or not; in the order of `sequence` and arriving then."""
    message = report_pb2.StatusReport(
        boot_id="b", sequence=sequence, reporting_interval_seconds=30, **members
    )
    message.observed_at.FromMicroseconds(NOW_US)
    for door, locked in named.items():
        message.doors.add(door=door, locked=locked)
    said = ReportOrigin(b"e", 7, sequence, NOW_US + sequence)
    return report_of(VIN, message, message.SerializeToString(), said)


async def shown(records: store.StatusStore) -> door_status_pb2.DoorStatus:
    last = await records.last_report(VIN)
    assert last is not None
    return translate.status_of(VIN, last, NOW_US, ModelLimits(VehicleModels()), lost=False)


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_door_that_is_not_named_stays_as_it_was_with_its_age(
    records: store.StatusStore, *, at_once: bool
) -> None:
    reports = [
        full_report(1, {1: True, 2: True, 5: False}),
        full_report(2, {1: False}),
        full_report(3, {5: False, 1: False}),
        full_report(4, {2: False, 5: False}),
    ]
    batches = [reports] if at_once else [[each] for each in reports]
    for batch in batches:
        await records.take_reports(batch, [], NOW_US)
    updates = [DoorUpdate.FromString(bytes(row.payload)).door_status for row in await outbox_rows(records)]
    assert [(each.door_id, each.locked) for each in updates] == [("driver", False), ("passenger", False)]
    doors = (await shown(records)).doors
    assert {name.name: state.locked for name, state in doors.ListFields()} == {
        "driver": False,
        "passenger": False,
        "trunk": False,
    }
    assert doors.driver.received_at.ToMicroseconds() == (NOW_US + 3) // 1_000 * 1_000
    assert not doors.passenger.HasField("received_at")
    assert not doors.trunk.HasField("received_at")


def unlocked(command_id: str, sequence: int, named: dict[int, bool], *doors: int) -> ReportedActuation:
    """The result of an unlock of `doors`, none of which is sensed; its status names others."""
    result = report_pb2.CommandResult(
        command_id=command_id,
        outcome=report_pb2.COMMAND_OUTCOME_SUCCEEDED,
        doors=[report_pb2.DoorOutcome(door=door, succeeded=True) for door in doors],
    )
    acted = reported_actuation_of(result, full_report(sequence, named))
    assert acted is not None
    return acted


@pytest.mark.parametrize("order", ["in order", "at once", "the result last", "at once, the result last"])
async def test_a_lock_that_was_moved_and_is_not_sensed_any_more_is_unknown(
    records: store.StatusStore, order: str
) -> None:
    await records.take_reports([full_report(1, {1: True, 2: True, 5: True})], [], NOW_US)
    result, later = unlocked("c1", 3, {1: True}, 2), full_report(4, {1: True})
    earlier = full_report(2, {1: True})
    batches: list[tuple[list[Report], list[ReportedActuation]]] = {
        "in order": [([earlier], []), ([result.status], [result]), ([later], [])],
        "at once": [([earlier, result.status, later], [result])],
        "the result last": [([earlier], []), ([later], []), ([result.status], [result])],
        "at once, the result last": [([earlier, later, result.status], [result])],
    }[order]
    later.received_at_us = result.status.received_at_us + 1
    for reports, moved_ones in batches:
        await records.take_reports(reports, moved_ones, NOW_US)
    doors = (await shown(records)).doors
    assert not doors.passenger.HasField("locked")
    assert doors.passenger.HasField("received_at")
    assert doors.trunk.locked
    assert doors.driver.locked

    await records.take_reports([full_report(5, {1: True, 2: True})], [], NOW_US)
    updates = [DoorUpdate.FromString(bytes(row.payload)).door_status for row in await outbox_rows(records)]
    assert updates == []  # what it was before is not known: nothing is told of it
    assert (await shown(records)).doors.passenger.locked

    await records.take_reports([full_report(6, {1: True})], [], NOW_US)
    await take_result(records, result)  # sent again: what was named since stays
    assert (await shown(records)).doors.passenger.locked


async def test_a_door_that_the_vehicle_has_no_longer_is_shown_no_longer(records: store.StatusStore) -> None:
    await records.take_reports([full_report(1, {1: True, 2: True, 3: True})], [], NOW_US)
    await records.take_reports([full_report(2, {1: True})], [], NOW_US)
    assert {each.name for each, _ in (await shown(records)).doors.ListFields()} == {
        "driver",
        "passenger",
        "rear_left",
    }
    await records.take_reports([full_report(3, {1: True}, fitted_doors=[1, 2])], [], NOW_US)
    await records.take_reports([full_report(4, {1: True})], [], NOW_US)
    assert {each.name for each, _ in (await shown(records)).doors.ListFields()} == {"driver", "passenger"}
    assert [row for row in await outbox_rows(records) if row.message_id.startswith("door")] == []


async def test_a_door_that_nobody_has_named_for_a_month_is_shown_no_longer(
    records: store.StatusStore,
) -> None:
    late = KEPT_AT_MOST_MICROSECONDS
    await records.take_reports([full_report(1, {1: True, 2: True})], [], NOW_US)
    for sequence, names in ((late, {"driver", "passenger"}), (late + 2, {"driver"}), (late + 3, {"driver"})):
        await records.take_reports([full_report(sequence, {1: True})], [], NOW_US)
        assert {each.name for each, _ in (await shown(records)).doors.ListFields()} == names
    assert [row for row in await outbox_rows(records) if row.message_id.startswith("door")] == []


async def test_a_report_without_doors_leaves_them_and_what_is_not_understood_is_unknown(
    records: store.StatusStore,
) -> None:
    await records.take_reports([full_report(1, {1: True}, speed_kmh=30.0, ignition=3, gear=4)], [], NOW_US)
    unclear = full_report(2, {}, speed_kmh=-1.0, ignition=99, gear=1)
    assert unclear.cut == ("speed_kmh", "ignition")
    taken = await records.take_reports([unclear], [], NOW_US)
    status = await shown(records)
    assert not status.HasField("vehicle_speed")
    assert not status.HasField("ignition_status")
    assert status.gear_position == 1
    assert status.doors.driver.locked
    assert (taken.latest[VIN].speed_kmh, taken.latest[VIN].ignition) == (0.0, 0)
    await records.take_reports([full_report(3, {1: True}, speed_kmh=0.0)], [], NOW_US)
    status = await shown(records)
    assert (status.HasField("vehicle_speed"), status.vehicle_speed) == (True, 0.0)
    assert not status.HasField("gear_position")


async def test_two_writers_of_the_same_reports_tell_of_them_once(records: store.StatusStore) -> None:
    vins = [f"KMHSH81C7LU{n:06d}" for n in range(40)]
    await records.take_reports([report(1, vin=vin) for vin in vins], [], NOW_US)
    batch = [report(2, vin=vin, locked=False) for vin in vins]
    await asyncio.gather(*(records.take_reports(b, [], NOW_US) for b in (batch, batch[::-1], batch)))
    rows = await outbox_rows(records)
    assert len(rows) == len({row.subject for row in rows}) == 40


async def test_many_looks_at_once_get_their_own_answers(records: store.StatusStore) -> None:
    vins = [f"KMHSH81C7LU{n:06d}" for n in range(50)]
    await records.take_reports([report(n, vin=vin) for n, vin in enumerate(vins)], [], NOW_US)
    found = await asyncio.gather(*(records.last_report(vin) for vin in [*vins, *vins, VIN]))
    expected = [LastReport(f"{n}/1".encode(), NOW_US) for n in range(50)]
    assert found == [*expected, *expected, None]

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from ecarus.remotecontrol.door.v1.door_update_pb2 import DoorUpdate
from sqlalchemy import Connection, select

import services.diagnostics
from services.diagnostics.adapters import store, vehicle_link
from services.diagnostics.adapters.kept import kept_tables
from services.diagnostics.domain.diagnosis import (
    AlertChange,
    ComponentHealth,
    ComponentStatus,
    SelfCheck,
    SystemStatus,
)
from services.platform.database import Database, open_database
from services.platform.migration import config_for
from services.platform.outbox import OutboxRelay, OutgoingMessage
from services.platform.retention import Retention
from tests.support.clocks import FakeClock
from tests.support.databases import migrated

VIN = "KMHSH81C7LU123456"
T0 = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
MIGRATIONS = Path(services.diagnostics.__file__).with_name("migrations")
GOOD = ComponentHealth("driver_actuator_01", "Driver Door Actuator", ComponentStatus.ACTIVE, 98, T0, ())
FAILED = replace(
    GOOD, status=ComponentStatus.ERROR, health=0, last_maintenance=None, error_codes=("B1A01", "X9")
)


async def send_nothing(messages: object) -> list[bool]:
    raise AssertionError(f"no relay runs here: {messages}")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await asyncio.to_thread(migrated, database_url, MIGRATIONS, store.HEAD)
    opened = await open_database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
def record(database: Database) -> store.DiagnosisStore:
    relay = OutboxRelay(database, store.outbox, vehicle_link.QUEUE, send_nothing, lambda: T0)
    return store.DiagnosisStore(database, relay, vehicle_link.outgoing, lambda: T0)


def check(component: ComponentHealth, sequence: int, vin: str = VIN) -> SelfCheck:
    return SelfCheck(vin, T0 + timedelta(minutes=sequence), "boot", sequence, (component,))


async def told(database: Database) -> list[tuple[str, bool]]:
    query = select(store.outbox.table.c.payload).order_by(store.outbox.table.c.sequence)
    rows = await database.read(lambda connection: connection.execute(query).all())
    alerts = [DoorUpdate.FromString(bytes(row.payload)).system_alert for row in rows]
    return [(alert.code, alert.cleared) for alert in alerts]


async def test_tables_and_migrations_agree_both_ways(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection)
        found: list[object] = compare_metadata(context, store.DiagnosticsModel.metadata)
        return found

    def down(connection: Connection) -> None:
        command.downgrade(config_for(connection, MIGRATIONS), "base")

    assert await database.read(differences) == []
    await database.write(down)
    assert len(await database.read(differences)) > 0


async def test_what_was_reported_is_read_back_whole(record: store.DiagnosisStore) -> None:
    assert await record.find(VIN) is None

    await record.ingest([check(GOOD, 1)])
    healthy = await record.find(VIN)
    await record.ingest([check(FAILED, 2)])
    faulty = await record.find(VIN)

    assert healthy is not None
    assert faulty is not None
    assert (healthy.check, healthy.alerts) == (check(GOOD, 1), ())
    assert faulty.check == check(FAILED, 2)
    assert [alert.code for alert in faulty.alerts] == ["B1A01", "X9"]
    assert faulty.system_status is SystemStatus.FAULT


async def test_a_health_that_is_not_known_stays_so(record: store.DiagnosisStore) -> None:
    unknown = check(replace(GOOD, health=None), 1)
    await record.ingest([unknown])
    found = await record.find(VIN)
    assert found is not None
    assert found.check == unknown


async def test_an_alert_is_told_once_when_it_comes_and_once_when_it_goes(
    record: store.DiagnosisStore, database: Database
) -> None:
    for number, component in enumerate((GOOD, FAILED, FAILED, GOOD), start=1):
        await record.ingest([check(component, number)])
        await record.ingest([check(component, number)])  # delivered again

    assert await told(database) == [("B1A01", False), ("X9", False), ("B1A01", True), ("X9", True)]


async def test_alerts_that_stand_keep_their_time(record: store.DiagnosisStore) -> None:
    await record.ingest([check(FAILED, 1), check(FAILED, 2), check(FAILED, 3)])

    diagnosis = await record.find(VIN)

    assert diagnosis is not None
    assert {alert.raised_at for alert in diagnosis.alerts} == {T0 + timedelta(minutes=1)}


async def test_an_older_report_changes_nothing(record: store.DiagnosisStore, database: Database) -> None:
    await record.ingest([check(GOOD, 5)])
    await record.ingest([check(FAILED, 4)])

    diagnosis = await record.find(VIN)

    assert diagnosis is not None
    assert diagnosis.check.sequence == 5
    assert await told(database) == []


async def test_reports_at_once_leave_the_newest(database: Database) -> None:
    # Undamped: whichever are committed in between, each alert that came is told to be gone.
    relay = OutboxRelay(database, store.outbox, vehicle_link.QUEUE, send_nothing, lambda: T0)
    record = store.DiagnosisStore(
        database, relay, vehicle_link.outgoing, lambda: T0, damping=timedelta(seconds=0)
    )
    reports = [check(FAILED if n % 2 else GOOD, n) for n in range(1, 9)]

    await asyncio.gather(*(record.ingest([report]) for report in reversed(reports)))

    diagnosis = await record.find(VIN)
    assert diagnosis is not None
    assert (diagnosis.check.sequence, diagnosis.alerts) == (8, ())
    changes = await told(database)
    assert sum(cleared for _, cleared in changes) * 2 == len(changes)  # all that came are gone


async def test_vehicles_do_not_meet(record: store.DiagnosisStore) -> None:
    other = "KMHSH81C7LU654321"
    await record.ingest([check(FAILED, 1), check(GOOD, 1, vin=other)])

    healthy = await record.find(other)

    assert healthy is not None
    assert healthy.alerts == ()


async def test_a_report_is_kept_with_its_alerts_or_not_at_all(database: Database) -> None:
    def defect(_change: AlertChange, _at: datetime) -> OutgoingMessage:
        raise RuntimeError("defect")

    relay = OutboxRelay(database, store.outbox, vehicle_link.QUEUE, send_nothing, lambda: T0)
    record = store.DiagnosisStore(database, relay, defect, lambda: T0)

    with pytest.raises(RuntimeError):
        await record.ingest([check(FAILED, 1)])

    assert await record.find(VIN) is None


def replica(database: Database, clock: FakeClock) -> store.DiagnosisStore:
    relay = OutboxRelay(database, store.outbox, vehicle_link.QUEUE, send_nothing, clock.now)
    return store.DiagnosisStore(database, relay, vehicle_link.outgoing, clock.now, clock.monotonic)


async def alerts(database: Database) -> list[tuple[str, bool, int]]:
    query = select(store.outbox.table.c.payload).order_by(store.outbox.table.c.sequence)
    rows = await database.read(lambda connection: connection.execute(query).all())
    told = [DoorUpdate.FromString(bytes(row.payload)).system_alert for row in rows]
    return [(alert.code, alert.cleared, alert.flap_count) for alert in told]


async def test_an_alert_that_comes_and_goes_is_told_of_once_in_a_while_by_whichever_replica(
    database: Database,
) -> None:
    clock = FakeClock(T0)
    replicas = [replica(database, clock), replica(database, clock)]
    failed = replace(FAILED, error_codes=("B1A01",))
    for number in range(1, 30):
        clock.reach(number * 60)
        await replicas[number % 2].ingest([check(failed if number % 2 else GOOD, number)])
        await asyncio.gather(*(each.tell_due() for each in replicas))
        diagnosis = await replicas[0].find(VIN)
        assert diagnosis is not None  # what is asked for is not damped
        assert diagnosis.system_status is (SystemStatus.FAULT if number % 2 else SystemStatus.NORMAL)
    flapping = [("B1A01", False, 0), ("B1A01", True, 0), ("B1A01", False, 2)]
    assert await alerts(database) == [*flapping, ("B1A01", False, 10), ("B1A01", False, 10)]
    await replicas[0].ingest([check(GOOD, 30)])
    for minute in range(30, 60):
        clock.reach(minute * 60)
        await replica(database, clock).tell_due()  # as after a restart
    assert (await alerts(database))[5:] == [("B1A01", False, 7), ("B1A01", True, 0)]
    rows = await database.read(lambda c: c.execute(select(store.told_alerts.table)).all())
    assert rows == []


async def test_no_standing_alert_is_lost_to_the_vehicle_s_share(database: Database) -> None:
    clock = FakeClock(T0)
    record = replica(database, clock)
    for number in range(1, 41):  # each with a fault of its own, until its share is used up
        faulty = replace(FAILED, error_codes=(f"X{number}",))
        await record.ingest([check(faulty, number)])
    critical = replace(FAILED, error_codes=("B1A01",))
    await record.ingest([check(critical, 41)])
    assert "B1A01" not in {code for code, _, _ in await alerts(database)}
    for minute in range(1, 40):
        clock.reach(minute * 60)
        await record.tell_due()
    accepted = {}
    for code, cleared, _ in await alerts(database):
        accepted[code] = not cleared
    assert accepted.pop("B1A01", False) or accepted.get("ALERTS_CHANGED")
    kept = await database.read(lambda c: c.execute(select(store.told_alerts.table)).all())
    assert len(kept) <= store.MOST_TOLD_ALERTS


async def test_a_vehicle_with_ever_new_alerts_fills_nothing(database: Database) -> None:
    clock = FakeClock(T0)
    record = replica(database, clock)
    for number in range(1, 36):
        codes = tuple(f"X{number}-{each}" for each in range(8))
        await record.ingest([check(replace(FAILED, error_codes=codes), number)])
    kept = await database.read(lambda c: c.execute(select(store.told_alerts.table)).all())
    assert len(kept) == store.MOST_TOLD_ALERTS


async def trend_of(record: store.DiagnosisStore, vin: str = VIN) -> dict[str, list[int | None]]:
    _, trends = await record.trend(vin, None)
    return {each.component_id: [point.health for point in each.points] for each in trends}


async def report(record: store.DiagnosisStore, place: int, *components: ComponentHealth) -> None:
    at = T0 + timedelta(days=place)
    await record.ingest([SelfCheck(VIN, at, "boot", place, components, b"e", 1, place)])


async def test_falling_health_is_told_and_told_to_be_over(
    record: store.DiagnosisStore, database: Database
) -> None:
    for day in range(9):
        await report(record, day, replace(GOOD, health=98 - day))
    assert await told(database) == [("COMPONENT_HEALTH_FALLING", False)]
    for day in range(9, 45):
        await report(record, day, replace(GOOD, health=90))
    assert await told(database) == [("COMPONENT_HEALTH_FALLING", False), ("COMPONENT_HEALTH_FALLING", True)]
    found = await record.find(VIN)
    assert found is not None
    assert found.alerts == ()


async def test_maintenance_that_is_due_is_told_and_told_to_be_done(
    record: store.DiagnosisStore, database: Database
) -> None:
    await report(record, 1, GOOD)
    await report(record, 2, replace(GOOD, status=ComponentStatus.MAINTENANCE_REQUIRED))
    await report(record, 3, GOOD)
    assert await told(database) == [
        ("COMPONENT_MAINTENANCE_REQUIRED", False),
        ("COMPONENT_MAINTENANCE_REQUIRED", True),
    ]


async def test_an_older_self_check_makes_no_point(record: store.DiagnosisStore) -> None:
    await report(record, 5, GOOD)
    await report(record, 4, replace(GOOD, health=1))
    assert await trend_of(record) == {"driver_actuator_01": [98]}


async def test_a_vehicle_with_ever_new_components_keeps_a_bounded_trend(record: store.DiagnosisStore) -> None:
    for place in range(5):
        names = [replace(GOOD, component_id=f"part_{place:02}_{each:02}") for each in range(32)]
        await report(record, place, *names)
    kept = await trend_of(record)
    assert len(kept) == 64
    assert "part_04_31" in kept
    assert "part_00_00" not in kept


async def test_points_of_a_silent_vehicle_go_with_their_time(
    record: store.DiagnosisStore, database: Database
) -> None:
    await report(record, 0, GOOD)
    line = next(each for each in kept_tables(timedelta(days=30)) if each.name == "health_trend")
    for days, left in ((399, 1), (401, 0)):
        at = T0 + timedelta(days=days)
        await Retention(database, [line], store.holds, lambda at=at: at).run_once()  # type: ignore[misc]
        assert len(await trend_of(record)) == left

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

import services.enrolment
from services.enrolment.adapters import store
from services.enrolment.adapters.seed import SeedVehicle, plant
from services.enrolment.domain import CredentialInUseError, Enrolment, PublicKeys
from services.platform.database import Database, open_database
from services.platform.migration import config_for, migrate
from tests.support.databases import migrated

VIN = "KMHSH81C7LU123456"
OTHER = "KMHSH81C7LU654321"
KEYS, OTHER_KEYS = PublicKeys(b"v" * 32, b"s" * 32), PublicKeys(b"V" * 32, b"S" * 32)
T0 = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
MIGRATIONS = Path(services.enrolment.__file__).with_name("migrations")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await asyncio.to_thread(migrated, database_url, MIGRATIONS, store.HEAD)
    opened = await open_database(database_url)
    yield opened
    await opened.close()


async def test_the_migrated_tables_are_the_models(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        def known(_object: object, name: str | None, kind: str, *_: object) -> bool:
            return not (kind == "table" and name == "alembic_version")

        context = MigrationContext.configure(connection, opts={"include_object": known})
        return list(compare_metadata(context, store.EnrolmentModel.metadata))

    assert await database.write(differences) == []


async def test_one_certificate_is_one_vehicle_s(database: Database) -> None:
    register = store.SqlEnrolmentRecord(database)
    await register.put(Enrolment(VIN, "aa", T0))
    with pytest.raises(CredentialInUseError):
        await register.put(Enrolment(OTHER, "aa", T0))
    await register.put(Enrolment(VIN, "bb", T0 + timedelta(seconds=1)))
    await register.put(Enrolment(OTHER, "aa", T0))
    assert [(e.vin, e.fingerprint) for e in await register.page(9)] == [(VIN, "bb"), (OTHER, "aa")]


async def test_a_revocation_keeps_its_time_until_the_vehicle_is_enrolled_again(database: Database) -> None:
    register = store.SqlEnrolmentRecord(database)
    assert await register.revoke(VIN, T0) is None
    await register.put(Enrolment(VIN, "aa", T0))
    assert await register.revoke(VIN, T0) == Enrolment(VIN, "aa", T0, T0)
    assert await register.revoke(VIN, T0 + timedelta(hours=1)) == Enrolment(VIN, "aa", T0, T0)
    await register.put(Enrolment(VIN, "aa", T0))
    assert await register.find(VIN) == Enrolment(VIN, "aa", T0)


async def test_the_seed_renews_certificates_and_lets_no_revoked_one_in(database: Database) -> None:
    register = store.SqlEnrolmentRecord(database)

    async def start(*seed_vehicles: SeedVehicle) -> list[str]:
        return await database.write(lambda connection: plant(connection, list(seed_vehicles), T0))

    await start(SeedVehicle(VIN, "aa", None), SeedVehicle(OTHER, "cc", None))
    await start(SeedVehicle(VIN, "bb", None), SeedVehicle(OTHER, "cc", None))
    assert await register.find(VIN) == Enrolment(VIN, "bb", T0)
    await register.revoke(VIN, T0)
    assert await start(SeedVehicle(VIN, "dd", KEYS)) == []
    assert await register.find(VIN) == Enrolment(VIN, "bb", T0, T0)


async def test_the_seed_says_whose_keys_became_others(database: Database) -> None:
    async def start(*seed_vehicles: SeedVehicle) -> list[str]:
        return await database.write(lambda connection: plant(connection, list(seed_vehicles), T0))

    assert await start(SeedVehicle(VIN, None, KEYS), SeedVehicle(OTHER, "cc", None)) == []
    assert await start(SeedVehicle(VIN, "aa", KEYS), SeedVehicle(OTHER, "cc", None)) == []
    assert await start(SeedVehicle(VIN, "aa", OTHER_KEYS), SeedVehicle(OTHER, "cc", KEYS)) == [VIN, OTHER]
    assert await store.SqlEnrolmentRecord(database).valid_keys([VIN, OTHER]) == {VIN: OTHER_KEYS, OTHER: KEYS}


@pytest.mark.parametrize(
    "keys",
    [KEYS, replace(OTHER_KEYS, verify_key=KEYS.verify_key), replace(OTHER_KEYS, seal_key=KEYS.seal_key)],
)
async def test_no_two_vehicles_share_a_key(database: Database, keys: PublicKeys) -> None:
    register = store.SqlEnrolmentRecord(database)
    await register.put(Enrolment(VIN, "aa", T0, keys=KEYS))
    with pytest.raises(CredentialInUseError, match="the keys are"):
        await register.put(Enrolment(OTHER, "bb", T0, keys=keys))
    await register.revoke(VIN, T0)
    with pytest.raises(CredentialInUseError, match="the keys are"):
        await register.put(Enrolment(OTHER, "bb", T0, keys=keys))
    await register.put(Enrolment(VIN, "aa", T0, keys=KEYS))
    assert await register.find(OTHER) is None


async def test_only_keys_that_count_are_told(database: Database) -> None:
    register = store.SqlEnrolmentRecord(database)
    await register.put(Enrolment(VIN, "aa", T0, keys=KEYS))
    await register.put(Enrolment(OTHER, None, T0))
    unknown = "KMHSH81C7LU999999"
    assert await register.valid_keys([VIN, OTHER, unknown]) == {VIN: KEYS}
    assert await register.valid_keys([unknown]) == {}
    assert await register.revoke(VIN, T0) == Enrolment(VIN, "aa", T0, T0, KEYS)
    assert await register.valid_keys([VIN, OTHER]) == {}
    await register.put(Enrolment(VIN, "aa", T0, keys=OTHER_KEYS))
    assert await register.valid_keys([VIN, OTHER]) == {VIN: OTHER_KEYS}


async def test_vehicles_without_certificate_and_keys_do_not_stand_in_each_other_s_way(
    database: Database,
) -> None:
    register = store.SqlEnrolmentRecord(database)
    await register.put(Enrolment(VIN, None, T0))
    await register.put(Enrolment(OTHER, None, T0))
    assert [e.vin for e in await register.page(9)] == [VIN, OTHER]
    assert [e.vin for e in await register.page(1)] == [VIN]
    assert [e.vin for e in await register.page(1, VIN)] == [OTHER]
    assert await register.page(1, OTHER) == []


async def test_enrolments_outlive_the_migration_to_keys_and_back(empty_database_url: str) -> None:
    def step(direction: Callable[[Config, str], None], target: str) -> Callable[[Connection], None]:
        return lambda connection: direction(config_for(connection, MIGRATIONS), target)

    await asyncio.to_thread(migrate, empty_database_url, MIGRATIONS, "0001_enrolment")
    database = await open_database(empty_database_url)
    insert = text("INSERT INTO vehicle_enrolment (vin, fingerprint, enrolled_at) VALUES (:vin, 'aa', 0)")
    await database.write(lambda c: c.execute(insert, {"vin": VIN}) and None)
    await database.write(step(command.upgrade, store.HEAD))
    register = store.SqlEnrolmentRecord(database)
    found = await register.find(VIN)
    assert found is not None
    assert (found.fingerprint, found.keys) == ("aa", None)
    await register.put(Enrolment(OTHER, None, T0, keys=KEYS))
    await database.write(step(command.downgrade, "0001_enrolment"))
    await database.write(step(command.upgrade, store.HEAD))
    assert await register.page(9) == [found]
    await database.close()

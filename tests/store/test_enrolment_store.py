import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

import services.enrolment
from services.enrolment import store
from services.enrolment.domain import CertificateTaken, Enrolment
from services.enrolment.seed import Seedling, plant
from services.runtime.database import Database, open_database
from services.runtime.migration import migrate

VIN = "KMHSH81C7LU123456"
OTHER = "KMHSH81C7LU654321"
T0 = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
MIGRATIONS = Path(services.enrolment.__file__).with_name("migrations")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await asyncio.to_thread(migrate, database_url, MIGRATIONS, store.HEAD)
    opened = await open_database(database_url)
    yield opened
    await opened.close()


async def test_the_migrated_tables_are_the_models(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        def known(_object: object, name: str | None, kind: str, *_: object) -> bool:
            return not (kind == "table" and name == "alembic_version")

        context = MigrationContext.configure(connection, opts={"include_object": known})
        return list(compare_metadata(context, store.RoomModel.metadata))

    assert await database.write(differences) == []


async def test_one_certificate_is_one_vehicle_s(database: Database) -> None:
    register = store.SqlRegister(database)
    await register.put(Enrolment(VIN, "aa", T0))
    with pytest.raises(CertificateTaken):
        await register.put(Enrolment(OTHER, "aa", T0))
    await register.put(Enrolment(VIN, "bb", T0 + timedelta(seconds=1)))
    await register.put(Enrolment(OTHER, "aa", T0))
    assert [(e.vin, e.fingerprint) for e in await register.all()] == [(VIN, "bb"), (OTHER, "aa")]


async def test_a_revocation_keeps_its_time_until_the_vehicle_is_enrolled_again(database: Database) -> None:
    register = store.SqlRegister(database)
    assert await register.revoke(VIN, T0) is None
    await register.put(Enrolment(VIN, "aa", T0))
    assert await register.revoke(VIN, T0) == Enrolment(VIN, "aa", T0, T0)
    assert await register.revoke(VIN, T0 + timedelta(hours=1)) == Enrolment(VIN, "aa", T0, T0)
    await register.put(Enrolment(VIN, "aa", T0))
    assert await register.find(VIN) == Enrolment(VIN, "aa", T0)


async def test_the_seed_renews_certificates_and_lets_no_revoked_one_in(database: Database) -> None:
    register = store.SqlRegister(database)

    async def start(*seedlings: Seedling) -> None:
        await database.write(lambda connection: plant(connection, list(seedlings), T0))

    await start(Seedling(VIN, "aa"), Seedling(OTHER, "cc"))
    await start(Seedling(VIN, "bb"), Seedling(OTHER, "cc"))
    assert await register.find(VIN) == Enrolment(VIN, "bb", T0)
    await register.revoke(VIN, T0)
    await start(Seedling(VIN, "dd"))
    assert await register.find(VIN) == Enrolment(VIN, "bb", T0, T0)

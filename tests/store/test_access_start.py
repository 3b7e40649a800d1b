"""What the record must not hold when the service starts."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

import services.access
from services.access import __main__ as start
from services.access.adapters import store
from services.access.adapters.identity import key_hash
from services.access.adapters.published_key import PUBLISHED_KEY
from services.access.domain.accounts import Source
from services.access.settings import AccessSettings
from services.platform.database import open_database
from tests.support.databases import migrated

PEPPER = b"pepper-of-the-start-tests"


def settings(profile: str, sandbox_seed: Path | None = None) -> AccessSettings:
    return AccessSettings.model_construct(profile=profile, sandbox_seed=sandbox_seed)


async def test_the_published_key_stops_a_start_outside_of_the_sandbox(
    database_url: str, tmp_path: Path
) -> None:
    migrations = Path(services.access.__file__).with_name("migrations")
    await asyncio.to_thread(migrated, database_url, migrations, store.HEAD)
    database = await open_database(database_url)
    try:
        await start._prepare(database, settings("production"), PEPPER)
        key = {"key": PUBLISHED_KEY, "principal": "user-123", "source": Source.MOBILE_APP.value}
        seed_file = tmp_path / "seed.json"
        seed_file.write_text(json.dumps({"vehicles": [], "grants": [], "apiKeys": [key]}))
        await start._prepare(database, settings("sandbox", seed_file), PEPPER)
        found = await database.read(
            lambda c: store.find_key(c, key_hash(PEPPER, PUBLISHED_KEY), datetime.now(UTC))
        )
        assert found is not None
        with pytest.raises(start.StartRefusedError, match="DOORS_PROFILE=sandbox"):
            await start._prepare(database, settings("production"), PEPPER)
    finally:
        await database.close()


def test_a_short_pepper_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "pepper"
    file.write_text("short\n")
    with pytest.raises(start.StartRefusedError, match="DOORS_API_KEY_PEPPER_FILE"):
        start._pepper_in(file)

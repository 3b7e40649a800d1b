"""What the sandbox's folders hold for a test: certificates, the broker's disk, the services' databases."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mesh.pki import Pki
from mesh.sandbox import Sandbox, vehicle_identity
from mesh.sandbox_fleet import SAMPLE_KEY_SCOPES
from services.access.adapters.seed import Seed, plant
from services.platform.database import open_database

if TYPE_CHECKING:
    from pathlib import Path

    from mesh.pki import CertificateIdentity
    from tests.support.running_mesh import Mesh


def car_pair(mesh: Mesh, vin: str) -> tuple[Path, Path]:
    """A certificate for this car, as the maker's CA gives it."""
    pair = Sandbox(mesh.data).vehicle_pki(datetime.now(UTC)).ensure(vehicle_identity(vin))
    return pair.cert, pair.key


def workload_pair(mesh: Mesh, identity: CertificateIdentity) -> tuple[Path, Path]:
    """A certificate of the CA of the services."""
    pair = Pki(mesh.data / "pki", datetime.now(UTC)).ensure(identity)
    return pair.cert, pair.key


def on_the_brokers_disk(mesh: Mesh, stream: str, wanted: bytes) -> bool:
    """Whether a stream keeps these bytes. The disk is asked: it needs nobody's permission."""
    blocks = (mesh.data / "nats" / "jetstream").glob(f"**/streams/{stream}/msgs/*.blk")
    return any(wanted in block.read_bytes() for block in blocks)


def bytes_on_the_brokers_disk(mesh: Mesh) -> int:
    return sum(path.stat().st_size for path in (mesh.data / "nats" / "jetstream").rglob("*.blk"))


def dead_letter_bytes(mesh: Mesh) -> int:
    """What the services keep of messages that nobody understood."""
    return sum(
        _count(path, "SELECT coalesce(sum(length(payload)), 0) FROM dead_letter") for path in _databases(mesh)
    )


def outbox_rows(mesh: Mesh) -> int:
    return sum(_count(path, "SELECT count(*) FROM outbox") for path in _databases(mesh))


def plant_api_key(mesh: Mesh, user: str) -> str:
    """A new API key of this user, put into the record as the sandbox's seed is."""
    sandbox = Sandbox(mesh.data)
    key = f"sk_{secrets.token_hex(31)}"
    planted = Seed.model_validate(
        {
            "vehicles": [],
            "grants": [],
            "apiKeys": [
                {"key": key, "principal": user, "source": "MOBILE_APP", "scopes": list(SAMPLE_KEY_SCOPES)}
            ],
        }
    )

    async def plant_it() -> None:
        database = await open_database(sandbox.database_url("access"))
        try:
            pepper = sandbox.api_key_pepper.read_bytes().strip()
            await database.write(lambda c: plant(c, planted, pepper, datetime.now(UTC)))
        finally:
            await database.close()

    asyncio.run(plant_it())
    return key


def wake_ups(mesh: Mesh, vin: str) -> int:
    """How many wake-ups a car was sent."""
    return _count(mesh.data / "data" / "command.db", "SELECT count(*) FROM wake_up WHERE vin = ?", vin)


def let_wake_ups_age(mesh: Mesh, vin: str, seconds: int) -> None:
    """As if they had been sent so much earlier."""
    with closing(sqlite3.connect(mesh.data / "data" / "command.db", timeout=10)) as database, database:
        database.execute("UPDATE wake_up SET at = at - ? WHERE vin = ?", (seconds * 1_000_000, vin))


def issued_orders(mesh: Mesh, vin: str) -> set[str]:
    """The commands of which an order was signed for this car."""
    path = mesh.data / "data" / "command.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
        found = database.execute("SELECT command_id FROM issued_order WHERE vin = ?", (vin,))
        return {str(row[0]) for row in found}


def _databases(mesh: Mesh) -> list[Path]:
    return sorted((mesh.data / "data").glob("*.db"))


def _count(path: Path, question: str, *values: str) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
        try:
            [[number]] = database.execute(question, values).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return 0
            raise
    return int(number)

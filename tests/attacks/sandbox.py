"""What the sandbox's folders hold for a test: certificates, the broker's disk, the services' databases."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mesh.pki import Pki
from mesh.sandbox import Sandbox, vehicle_identity

if TYPE_CHECKING:
    from pathlib import Path

    from mesh.pki import Identity
    from tests.support.running_mesh import Mesh


def car_pair(mesh: Mesh, vin: str) -> tuple[Path, Path]:
    """A certificate for this car, as the maker's CA gives it."""
    pair = Sandbox(mesh.data).vehicle_pki(datetime.now(UTC)).ensure(vehicle_identity(vin))
    return pair.cert, pair.key


def workload_pair(mesh: Mesh, identity: Identity) -> tuple[Path, Path]:
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


def _databases(mesh: Mesh) -> list[Path]:
    return sorted((mesh.data / "data").glob("*.db"))


def _count(path: Path, question: str) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
        try:
            [[number]] = database.execute(question).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return 0
            raise
    return int(number)

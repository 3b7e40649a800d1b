"""Wires the audit ledger and runs it: `python -m services.audit`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic import FilePath  # noqa: TC002  # pydantic reads the annotation

from services.audit.adapters import server, store, translate
from services.audit.adapters.sealing import HouseKey
from services.platform import boot
from services.platform.capability import CapabilityVerifier
from services.platform.clock import CLOCK
from services.platform.database import open_database
from services.platform.database_watch import DatabaseWatch
from services.platform.health import Health
from services.platform.migration import migrate
from services.platform.server import GrpcServer
from services.platform.settings import DatabaseSettings

NAME = "audit"


class AuditSettings(DatabaseSettings):
    """What this service needs besides: the file with the key that people's keys are wrapped with."""

    audit_house_key: FilePath


async def main(settings: AuditSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    house = HouseKey.read(settings.audit_house_key)
    migrations = Path(__file__).with_name("migrations")
    await asyncio.to_thread(migrate, settings.database_url, migrations, store.HEAD, store.AuditModel.metadata)
    database = await open_database(settings.database_url)
    health = Health()
    ledger = store.SqlLedger(database, house, CLOCK.now)
    rpc = GrpcServer(
        settings,
        [server.SERVICE],
        server.AuditIntakeServicer(ledger).register,
        server.POLICY,
        CapabilityVerifier(settings.capability_jwks, service=NAME),
        translate.refusal_of,
        health=health,
    )
    await rpc.start()
    try:
        await boot.run_until(
            stop,
            rpc.keep_health(),
            DatabaseWatch(database, health, settings.health_patience_seconds).run(),
        )
    finally:
        await rpc.stop()
        await database.close()


def cli() -> None:
    """Run the process."""
    boot.run(NAME, AuditSettings, main)


if __name__ == "__main__":
    cli()

"""Wires the audit ledger and runs it: `python -m services.audit`."""

from __future__ import annotations

import asyncio
import secrets
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
from pydantic import AfterValidator, DirectoryPath, Field, FilePath

from services.audit.adapters import reading_server, second_place, server, store
from services.audit.adapters.export import LogExport
from services.audit.adapters.log_key import LogKeys
from services.audit.adapters.log_server import ReadingRecord, log_api
from services.audit.adapters.publication import LogPublication
from services.audit.adapters.published_log import FolderPublishedLog
from services.audit.adapters.reading_translate import any_refusal_of
from services.audit.adapters.receipts import LedgerReceipts
from services.audit.adapters.sealing import HouseKey
from services.audit.adapters.sequencer import SIGN_SECONDS, Sequencer
from services.audit.adapters.subject_data import subject_data_api
from services.audit.adapters.witnesses import WitnessRound, read_witnesses
from services.audit.domain.history import HistoryBrokenError
from services.audit.usecases.recording import record_entries
from services.audit.usecases.restoring import NotRestoredError, restore_leaves
from services.audit.usecases.signing import LEASE, HistoryWatch, SecondPlaceError, SigningDependencies
from services.platform import boot
from services.platform.audit_entry import EntryIds
from services.platform.background import regularly
from services.platform.capability import CapabilityVerifier
from services.platform.clock import CLOCK
from services.platform.database import open_database
from services.platform.database_watch import DatabaseWatch
from services.platform.health import CALLS, Health
from services.platform.migration import migrate
from services.platform.scrub import scrub
from services.platform.server import GrpcServer
from services.platform.settings import DatabaseSettings
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    import grpc

    from services.audit.domain.entries import AuditEntry
    from services.audit.usecases.signing import SecondPlace

NAME = "audit"
_log = structlog.get_logger()


def _checked_witnesses(text: str) -> str:
    read_witnesses(text)
    return text


class AuditSettings(DatabaseSettings):
    """What this service needs besides: the file with the key that people's keys are wrapped with, the log's own keys
    (PEM, Ed25519), its name, the folder in which it is published, and the second place: a folder or a URL.
    `audit_restore_from` is a folder with the published log, from which a database that was rolled back is restored.
    """

    audit_house_key: FilePath
    audit_log_keys: FilePath
    audit_origin: str = Field(
        default="remotecontrol.ecarus.internal/audit", pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{2,127}$"
    )
    audit_folder: DirectoryPath
    audit_second_place: str = Field(pattern=r"^(https?://[^\s/]+/\S+|/.+)$")
    audit_restore_from: DirectoryPath | None = None
    audit_witnesses: Annotated[str, AfterValidator(_checked_witnesses)] = ""


async def main(settings: AuditSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    house = HouseKey.read(settings.audit_house_key)
    keys = LogKeys.read(settings.audit_log_keys, settings.audit_origin)
    migrations = Path(__file__).with_name("migrations")
    await asyncio.to_thread(migrate, settings.database_url, migrations, store.HEAD, store.AuditModel.metadata)
    database = await open_database(settings.database_url)
    health = Health()
    ledger, tree = store.SqlLedger(database, house, CLOCK.now), store.SqlTree(database, CLOCK.now)
    history = HistoryWatch()
    saved = second_place.open_second_place(settings.audit_second_place, settings.audit_origin, keys.public)
    deps = SigningDependencies(tree, saved, keys, history, holder=secrets.token_hex(16))
    patience = settings.health_patience_seconds
    sequencer = Sequencer(
        deps,
        tree,
        LogPublication(
            settings.audit_folder,
            tree,
            health.condition("publication", patience_seconds=patience),
            partial(tree.lead, deps.holder, LEASE),
        ),
        health.condition("ledger_intact", needed_by=(CALLS,)),
        health.condition("second_place", patience_seconds=patience),
        CLOCK.monotonic,
    )

    async def record(entry: AuditEntry) -> None:
        await record_entries(ledger, history, [entry])

    readings = ReadingRecord(record, EntryIds(NAME).next, CLOCK.now)
    round_ = WitnessRound(tree, read_witnesses(settings.audit_witnesses))
    rpc = GrpcServer(
        settings,
        [server.SERVICE, reading_server.DOOR_SERVICE, reading_server.READING_SERVICE],
        partial(_register, ledger, store.SqlLedgerReading(database, house), tree, history, readings),
        {**server.POLICY, **reading_server.READING_POLICY},
        CapabilityVerifier(settings.capability_jwks, service=NAME),
        any_refusal_of,
        health=health,
        besides=[
            log_api(
                LogExport(tree, store.LedgerInspection(database, house), keys, CLOCK.now),
                keys.public,
                readings,
            ),
            subject_data_api(ledger, partial(scrub, settings.database_url)),
        ],
    )
    if settings.audit_restore_from is not None:
        await _restore(
            ledger,
            saved,
            FolderPublishedLog(settings.audit_restore_from, settings.audit_origin, keys.public),
        )
    await rpc.start()
    try:
        await boot.run_until(
            stop,
            rpc.keep_health(),
            DatabaseWatch(database, health, patience).run(),
            regularly("sign_the_tree", SIGN_SECONDS, sequencer.step),
            regularly("ask_witnesses", SIGN_SECONDS, round_.ask),
        )
    finally:
        await rpc.stop()
        await round_.close()
        await saved.close()
        await database.close()


async def _restore(ledger: store.SqlLedger, saved: SecondPlace, published: FolderPublishedLog) -> None:
    """Restore what can be; where it cannot, the service starts and refuses what it would refuse without."""
    try:
        restored = await restore_leaves(ledger, saved, published)
    except (NotRestoredError, SecondPlaceError, HistoryBrokenError, StorageUnavailableError) as error:
        _log.error("ledger_not_restored", reason=str(error))
    else:
        _log.warning("ledger_restored", leaves=restored)


def _register(
    ledger: store.SqlLedger,
    reading: store.SqlLedgerReading,
    tree: store.SqlTree,
    history: HistoryWatch,
    readings: ReadingRecord,
    to: grpc.aio.Server,
) -> None:
    """Serve taking entries in, and showing them."""
    server.AuditIntakeServicer(ledger, history).register(to)
    reading_server.DoorAuditServicer(reading, LedgerReceipts(ledger, tree), CLOCK.now).register(to)
    reading_server.AuditReadingServicer(reading, readings.record, readings.new_id, readings.now).register(to)


def cli() -> None:
    """Run the process."""
    boot.run(NAME, AuditSettings, main)


if __name__ == "__main__":
    cli()

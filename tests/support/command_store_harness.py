"""The use cases of the command service over a real store, with a clock that the test moves."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

import services.command
from services.command.adapters import store
from services.command.adapters.kept import kept_tables
from services.command.adapters.outbox_messages import TO_VEHICLES, CommandOutboxMessages
from services.command.domain.commands import (
    AdvisoryState,
    CancelRequest,
    Command,
    CommandAction,
    DoorAction,
    DoorResult,
    Ending,
    FailureReason,
    Mode,
    Requester,
    Status,
)
from services.command.domain.history import HistoryQuery
from services.command.domain.reports import Report, ReportedResult
from services.command.domain.rules import Rules
from services.command.usecases import requests as usecases
from services.command.usecases.history import list_history
from services.command.usecases.ports import CommandDependencies
from services.command.usecases.vehicle_reports import VerifiedMessage, ingest_messages
from services.platform.database import open_database
from services.platform.retention import Retention
from services.platform.storage import StorageUnavailableError
from services.telematics.order_mac import OrderMac
from services.vehicle_models.catalogue import VehicleModels
from tests.support.databases import migrated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from sqlalchemy import Connection

    from services.platform.database import Database
    from services.platform.outbox import OutgoingMessage

VIN = "KMHSH81C7LU123456"
OTHER = "KMHSH81C7LU654321"
MIGRATIONS = Path(services.command.__file__).with_name("migrations")
START = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
OWNER = Requester("user-123", "user-123", "MOBILE_APP")
MAC = OrderMac(b"only in tests, and long enough for a key")
AGENT = Requester("agent-7", "user-123", "CALL_CENTER")
UNLOCK = DoorAction(CommandAction.UNLOCK, ("all",), Mode.NORMAL)
LOCK = DoorAction(CommandAction.LOCK, ("driver",), Mode.NORMAL)


@dataclass(slots=True)
class FakeDispatch:
    """Holds what was committed until `leave`; a command that has left cannot be withdrawn."""

    held: dict[str, None] = field(default_factory=dict)
    restored: list[str] = field(default_factory=list)
    recalled: set[str] = field(default_factory=set)

    def committed(self, messages: Sequence[OutgoingMessage]) -> None:
        self.held |= {m.message_id: None for m in messages if m.queue == TO_VEHICLES}

    def leave(self) -> list[str]:
        left, self.held = list(self.held), {}
        return left

    def hold_back(self, command_id: str) -> bool:
        return self.held.pop(command_id, 0) is None

    def restore(self, command_id: str) -> None:
        self.restored.append(command_id)

    def send_again(self, messages: Sequence[OutgoingMessage]) -> None:
        self.restored += [message.message_id for message in messages]

    async def recall(self, command_ids: Sequence[str]) -> None:
        self.recalled |= set(command_ids)

    def release(self, command_ids: Iterable[str]) -> None:
        self.recalled -= set(command_ids)

    def surely_unsent(self, command_id: str) -> bool:
        return command_id in self.held

    def untrack(self, command_id: str) -> None:
        self.held.pop(command_id, None)


def admitted(*reports: Report) -> list[VerifiedMessage]:
    """As if their sessions had taken them in."""
    return [VerifiedMessage(report.vin, lambda _store, report=report: report) for report in reports]


class FakeConditions(dict[str, AdvisoryState]):
    def of(self, vin: str) -> AdvisoryState | None:
        return self.get(vin)


class FakeKnownVehicles:
    """Knows every vehicle but those in `strangers`."""

    def __init__(self) -> None:
        self.strangers: set[str] = set()

    async def has(self, vin: str) -> bool:
        return vin not in self.strangers


class FailingDatabase:
    """A database whose next write fails before it is made durable."""

    def __init__(self, real: Database) -> None:
        self._real = real
        self.fail_next = False

    async def write(self, work: Callable[[Connection], Any]) -> Any:
        if self.fail_next:
            self.fail_next = False
            raise StorageUnavailableError("disk full")
        return await self._real.write(work)

    async def read(self, work: Callable[[Connection], Any]) -> Any:
        return await self._real.read(work)

    async def close(self) -> None:
        await self._real.close()


@dataclass(slots=True)
class CommandStoreHarness:
    """The use cases over a real store, with a clock that the test moves."""

    database: FailingDatabase
    commands: store.SqlCommands
    dispatch: FakeDispatch
    advisory_states: FakeConditions
    now: datetime = START

    @property
    def deps(self) -> CommandDependencies:
        rules = Rules(timedelta(seconds=30), 5, timedelta(days=90))
        return CommandDependencies(
            self.commands,
            CommandOutboxMessages(MAC),
            self.dispatch.committed,
            self.dispatch,
            self.advisory_states,
            FakeKnownVehicles(),
            VehicleModels(),
            rules,
            lambda: self.now,
        )

    def pass_seconds(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def request(
        self, correlation_id: str = "c-1", order: DoorAction = UNLOCK, who: Requester = OWNER, vin: str = VIN
    ) -> Command:
        return await usecases.request_doors(self.deps, who, vin, order, correlation_id)

    async def cancel(
        self,
        cancel_id: str = "x-1",
        correlation_id: str = "c-1",
        *,
        force: bool = False,
        who: Requester = OWNER,
    ) -> Command:
        cancel_request = CancelRequest(correlation_id, "User cancellation", force)
        return await usecases.cancel(self.deps, who, VIN, cancel_request, cancel_id)

    async def report(self, *reports: Report) -> list[str]:
        """Why they are not accepted, for those that are not."""
        return [str(why) for why in (await ingest_messages(self.deps, admitted(*reports))).rejected.values()]

    async def find(self, command: Command) -> Command:
        return await usecases.find(self.deps, command.vin, command.command_id)

    async def history(
        self, **changes: Any
    ) -> tuple[list[tuple[CommandAction, Status, FailureReason | None]], int]:
        query = HistoryQuery(self.now, timedelta(hours=24), 50)
        page = await list_history(self.deps, VIN, replace(query, **changes))
        return [(e.action, e.status, e.failure_reason) for e in page.entries], page.total

    async def purge(self) -> None:
        """Have the retention run."""
        kept = kept_tables(self.deps.rules, timedelta(days=30))
        await Retention(self.database, kept, store.holds, lambda: self.now).run_once()

    async def count(self, table: Any, *where: Any) -> int:
        query = select(func.count()).select_from(table).where(*where)
        return await self.database.read(lambda c: c.execute(query).scalar_one())  # type: ignore[no-any-return]

    def succeeded(self, command: Command, message_id: str = "m-1") -> ReportedResult:
        doors = ("driver",) if command.door_action.action is CommandAction.LOCK else ("driver", "trunk")
        locked = command.door_action.action is CommandAction.LOCK
        results = tuple(DoorResult(door, success=True, locked=locked) for door in doors)
        return ReportedResult(
            message_id,
            VIN,
            command.command_id,
            Ending(Status.SUCCESS, self.now, "Done.", door_results=results),
        )


@asynccontextmanager
async def open_room(database_url: str) -> AsyncIterator[CommandStoreHarness]:
    """A service over the database named, brought to the newest schema."""
    await asyncio.to_thread(migrated, database_url, MIGRATIONS, store.HEAD)
    database = FailingDatabase(await open_database(database_url))
    dispatch = FakeDispatch()
    commands = store.SqlCommands(database)
    yield CommandStoreHarness(database, commands, dispatch, FakeConditions())
    await database.close()

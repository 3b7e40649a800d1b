"""What the use cases need of the world."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from services.command.usecases.epoch_watch import EpochWatch
from services.platform.isolation import Quarantine
from services.telematics.signing_again import SigningAgain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from protocol.cloud_side import CloudStore
    from services.command.domain.changes import CancellationState, CommandChange
    from services.command.domain.commands import (
        AdvisoryState,
        Cancellation,
        Command,
        CommandRightEnded,
        InFlight,
        ObservedOutcome,
        RequestedOrder,
        Requester,
        Status,
        StatusCheck,
    )
    from services.command.domain.history import HistoryPage, HistoryQuery, RefusedRequest
    from services.command.domain.models import VehicleModelLookup
    from services.command.domain.reports import SignedEvidence
    from services.command.domain.rules import Rules
    from services.command.domain.wake_budget import WakeUp
    from services.platform.outbox import OutgoingMessage

T = TypeVar("T")


class Commands(Protocol):
    """The record. Every method is one transaction; what it commits is durable when it returns."""

    async def write(self, work: Callable[[CommandTransaction], T]) -> T:
        """Run `work` in a transaction and return its answer once that is durable; what it raises undoes everything.

        Raises StorageUnavailableError, CommitUncertainError.
        """

    async def prior(
        self, requester: Requester, vin: str, operation: str, correlation_id: str
    ) -> PriorRequest | None:
        """Return what was asked for before for the same customer under this id, at any time."""

    async def release_key(self, prior: PriorRequest) -> None:
        """Let its idempotency key be used anew."""

    async def in_flight(self, vin: str) -> InFlight | None:
        """Return the command in flight on this vehicle; one that is superseded is in nobody's way."""

    async def get(self, vin: str, command_id: str) -> Command | None:
        """Return one command of this vehicle."""

    async def latest_by_correlation_id(self, vin: str, correlation_id: str) -> Command | None:
        """Return the newest command of this vehicle that was requested with this id."""

    async def take_over(self, command_ids: Sequence[str], now: datetime) -> set[str]:
        """Return which of them are still alive. They are marked: from now on none of them surely never left."""

    async def overdue(self, now: datetime, at_most: int) -> list[tuple[str, bool]]:
        """Return the ids of commands whose time has run out and that have not ended, and whether each was taken
        over.
        """

    async def unreceived(self, vin: str, now: datetime) -> Sequence[OutgoingMessage]:
        """Return the messages of commands still alive that the vehicle has not confirmed, dated `now`."""

    async def outgoing(self, message_ids: Sequence[str], now: datetime) -> Sequence[OutgoingMessage]:
        """Return these messages as they were kept, dated `now`; those of commands that have ended are left out."""

    async def live(self, ended: CommandRightEnded) -> list[RequestedOrder]:
        """Return the commands alive that this may concern."""

    async def unanswered(
        self, accepted_before: datetime, now: datetime, at_most: int
    ) -> list[tuple[str, str]]:
        """(command id, VIN) of commands alive that no vehicle confirmed and nobody was woken for."""

    async def unconfirmed(self, accepted_before: datetime, now: datetime, at_most: int) -> list[str]:
        """Vehicles that have not confirmed a command that is alive, whoever was woken; the newest first."""

    async def wake_ups(self, vin: str, after: datetime) -> list[WakeUp]:
        """Return the wake-ups that this vehicle was sent after that time."""

    async def history(self, vin: str, query: HistoryQuery) -> HistoryPage:
        """Return a page of finished requests, newest first."""

    async def add_status_checks(self, checks: Sequence[StatusCheck], at: datetime) -> None:
        """Keep these in the history; those that are there already stay as they are."""

    async def add_refused(self, refused: Sequence[RefusedRequest], at: datetime) -> None:
        """Keep these in the history; those that are there already stay as they are."""


class CommandTransaction(Protocol):
    """The record while it is changed. It loads and keeps, and decides nothing."""

    @property
    def sessions(self) -> CloudStore:
        """Return the vehicles' sessions: to load one locks it."""

    def commands(self, command_ids: Iterable[str]) -> dict[str, Command]:
        """Return those that there are, by id, locked: nobody else changes one of them, nor cancels it, before the end
        of this transaction.
        """

    def cancellations(self, command_ids: Iterable[str]) -> dict[str, tuple[CancellationState, ...]]:
        """Return all that were ever kept of these commands, which are locked; those of the cloud's own too."""

    def first_time(self, message_id: str, at: datetime) -> bool:
        """Keep that this message came; False when it came before."""

    def change(
        self, command: Command, changes: Sequence[CommandChange], evidence: SignedEvidence | None = None
    ) -> None:
        """Keep what happened to a command, with its history and audit entries. `command` is how it stands then;
        `evidence` is what its vehicle signed of it.

        Raises StaleStateError when the command stood otherwise than it was when this was decided.
        """

    def add_command(self, command: Command) -> None:
        """Keep a new command, with its history and audit entries. Raises CommandConflictError."""

    def add_cancellation(self, cancellation: Cancellation, answered: Status) -> None:
        """Keep a cancellation and what the command was told, with its history and audit entries. Raises
        CommandConflictError.
        """

    def keep_outcome(self, outcome: ObservedOutcome) -> Command | None:
        """Keep what was observed of its vehicle's command, if that may still succeed (lifecycle.MAY_STILL_SUCCEED)
        and has none; return that command, else None.
        """

    def wake_ups(self, vin: str, after: datetime) -> list[WakeUp]:
        """Return the wake-ups that this vehicle was sent after that time."""

    def add_wake_up(self, vin: str, wake_up: WakeUp) -> None:
        """Keep that this vehicle is sent a wake-up for no command."""

    def order_of(self, command: Command) -> RequestedOrder:
        """Return the order of a command as it was sent, or waits to be."""

    def withdraw(self, message_id: str, at: datetime) -> None:
        """Count a message that must not leave any more as dealt with."""

    def send(self, messages: Sequence[OutgoingMessage]) -> None:
        """Keep messages that leave after the commit."""


class OutboxMessages(Protocol):
    """Which messages tell the vehicle and the world of a change."""

    def accepted(self, command: Command) -> list[OutgoingMessage]:
        """Return those of a new command: to the vehicle, and to whoever watches."""

    def changed(self, command: Command) -> list[OutgoingMessage]:
        """Return those of a status that is another."""

    def late(self, command: Command) -> list[OutgoingMessage]:
        """Return those of a late result."""

    def waking(self, command: Command) -> list[OutgoingMessage]:
        """Return those of a command whose vehicle was sent a wake-up."""

    def cancel(self, cancellation: Cancellation) -> list[OutgoingMessage]:
        """Return those of a cancellation that the vehicle is to decide on."""

    def take_back(self, command: RequestedOrder, at: datetime) -> list[OutgoingMessage]:
        """Return those of a command to which the right has ended."""

    def supersede(self, unlock: RequestedOrder, lock: Command) -> list[OutgoingMessage]:
        """Return those of an unlock whose place a lock takes."""


class CommandConflictError(Exception):
    """The store holds a command with the same idempotency key, or one in flight on the vehicle."""


class StaleStateError(Exception):
    """A command stood otherwise than it was when its change was decided: decide again on how it stands now."""


@dataclass(frozen=True, slots=True)
class PriorRequest:
    """An earlier request under the same idempotency key."""

    command: Command
    fingerprint: str
    requested_at: datetime
    key: str
    answered: Status
    """What was told when it was accepted."""

    def as_answered(self) -> Command:
        """Return the command as it stood then."""
        ending = self.command.ending if self.answered.final else None
        return replace(self.command, status=self.answered, ending=ending, late_result=None)


class Dispatch(Protocol):
    """The way to the vehicle."""

    def hold_back(self, command_id: str) -> bool:
        """Hold a command back for good. False when it may have left this process, or is not held by it."""

    def restore(self, command_id: str) -> None:
        """Send a command that was held back after all, if it is alive then."""

    def send_again(self, messages: Sequence[OutgoingMessage]) -> None:
        """Send these once more, if they are alive then; the vehicle knows what it has had."""

    def surely_unsent(self, command_id: str) -> bool:
        """Return whether this process accepted it and has not begun to publish it."""

    def untrack(self, command_id: str) -> None:
        """Stop tracking a command that has ended."""

    async def recall(self, command_ids: Sequence[str]) -> None:
        """From now on none of these leaves this process; what is just leaving has left when this returns."""

    def release(self, command_ids: Iterable[str]) -> None:
        """Let what was recalled leave again."""


class AdvisoryStates(Protocol):
    """What vehicles said moments ago."""

    def of(self, vin: str) -> AdvisoryState | None:
        """Return the latest, if there is one."""


class KnownVehicles(Protocol):
    """Which vehicles have ever been heard of."""

    async def has(self, vin: str) -> bool:
        """Return whether this one was. Raises StorageUnavailableError."""


@dataclass(frozen=True, slots=True)
class CommandDependencies:
    """Everything the use cases work with. `hand_over` lets messages leave that have been committed; `can_deliver` says
    whether commands can leave for vehicles at all.
    """

    commands: Commands
    outbox_messages: OutboxMessages
    hand_over: Callable[[Sequence[OutgoingMessage]], None]
    dispatch: Dispatch
    advisory_states: AdvisoryStates
    known_vehicles: KnownVehicles
    models: VehicleModelLookup
    rules: Rules
    now: Callable[[], datetime]
    can_deliver: Callable[[], bool] = lambda: True
    left_open: Quarantine = field(default_factory=Quarantine)
    """Commands that could not be ended."""
    left_asleep: Quarantine = field(default_factory=Quarantine)
    """Commands whose vehicles could not be woken."""
    again: SigningAgain = field(default_factory=SigningAgain)
    """Orders that their vehicles refused as out of step."""
    epochs: EpochWatch = field(default_factory=EpochWatch)

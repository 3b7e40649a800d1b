"""What this service does, one function per intention. The ports say what it needs of the world."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from services.command.accepting import CommandConflict, accept
from services.command.domain import (
    IDEMPOTENCY_KEPT,
    AdvisoryState,
    Cancellation,
    CancelRequest,
    CannotDeliver,
    Command,
    CommandAction,
    CommandAlreadyFinished,
    CommandForbidden,
    CommandNotFound,
    CommandRightEnded,
    CorrelationIdReused,
    DoorAction,
    Ending,
    FailureReason,
    InFlight,
    NotYoursToCancel,
    ObservedOutcome,
    RequestedOrder,
    Requester,
    Status,
    Viewer,
)
from services.command.endings import cancelled_before_dispatch, not_proven, right_ended, timed_out
from services.command.epoch_watch import EpochWatch
from services.platform.isolation import Quarantine, by_halves
from services.telematics.signing_again import SigningAgain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from services.command.domain import StatusCheck
    from services.command.history import HistoryPage, HistoryQuery, RefusedRequest
    from services.command.rules import Rules
    from services.command.vehicle_usecases import IngestResult, VerifiedMessage
    from services.platform.outbox import OutgoingMessage

SWEEP_AT_MOST = 500


class Commands(Protocol):
    """The record. Every method is one transaction; what it commits is durable when it returns."""

    async def accept(self, command: Command) -> None:
        """Keep a new command, its history and audit entries and what is to be sent. Raises Taken."""

    async def prior(
        self, requester: Requester, vin: str, operation: str, correlation_id: str
    ) -> PriorRequest | None:
        """Return what was asked for before for the same customer under this id, at any time."""

    async def release_key(self, prior: PriorRequest) -> None:
        """Let its idempotency key be used anew."""

    async def in_flight(self, vin: str) -> InFlight | None:
        """Return the command in flight on this vehicle; one that is superseded is in nobody's way."""

    async def supersede(self, lock: Command, unlock_id: str, *, surely_unsent: bool) -> bool:
        """Keep a new lock in the place of an unlock, which ends at once where it surely never left, and else is not
        sent any more and is the vehicle's to give up. Raises Taken.

        False when the unlock has ended or was superseded meanwhile: then nothing is kept.
        """

    async def get(self, vin: str, command_id: str) -> Command | None:
        """Return one command of this vehicle."""

    async def latest_by_correlation_id(self, vin: str, correlation_id: str) -> Command | None:
        """Return the newest command of this vehicle that was requested with this id."""

    async def cancel_unsent(self, cancellation: Cancellation, ending: Ending) -> bool:
        """End a command that has not left, and keep its cancellation. Raises Taken.

        False when it has ended or was taken over meanwhile: then nothing is kept.
        """

    async def ask_to_cancel(self, cancellation: Cancellation, answered: Status) -> bool:
        """Keep a cancellation for the vehicle to decide, and as what the command was told. Raises Taken.

        False when the command has ended meanwhile: then nothing is kept.
        """

    async def finish(self, endings: Sequence[tuple[str, Ending]], *, unless_taken_over: bool) -> None:
        """End these commands; those that have ended already stay as they are.

        With `unless_taken_over` so do those that another process may have handed over.
        """

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

    async def ingest(self, arrived: Sequence[VerifiedMessage], at: datetime) -> IngestResult:
        """Take in what vehicles said, each once, in order."""

    async def live(self, ended: CommandRightEnded) -> list[RequestedOrder]:
        """Return the commands alive that this may concern."""

    async def take_back(self, command: RequestedOrder, at: datetime) -> bool:
        """Keep the cloud's own cancellation of a command, for its vehicle, once; False when it has ended."""

    async def unanswered(
        self, accepted_before: datetime, now: datetime, at_most: int
    ) -> list[tuple[str, str]]:
        """(command id, VIN) of commands alive that no vehicle confirmed and nobody was woken for."""

    async def unconfirmed(self, accepted_before: datetime, now: datetime, at_most: int) -> list[str]:
        """Vehicles that have not confirmed a command that is alive, whoever was woken; the newest first."""

    async def wake(self, vin: str, command_id: str, at: datetime) -> bool:
        """Count a wake-up against the budgets of vehicle and person and note it on the command; False: none is left."""

    async def confirm(self, verdicts: Sequence[ObservedOutcome], at: datetime) -> None:
        """Keep what was observed after these commands had succeeded, each once; only of the vehicle's own commands."""

    async def history(self, vin: str, query: HistoryQuery) -> HistoryPage:
        """Return a page of finished requests, newest first."""

    async def add_status_checks(self, checks: Sequence[StatusCheck], at: datetime) -> None:
        """Keep these in the history; those that are there already stay as they are."""

    async def add_refused(self, refused: Sequence[RefusedRequest], at: datetime) -> None:
        """Keep these in the history; those that are there already stay as they are."""

    async def purge_expired(
        self, before: datetime, checks_before: datetime, keys_before: datetime, now: datetime
    ) -> None:
        """Drop the history that is past its retention, looks and idempotency keys past theirs, and what served
        vehicles.
        """


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


@dataclass(frozen=True, slots=True)
class CommandDependencies:
    """Everything the use cases work with. `can_deliver` says whether commands can leave for vehicles at all."""

    commands: Commands
    dispatch: Dispatch
    advisory_states: AdvisoryStates
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


async def request_doors(
    deps: CommandDependencies, requester: Requester, vin: str, order: DoorAction, correlation_id: str
) -> Command:
    """Take in a command. The same request again gives the first command as it was first answered.

    Raises CorrelationIdReused, CommandInProgress, Forbidden, CannotDeliver.
    """
    now = deps.now()
    if not deps.can_deliver():
        first = await _first_answer(
            deps, requester, vin, order.action.value, correlation_id, order.fingerprint()
        )
        if first:
            return first
        raise CannotDeliver
    condition = deps.advisory_states.of(vin)
    reason = condition.forbids(order, now) if condition else None
    if condition and reason:
        first = await _first_answer(
            deps, requester, vin, order.action.value, correlation_id, order.fingerprint()
        )
        if first:
            return first
        doors = tuple(sorted(d for d in condition.open_doors if order.concerns(d)))
        raise CommandForbidden(reason, doors if reason is FailureReason.DOOR_OPEN else ())
    asleep = condition is not None and condition.asleep
    lost = condition is not None and condition.lost
    command = Command(
        command_id=f"cmd-{uuid.uuid4()}",
        vin=vin,
        order=order,
        requester=requester,
        correlation_id=correlation_id,
        accepted_at=now,
        expires_at=now + deps.rules.ttl,
        estimated_seconds=deps.rules.estimate(asleep=asleep, lost=lost),
        asleep=asleep,
        lost=lost,
    )
    repeated = partial(
        _first_answer, deps, requester, vin, order.action.value, correlation_id, order.fingerprint()
    )
    return await accept(deps, command, repeated)


async def _first_answer(
    deps: CommandDependencies,
    requester: Requester,
    vin: str,
    operation: str,
    correlation_id: str,
    fingerprint: str,
) -> Command | None:
    """Return the command of an earlier request under this key; None when the key is free. Raises
    CorrelationIdReused.
    """
    prior = await deps.commands.prior(requester, vin, operation, correlation_id)
    if prior is None:
        return None
    if deps.now() - prior.requested_at > IDEMPOTENCY_KEPT:
        await deps.commands.release_key(prior)
        return None
    # An older version kept the fingerprint of the doors in the order they were written in.
    if fingerprint not in {prior.fingerprint, prior.command.order.fingerprint()}:
        raise CorrelationIdReused
    return prior.as_answered()


async def cancel(
    deps: CommandDependencies,
    requester: Requester,
    vin: str,
    cancel_request: CancelRequest,
    correlation_id: str,
) -> Command:
    """Cancel a command, or ask the vehicle to. The command as it stands then.

    Raises CommandNotFound, NotYoursToCancel, CommandAlreadyFinished, CorrelationIdReused.
    """
    fingerprint = cancel_request.fingerprint()
    first = await _first_answer(deps, requester, vin, "CANCEL", correlation_id, fingerprint)
    if first:
        return first
    command = await deps.commands.latest_by_correlation_id(vin, cancel_request.correlation_id)
    if command is None:
        raise CommandNotFound
    if not requester.may_cancel(command):
        raise NotYoursToCancel
    if command.status.final:
        raise CommandAlreadyFinished(command.command_id, command.status)
    cancellation = Cancellation(
        cancel_id=f"cancel-{uuid.uuid4()}",
        command_id=command.command_id,
        vin=vin,
        cancel_request=cancel_request,
        requester=requester,
        correlation_id=correlation_id,
        requested_at=deps.now(),
        force=cancel_request.force and command.order.action is CommandAction.UNLOCK,
    )
    try:
        if deps.dispatch.hold_back(command.command_id) and await _cancelled_unsent(
            deps, cancellation, command
        ):
            return await find(deps, vin, command.command_id)
        if await deps.commands.ask_to_cancel(cancellation, command.status):
            return command
    except CommandConflict:  # the same cancellation came twice at once
        first = await _first_answer(deps, requester, vin, "CANCEL", correlation_id, fingerprint)
        return first or command
    # The same cancellation may have ended it a moment ago, asked for by another agent of the same customer.
    first = await _first_answer(deps, requester, vin, "CANCEL", correlation_id, fingerprint)
    if first:
        return first
    current = await find(deps, vin, command.command_id)
    raise CommandAlreadyFinished(current.command_id, current.status)


async def _cancelled_unsent(deps: CommandDependencies, cancellation: Cancellation, command: Command) -> bool:
    """End a command that is held back. Whatever prevents it, the command is not held back any more then.

    Even a write whose outcome is not known may be answered so: what is restored is sent only if it is alive.
    """
    try:
        return await deps.commands.cancel_unsent(cancellation, cancelled_before_dispatch(deps.now()))
    except BaseException:
        deps.dispatch.restore(command.command_id)
        raise


async def find(deps: CommandDependencies, vin: str, command_id: str) -> Command:
    """Return one command with its life so far. Raises CommandNotFound."""
    command = await deps.commands.get(vin, command_id)
    if command is None:
        raise CommandNotFound
    return command


async def read(deps: CommandDependencies, viewer: Viewer, vin: str, command_id: str) -> Command:
    """Return the same for somebody: nothing from before the right began. Raises CommandNotFound."""
    command = await find(deps, vin, command_id)
    if command.accepted_at < viewer.since:
        raise CommandNotFound
    return command


async def time_out_overdue(deps: CommandDependencies) -> int:
    """End what has had no result in time. How many were tried. One that cannot be ended is left alone for a while."""
    now = deps.now()
    overdue = dict(await deps.commands.overdue(now, SWEEP_AT_MOST + len(deps.left_open)))
    due = deps.left_open.without(overdue)
    for unsent in (True, False):
        await by_halves(
            [each for each in due if unsent is (not overdue[each] and deps.dispatch.surely_unsent(each))],
            partial(_time_out, deps, now, surely_unsent=unsent),
            deps.left_open.add,
        )
    return len(due)


async def _time_out(
    deps: CommandDependencies, now: datetime, ids: Sequence[str], *, surely_unsent: bool
) -> None:
    ending = timed_out(now, surely_unsent=surely_unsent)
    await deps.commands.finish([(each, ending) for each in ids], unless_taken_over=surely_unsent)
    for command_id in ids:
        deps.dispatch.untrack(command_id)


async def end_unsigned(deps: CommandDependencies, command_ids: Sequence[str], *, proven: bool) -> None:
    """End commands that were never handed over and are not signed: for lack of a right, or (not `proven`) of proof."""
    ending = right_ended(deps.now()) if proven else not_proven(deps.now())
    await deps.commands.finish([(each, ending) for each in command_ids], unless_taken_over=True)
    for command_id in command_ids:
        deps.dispatch.untrack(command_id)


async def take_over(deps: CommandDependencies, command_ids: Sequence[str]) -> set[str]:
    """Before sending what another process, or this one earlier, may have sent: which of them are alive."""
    return await deps.commands.take_over(command_ids, deps.now())

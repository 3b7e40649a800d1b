"""The tables, and rows to domain and back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Index, LargeBinary, MetaData, Row, Text, text
from sqlmodel import Field, SQLModel

from services.command.adapters.audit_entries import entry_of_row
from services.command.domain.commands import (
    Command,
    CommandAction,
    Confirmation,
    DoorAction,
    DoorResult,
    Ending,
    FailureReason,
    LateResult,
    Mode,
    PersonRole,
    Requester,
    Status,
)
from services.platform.audit_outbox import MAX_REASON_CHARACTERS, AuditOutbox, DeliveredRows
from services.platform.database import Instant
from services.platform.inbox import DeadLetters, Inbox
from services.platform.legal_holds import LegalHolds
from services.platform.outbox import Outbox
from services.telematics.senders import sender_of
from services.telematics.sessions import VehicleSessions

HEAD = "0014_failure_counts"

RECORDED_NOW = datetime(1970, 1, 1, tzinfo=UTC)
"""Of an entry that the running transaction makes part of the list, until it is dated at the transaction's end."""


class CommandModel(SQLModel):
    """Base of this service's tables."""

    metadata = MetaData()


class CommandRow(CommandModel, table=True):
    """A door command. `idempotency_key` is emptied when the key may be used anew."""

    __tablename__ = "command"
    __table_args__ = (
        Index(
            "command_in_flight",
            "vin",
            unique=True,
            sqlite_where=text("finished_at IS NULL AND superseded_at IS NULL"),
            postgresql_where=text("finished_at IS NULL AND superseded_at IS NULL"),
        ),
        Index(
            "command_overdue",
            "expires_at",
            sqlite_where=text("finished_at IS NULL"),
            postgresql_where=text("finished_at IS NULL"),
        ),
        Index("command_correlation", "vin", "correlation_id"),
    )

    command_id: str = Field(primary_key=True, max_length=64)
    vin: str = Field(max_length=17)
    action: str = Field(max_length=16)
    target_doors: str = Field(max_length=128)
    mode: str = Field(max_length=16)
    principal: str = Field(max_length=128)
    subject: str = Field(max_length=128)
    source: str = Field(max_length=32)
    correlation_id: str = Field(max_length=64)
    idempotency_key: str | None = Field(default=None, max_length=300, unique=True)
    fingerprint: str = Field(max_length=64)
    accepted_at: datetime = Field(sa_type=Instant)
    expires_at: datetime = Field(sa_type=Instant)
    estimated_seconds: int
    status: str = Field(max_length=16)
    sent_at: datetime | None = Field(default=None, sa_type=Instant)
    received_at: datetime | None = Field(default=None, sa_type=Instant)
    finished_at: datetime | None = Field(default=None, sa_type=Instant)
    message: str | None = Field(default=None, sa_type=Text)
    failure_reason: str | None = Field(default=None, max_length=32)
    guidance: str | None = Field(default=None, sa_type=Text)
    may_have_succeeded: bool | None = Field(default=None)
    door_results: str | None = Field(default=None, sa_type=Text)
    late_result: str | None = Field(default=None, sa_type=Text)
    taken_over_at: datetime | None = Field(default=None, sa_type=Instant)
    waking_at: datetime | None = Field(default=None, sa_type=Instant)
    confirmation: str | None = Field(default=None, sa_type=Text)
    role: str | None = Field(default=None, max_length=16)
    superseded_at: datetime | None = Field(default=None, sa_type=Instant)
    asleep: bool | None = Field(default=None)
    lost: bool | None = Field(default=None)
    never_connected: bool | None = Field(default=None)


class WakeUpRow(CommandModel, table=True):
    """A wake-up that a vehicle was sent."""

    __tablename__ = "wake_up"
    __table_args__ = (Index("wake_up_by_vehicle", "vin", "at"),)

    wake_up_id: int | None = Field(default=None, primary_key=True)
    vin: str = Field(max_length=17)
    at: datetime = Field(sa_type=Instant)
    subject: str | None = Field(default=None, max_length=128)
    by_owner: bool | None = Field(default=None)


class CancellationRow(CommandModel, table=True):
    """A request to cancel a command."""

    __tablename__ = "cancellation"

    cancel_id: str = Field(primary_key=True, max_length=64)
    command_id: str = Field(max_length=64, index=True)
    idempotency_key: str | None = Field(default=None, max_length=300, unique=True)
    fingerprint: str = Field(max_length=64)
    answered: str = Field(max_length=16)
    requested_at: datetime = Field(sa_type=Instant)
    finished_at: datetime | None = Field(default=None, sa_type=Instant)


class HistoryRow(CommandModel, table=True):
    """One request, listed once it has ended."""

    __tablename__ = "history"
    __table_args__ = (
        Index("history_by_vehicle", "vin", "requested_at"),
        Index(
            "history_as_recorded",
            "vin",
            "recorded_at",
            sqlite_where=text("recorded_at IS NOT NULL"),
            postgresql_where=text("recorded_at IS NOT NULL"),
        ),
        Index(
            "history_being_recorded",
            "vin",
            sqlite_where=text("recorded_at = 0"),
            postgresql_where=text("recorded_at = 0"),
        ),
    )

    entry_id: str = Field(primary_key=True, max_length=64)
    vin: str = Field(max_length=17)
    command_id: str = Field(max_length=64)
    action: str = Field(max_length=16)
    target_doors: str = Field(max_length=128)
    requested_at: datetime = Field(sa_type=Instant)
    user_id: str = Field(max_length=128)
    actor_id: str = Field(max_length=128)
    source: str = Field(max_length=32)
    correlation_id: str = Field(max_length=64)
    status: str | None = Field(default=None, max_length=16)
    finished_at: datetime | None = Field(default=None, sa_type=Instant)
    execution_us: int | None = Field(default=None, sa_type=BigInteger)
    failure_reason: str | None = Field(default=None, max_length=32)
    recorded_at: datetime | None = Field(default=None, sa_type=Instant)


class CommandAuditRow(CommandModel, table=True):
    """Who did what, and what became of it. Written, and marked once the ledger has it; `entry` is the ledger's message
    until then.
    """

    __tablename__ = "audit"
    __table_args__ = (
        Index(
            "audit_undelivered",
            "audit_id",
            sqlite_where=text("delivered_at IS NULL AND set_aside IS NULL"),
            postgresql_where=text("delivered_at IS NULL AND set_aside IS NULL"),
        ),
    )

    audit_id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(sa_type=Instant)
    event: str = Field(max_length=32)
    vin: str = Field(max_length=17, index=True)
    command_id: str = Field(max_length=64)
    subject: str = Field(max_length=128)
    actor: str = Field(max_length=128)
    source: str = Field(max_length=32)
    correlation_id: str = Field(max_length=64)
    detail: str = Field(sa_type=Text)
    entry: bytes | None = Field(default=None, sa_type=LargeBinary)
    delivered_at: datetime | None = Field(default=None, sa_type=Instant)
    set_aside: str | None = Field(default=None, max_length=MAX_REASON_CHARACTERS)


outbox = Outbox(CommandModel.metadata)
audit_outbox = AuditOutbox(CommandModel.metadata)
inbox = Inbox(CommandModel.metadata)
dead_letters = DeadLetters(CommandModel.metadata, sender_of)
sessions = VehicleSessions(CommandModel.metadata, issues_orders=True)
holds = LegalHolds(CommandModel.metadata)


def table(model: type[CommandModel]) -> Any:
    """Return the SQLAlchemy table behind a model; SQLModel's types do not show it."""
    return model.__table__  # type: ignore[attr-defined]


command, cancellation = table(CommandRow), table(CancellationRow)
history, audit = table(HistoryRow), table(CommandAuditRow)
wake_up = table(WakeUpRow)
audit_rows = DeliveredRows(audit, entry_of_row)


def idempotency_key(subject: str, vin: str, operation: str, correlation_id: str) -> str:
    """Return one string for the scope of an idempotency key: the customer, whoever acts for them; a VIN and an
    id hold no space.
    """
    return f"{vin} {operation} {correlation_id} {subject}"


def results_to_text(results: tuple[DoorResult, ...]) -> str:
    """Return door results as they are stored."""
    return json.dumps([[r.door_id, r.success, r.locked, r.failure_reason] for r in results])


def results_from_text(stored: str | None) -> tuple[DoorResult, ...]:
    """And back."""
    return tuple(
        DoorResult(door, success, locked, FailureReason(reason) if reason else None)
        for door, success, locked, reason in json.loads(stored or "[]")
    )


def late_to_text(late: LateResult) -> str:
    """Return a late result as it is stored."""
    return json.dumps(
        {
            "status": late.status,
            "at": late.received_at.isoformat(),
            "reason": late.failure_reason,
            "doors": results_to_text(late.door_results),
        }
    )


def late_from_text(stored: str | None) -> LateResult | None:
    """And back."""
    if stored is None:
        return None
    late = json.loads(stored)
    return LateResult(
        Status(late["status"]),
        datetime.fromisoformat(late["at"]),
        FailureReason(late["reason"]) if late["reason"] else None,
        results_from_text(late["doors"]),
    )


def confirmation_to_text(confirmation: Confirmation) -> str:
    """Return a confirmation as it is stored."""
    return json.dumps(
        {
            "confirmed": confirmation.confirmed,
            "at": confirmation.observed_at.isoformat(),
            "doors": confirmation.doors,
        }
    )


def _confirmation_from_text(stored: str | None) -> Confirmation | None:
    if stored is None:
        return None
    told = json.loads(stored)
    doors = tuple((door, locked) for door, locked in told["doors"])
    return Confirmation(told["confirmed"], datetime.fromisoformat(told["at"]), doors)


def command_from_row(row: Row[Any], left_at: datetime | None = None) -> Command:
    """Return a stored command. `left_at` is the time in its outbox row, which a row not sent in time has as well."""
    status = Status(row.status)
    no_later = min(row.expires_at, row.superseded_at or row.expires_at)
    sent_at = row.sent_at or (left_at if left_at and left_at < no_later else None)
    if row.received_at:  # the row may have been marked after the vehicle answered
        sent_at = min(sent_at or row.received_at, row.received_at)
    ending = None
    if status.final:
        ending = Ending(
            status=status,
            finished_at=row.finished_at,
            message=row.message,
            failure_reason=FailureReason(row.failure_reason) if row.failure_reason else None,
            guidance=row.guidance,
            may_have_succeeded=row.may_have_succeeded,
            door_results=results_from_text(row.door_results),
        )
    return Command(
        command_id=row.command_id,
        vin=row.vin,
        door_action=DoorAction(
            CommandAction(row.action), tuple(json.loads(row.target_doors)), Mode(row.mode)
        ),
        requester=Requester(
            row.principal, row.subject, row.source, role=PersonRole(row.role) if row.role else None
        ),
        correlation_id=row.correlation_id,
        accepted_at=row.accepted_at,
        expires_at=row.expires_at,
        estimated_seconds=row.estimated_seconds,
        status=status,
        sent_at=sent_at,
        received_at=row.received_at,
        ending=ending,
        late_result=late_from_text(row.late_result),
        waking_at=row.waking_at,
        confirmation=_confirmation_from_text(row.confirmation),
        taken_over=row.taken_over_at is not None,
        superseded=row.superseded_at is not None,
        asleep=bool(row.asleep),
        lost=bool(row.lost),
        never_connected=bool(row.never_connected),
    )

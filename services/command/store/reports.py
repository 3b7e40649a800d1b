"""What vehicles' reports write. A report is ingested once; a second delivery of it changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import Connection, bindparam, select, update

from protocol.faults import Fault, MessageRefused
from services.command.domain import (
    Command,
    FailureReason,
    Status,
)
from services.command.endings import arrived_too_late, held_against, right_ended_on_the_way, superseded
from services.command.own_cancellations import taken_back_id
from services.command.store.requests import (
    OutboxMessages,
    end_cancellation,
    end_command,
    mark_received,
    write_audit,
)
from services.command.store.tables import (
    cancellation,
    command,
    command_from_row,
    confirmation_to_text,
    inbox,
    late_to_text,
    outbox,
    sessions,
)
from services.command.vehicle_usecases import (
    CancellationDecision,
    CommandReceipt,
    IngestResult,
    OrderRefusal,
    Report,
    ReportedResult,
    late,
    may_become_late,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from services.command.domain import Ending, ObservedOutcome
    from services.command.vehicle_usecases import VerifiedMessage
    from services.platform.outbox import OutgoingMessage

# Made once, because making a statement takes longer than running it.
_FIND_ALL = select(command).where(command.c.command_id.in_(bindparam("ids", expanding=True)))
# The status service's word comes by another way than the result it is about, and may come first.
_MAY_STILL_SUCCEED = [Status.PENDING.value, Status.IN_PROGRESS.value, Status.SUCCESS.value]
_CONFIRM = (
    update(command)
    .where(
        command.c.command_id == bindparam("of_command"),
        # The status service knows no commands: a vehicle can have named another's.
        command.c.vin == bindparam("of_vin"),
        command.c.status.in_(_MAY_STILL_SUCCEED),
        command.c.confirmation.is_(None),
    )
    .values(confirmation=bindparam("new_confirmation"))
    .returning(*command.c)
)
_NEVER_GIVEN = "about a command that was never given"


def ingest(
    connection: Connection, arrived: Sequence[VerifiedMessage], at: datetime, outbox_messages: OutboxMessages
) -> tuple[list[OutgoingMessage], IngestResult]:
    """Take them into their sessions and apply them, in order; and what to send."""
    admitted, rejected = _admit(connection, arrived)
    known = _commands(connection, {report.command_id for report in admitted.values()})
    messages: list[OutgoingMessage] = []
    accepted: list[Report] = []
    for received, report in admitted.items():
        about = known.get(report.command_id)
        why = _rejection_reason(connection, about, report)
        if why is not None or about is None:
            rejected[received] = why or _NEVER_GIVEN
            continue
        accepted.append(report)
        if inbox.first_time(connection, f"{report.vin}:{report.message_id}", at):
            messages += _apply(connection, about, report, outbox_messages)
    return messages, IngestResult(accepted, rejected)


def _admit(
    connection: Connection, arrived: Sequence[VerifiedMessage]
) -> tuple[dict[VerifiedMessage, Report], dict[VerifiedMessage, MessageRefused | str]]:
    """Return what their sessions take, but for hellos; what they do not take, and why."""
    store = sessions.store(connection)
    reports: dict[VerifiedMessage, Report | None] = {}
    refused: dict[VerifiedMessage, MessageRefused | str] = {}
    # By VIN, so that replicas that lock several vehicles wait for each other and do not deadlock.
    for received in sorted(arrived, key=lambda each: each.vin):
        try:
            reports[received] = received.admit(store)
        except MessageRefused as refusal:
            refused[received] = refusal
    admitted = {received: report for received in arrived if (report := reports.get(received)) is not None}
    return admitted, refused


def confirm(connection: Connection, verdicts: Sequence[ObservedOutcome], at: datetime) -> None:
    """Keep each on its vehicle's command, if that succeeded, or may yet, and has none."""
    for each in verdicts:
        confirmation = each.confirmation
        confirmed = connection.execute(
            _CONFIRM,
            {
                "of_command": each.command_id,
                "of_vin": each.vin,
                "new_confirmation": confirmation_to_text(confirmation),
            },
        ).one_or_none()
        if confirmed is not None and not confirmation.confirmed:
            about = command_from_row(confirmed)
            write_audit(connection, about, "COMMAND_CONTRADICTED", at, {"doors": confirmation.doors})


def _rejection_reason(connection: Connection, about: Command | None, report: Report) -> str | None:
    """Return why this cannot be; None when it can."""
    if about is None:
        return _NEVER_GIVEN
    if about.vin != report.vin:
        return "about another vehicle's command"
    match report:
        case ReportedResult():
            return about.order.contradicted_by(report.ending)
        case CancellationDecision():
            asked = select(cancellation.c.cancel_id).where(
                cancellation.c.cancel_id == report.cancel_id, cancellation.c.command_id == report.command_id
            )
            if connection.execute(asked).one_or_none() is None:
                return "about a cancellation that was never asked for"
    return None


def _commands(connection: Connection, ids: set[str]) -> dict[str, Command]:
    rows = connection.execute(_FIND_ALL, {"ids": list(ids)}).all()
    return {row.command_id: command_from_row(row) for row in rows}


def _apply(
    connection: Connection, about: Command, report: Report, outbox_messages: OutboxMessages
) -> list[OutgoingMessage]:
    match report:
        case CommandReceipt():
            return mark_received(connection, about, report.at, outbox_messages)
        case ReportedResult():
            report = replace(report, ending=held_against(about.order, report.ending))
            ending = _because(connection, about, report.ending)
            ended = end_command(connection, about.command_id, ending, outbox_messages, by_vehicle=True)
            return ended if ended is not None else _keep_late(connection, report, outbox_messages)
        case CancellationDecision():
            return _decide(connection, about, report, outbox_messages)
        case OrderRefusal():
            return _prove(connection, about, report, outbox_messages)


def _prove(
    connection: Connection, about: Command, report: OrderRefusal, outbox_messages: OutboxMessages
) -> list[OutgoingMessage]:
    """Return a command that its vehicle refuses as expired, and whose time is up, was never taken: a known one
    is answered by its result, whatever its time. No copy of it can be taken any more: none was signed to live longer.
    """
    if (
        report.fault != Fault.EXPIRED.name
        or report.order_id != about.command_id
        or report.at < about.expires_at
    ):
        return []
    ending = arrived_too_late(report.at)
    ended = end_command(connection, about.command_id, ending, outbox_messages)
    if ended is None:
        _did_not_act(connection, about, ending)
    return ended or []


def _did_not_act(connection: Connection, about: Command, proven: Ending) -> None:
    """Note that a command that had timed out did not act. Its status stays."""
    changed = connection.execute(
        update(command)
        .where(
            command.c.command_id == about.command_id,
            command.c.status == Status.TIMEOUT.value,
            command.c.may_have_succeeded.is_(True),
        )
        .values(may_have_succeeded=False, guidance=proven.guidance)
    )
    if changed.rowcount:
        write_audit(connection, about, "COMMAND_DID_NOT_ACT", proven.finished_at, {})


def _because(connection: Connection, about: Command, ending: Ending) -> Ending:
    """Return the same ending; of a command that the cloud took back, or a lock the place of, with the reason."""
    if ending.status is not Status.CANCELLED:
        return ending
    cancel_id = taken_back_id(about.command_id)
    taken_back = select(cancellation.c.cancel_id).where(cancellation.c.cancel_id == cancel_id)
    if connection.execute(taken_back).one_or_none() is None:
        return superseded(ending.finished_at) if about.superseded else ending
    return right_ended_on_the_way(ending.finished_at)


def _keep_late(
    connection: Connection, report: ReportedResult, outbox_messages: OutboxMessages
) -> list[OutgoingMessage]:
    row = connection.execute(select(command).where(command.c.command_id == report.command_id)).one()
    ended = command_from_row(row)
    if not may_become_late(ended.status, ended.late_result):
        return []
    connection.execute(
        update(command)
        .where(command.c.command_id == report.command_id)
        .values(late_result=late_to_text(late(report.ending)))
    )
    if report.ending.may_have_succeeded is False:
        _did_not_act(connection, ended, arrived_too_late(report.ending.finished_at))
    write_audit(
        connection, ended, "LATE_RESULT", report.ending.finished_at, {"status": report.ending.status.value}
    )
    row = connection.execute(select(command).where(command.c.command_id == report.command_id)).one()
    messages = outbox_messages.late(command_from_row(row))
    outbox.add(connection, messages)
    return messages


def _decide(
    connection: Connection, about: Command, report: CancellationDecision, outbox_messages: OutboxMessages
) -> list[OutgoingMessage]:
    """Return the vehicle's signed response to a cancellation. "Will not act" ends the command too, before its result is
    here.
    """
    messages: list[OutgoingMessage] = []
    if report.ending is not None:
        ending = _because(connection, about, report.ending)
        messages = end_command(connection, report.command_id, ending, outbox_messages) or []
    row = connection.execute(
        select(cancellation).where(
            cancellation.c.cancel_id == report.cancel_id, cancellation.c.finished_at.is_(None)
        )
    ).one_or_none()
    if row is not None:
        status = Status.FAILED if report.too_late else Status.SUCCESS
        reason = FailureReason.TOO_LATE if report.too_late else None
        end_cancellation(connection, row.cancel_id, row.requested_at, status, report.at, reason)
    return messages

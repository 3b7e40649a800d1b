"""Which notices follow from a live update. Rules only: what an update says has been read out of its message."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.notification.domain.notices import Audience, Notice, NoticeKind, event_id_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

ENDED = frozenset({"SUCCESS", "FAILED", "TIMEOUT", "CANCELLED"})
ACCESS_ALERTS = frozenset(
    f"ACCESS_{word}"
    for word in (
        *("OFFERED", "BEGUN", "NARROWED", "SUSPENDED", "RESUMED", "ENDED", "TRANSFERRED"),
        *("AGENT_ACTED", "EMERGENCY_APPROVED"),
        *("ABNORMAL", "RESTRICTED", "LOCKED", "RESTORED"),
    )
)
URGENT_ALERTS = frozenset(
    {"ACCESS_TRANSFERRED", "ACCESS_EMERGENCY_APPROVED", "ACCESS_ABNORMAL", "ACCESS_LOCKED"}
)
CONTRADICTED = "COMMAND_CONTRADICTED"
COALESCED = "UPDATES_COALESCED"
"""More has changed than is told one by one: how the doors stand is not known from here on."""
COMPONENT_ALERTS = frozenset(
    {
        *(f"B1A0{door}" for door in range(1, 6)),
        "B1A10",
        "COMPONENT_ERROR",
        "COMPONENT_INACTIVE",
        "COMPONENT_MAINTENANCE_REQUIRED",
        "COMPONENT_HEALTH_LOW",
        "COMPONENT_HEALTH_FALLING",
        "ALERTS_CHANGED",
    }
)
"""Those that the catalogue of texts knows; all else is OTHER there."""


@dataclass(frozen=True, slots=True)
class CommandUpdate:
    """A command's new status. `moved` and `not_moved` are doors; `late` is an answer after its TIMEOUT."""

    event_id: str
    vin: str
    command_id: str
    action: str
    status: str
    at: datetime
    failure_reason: str = ""
    may_have_succeeded: bool = True
    moved: Sequence[str] = ()
    not_moved: Sequence[str] = ()
    late: bool = False


@dataclass(frozen=True, slots=True)
class AlertUpdate:
    """A SYSTEM_ALERT, and which service tells it."""

    event_id: str
    vin: str
    origin: str
    code: str
    severity: str
    at: datetime
    component_id: str = ""
    cleared: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)


def command_notice(update: CommandUpdate) -> Notice | None:
    """Return what who gave the command is told; None of what is no end."""
    if update.status not in ENDED or update.action not in {"LOCK", "UNLOCK"}:
        return None
    text = f"{update.action}.{_result(update)}"
    facts = {"moved": " ".join(update.moved), "notMoved": " ".join(update.not_moved)}
    return Notice(
        update.event_id,
        update.vin,
        NoticeKind.DOOR_RESULT,
        text,
        Audience.REQUESTER,
        update.at,
        about=f"command/{update.command_id}",
        facts={**facts, "reason": update.failure_reason} if update.failure_reason else facts,
        command_id=update.command_id,
        is_urgent=True,
    )


def _result(update: CommandUpdate) -> str:
    if update.late:
        return "LATE"
    if update.status == "FAILED" and update.failure_reason == "PARTIAL_SUCCESS":
        return "PARTIAL"
    if update.status == "TIMEOUT" and not update.may_have_succeeded:
        return "NOT_SENT"
    return update.status


def alert_notice(update: AlertUpdate) -> Notice | None:
    """Return who is told what of an alert; None of one that nobody is told, or that is not its service's to tell."""
    if update.origin == "access":
        if update.code not in ACCESS_ALERTS:
            return None
        return Notice(
            update.event_id,
            update.vin,
            NoticeKind.SECURITY,
            update.code,
            Audience.OWNERS,
            update.at,
            about=f"access/{update.event_id}",
            is_urgent=update.code in URGENT_ALERTS,
        )
    if update.origin == "status":
        if update.code != CONTRADICTED:
            return None
        return Notice(
            update.event_id,
            update.vin,
            NoticeKind.SECURITY,
            CONTRADICTED,
            Audience.READERS,
            update.at,
            about=f"contradicted/{update.event_id}",
            is_urgent=True,
        )
    if update.origin != "diagnostics" or update.code in ACCESS_ALERTS | {CONTRADICTED, COALESCED}:
        return None
    text = update.code if update.code in COMPONENT_ALERTS else "OTHER"
    return Notice(
        update.event_id,
        update.vin,
        NoticeKind.DIAGNOSTICS,
        f"{text}.RESOLVED" if update.cleared else text,
        Audience.DIAGNOSTICS_READERS,
        update.at,
        about=f"alert/{update.component_id}/{update.code}",
        facts={"severity": update.severity},
        is_resolved=update.cleared,
        is_urgent=update.severity == "CRITICAL" and not update.cleared,
    )


def reminder_notice(
    vin: str, condition: str, doors: Sequence[str], since: datetime, person: str, at: datetime
) -> Notice:
    """Return what one of a vehicle's people is told of what it was left in, from the moment it is told."""
    kind = NoticeKind(condition)
    return Notice(
        event_id_of("reminder", vin, condition, since.isoformat(), person),
        vin,
        kind,
        condition,
        Audience.PERSON,
        at,
        about=condition,
        facts={"doors": " ".join(doors), "since": since.isoformat()},
        person=person,
        is_urgent=True,
    )


def reminder_resolved(vin: str, condition: str, since: datetime, person: str, at: datetime) -> Notice:
    """Return that what a person was reminded of is over."""
    return Notice(
        event_id_of("resolved", vin, condition, since.isoformat(), person),
        vin,
        NoticeKind(condition),
        f"{condition}.RESOLVED",
        Audience.PERSON,
        at,
        about=condition,
        person=person,
        is_resolved=True,
    )

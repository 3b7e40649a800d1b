"""Between the public contract's grants and what the service works with."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ecarus.remotecontrol.door.v1 import door_grant_pb2

from services.access.domain.agents import NotAnotherAgentError
from services.access.domain.grants import GrantRole, GrantState, NewGrant, TooLongError
from services.access.domain.schedule import Schedule, UnknownTimeZoneError, Weekday, WeeklyWindow
from services.access.domain.severance import NewSeverance, SeveranceUnknownError, TooManySeverancesError
from services.access.domain.sharing import (
    AccountStoppedError,
    ByAgentError,
    Giver,
    GrantEndedError,
    GrantHiddenError,
    GrantNotPossibleError,
    GrantOffer,
    GrantReduction,
    NotOwnerError,
    TooManyGrantsError,
    UnsoundChangeError,
)
from services.platform import errors
from services.platform.errors import Refusal, Violation
from services.platform.free_text import readable
from services.platform.interceptor import resource_not_found
from services.platform.times import set_time, time_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ecarus.remotecontrol.door.v1 import door_grant_service_pb2
    from google.protobuf.timestamp_pb2 import Timestamp

    from services.access.domain.accounts import Account
    from services.access.domain.agents import EmergencyApproval
    from services.access.domain.severance import AccessSeverance
    from services.access.domain.sharing import GrantView, Transfer
    from services.platform.call import Call
    from services.platform.capability import Capability

_KINDS = door_grant_pb2.GrantKind
_STATES = door_grant_pb2.GrantState
_KEY_ROLES = door_grant_pb2.DigitalKeyRole
MOST_LABEL = 64
MOST_EVIDENCE = 200


def giver_of(capability: Capability) -> Giver:
    """Return who asks."""
    return Giver(capability.subject, capability.actor)


def approved_message(approval: EmergencyApproval) -> door_grant_pb2.EmergencyApproved:
    """Return an approved emergency as it is told."""
    message = door_grant_pb2.EmergencyApproved(vin=approval.vin, agent=approval.agent)
    set_time(message.until, approval.ends_at)
    return message


def is_owner(capability: Capability) -> bool:
    """Return whether they own the vehicle."""
    return capability.role == GrantRole.OWNER.value


def made_id(call: Call, vin: str) -> str:
    """Return the id of what this request makes: the same for the same caller, vehicle and correlation id."""
    capability = call.granted()
    words = "\n".join((call.method, capability.subject, vin, call.correlation_id))
    return f"gr-{hashlib.sha256(words.encode()).hexdigest()[:32]}"


def offer(request: door_grant_service_pb2.GiveGrantRequest, call: Call) -> GrantOffer:
    """Return a right to be given. Raises Refusal INVALID_REQUEST, UnknownTimeZoneError."""
    asked = request.grant
    if asked.HasField("label"):
        check_text("label", asked.label, MOST_LABEL)
    return GrantOffer(
        NewGrant(
            grant_id=made_id(call, request.vin),
            principal=asked.principal,
            vin=request.vin,
            role=GrantRole(_KINDS.Value.Name(asked.kind)),
            actions=tuple(asked.actions),
            valid_seconds=asked.valid_seconds if asked.HasField("valid_seconds") else None,
            schedule=_schedule(asked.schedule) if asked.HasField("schedule") else None,
            label=asked.label,
        ),
        call.granted().subject,
        hashlib.sha256(asked.SerializeToString(deterministic=True)).hexdigest(),
        _time("expiresAt", asked.expires_at) if asked.HasField("expires_at") else None,
    )


def narrowing(asked: door_grant_pb2.DoorGrantNarrowing) -> GrantReduction:
    """Return what is left of a right. Raises Refusal INVALID_REQUEST, UnknownTimeZoneError."""
    return GrantReduction(
        tuple(asked.actions),
        _time("expiresAt", asked.expires_at) if asked.HasField("expires_at") else None,
        _schedule(asked.schedule) if asked.HasField("schedule") else None,
    )


def check_text(field: str, text: str, most: int) -> None:
    """Raise Refusal INVALID_REQUEST unless people can read it as one line, and see all of it."""
    if readable(text, most) != text:
        raise Refusal(
            errors.INVALID_REQUEST,
            "The request has fields that are not valid; correct them and send it again.",
            violations=[
                Violation(field, f"one line of at most {most} printable characters, no spaces around it")
            ],
        )


def grant_message(view: GrantView) -> door_grant_pb2.DoorGrant:
    """Return a grant as it is shown."""
    grant, asked, at = view.grant, view.grant.asked, view.at
    state = grant.state(at)
    message = door_grant_pb2.DoorGrant(
        grant_id=asked.grant_id,
        vin=asked.vin,
        principal=asked.principal,
        kind=_KINDS.Value.Value(asked.role.value),
        state=_STATES.Value.Value(state.value),
        label=asked.label or None,
        actions=sorted(grant.actions),
        given_by=grant.given_by or None,
        in_force=state is GrantState.ACTIVE and not grant.in_force(at).is_dormant,
    )
    if asked.schedule is not None:
        message.schedule.CopyFrom(_schedule_message(asked.schedule))
    if asked.role is GrantRole.DIGITAL_KEY:
        message.key_role = _KEY_ROLES.OWNER if view.is_owners else _KEY_ROLES.FRIEND
    waits = state is GrantState.CREATED
    for timestamp, moment in (
        ("created_at", grant.created_at),
        ("offered_until", grant.offered_until if waits else None),
        ("accepted_at", grant.accepted_at),
        ("expires_at", None if waits else grant.expires_at),
        ("suspended_at", grant.suspended_at if state is GrantState.SUSPENDED else None),
        ("ended_at", grant.revoked_at),
    ):
        if moment is not None:
            set_time(getattr(message, timestamp), moment)
    return message


def grant_list(vin: str, views: Sequence[GrantView]) -> door_grant_pb2.DoorGrantList:
    """Return a vehicle's grants as they are shown."""
    return door_grant_pb2.DoorGrantList(vin=vin, grants=map(grant_message, views))


def transferred(done: Transfer) -> door_grant_pb2.OwnershipTransferred:
    """Return what has become of a vehicle that was handed over."""
    message = door_grant_pb2.OwnershipTransferred(
        vin=done.vin,
        new_owner=done.new_owner,
        ended_grants=done.ended_grants,
        withdrawn_offers=done.withdrawn_offers,
        message=f"{done.new_owner} owns this vehicle now. Every other right on it has ended, yours included: "
        "its streams are closed, and commands that had not acted are withdrawn.",
    )
    set_time(message.transferred_at, done.at)
    return message


def new_severance(request: door_grant_service_pb2.SeverAccessRequest, call: Call) -> NewSeverance:
    """Return a severance as somebody asks for it. Raises Refusal INVALID_REQUEST."""
    asked = request.severance
    check_text("evidence", asked.evidence, MOST_EVIDENCE)
    return NewSeverance(
        made_id(call, request.vin), request.vin, asked.person, asked.evidence, call.granted().subject
    )


def severance_message(severance: AccessSeverance) -> door_grant_pb2.Severance:
    """Return what has become of a severance, as who asked for it is shown it."""
    asked = severance.asked
    states = door_grant_pb2.SeveranceState
    state = states.DONE if severance.completed_at else states.IN_PROGRESS
    message = door_grant_pb2.Severance(
        severance_id=asked.severance_id,
        vin=asked.vin,
        person=asked.person,
        evidence=asked.evidence,
        state=states.REVERSED if severance.reversed_at else state,
    )
    set_time(message.requested_at, severance.requested_at)
    if state == states.IN_PROGRESS:
        set_time(message.due_at, severance.due_at)
    if severance.completed_at is not None:
        set_time(message.completed_at, severance.completed_at)
    if severance.reversed_at is not None:
        set_time(message.reversed_at, severance.reversed_at)
    return message


def account_message(account: Account) -> door_grant_pb2.AccountOfPrincipal:
    """Return somebody's own account as it is shown."""
    states = door_grant_pb2.AccountState
    state = states.ACTIVE if account.restricted_at is None else states.RESTRICTED
    return door_grant_pb2.AccountOfPrincipal(principal=account.principal, state=state)


def refusal_of(error: Exception) -> Refusal | None:
    """Return how this is told; None for what is not about sharing."""
    if isinstance(error, TooManySeverancesError):
        return Refusal(
            errors.RATE_LIMITED,
            "You have asked for this as often as one person may in a day; customer support does it for you.",
            retry_after_seconds=3_600,
        )
    if (violation := _violation_of(error)) is not None:
        return _unsound(*violation)
    if isinstance(error, NotOwnerError):
        return resource_not_found()
    found = next((text for kind, text in _REFUSALS.items() if isinstance(error, kind)), None)
    return None if found is None else Refusal(*found)


def _violation_of(error: Exception) -> tuple[str, str] | None:
    """Return which member is wrong, and why; None for what is not about a member."""
    if isinstance(error, UnsoundChangeError):
        return error.member, error.reason
    if isinstance(error, UnknownTimeZoneError):
        return "schedule.timeZone", "is no time zone of the IANA database"
    if isinstance(error, TooLongError):
        return "validSeconds", f"{error.longest_seconds} at most for {error.role.value}"
    return None


_REFUSALS = {
    NotAnotherAgentError: (
        errors.ACTION_NOT_GRANTED,
        "An emergency is approved by an agent, of the same case, for another agent.",
    ),
    GrantHiddenError: (
        errors.REASONS["GRANT_NOT_FOUND"],
        "There is no such right on this vehicle that you may see or change; list them.",
    ),
    SeveranceUnknownError: (
        errors.REASONS["GRANT_NOT_FOUND"],
        "There is no severance of this id on this vehicle that you asked for.",
    ),
    GrantEndedError: (
        errors.REASONS["GRANT_ENDED"],
        "The right has ended, or was not accepted: this cannot be done to it any more, or not yet.",
    ),
    GrantNotPossibleError: (
        errors.REASONS["GRANT_NOT_POSSIBLE"],
        "This person cannot get a right on this vehicle.",
    ),
    TooManyGrantsError: (
        errors.REASONS["TOO_MANY_GRANTS"],
        "There are as many rights on this vehicle, or of yours on vehicles, as there may be; end some, or wait a day.",
    ),
    AccountStoppedError: (
        errors.REASONS["ACCOUNT_RESTRICTED"],
        "This account is locked or restricted: it gives nobody a right until it has been given back.",
    ),
    ByAgentError: (
        errors.ACTION_NOT_GRANTED,
        "An agent changes nobody's rights; the customer does that.",
    ),
}


def _unsound(field: str, reason: str) -> Refusal:
    return Refusal(
        errors.INVALID_REQUEST,
        "The request has fields that are not valid; correct them and send it again.",
        violations=[Violation(field, reason)],
    )


def _time(field: str, timestamp: Timestamp) -> datetime:
    try:
        return time_of(timestamp)
    except ValueError:
        raise _unsound(field, "is no time before the year 10000") from None


def _schedule(asked: door_grant_pb2.GrantSchedule) -> Schedule:
    schedule = Schedule(
        asked.time_zone,
        tuple(
            WeeklyWindow(
                frozenset(Weekday(day - 1) for day in window.weekdays),
                _minutes(window.opens),
                _minutes(window.closes),
            )
            for window in asked.windows
        ),
    )
    schedule.check()
    return schedule


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _schedule_message(schedule: Schedule) -> door_grant_pb2.GrantSchedule:
    message = door_grant_pb2.GrantSchedule(time_zone=schedule.time_zone)
    for window in schedule.windows:
        message.windows.add(
            weekdays=sorted(day.value + 1 for day in window.weekdays),
            opens=f"{window.opens // 60:02}:{window.opens % 60:02}",
            closes=f"{window.closes // 60:02}:{window.closes % 60:02}",
        )
    return message

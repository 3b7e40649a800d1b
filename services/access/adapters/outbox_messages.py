"""What others are told of people's access, as messages of the outbox: the vehicle's owners, and the other services."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from ecarus.remotecontrol.access.v1 import grant_pb2
from ecarus.remotecontrol.door.v1 import door_update_pb2

from protocol.subjects import ACCESS_CHANGED_SUBJECT, update_subject
from services.access.adapters.translate import OUTBOX_QUEUE, revocation
from services.access.domain.agents import EmergencyApproval
from services.access.domain.grants import GrantRole
from services.access.domain.sharing import ChangeKind
from services.platform.free_text import readable
from services.platform.outbox import OutgoingMessage
from services.platform.times import exact_time, set_time

if TYPE_CHECKING:
    from datetime import datetime

    from services.access.domain.agents import AgentAct
    from services.access.domain.ended_rights import EndedRight
    from services.access.domain.sharing import AccessChange

_MOST_NAME = 128
_SEVERITY = door_update_pb2.AlertSeverity
_NAMES = {
    GrantRole.OWNER: "ownership",
    GrantRole.SHARED_USER: "shared use",
    GrantRole.DIGITAL_KEY: "a digital key",
    GrantRole.VALET: "a valet key",
    GrantRole.SERVICE: "access for roadside service",
}
_SAID = {
    ChangeKind.OFFERED: "{by} offered {whom} {what} of this vehicle.",
    ChangeKind.BEGUN: "{whom} has {what} of this vehicle from now on.",
    ChangeKind.NARROWED: "{by} narrowed {what} of {whom}.",
    ChangeKind.SUSPENDED: "{by} suspended {what} of {whom}.",
    ChangeKind.RESUMED: "{by} resumed {what} of {whom}.",
    ChangeKind.ENDED: "{by} ended {what} of {whom}.",
    ChangeKind.TRANSFERRED: "{by} handed this vehicle over to {whom}; every other right on it has ended.",
}
_WAY_BACK = "It is restored by signing in anew with a second factor, or by customer support."
_OF_ACCOUNTS = {
    "ABNORMAL": "The use of the account {whom} is unusual.",
    "RESTRICTED": "The account {whom} reads and locks only, because its use was abnormal. " + _WAY_BACK,
    "RESTRICTED_BY_OPERATOR": "The account {whom} reads and locks only. " + _WAY_BACK,
    "LOCKED": "The account {whom} is locked.",
    "RESTORED": "The account {whom} is used as before again.",
}
"""What owners of a vehicle are told of another's account: never what was seen of it, which may be about other vehicles
and say where somebody is, nor an operator's reason.
"""
ALERT_CODES = {kind: f"ACCESS_{kind.value}" for kind in _SAID}
"""The code of the SYSTEM_ALERT about each change."""
AGENT_ACTED = "ACCESS_AGENT_ACTED"
EMERGENCY_APPROVED = "ACCESS_EMERGENCY_APPROVED"


class AccessMessages:
    """store.ChangeMessages."""

    def ended(self, ended: EndedRight, /) -> OutgoingMessage:
        """Return what every service is told of a right that ended before its time."""
        return revocation(ended)

    def changed(self, change: AccessChange, /) -> list[OutgoingMessage]:
        """Return what owners who watch the vehicle are told, and what the other services are."""
        silent = change.kind is ChangeKind.SEVERED
        return [_event(change)] if silent else [_alert(change), _event(change)]

    def account(self, vin: str, principal: str, what: str, at: datetime, /) -> OutgoingMessage:
        """Return what the owners of a vehicle are told of an account that has a right on it."""
        text = _OF_ACCOUNTS[what].format(whom=readable(principal, _MOST_NAME))
        severity = _SEVERITY.INFO if what == "RESTORED" else _SEVERITY.WARNING
        return system_alert(vin, f"ACCESS_{what.removesuffix('_BY_OPERATOR')}", severity, text, at)


def system_alert(
    vin: str, code: str, severity: door_update_pb2.AlertSeverity.Value.ValueType, text: str, at: datetime
) -> OutgoingMessage:
    """Return an alert for the owners who watch the vehicle."""
    update = door_update_pb2.DoorUpdate(
        type=door_update_pb2.DoorUpdateType.SYSTEM_ALERT,
        vin=vin,
        system_alert=door_update_pb2.SystemAlert(code=code, severity=severity, message=text),
    )
    set_time(update.timestamp, at)
    return OutgoingMessage(
        message_id=str(uuid.uuid4()),
        queue=OUTBOX_QUEUE,
        subject=update_subject(vin),
        payload=update.SerializeToString(),
        created_at=at,
    )


def agent_alert(told: AgentAct | EmergencyApproval) -> OutgoingMessage:
    """Return the alert about what an agent asks for, or about a second one's approval, for the owners who watch."""
    whom, agent = readable(told.subject, _MOST_NAME), readable(told.agent, _MOST_NAME)
    if isinstance(told, EmergencyApproval):
        by = readable(told.approved_by, _MOST_NAME)
        text = f"{by} approved that {agent} may unlock this vehicle in an emergency for {whom} (case {told.case})."
        return system_alert(told.vin, EMERGENCY_APPROVED, _SEVERITY.WARNING, text, told.at)
    text = f"{agent} of the call centre asks for {told.what} of this vehicle, for {whom} (case {told.case})."
    return system_alert(told.vin, AGENT_ACTED, _SEVERITY.INFO, text, told.at)


def _alert(change: AccessChange) -> OutgoingMessage:
    what = _NAMES[change.role]
    if change.label:
        what += f" ({readable(change.label, _MOST_NAME)})"
    text = _SAID[change.kind].format(
        by=_person(change.by), whom=readable(change.principal, _MOST_NAME), what=what
    )
    grave = change.kind is ChangeKind.TRANSFERRED or change.role is GrantRole.OWNER
    severity = _SEVERITY.WARNING if grave else _SEVERITY.INFO
    return system_alert(change.vin, ALERT_CODES[change.kind], severity, text, change.at)


def _event(change: AccessChange) -> OutgoingMessage:
    event_id = str(uuid.uuid4())
    told = grant_pb2.AccessChanged(
        event_id=event_id,
        change=grant_pb2.AccessChange.Value(f"ACCESS_CHANGE_{change.kind.value}"),
        vin=change.vin,
        principal=change.principal,
        grant_id=change.grant_id,
        by=change.by,
        at=exact_time(change.at),
        owners=change.owners,
    )
    return OutgoingMessage(
        message_id=event_id,
        queue=OUTBOX_QUEUE,
        subject=ACCESS_CHANGED_SUBJECT,
        payload=told.SerializeToString(),
        created_at=change.at,
    )


def _person(by: str) -> str:
    """Return how people are told who did it: which operator is the operators' own business."""
    return "customer support" if by.startswith("spiffe://") else readable(by, _MOST_NAME)

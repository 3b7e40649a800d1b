"""Which service may tell readers of what. The broker says whose an update is: see `kept_update_subject`."""

from __future__ import annotations

import re

DOOR_STATUS = "DOOR_STATUS_UPDATE"
COMMAND_STATUS = "COMMAND_STATUS_UPDATE"
ALERT = "SYSTEM_ALERT"

UPDATES_COALESCED = "UPDATES_COALESCED"
COMMAND_CONTRADICTED = "COMMAND_CONTRADICTED"
UPDATES_RESET = "UPDATES_RESET"
"""Said to one reader by the process that serves it, and never published."""

_UNSTAMPED = "update"
"""What stands where the broker has put no name: protocol.subjects.UNSTAMPED_ORIGIN."""
_KINDS = {
    "status": frozenset({DOOR_STATUS, ALERT}),
    "command": frozenset({COMMAND_STATUS}),
    "diagnostics": frozenset({ALERT}),
    "access": frozenset({ALERT}),
    # From before the broker put a name there, or through a broker that does not yet. Where it does, nobody can
    # publish any more without.
    _UNSTAMPED: frozenset({DOOR_STATUS, COMMAND_STATUS, ALERT}),
}
_ACCESS_ALERTS = frozenset(
    f"ACCESS_{word}"
    for word in (
        *("OFFERED", "BEGUN", "NARROWED", "SUSPENDED", "RESUMED", "ENDED", "TRANSFERRED"),
        *("AGENT_ACTED", "EMERGENCY_APPROVED"),
        *("ABNORMAL", "RESTRICTED", "LOCKED", "RESTORED"),
    )
)
"""About people's access to the vehicle."""
_STATUS_ALERTS = frozenset({UPDATES_COALESCED, COMMAND_CONTRADICTED})
_COMPONENT_ALERTS = frozenset(
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
"""The published catalogue (docs/api.md)."""
UNKNOWN_FAULT = "UNKNOWN_FAULT"
_NUMBER = re.compile(r"(?=.*[0-9])[0-9A-Z]{1,8}(?:[.-][0-9A-F]{1,4})?")
_MEMBERS = {DOOR_STATUS: "door_status", COMMAND_STATUS: "command_status", ALERT: "system_alert"}


def may_tell(origin: str, kind: str) -> bool:
    """Return whether this kind of update is told by this service; `origin` is as `origin_of_update` returns it."""
    return kind in _KINDS.get(origin, ())


def is_accepted(origin: str, kind: str, member: str | None, alert_code: str) -> bool:
    """Return whether an update of this kind, with this member of `data`, is one that this service tells of.

    The access service has those about people's access, the status service those that are named here. All other codes
    are components', which the diagnostics service tells of; see `shown_code`.
    """
    if not may_tell(origin, kind) or member != _MEMBERS[kind]:
        return False
    if kind != ALERT:
        return True
    if origin == "access" or alert_code in _ACCESS_ALERTS:
        return origin == "access" and alert_code in _ACCESS_ALERTS
    if alert_code in _STATUS_ALERTS:
        return origin in {"status", _UNSTAMPED}
    return origin in {"diagnostics", _UNSTAMPED} and alert_code != UPDATES_RESET


def is_for_owners(origin: str) -> bool:
    """Return whether what this service tells is for a vehicle's owners alone: who may do what with it is their
    business, and nobody else's.
    """
    return origin == "access"


def shown_code(alert_code: str) -> str:
    """Return the code of an alert as readers see it: one of the catalogue, or a fault's number; all else is one that
    is not known, whoever says it.
    """
    if (
        alert_code in _STATUS_ALERTS | _ACCESS_ALERTS
        or alert_code in _COMPONENT_ALERTS
        or _NUMBER.fullmatch(alert_code)
    ):
        return alert_code
    return UNKNOWN_FAULT

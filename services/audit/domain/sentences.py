"""An entry of the audit in plain words, for people."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from services.audit.domain.entries import AuditDecision
from services.audit.domain.reading import OPERATOR_READ, WORKLOAD

if TYPE_CHECKING:
    from services.audit.domain.reading import AuditReader, LedgerEntry

_LOOKED = {
    "door.status.read": "looked at the doors, or at a command",
    "door.history.read": "looked at the history",
    "door.audit.read": "read this audit",
    "door.config.read": "looked at the door settings",
    "door.diagnostics.read": "looked at the diagnostics",
    "door.updates.read": "followed the live updates",
    "door.grants.read": "looked at who has which right",
    "door.access.sever": "looked at a severance",
    "case.read": "looked at a case of the call centre",
    "fleet.failures.read": "looked at why commands failed in the whole fleet",
    "person.vehicles.read": "looked at which vehicles are theirs",
    "person.notifications.read": "looked at which devices are told, and of what",
    "person.consents.read": "looked at what was consented to",
    "person.data.export": "looked at, or took, a copy of their data",
    "person.data.erase": "looked at how far the erasure of their data is",
    "webhooks.read": "looked at their webhooks",
    "security.watch": "looked at cases of abnormal access",
}
_WANTED = {
    "door.unlock": "unlock the doors",
    "door.lock": "lock the doors",
    "door.cancel": "cancel a command",
    "door.status.read": "look at the doors",
    "door.history.read": "look at the history",
    "door.audit.read": "read this audit",
    "door.config.read": "look at the door settings",
    "door.config.write": "change the door settings",
    "door.diagnostics.read": "look at the diagnostics",
    "door.diagnostics.check": "have the vehicle check itself",
    "door.updates.read": "follow the live updates",
    "door.grants.read": "look at who has which right",
    "door.grants.write": "give or change a right",
    "door.grants.accept": "accept a right",
    "door.grants.end": "end a right",
    "door.access.sever": "sever somebody's access",
    "door.account.restore": "restore an account",
    "case.read": "look at a case of the call centre",
    "fleet.failures.read": "look at why commands failed in the whole fleet",
    "person.vehicles.read": "look at which vehicles are theirs",
    "person.notifications.read": "look at which devices are told, and of what",
    "person.notifications.write": "change which devices are told, and of what",
    "person.consents.read": "look at what was consented to",
    "person.consents.write": "give or withdraw a consent",
    "person.data.export": "have a copy of their data",
    "person.data.erase": "have their data erased, or look at that, or take it back",
    "webhooks.read": "look at their webhooks",
    "webhooks.write": "change their webhooks",
    "security.watch": "look at cases of abnormal access",
    "security.act": "act on abnormal access",
}
_BECAUSE = {
    "VEHICLE_NOT_FOUND": "there was no right to this vehicle",
    "ACTION_NOT_GRANTED": "the right does not include that",
    "NOT_NOW": "the right does not hold at this time",
    "CLOSED_TO_AGENTS": "agents may not ask for that",
    "OUT_OF_SCOPE": "the app was not allowed that",
    "KEY_OUT_OF_SCOPE": "the API key is not for that",
    "ACCOUNT_LOCKED": "the account is locked",
    "ACCOUNT_RESTRICTED": "the account is restricted",
    "STEP_UP_REQUIRED": "it needs a stronger or more recent sign-in",
    "APPROVAL_REQUIRED": "it needs a second agent's approval",
    "RATE_LIMITED": "there were too many requests",
    "INVALID_REQUEST": "the request was not valid",
    "COMMAND_IN_PROGRESS": "another command was under way",
    "VEHICLE_MOVING": "the vehicle was moving",
    "DOOR_OPEN": "a door stood open",
    "ENGINE_ON": "the ignition was on",
    "REMOTE_ACCESS_DISABLED": "remote access was switched off in the vehicle",
    "FUNCTION_NOT_AVAILABLE": "vehicles of this model cannot do that",
}
_ENDED = {
    "COMMAND_SUCCESS": "The vehicle did as it was asked to",
    "COMMAND_FAILED": "The vehicle did not do as it was asked to",
    "COMMAND_TIMEOUT": "The vehicle did not answer in time; it may have acted",
    "COMMAND_CANCELLED": "A command ended without the vehicle acting on it",
    "COMMAND_CONTRADICTED": "The vehicle's doors stood otherwise than its answer had said",
    "COMMAND_DID_NOT_ACT": "The vehicle proved that it had not acted on a command that had timed out",
    "LATE_RESULT": "The vehicle answered a command after its time was up",
    "RIGHT_ENDED": "A command was taken back, because the right to it had ended",
    "SUPERSEDED": "An unlock was taken back, because a lock took its place",
}
_DONE = {
    "COMMAND_ACCEPTED": "asked to {wanted}, and it was accepted",
    "CANCEL_REQUESTED": "asked to cancel a command",
    "CONFIG_CHANGED": "changed the door settings",
    "NOTHING_CHANGED": "asked to {wanted}, which changed nothing",
    "GRANT_CREATED": "gave a right{about}",
    "GRANT_OFFERED": "offered a right{about}",
    "GRANT_BEGUN": "began a right{about}",
    "GRANT_NARROWED": "narrowed a right{about}",
    "GRANT_SUSPENDED": "suspended a right{about}",
    "GRANT_RESUMED": "resumed a right{about}",
    "GRANT_ENDED": "ended a right{about}",
    "GRANT_REVOKED": "revoked a right{about}",
    "GRANT_REQUESTED": "asked for a right{about}",
    "GRANT_APPROVED": "approved a right{about}",
    "GRANT_WITHDRAWN": "withdrew what was asked for{about}",
    "GRANT_GIVEN_BACK": "gave a right back{about}",
    "OWNERSHIP_TRANSFERRED": "handed the vehicle over{about}",
    "ACCESS_SEVERED": "severed somebody's access",
    "GRANT_SEVERED": "ended a right by severing access",
    "CASE_OPENED": "opened a case{about}",
    "CASE_CLOSED": "closed a case{about}",
    "EMERGENCY_APPROVED": "approved an emergency{about}",
    "AGENT_ACTED": "acted{about}",
    "AUDIT_READ": "read the audit",
    "AUDIT_COPIED": "took a copy of the whole audit in clear",
    "VEHICLE_ENROLLED": "enrolled the vehicle",
    "VEHICLE_REVOKED": "revoked the vehicle's enrolment",
}


def sentence_of(entry: LedgerEntry, reader: AuditReader | None = None) -> str:
    """Return the entry in one sentence; for a `reader` in their eyes, for operators with everybody's name."""
    if entry.kind in _ENDED:
        return f"{_ENDED[entry.kind]}{_in_brackets(entry)}."
    who = _who(entry, reader)
    if entry.decision is AuditDecision.REFUSED:
        because = _BECAUSE.get(entry.value("rule"), _words(entry.value("rule")))
        return f"{who} asked to {_wanted(entry)} and was refused: {because or 'no reason is known'}."
    if entry.kind == "ACCESS_ALLOWED":
        action = entry.value("action")
        looked = _LOOKED.get(action, "was allowed " + (action or "to look"))
        return f"{who} {looked}{_again(entry.detail().get('count', ''))}."
    about = _about(entry, reader)
    if entry.kind not in _DONE:
        return f"{who}: {_words(entry.kind)}{about}{_in_brackets(entry)}."
    told = _DONE[entry.kind].format(wanted=_wanted(entry), about=about)
    return f"{who} {told}{_in_brackets(entry)}."


def _again(count: str) -> str:
    return {"": "", "1": " (once more)"}.get(count, f" ({count} more times)")


def _who(entry: LedgerEntry, reader: AuditReader | None) -> str:
    actor = entry.actor
    if not actor:
        return "Somebody whose data were erased" if entry.erased else "Somebody who was not signed in"
    return actor if reader is None else _called(actor, entry, reader)


def _called(actor: str, entry: LedgerEntry, reader: AuditReader) -> str:
    """Return how an actor is called to this reader."""
    is_agent = entry.subject not in {"", actor} and bool(entry.detail().get("case"))
    called = (
        (actor == reader.actor, "You"),
        (entry.is_of_a_stranger, "Somebody without a right to this vehicle"),
        (actor.startswith(WORKLOAD), "An operator"),
        (actor == "RULE", "A rule of the service"),
        (is_agent, f"Agent {actor}"),
    )
    return next((words for holds, words in called if holds), actor)


def _about(entry: LedgerEntry, reader: AuditReader | None) -> str:
    subject = entry.subject
    if subject in {"", entry.actor} or subject.startswith(WORKLOAD):
        return ""
    is_reader = reader is not None and subject == reader.subject and not reader.is_agent
    return f" for {'you' if is_reader else subject}"


def _wanted(entry: LedgerEntry) -> str:
    action = entry.value("action")
    return _WANTED.get(action, action or _words(entry.detail().get("rpc", "do something")))


def _in_brackets(entry: LedgerEntry) -> str:
    if entry.kind == OPERATOR_READ:
        return ""
    detail = entry.detail()
    told = [detail[name] for name in ("doors", "reason", "status") if detail.get(name)]
    if entry.kind == "CONFIG_CHANGED":
        told = [f"{_words(name)} {value}" for name, value in sorted(detail.items()) if name != "case"]
    return f" ({'; '.join(told)})" if told else ""


def _words(name: str) -> str:
    """Return the words of a name in snake case or camel case."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").lower()

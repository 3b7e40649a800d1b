"""Who may see which entry of a vehicle's audit."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.audit.domain.entries import AuditDecision

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

OWNER = "OWNER"
NO_RIGHT = "VEHICLE_NOT_FOUND"
"""Why somebody was refused who has no right on the vehicle."""
REFUSED_AT_THE_EDGE = "ACCESS_REFUSED"
"""The kind of what was refused before or while it was looked whether somebody has a right."""
HAS_RIGHT = "has_right"
"""In the detail of such an entry, where they were seen to have one."""
SEVERANCES = frozenset({"ACCESS_SEVERED", "GRANT_SEVERED", "REVERSAL_REQUESTED", "SEVERANCE_REVERSED"})
SEVER = "door.access.sever"
WORKLOAD = "spiffe://"
"""Begins the name of an actor who is an operator, known by certificate."""
OPERATOR_READ = "AUDIT_READ"
"""The kind of the entry that says that an operator read, with their reason in its detail."""
ENDINGS = frozenset({"COMMAND_SUCCESS", "COMMAND_FAILED", "COMMAND_TIMEOUT", "COMMAND_CANCELLED"})
LATE_RESULT = "LATE_RESULT"


class CommandUnknownError(Exception):
    """The ledger knows no such command, or none that the reader may see."""


class ReceiptNotReadyError(Exception):
    """The command has not ended, or its end is under no signed checkpoint yet."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """An entry as the ledger holds it. `members` are those that can still be opened, by name; `erased` names whose were
    forgotten: "subject", "actor".
    """

    leaf_index: int
    leaf_id: str
    at: datetime
    kind: str
    decision: AuditDecision
    service: str
    members: Mapping[str, str] = field(default_factory=dict)
    erased: frozenset[str] = frozenset()

    def value(self, name: str) -> str:
        """Return the member's text; empty where it has none, or is forgotten."""
        return self.members.get(name, "")

    def detail(self) -> Mapping[str, str]:
        """Return what it says besides; nothing where that is forgotten."""
        text = self.value("detail")
        found: dict[str, str] = json.loads(text) if text else {}
        return found

    @property
    def subject(self) -> str:
        """For or about whom it is."""
        return self.value("subject")

    @property
    def actor(self) -> str:
        """Who acted."""
        return self.value("actor") or self.subject

    @property
    def is_of_a_stranger(self) -> bool:
        """Whether somebody was refused who has no right on the vehicle, or of whom it was not seen that they have one:
        for too many requests, a locked account, a case that is not open.
        """
        if self.decision is not AuditDecision.REFUSED:
            return False
        proven = self.kind != REFUSED_AT_THE_EDGE or self.detail().get(HAS_RIGHT) == "true"
        return not proven or self.value("rule") == NO_RIGHT

    @property
    def is_of_a_severance(self) -> bool:
        """Whether it says that somebody's access was, or was to be, severed."""
        return self.kind in SEVERANCES or self.value("action") == SEVER

    def concerns(self, principal: str) -> bool:
        """Return whether this person is its subject or its actor."""
        return principal in {self.subject, self.actor}


@dataclass(frozen=True, slots=True)
class AuditReader:
    """Who reads: a person, or an agent (`actor`) for one, in which role to the vehicle, and since when in it."""

    subject: str
    actor: str
    role: str
    since: datetime

    @property
    def is_owner(self) -> bool:
        """Whether the vehicle is theirs."""
        return self.role == OWNER

    @property
    def is_agent(self) -> bool:
        """Whether somebody else reads for the person."""
        return self.actor != self.subject

    def may_see(self, entry: LedgerEntry) -> bool:
        """Return whether the entry is theirs to see: nothing from before their right began; a severance for who asked
        for it, and for no agent; of others' the owner alone.
        """
        if entry.at < self.since:
            return False
        if entry.is_of_a_severance and (self.is_agent or not entry.concerns(self.subject)):
            return False
        return self.is_owner or entry.concerns(self.subject)

    def may_know(self, principal: str, entry: LedgerEntry) -> bool:
        """Return whether they may know who that is: nobody without a right on the vehicle is named to its owner, and no
        operator by name.
        """
        if not principal or principal == self.subject:
            return bool(principal)
        return not (entry.is_of_a_stranger or principal.startswith(WORKLOAD))

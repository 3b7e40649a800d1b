"""An audit entry, and whose each of its members is."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

MAX_ENTRY_BYTES = 8_192
"""Of an entry as it is brought."""
HOUSE = ""
"""Stands for nobody: what is about no person is kept under the house's own key, which is never destroyed."""


class AuditDecision(StrEnum):
    """What was decided."""

    ALLOWED = "ALLOWED"
    REFUSED = "REFUSED"
    NONE = "NONE"


class RejectedFor(Enum):
    """Why an entry will never be taken as it is."""

    MALFORMED = "MALFORMED"
    TOO_LARGE = "TOO_LARGE"
    ID_REUSED = "ID_REUSED"


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class RejectedEntry:
    """An entry that is not taken: its id as it came, why, and for operators how."""

    entry_id: str
    reason: RejectedFor
    detail: str


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """See the contract. `at` is aware; hashes are 32 bytes, or none where there is no such thing."""

    entry_id: str
    at: datetime
    service: str
    kind: str
    decision: AuditDecision
    vin: str = ""
    subject: str = HOUSE
    actor: str = ""
    source: str = ""
    factors: tuple[str, ...] = ()
    rule: str = ""
    action: str = ""
    correlation_id: str = ""
    command_id: str = ""
    order_sha256: bytes = b""
    result_sha256: bytes = b""
    result: bytes = b""
    detail: Mapping[str, str] = field(default_factory=dict)

    @property
    def who_acted(self) -> str:
        """Whose key the actor's member is under: the actor's, where somebody acted for the subject."""
        return self.actor or self.subject

    def members(self) -> dict[str, str]:
        """Return what the leaf commits to: those that it has, as text, by name.

        Hashes are in hex, a result in base64, lists and maps JSON in one form.
        """
        every = {
            "entry_id": self.entry_id,
            "vin": self.vin,
            "subject": self.subject,
            "actor": self.actor,
            "source": self.source,
            "factors": _json(list(self.factors)) if self.factors else "",
            "rule": self.rule,
            "action": self.action,
            "correlation_id": self.correlation_id,
            "command_id": self.command_id,
            "order_sha256": self.order_sha256.hex(),
            "result_sha256": self.result_sha256.hex(),
            "result": base64.b64encode(self.result).decode(),
            "detail": _json(dict(self.detail)) if self.detail else "",
        }
        return {name: value for name, value in every.items() if value}

    def content(self) -> bytes:
        """Return bytes that are the same for the same entry, and for no other."""
        return content_of(self.members(), self.at, self.service, self.kind, self.decision.value)


def content_of(members: Mapping[str, str], at: datetime, service: str, kind: str, decision: str) -> bytes:
    """Return AuditEntry.content of the entry that has these members."""
    said = {"at": at.isoformat(), "service": service, "kind": kind, "decision": decision}
    return _json({**members, **said}).encode()


def _json(value: object) -> str:
    return _ENCODER.encode(value)


OF_THE_ACTOR = frozenset({"actor"})
"""The members that are under the actor's key; all others are under the subject's."""

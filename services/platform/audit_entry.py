"""What a service says of a decision, or of something that was done, as it goes to the audit ledger."""

from __future__ import annotations

import itertools
import re
import secrets
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.audit.v1 import audit_entry_pb2

from services.platform.times import set_time
from services.product import RESOURCE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from services.platform.capability import Capability

MAX_ENTRY_BYTES = 8 * 1024
"""So much the ledger takes of one entry."""
MAX_RESULT_BYTES = 4 * 1024
MAX_ID_BYTES = 256
"""Of a principal."""
_MAX_WORD, _MAX_TEXT = 64, 1_024
_MAX_FACTORS, _MAX_DETAILS = 16, 16
_KIND = re.compile(r"[A-Z][A-Z_]{2,39}")
_DETAIL_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
ACR = "acr:"
"""Begins, among the factors, the class of the authentication."""


class DecisionOutcome(IntEnum):
    """What was decided, by the contract's numbers."""

    ALLOWED = audit_entry_pb2.AUDIT_DECISION_ALLOWED
    REFUSED = audit_entry_pb2.AUDIT_DECISION_REFUSED
    NONE = audit_entry_pb2.AUDIT_DECISION_NONE
    """It tells what happened, and nobody had to decide."""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One decision, or one thing that was done. `kind` is a word of the service's (`ACCESS_REFUSED`).

    `factors` are the authentication's methods, and its class after ACR; `rule` is what decided: a role, a right's id,
    the reason of a refusal, a line of the step-up table.
    """

    kind: str
    at: datetime
    decision: DecisionOutcome
    resource: str = ""
    subject: str = ""
    actor: str = ""
    source: str = ""
    factors: tuple[str, ...] = ()
    rule: str = ""
    action: str = ""
    correlation_id: str = ""
    detail: Mapping[str, str] = field(default_factory=dict)


class EntryIds:
    """Makes ids of entries, each once for ever: another process, and a database of yesterday, make others."""

    def __init__(self, service: str) -> None:
        self._prefix = f"{service}-{secrets.token_hex(10)}-"
        self._numbers = itertools.count(1)

    def next(self) -> str:
        """Return an id that no entry has."""
        return f"{self._prefix}{next(self._numbers):x}"


def require_names(kind: str, detail: Mapping[str, str]) -> None:
    """Raise ValueError unless the ledger takes this kind of entry and these names of details: it sets aside, whole, an
    entry with one that it does not take.
    """
    if not _KIND.fullmatch(kind):
        raise ValueError(f"the audit ledger takes no entries of kind {kind!r}")
    for name in detail:
        if not _DETAIL_NAME.fullmatch(name):
            raise ValueError(f"the audit ledger takes no detail named {name!r} ({kind})")


def message_of(record: AuditRecord, entry_id: str) -> Any:
    """Return the ledger's message of this record. What is longer than it takes is cut: who chose the words of a request
    must not keep its decision out of the ledger.
    """
    message = audit_entry_pb2.AuditEntry(
        entry_id=entry_id,
        kind=record.kind,
        decision=int(record.decision),  # type: ignore[arg-type]  # the stub wants its own enum
        subject=cut(record.subject, MAX_ID_BYTES),
        actor=cut(record.actor, MAX_ID_BYTES),
        source=cut(record.source, _MAX_WORD),
        factors=[cut(each, MAX_ID_BYTES // 2) for each in record.factors[:_MAX_FACTORS]],
        rule=cut(record.rule, MAX_ID_BYTES),
        action=cut(record.action, _MAX_WORD),
        correlation_id=cut(record.correlation_id, _MAX_WORD),
        detail={
            name: cut(value, _MAX_TEXT)
            for name, value in itertools.islice(record.detail.items(), _MAX_DETAILS)
            if value
        },
    )
    setattr(message, RESOURCE, record.resource)
    set_time(message.at, record.at)
    return message


def encoded(record: AuditRecord, entry_id: str) -> bytes:
    """Return the ledger's message of this record, serialized."""
    message: bytes = message_of(record, entry_id).SerializeToString()
    return message


def cut(text: str, most_bytes: int) -> str:
    """Return the text, or as much of its beginning as fits; half a pair of surrogates is written out."""
    if text.isascii():
        return text[:most_bytes]
    return text.encode(errors="backslashreplace")[:most_bytes].decode(errors="ignore")


def factors_of(capability: Capability) -> tuple[str, ...]:
    """Return how its person had proven who they are."""
    return factors_in(capability.factors, capability.acr)


def factors_in(methods: frozenset[str], acr: str) -> tuple[str, ...]:
    """Return the methods of an authentication, and its class, as an entry names them."""
    return (*sorted(methods), *((ACR + acr,) if acr else ()))


def case_in(granted: Capability) -> dict[str, str]:
    """Return the case because of which somebody acts for the subject, as an entry's detail."""
    return {"case": granted.case} if granted.case else {}

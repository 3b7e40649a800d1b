"""Entries as services make them: the ledger takes each, whoever chose the words in it; and none fails a request."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.audit.v1 import audit_entry_pb2

from services.audit.adapters.translate import entry_of
from services.audit.domain.entries import AuditEntry
from services.platform import errors
from services.platform.audit_entry import AuditRecord, DecisionOutcome, EntryIds, encoded
from services.platform.audit_trail import LOST, AuditTrail
from services.platform.audited_database import AuditedAct
from services.platform.call import Call
from services.platform.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

T0 = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
VIN = "KMHSH81C7LU123456"


def record(**more: Any) -> AuditRecord:
    return AuditRecord("ACCESS_REFUSED", T0, DecisionOutcome.REFUSED, **{"resource": VIN, **more})


@pytest.mark.parametrize(
    "text", ["user-123", "x" * 5_000, "\U0001f600" * 2_000, "a\ud800b", "nul\0", "한국어" * 500, ""]
)
def test_the_ledger_takes_it_whatever_words_somebody_chose(text: str) -> None:
    made = record(
        subject=text,
        actor=text,
        source=text,
        factors=(text,) * 20,
        rule=text,
        action=text,
        correlation_id=text,
        detail={"reason": text, "case": text},
    )
    message = audit_entry_pb2.AuditEntry.FromString(encoded(made, "access-1"))
    taken = entry_of(message, "access")
    assert isinstance(taken, AuditEntry), taken
    assert taken.vin == VIN


@pytest.mark.parametrize(
    "name", ["a", "url_sha256", "a" * 40, "a" * 41, "urlSha256", "1st", "", "a-b", "a\n"]
)
@pytest.mark.parametrize("kind", ["GRANT_REVOKED", "A", "grant_revoked", "GRANT_2", "A" * 41])
def test_an_act_is_of_names_that_the_ledger_takes(kind: str, name: str) -> None:
    message = audit_entry_pb2.AuditEntry.FromString(encoded(record(detail={name: "x"}), "access-1"))
    message.kind = kind
    if isinstance(entry_of(message, "access"), AuditEntry):
        assert AuditedAct(kind, T0, detail={name: "x"}).kind == kind
    else:
        with pytest.raises(ValueError, match="the audit ledger takes no"):
            AuditedAct(kind, T0, detail={name: "x"})


def test_ids_are_never_the_same() -> None:
    one, other = EntryIds("access"), EntryIds("access")
    made = [ids.next() for _ in range(100) for ids in (one, other)]
    assert len(set(made)) == 200
    assert all(each.startswith("access-") for each in made)


async def test_a_decision_that_cannot_be_told_is_counted_and_fails_nobody() -> None:
    kept: list[bytes] = []

    async def write(entries: Sequence[bytes]) -> None:
        kept.extend(entries)

    trail = AuditTrail(EntryIds("access"), write, lambda: T0, "RIGHTS_REFUSED")
    trail.note(record(detail={"reason": 7}))
    trail.note(record(subject="user-123"))
    await trail.flush()
    told = [audit_entry_pb2.AuditEntry.FromString(each) for each in kept]
    assert [(each.kind, dict(each.detail)) for each in told] == [
        ("ACCESS_REFUSED", {}),
        (LOST, {"count": "1"}),
    ]


@pytest.mark.parametrize("recorded", [False, True])
async def test_what_fails_after_its_commit_has_the_commits_entry_alone(recorded: bool) -> None:  # a parameter
    kept: list[bytes] = []

    async def write(entries: Sequence[bytes]) -> None:
        kept.extend(entries)

    trail = AuditTrail(EntryIds("command"), write, lambda: T0, "COMMAND_REFUSED")
    call = Call("/s/UnlockDoors", "c-1", "spiffe://ecarus/edge", None, {}, changes=True)
    if recorded:
        call.note_recorded()
    trail.tell(call, Refusal(errors.INTERNAL_ERROR, "the answer was not made", may_have_succeeded=True))
    await trail.flush()
    assert len(kept) == (0 if recorded else 1)

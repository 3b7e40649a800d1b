"""What is handed over to a person of the ledger."""

from __future__ import annotations

from services.audit.adapters.store.ledger import OpenEntry
from services.audit.adapters.subject_data import _told
from tlog.leaves import Disclosure, Leaf


def entry(kind: str, **members: str) -> OpenEntry:
    leaf = Leaf("0" * 32, 1_768_228_200_123, kind, "ALLOWED", "audit", {})
    opened = {name: Disclosure(name, bytes(32), value) for name, value in members.items()}
    return OpenEntry(7, leaf, opened)


def test_a_person_is_given_neither_an_operators_name_nor_why_one_read() -> None:
    operator = "spiffe://ecarus/team/operator/alice"
    read = entry("AUDIT_READ", subject="user-123", actor=operator, detail='{"reason":"police file 17"}')
    told = _told(read, "user-123")
    assert told == {
        "leafIndex": 7,
        "kind": "AUDIT_READ",
        "decision": "ALLOWED",
        "service": "audit",
        "subject": "user-123",
    }
    locked = entry("ACCOUNT_LOCKED", subject="user-123", actor=operator, detail='{"named":"x"}')
    assert _told(locked, "user-123") == told | {"kind": "ACCOUNT_LOCKED", "detail": '{"named":"x"}'}


def test_what_a_person_only_did_says_nothing_of_others() -> None:
    gave = entry("GRANT_OFFERED", subject="user-789", actor="user-123", rule="OWNER")
    assert _told(gave, "user-123") == {
        "leafIndex": 7,
        "kind": "GRANT_OFFERED",
        "decision": "ALLOWED",
        "service": "audit",
        "actor": "user-123",
    }

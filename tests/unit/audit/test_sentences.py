"""Entries in plain words: each action has some, and names become words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ecarus.remotecontrol.options.v1 import options_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from services.audit.domain.entries import AuditDecision
from services.audit.domain.reading import AuditReader, LedgerEntry
from services.audit.domain.sentences import sentence_of
from tests.support.audit_entries import T0

_CONTRACT = Path(__file__).parents[3] / "gen/door.binpb"


def said(kind: str, decision: AuditDecision, **members: Any) -> str:
    words = {name: each if isinstance(each, str) else json.dumps(each) for name, each in members.items()}
    return sentence_of(LedgerEntry(0, "0" * 32, T0, kind, decision, "access", {"subject": "user-1", **words}))


def actions(*, that_change: bool) -> set[str]:
    """The actions of the contract's RPCs: of all, or of those that only read."""
    contract = FileDescriptorSet.FromString(_CONTRACT.read_bytes())
    rules = [
        method.options.Extensions[options_pb2.access]
        for file in contract.file
        for service in file.service
        for method in service.method
    ]
    return {rule.action for rule in rules if rule.action and (that_change or not rule.changes)}


@pytest.mark.parametrize("action", sorted(actions(that_change=True)))
def test_each_action_that_was_refused_is_told_in_words(action: str) -> None:
    sentence = said("ACCESS_REFUSED", AuditDecision.REFUSED, action=action, rule="NOT_NOW")
    assert sentence.startswith("user-1 asked to ")
    assert "." not in sentence.removesuffix(".")


@pytest.mark.parametrize("action", sorted(actions(that_change=False)))
def test_each_action_by_which_somebody_looks_is_told_in_words(action: str) -> None:
    sentence = said("ACCESS_ALLOWED", AuditDecision.ALLOWED, action=action)
    assert "was allowed" not in sentence
    assert "." not in sentence.removesuffix(".")


def test_names_become_words() -> None:
    refused = said("REFUSED", AuditDecision.REFUSED, detail={"rpc": "RevokeVehicle"}, rule="NOT_ENROLLED")
    assert refused == "user-1 asked to revoke vehicle and was refused: not enrolled."


@pytest.mark.parametrize(
    ("detail", "words"), [({}, ""), ({"count": "1"}, " (once more)"), ({"count": "3"}, " (3 more times)")]
)
def test_what_was_repeated_is_counted(detail: dict[str, str], words: str) -> None:
    looked = said("ACCESS_ALLOWED", AuditDecision.ALLOWED, action="door.audit.read", detail=detail)
    assert looked == f"user-1 read this audit{words}."


def test_an_agent_is_told_for_whom_they_acted_and_the_customer_that_it_was_for_them() -> None:
    members = {"subject": "user-1", "actor": "agent-7", "detail": json.dumps({"case": "C-1"})}
    entry = LedgerEntry(0, "0" * 32, T0, "AGENT_ACTED", AuditDecision.ALLOWED, "access", members)
    assert sentence_of(entry, AuditReader("user-1", "agent-7", "OWNER", T0)) == "You acted for user-1."
    assert sentence_of(entry, AuditReader("user-1", "user-1", "OWNER", T0)) == "Agent agent-7 acted for you."

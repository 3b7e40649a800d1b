"""`doorctl audit list`: asked under a person's name with a reason, shown in words."""

from __future__ import annotations

from typing import Any

import pytest
from ecarus.remotecontrol.audit.v1 import audit_entry_pb2
from ecarus.remotecontrol.audit.v1 import audit_reading_service_pb2 as contract

from doorctl.operator_channel import OperationError

VIN = "KMHSH81C7LU123456"


def entry(**changed: Any) -> contract.ReadEntry:
    form = {
        "leaf_index": 7,
        "leaf_id": "0" * 32,
        "kind": "COMMAND_ACCEPTED",
        "decision": audit_entry_pb2.AUDIT_DECISION_ALLOWED,
        "service": "command",
        "members": {"command_id": "cmd-1", "correlation_id": "c-\n1", "subject": "user-123"},
        "sentence": "user-123 asked to lock the doors, and it was accepted.",
    }
    made = contract.ReadEntry(**{**form, **changed})
    made.at.seconds = 1_768_228_200
    return made


def test_entries_are_shown_in_words(run: Any) -> None:
    answer = contract.ListEntriesResponse(entries=[entry()], next_page_token="abc")
    done, operator = run(answer, "audit", "list", "--vin", VIN, "--reason", "ticket 7", "--limit", "1")
    assert done.exit_code == 0, done.output
    assert done.stdout == (
        "7 2026-01-12T14:30:00+00:00 ALLOWED COMMAND_ACCEPTED: user-123 asked to lock the doors, and it was "
        "accepted. command_id=cmd-1 correlation_id=c-\\n1\n"
    )
    assert "there are older ones: --page abc" in done.stderr
    request = contract.ListEntriesRequest(vin=VIN, reason="ticket 7", page_size=1)
    assert operator.asked == [("audit", "ListEntries", request, "person")]


def test_a_persons_entries_go_on_at_a_page(run: Any) -> None:
    words = ["audit", "list", "--principal", "user-123", "--reason", "her request", "--page", "abc"]
    done, operator = run(contract.ListEntriesResponse(), *words)
    assert (done.exit_code, done.output) == (0, "")
    request = contract.ListEntriesRequest(
        principal="user-123", reason="her request", page_size=50, page_token="abc"
    )
    assert operator.asked[0][2] == request


@pytest.mark.parametrize("about", [[], ["--vin", VIN, "--principal", "user-123"]])
def test_one_of_a_vehicle_and_a_person_is_named(run: Any, about: list[str]) -> None:
    done, operator = run(contract.ListEntriesResponse(), "audit", "list", "--reason", "x", *about)
    assert (done.exit_code, operator.asked) == (1, [])
    without, _ = run(contract.ListEntriesResponse(), "audit", "list", "--vin", VIN)
    assert without.exit_code == 2  # no reason


def test_what_is_refused_is_said(run: Any) -> None:
    done, _ = run(OperationError("no"), "audit", "list", "--vin", VIN, "--reason", "x")
    assert (done.exit_code, done.stderr) == (1, "doorctl: no\n")

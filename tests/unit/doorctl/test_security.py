"""`doorctl access`: what operators see of abnormal and severed access, and do about it."""

from __future__ import annotations

from typing import Any

import pytest
from ecarus.remotecontrol.access.v1 import abnormal_pb2, account_pb2, severance_pb2
from ecarus.remotecontrol.access.v1 import access_service_pb2 as contract

VIN = "KMHSH81C7LU123456"
THEN = 1_768_228_200
ALICE = "spiffe://ecarus/team/operator/alice"


def case() -> abnormal_pb2.AbnormalCase:
    found = abnormal_pb2.AbnormalCase(
        case_id="ab-1",
        kind="VIN_ENUMERATION",
        principal="user-123",
        evidence="many\x1b[2J",
        restricted=True,
        times=3,
    )
    found.raised_at.seconds = THEN
    return found


def test_cases_are_listed_and_acknowledged(run: Any) -> None:
    done, operator = run(contract.ListAbnormalAccessResponse(cases=[case()]), "access", "cases", "--open")
    assert done.output == (
        "ab-1 VIN_ENUMERATION RESTRICTED user-123: many\\x1b[2J, 2026-01-12T14:30:00+00:00, 3 times\n"
    )
    assert operator.asked[0][1:] == (
        "ListAbnormalAccess",
        contract.ListAbnormalAccessRequest(open_only=True),
        "operator",
    )
    done, _ = run(contract.ListAbnormalAccessResponse(), "access", "cases")
    assert done.output == "no cases\n"
    seen = case()
    seen.acknowledged_by = ALICE
    done, operator = run(seen, "access", "acknowledge", "ab-1")
    assert done.output.endswith(f", looked at by {ALICE}\n")
    assert operator.asked[0][2] == contract.AcknowledgeAbnormalAccessRequest(case_id="ab-1")


@pytest.mark.parametrize(
    ("words", "rpc", "who"),
    [
        (("restrict", "user-123", "--reason", "odd"), "RestrictAccount", "operator"),
        (("lock", "user-123", "--reason", "odd"), "LockAccount", "operator"),
        (("restore", "user-123"), "RestoreAccount", "person"),
    ],
)
def test_accounts_are_restricted_locked_and_restored(
    run: Any, words: tuple[str, ...], rpc: str, who: str
) -> None:
    account = account_pb2.Account(
        principal="user-123",
        restriction_reason="odd",
        restore_requested_by=ALICE if rpc == "RestoreAccount" else "",
    )
    account.restricted_at.seconds = THEN
    done, operator = run(account, "access", *words)
    assert done.output.startswith("user-123 restricted 2026-01-12T14:30:00+00:00: odd")
    assert (ALICE in done.output) is (rpc == "RestoreAccount")
    (asked,) = operator.asked
    assert (asked[1], asked[2].principal, asked[3]) == (rpc, "user-123", who)
    assert getattr(asked[2], "reason", "odd") == "odd"


def severance(**more: Any) -> severance_pb2.VehicleSeverance:
    found = severance_pb2.VehicleSeverance(
        severance_id="s-1", vin=VIN, person="mallory", requested_by="survivor", evidence="file 1", **more
    )
    found.requested_at.seconds = THEN
    found.due_at.seconds = THEN + 2 * 86_400
    return found


def test_severances_are_listed_with_their_legal_clock(run: Any) -> None:
    done_one, reversed_one = severance(), severance(reversal_requested_by=ALICE, reversed_by="bob")
    done_one.completed_at.seconds = THEN + 1
    reversed_one.reversed_at.seconds = THEN + 60
    asked_back = severance(reversal_requested_by=ALICE, on_behalf_of="file 99")
    answer = contract.ListSeverancesResponse(severances=[severance(), done_one, reversed_one, asked_back])
    done, operator = run(answer, "access", "severances", VIN.lower())
    asked = "asked for 2026-01-12T14:30:00+00:00 by survivor"
    due = "due 2026-01-14T14:30:00+00:00"
    assert done.output.splitlines() == [
        f"s-1 {VIN} mallory IN_PROGRESS, {due}, {asked}",
        f"s-1 {VIN} mallory DONE 2026-01-12T14:30:01+00:00, {due}, {asked}",
        f"s-1 {VIN} mallory REVERSED 2026-01-12T14:31:00+00:00 by bob, {asked}",
        f"s-1 {VIN} mallory IN_PROGRESS, {due}, {asked} for file 99, reversal asked for by {ALICE}",
    ]
    assert operator.asked[0][1:] == ("ListSeverances", contract.ListSeverancesRequest(vin=VIN), "person")
    done, operator = run(contract.ListSeverancesResponse(), "access", "severances")
    assert (done.output, operator.asked[0][2]) == ("no severances\n", contract.ListSeverancesRequest())

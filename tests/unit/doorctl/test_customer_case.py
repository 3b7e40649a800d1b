"""`doorctl case`: the call centre's cases."""

from __future__ import annotations

from typing import Any

from ecarus.remotecontrol.access.v1 import customer_case_pb2
from ecarus.remotecontrol.access.v1 import customer_case_service_pb2 as contract

VIN = "KMHSH81C7LU123456"
THEN = 1_768_228_200


def case(**more: Any) -> customer_case_pb2.CustomerCase:
    found = customer_case_pb2.CustomerCase(
        case_number="case-1",
        customer="user-123",
        vin=VIN,
        opened_by="spiffe://ecarus/team/call-center",
        **more,
    )
    found.opened_at.seconds = THEN
    return found


def test_a_case_is_opened_closed_and_listed(run: Any) -> None:
    opened = "opened 2026-01-12T14:30:00+00:00 by spiffe://ecarus/team/call-center"
    done, operator = run(case(), "case", "open", "case-1", "user-123", "--vin", VIN.lower())
    assert done.output == f"case-1 user-123 {VIN} OPEN {opened}\n"
    request = contract.OpenCaseRequest(case_number="case-1", customer="user-123", vin=VIN)
    assert operator.asked == [("access", "OpenCase", request, "person")]
    closed = case(closed_by="spiffe://ecarus/operator")
    closed.closed_at.seconds = THEN + 60
    done, operator = run(closed, "case", "close", "case-1")
    assert (
        done.output
        == f"case-1 user-123 {VIN} CLOSED 2026-01-12T14:31:00+00:00 by spiffe://ecarus/operator {opened}\n"
    )
    assert operator.asked[0][2] == contract.CloseCaseRequest(case_number="case-1")
    done, operator = run(
        contract.ListCasesResponse(cases=[closed]), "case", "list", "--open", "--customer", "user-123"
    )
    assert done.output.startswith("case-1 user-123")
    assert operator.asked[0][2] == contract.ListCasesRequest(open_only=True, customer="user-123")
    done, _ = run(contract.ListCasesResponse(), "case", "list")
    assert done.output == "no cases\n"
    unknown = customer_case_pb2.CustomerCase(case_number="case-2", closed_by="spiffe://ecarus/operator")
    unknown.closed_at.seconds = THEN
    done, _ = run(unknown, "case", "close", "case-2")
    assert done.output == "case-2 nobody known CLOSED 2026-01-12T14:30:00+00:00 by spiffe://ecarus/operator\n"

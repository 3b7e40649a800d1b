"""`doorctl grant`: what is asked of the access service under whose name, and what is shown."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2 as contract
from ecarus.remotecontrol.access.v1 import grant_pb2

from doorctl.operator_channel import OperationError

VIN = "KMHSH81C7LU123456"
GIVE = ["grant", "give", "guest", VIN, "--role", "digital-key"]


def grant(**changed: Any) -> grant_pb2.Grant:
    form = {"grant_id": "g-1", "principal": "guest", "vin": VIN, "role": grant_pb2.GRANT_ROLE_DIGITAL_KEY}
    return grant_pb2.Grant(**{**form, **changed})


def revoked() -> grant_pb2.Grant:
    ended = grant()
    ended.revoked_at.seconds = 1_768_228_200
    return ended


def test_a_grant_is_given_under_a_persons_name(run: Any) -> None:
    words = [*GIVE, "--id", "g-1", "--valid", "8h", "--action", "door.lock", "--action", "door.status.read"]
    done, operator = run(grant(), *words)
    assert (done.exit_code, done.output) == (0, f"g-1 guest {VIN} DIGITAL_KEY not revoked\n")
    request = contract.CreateGrantRequest(
        grant_id="g-1",
        principal="guest",
        vin=VIN,
        role=grant_pb2.GRANT_ROLE_DIGITAL_KEY,
        actions=["door.lock", "door.status.read"],
        valid_seconds=28_800,
    )
    assert operator.asked == [("access", "CreateGrant", request, "person")]


def test_an_id_is_made_and_told_where_nobody_knows_what_happened(run: Any) -> None:
    done, operator = run(OperationError("it does not answer", may_have_happened=True), *GIVE)
    made = operator.asked[0][2].grant_id
    assert uuid.UUID(made)
    assert (done.exit_code, done.stderr) == (1, f"doorctl: it does not answer (--id {made})\n")
    done, _ = run(OperationError("no"), *GIVE)
    assert done.stderr == "doorctl: no\n"


def test_an_owners_grant_says_what_it_waits_for(run: Any) -> None:
    waiting = grant(role=grant_pb2.GRANT_ROLE_OWNER, pending=True, requested_by="spiffe://ecarus/a")
    done, _ = run(waiting, "grant", "give", "guest", VIN.lower(), "--role", "owner")
    assert done.output == (
        f"g-1 guest {VIN} OWNER PENDING: asked for by spiffe://ecarus/a, another operator must approve it\n"
    )
    done, operator = run(grant(), "grant", "approve", "g-1")
    assert (done.exit_code, operator.asked[0][1], operator.asked[0][3]) == (0, "ApproveGrant", "person")


@pytest.mark.parametrize("words", [[*GIVE, "--id", "g-1"], ["grant", "approve", "g-1"]])
def test_a_grant_that_was_revoked_is_not_taken_for_given(run: Any, words: list[str]) -> None:
    done, _ = run(revoked(), *words)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "the grant g-1 was revoked before, and repeating it brings nothing back" in done.stderr


def test_grants_are_listed_and_revoked(run: Any) -> None:
    answer = contract.ListGrantsResponse(grants=[grant(), revoked()])
    done, operator = run(answer, "grant", "list", VIN)
    assert done.output == f"g-1 guest {VIN} DIGITAL_KEY not revoked\n"
    assert operator.asked == [("access", "ListGrants", contract.ListGrantsRequest(vin=VIN), "person")]
    done, _ = run(answer, "grant", "list", VIN, "--all", "--json")
    told = json.loads(done.output)["grants"]
    assert [each["role"] for each in told] == ["DIGITAL_KEY"] * 2
    assert told[1]["revokedAt"] == "2026-01-12T14:30:00Z"
    done, operator = run(revoked(), "grant", "revoke", "g-1")
    assert done.output == f"g-1 guest {VIN} DIGITAL_KEY revoked 2026-01-12T14:30:00+00:00\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["grant", "list", "KMHSH81C7LU12345O"], "is not a VIN: 17 of A-Z 0-9"),
        (["grant", "give", "guest", "short", "--role", "owner"], "is not a VIN: 17 of A-Z 0-9"),
        (["grant", "give", "guest", VIN, "--role", "king"], "owner"),
        (["grant", "give", "guest", VIN], "--role"),
        ([*GIVE, "--valid", "soon"], "as in 8h or 90d"),
        (["grant", "burn"], "burn"),
    ],
)
def test_a_wrong_command_line_asks_nobody(run: Any, words: list[str], said: str) -> None:
    done, operator = run(None, *words)
    assert (done.exit_code, operator.asked) == (2, [])
    assert said in " ".join(done.stderr.replace("\u2502", " ").split())

"""The closed list of refusals: each value of the contract is one, with statuses that belong together, and a row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ecarus.remotecontrol.door.v1.error_reason_pb2 import ErrorReason

from services.platform import errors
from services.platform.errors import REASONS, Reason, Refusal

PAGE = Path(__file__).parents[2] / "docs/api.md"
BELONG_TOGETHER = {
    400: {"INVALID_ARGUMENT"},
    401: {"UNAUTHENTICATED"},
    403: {"PERMISSION_DENIED"},
    404: {"NOT_FOUND", "UNIMPLEMENTED"},
    405: {"UNIMPLEMENTED"},
    409: {"ABORTED", "FAILED_PRECONDITION", "ALREADY_EXISTS"},
    413: {"RESOURCE_EXHAUSTED"},
    415: {"INVALID_ARGUMENT"},
    422: {"ALREADY_EXISTS"},
    429: {"RESOURCE_EXHAUSTED"},
    500: {"INTERNAL"},
    503: {"UNAVAILABLE"},
    504: {"DEADLINE_EXCEEDED"},
}


def test_every_value_of_the_contract_is_a_refusal() -> None:
    assert REASONS.keys() == set(ErrorReason.keys()) - {"ERROR_REASON_UNSPECIFIED"}


def test_the_page_says_of_every_one_when_it_comes() -> None:
    rows = dict(
        re.findall(r"^\| `([A-Z_]+)` \|.*\| ([^|]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert rows.keys() == REASONS.keys()
    assert all(when.endswith(".") for when in rows.values())


@pytest.mark.parametrize("reason", REASONS.values(), ids=lambda reason: reason.code)
def test_its_statuses_belong_together(reason: Reason) -> None:
    assert reason.grpc_code.name in BELONG_TOGETHER[reason.http_status]


@pytest.mark.parametrize("reason", REASONS.values(), ids=lambda reason: reason.code)
def test_a_title_and_a_type_come_from_the_code(reason: Reason) -> None:
    document = errors.problem(Refusal(reason, "Why."), instance="/x", correlation_id="c")
    assert document.isascii()
    assert (
        f'"type":"https://docs.ecarus.example/problems/{reason.code.lower().replace("_", "-")}"' in document
    )
    assert reason.title[0].isupper()
    assert not reason.title.endswith(".")

"""The closed list of refusals: the code and the contract name the same ones, with the same statuses."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from ecarus.remotecontrol.door.v1.error_reason_pb2 import ErrorReason

from services.runtime import errors
from services.runtime.errors import REASONS, Reason, Refusal

PROTO = Path(__file__).parents[2] / "proto/ecarus/remotecontrol/door/v1/error_reason.proto"
ROOMS = ("access", "command", "config", "diagnostics", "enrolment", "status")
SPLIT = {"PATH_NOT_FOUND", "METHOD_NOT_ALLOWED"}
"""Answered by the edge, for which gRPC knows no status of their own."""


def reasons_of_the_rooms() -> dict[str, Reason]:
    found = dict(REASONS)
    for room in ROOMS:
        for value in vars(importlib.import_module(f"services.{room}.translate")).values():
            if isinstance(value, Reason):
                assert found.setdefault(value.code, value) == value, f"{value.code} is told in two ways"
    return found


def documented() -> dict[str, tuple[int, str]]:
    """Per value of the enum, the HTTP status and the gRPC code of its comment."""
    entry = re.compile(r"// (\d{3})(?: ([A-Z_]+))?[^\n]*\n(?:\s+//[^\n]*\n)*\s+([A-Z_]+) = \d+;")
    return {name: (int(status), code or "") for status, code, name in entry.findall(PROTO.read_text())}


def test_the_code_and_the_contract_have_the_same_list() -> None:
    assert reasons_of_the_rooms().keys() == set(ErrorReason.keys()) - {"ERROR_REASON_UNSPECIFIED"}


def test_every_value_is_documented() -> None:
    assert documented().keys() == set(ErrorReason.keys()) - {"ERROR_REASON_UNSPECIFIED"}


@pytest.mark.parametrize("reason", reasons_of_the_rooms().values(), ids=lambda reason: reason.code)
def test_statuses_are_those_of_the_contract(reason: Reason) -> None:
    status, code = documented()[reason.code]
    assert reason.http_status == status
    if reason.code not in SPLIT:
        assert reason.grpc_code.name == code


@pytest.mark.parametrize("reason", reasons_of_the_rooms().values(), ids=lambda reason: reason.code)
def test_a_title_and_a_type_come_from_the_code(reason: Reason) -> None:
    document = errors.problem(Refusal(reason, "Why."), instance="/x", correlation_id="c")
    assert document.isascii()
    assert (
        f'"type":"https://docs.ecarus.example/problems/{reason.code.lower().replace("_", "-")}"' in document
    )
    assert reason.title[0].isupper()
    assert not reason.title.endswith(".")

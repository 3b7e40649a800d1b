"""What a leaf is, to the byte."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from tlog.leaves import Disclosure, Leaf, LeafError, commitments_of, decode, unbase64url

VIN = Disclosure("vin", b"s" * 32, "KMHSH81C7LU123456")
LEAF = Leaf("0" * 32, 1_768_228_200_123, "COMMAND_ACCEPTED", "ALLOWED", "command", commitments_of([VIN]))


def test_the_bytes_of_a_leaf_are_what_the_page_says() -> None:
    digest = hashlib.sha256(b"s" * 32 + b"vin" + b"\0" + b"KMHSH81C7LU123456").digest()
    commitment = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert LEAF.encode().decode() == (
        f'{{"at":1768228200123,"c":{{"vin":"{commitment}"}},"decision":"ALLOWED","id":"{"0" * 32}",'
        '"kind":"COMMAND_ACCEPTED","service":"command","v":1}'
    )
    assert decode(LEAF.encode()) == LEAF


def test_only_what_was_committed_to_is_held() -> None:
    assert LEAF.holds(VIN)
    assert not LEAF.holds(Disclosure("vin", b"s" * 32, "KMHSH81C7LU654321"))
    assert not LEAF.holds(Disclosure("vin", b"t" * 32, VIN.value))
    assert not LEAF.holds(Disclosure("rule", b"s" * 32, VIN.value))


def test_a_name_does_not_run_into_its_value() -> None:
    one = Disclosure("result", b"s" * 32, "_sha256x")
    assert one.commitment() != Disclosure("result_sha256", b"s" * 32, "x").commitment()


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"v": True},
        {"at": -1},
        {"at": 1.5},
        {"at": True},
        {"at": 253_402_300_800_000},
        {"id": "0" * 31},
        {"id": "G" * 32},
        {"id": None},
        {"kind": "x"},
        {"decision": "MAYBE"},
        {"decision": None},
        {"service": "Command"},
        {"c": []},
        {"c": {"vin": "short"}},
        {"c": {"vin": 1}},
        {"c": {"name": "A" * 43}},
        {"more": 1},
    ],
)
def test_what_is_no_leaf_is_none(change: dict[str, object]) -> None:
    members = {**json.loads(LEAF.encode()), **change}
    data = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(LeafError):
        decode(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        LEAF.encode() + b" ",
        LEAF.encode().replace(b":", b": ", 1),
        LEAF.encode().replace(b'"v":1', b'"v":1,"v":1'),
        LEAF.encode().replace(b"at", b"\\u0061t", 1),
        b"[" * 9_000,
        b"\xff",
        b"[" * 5_000,
    ],
)
def test_other_bytes_are_no_leaf(data: bytes) -> None:
    with pytest.raises(LeafError):
        decode(data)


@pytest.mark.parametrize("text", ["A", "AB", "AA==", "A A", "AA+", "ü"])
def test_base64url_has_one_form(text: str) -> None:
    with pytest.raises(ValueError, match="base64url"):
        unbase64url(text)

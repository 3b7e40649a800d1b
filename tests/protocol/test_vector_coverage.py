"""The vectors cover every message: each domain, content type and member both ways, and each refusal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.vehicle.v1 import report_pb2, session_pb2

from protocol.cose import decode
from protocol.domains import ANSWER_FIELDS, ORDER_TYPES, REFUSED_ON, REPORTS, ContentType, Domain
from protocol.faults import Fault
from tests.protocol.make_vectors import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

ACCEPTED = "ACCEPTED"
PAYLOADS: dict[str, type[Message]] = {
    **dict.fromkeys(ORDER_TYPES.values(), session_pb2.SignedOrder),
    **dict.fromkeys((kind for _, kind in ANSWER_FIELDS.values()), session_pb2.SignedAnswer),
    ContentType.FAULT: session_pb2.SignedAnswer,
    ContentType.CHALLENGE: session_pb2.SessionRequest,
    ContentType.SESSION: session_pb2.SessionInfo,
    ContentType.MANIFEST: session_pb2.KeyManifest,
}
"""What the envelopes of each content type hold; an endorsement holds an envelope."""
REPORTED: dict[str, type[Message]] = {
    Domain.STATUS: report_pb2.StatusReport,
    Domain.DIAGNOSTICS: report_pb2.DiagnosticsReport,
}
SEALED = {Fault.TOO_LARGE, Fault.MALFORMED, Fault.NOT_FOR_US}
SIGNED = SEALED | {Fault.UNKNOWN_KEY, Fault.BAD_SIGNATURE, Fault.WRONG_TYPE, Fault.WRONG_VEHICLE}
IN_STEP = {
    Fault.WRONG_EPOCH,
    Fault.EXPIRED,
    Fault.VALID_TOO_LONG,
    Fault.COUNTER_NOT_NEW,
    Fault.COUNTER_TOO_LARGE,
    Fault.WRONG_DOMAIN,
    Fault.WRONG_VEHICLE,
    Fault.WRONG_TYPE,
    Fault.ROLE_NOT_ALLOWED,
}
KEYS = {Fault.REVOKED_KEY, Fault.EXPIRED_KEY}
COUNTED = {Fault.WRONG_EPOCH, Fault.COUNTER_NOT_NEW, Fault.COUNTER_TOO_LARGE}
REFUSALS = {
    Domain.COMMAND: SIGNED | IN_STEP | KEYS,
    Domain.CANCEL: IN_STEP | {Fault.MALFORMED},
    Domain.CONFIG: IN_STEP,
    Domain.CHALLENGE: SIGNED | KEYS,
    Domain.KEYS: SEALED | {Fault.UNKNOWN_KEY, Fault.BAD_SIGNATURE, Fault.MANIFEST_ROLLBACK},
    Domain.HELLO: SIGNED | {Fault.STALE_SESSION, Fault.COUNTER_TOO_LARGE},
    Domain.RECEIVED: set[Fault](),
    Domain.RESULT: SIGNED | COUNTED | {Fault.WRONG_REQUEST},
    Domain.CANCELLED: set[Fault](),
    Domain.CONFIGURED: set[Fault](),
    Domain.STATUS: SEALED | COUNTED,
    Domain.DIAGNOSTICS: {Fault.NOT_FOR_US},
}
"""By domain: which refusals have a case. One code looks at all that is sealed, at all that is signed, at all answers:
one domain of each has them all; what differs by domain has them in each.
"""


def cases() -> Iterator[dict[str, Any]]:
    for file in sorted(FOLDER.glob("*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        yield from content.get("cases", [])


CASES = list(cases())


def envelopes() -> Iterator[bytes]:
    """Every envelope that is accepted, and the manifests that are in use."""
    for file in FOLDER.glob("*.json"):
        manifest = json.loads(file.read_text(encoding="utf-8")).get("context", {}).get("manifest")
        if manifest is not None:
            yield bytes.fromhex(manifest)
    for case in CASES:
        data = case.get("envelope", case.get("endorsed"))
        if case["expect"] == ACCEPTED and data is not None:
            yield bytes.fromhex(data)


def accepted() -> Iterator[tuple[str, Message]]:
    """Content type or domain, and message."""
    for envelope in envelopes():
        signed = decode(envelope)
        if signed.content_type == ContentType.ENDORSED_MANIFEST:
            yield signed.content_type, session_pb2.KeyManifest()
            signed = decode(signed.payload)
        yield signed.content_type, PAYLOADS[signed.content_type].FromString(signed.payload)
    for case in CASES:
        if case["expect"] == ACCEPTED and "report" in case:
            yield case["domain"], REPORTED[case["domain"]].FromString(bytes.fromhex(case["payload"]))


def members(message: Message) -> Iterator[tuple[str, str]]:
    """Message and member of all that is set, however deep."""
    for field, value in message.ListFields():
        yield message.DESCRIPTOR.name, field.name
        if field.message_type is not None:
            for one in value if field.is_repeated else [value]:
                yield from members(one)


def described(kind: Any, into: dict[str, Any]) -> None:
    """This message and those in it, by name. Times of google.protobuf are no messages of ours."""
    if kind.name in into or not kind.full_name.startswith("ecarus."):
        return
    into[kind.name] = kind
    for field in kind.fields:
        if field.message_type is not None:
            described(field.message_type, into)


@pytest.mark.parametrize("domain", Domain)
def test_each_domain_has_what_is_accepted_and_what_is_refused(domain: Domain) -> None:
    said = {case["expect"] for case in CASES if case.get("domain") == domain}
    assert ACCEPTED in said
    assert {fault.name for fault in REFUSALS[domain]} <= said


@pytest.mark.parametrize("content_type", ContentType)
def test_each_content_type_is_accepted_somewhere(content_type: ContentType) -> None:
    assert content_type in {kind for kind, _ in accepted()}


@pytest.mark.parametrize("domain", REFUSED_ON.values())
def test_each_domain_of_answers_has_a_fault(domain: Domain) -> None:
    found = [case for case in CASES if case.get("domain") == domain and case["expect"] == ACCEPTED]
    assert any(decode(bytes.fromhex(case["envelope"])).content_type == ContentType.FAULT for case in found), (
        domain
    )


@pytest.mark.parametrize("fault", Fault)
def test_each_fault_is_said_somewhere(fault: Fault) -> None:
    assert fault.name in {case["expect"] for case in CASES}


def test_each_member_of_each_message_is_in_a_case_that_is_accepted() -> None:
    kinds: dict[str, Any] = {}
    for payload in {*PAYLOADS.values(), *REPORTED.values()}:
        described(payload.DESCRIPTOR, kinds)
    wanted = {(name, field.name) for name, kind in kinds.items() for field in kind.fields}
    found = {pair for _, message in accepted() for pair in members(message)}
    assert len(wanted) > 90
    assert wanted - found == set()


def test_the_domains_of_reports_say_their_payload() -> None:
    reported = [case for case in CASES if case.get("domain") in REPORTS and case["expect"] == ACCEPTED]
    assert {case["domain"] for case in reported} == set(REPORTS)
    assert all(case["payload"] for case in reported)


def test_no_two_cases_of_a_file_have_one_name() -> None:
    for file in FOLDER.glob("*.json"):
        names = [case["name"] for case in json.loads(file.read_text(encoding="utf-8")).get("cases", [])]
        assert sorted(set(names)) == sorted(names), file.name

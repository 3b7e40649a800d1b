"""What nobody means to send, in every text of every request that people, teams and operators make."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ecarus
import pytest
from ecarus.remotecontrol.options.v1 import options_pb2
from google.protobuf import message_factory

from services.platform.validation import violations_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

HOSTILE = {
    "a zero": "a\x00b",
    "CR LF": "a\r\nSet-Cookie: b",
    "an escape": "a\x1b[2Jb",
    "64 KB": "x" * 65_536,
}
JUDGED_BY_THE_SERVICE = {
    "DoorCancellation.reason": "a closed set of words",
    "DoorGrantOffer.label": "check_text",
    "DoorGrantOffer.actions": "actions of the role",
    "DoorGrantNarrowing.actions": "actions of the grant",
    "GrantSchedule.time_zone": "a zone that there is",
    "IgnoredPlace.name": "readable",
    "NewWebhook.description": "readable",
    "SeveranceRequest.evidence": "check_text",
    "PrincipalStop.reason": "check_text",
    "LockAccountRequest.reason": "check_text",
    "RestrictAccountRequest.reason": "check_text",
    "SeverVehicleAccessRequest.evidence": "check_text",
    "SeverVehicleAccessRequest.on_behalf_of": "check_text",
    "ReverseSeveranceRequest.reason": "check_text",
    "CreateGrantRequest.actions": "actions of the role",
    "IssueApiKeyRequest.scopes": "words of key_scopes",
}
"""Texts whose form the contract's rules bound in length only, or leave to the service: and what judges them there."""

ANSWERED_OTHERWISE = {
    "WatchDoorUpdatesRequest.last_event_id": "what is no id begins with UPDATES_RESET",
    "ConfigApplication.reason": "the vehicle reports it: it is read-only",
    "LeftOutSettings.reason": "the vehicle reports it: it is read-only",
    "LeftOutSettings.settings": "the vehicle reports it: it is read-only",
}
"""Texts with an answer of their own, however long they are."""


def requests() -> Iterator[Descriptor]:
    """Every request of the contract that comes from outside of our services."""
    gen = Path(next(iter(ecarus.__path__)))
    for package in ("access", "door"):
        for path in sorted((gen / "remotecontrol" / package / "v1").glob("*_service_pb2.py")):
            module = importlib.import_module(f"ecarus.remotecontrol.{package}.v1.{path.stem}")
            for service in module.DESCRIPTOR.services_by_name.values():
                yield from (rpc.input_type for rpc in service.methods if not is_between_services(rpc))


def is_between_services(rpc: MethodDescriptor) -> bool:
    """Whether nobody but our own services asks for it."""
    access = rpc.GetOptions().Extensions[options_pb2.access]
    return bool(access.services) and not (access.action or access.operators or access.teams)


def texts(
    message: Descriptor, above: tuple[FieldDescriptor, ...] = ()
) -> Iterator[tuple[FieldDescriptor, ...]]:
    """The way to each text in a message."""
    for field in message.fields:
        way = (*above, field)
        if field.type == field.TYPE_STRING:
            yield way
        elif field.message_type is not None and field.message_type.file.package.startswith("ecarus"):
            yield from texts(field.message_type, way)


CASES = sorted(
    {
        (request.full_name, ".".join(field.name for field in way)): (request, way)
        for request in requests()
        for way in texts(request)
    }.items()
)


def test_there_are_some() -> None:
    assert len(CASES) > 60


@pytest.mark.parametrize(("name", "case"), CASES, ids=["/".join(name) for name, _ in CASES])
def test_a_hostile_text_is_refused_wherever_it_stands(name: tuple[str, str], case: Any) -> None:
    request, way = case
    last = way[-1]
    named = f"{last.containing_type.name}.{last.name}"
    if named in ANSWERED_OTHERWISE:
        return
    for what, text in HOSTILE.items():
        message = message_factory.GetMessageClass(request)()
        part: Any = message
        for field in way[:-1]:
            part = getattr(part, field.name).add() if field.is_repeated else getattr(part, field.name)
        if last.is_repeated:
            getattr(part, last.name).append(text)
        else:
            setattr(part, last.name, text)
        fields = {violation.field for violation in violations_of(message, None)}
        if named in JUDGED_BY_THE_SERVICE and what != "64 KB":
            continue
        assert any(last.json_name in field or last.name in field for field in fields), (name, what, fields)


def test_what_the_service_judges_is_still_there() -> None:
    there = {f"{way[-1].containing_type.name}.{way[-1].name}" for _, (_, way) in CASES}
    assert there >= JUDGED_BY_THE_SERVICE.keys() | ANSWERED_OTHERWISE.keys()

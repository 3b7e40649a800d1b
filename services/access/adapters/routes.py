"""What can be asked for, read from the contract itself: the HTTP rules and access options of the door services.

An RPC without an action stops the start: nothing is reachable by being forgotten.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.door.v1 import (
    case_service_pb2,
    consent_service_pb2,
    door_audit_service_pb2,
    door_command_service_pb2,
    door_config_service_pb2,
    door_diagnostics_service_pb2,
    door_event_service_pb2,
    door_failure_service_pb2,
    door_grant_service_pb2,
    door_status_service_pb2,
    person_vehicle_service_pb2,
    personal_data_service_pb2,
    push_device_service_pb2,
    security_case_service_pb2,
    webhook_service_pb2,
)
from ecarus.remotecontrol.options.v1 import options_pb2
from google.api import annotations_pb2
from google.protobuf import message_factory

from services.access.adapters.field_table import FieldTable, table_of
from services.access.domain.step_up import STRICT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
    from google.protobuf.message import Message

_LIMIT_CLASSES = {
    options_pb2.RATE_CLASS_UNLIMITED: None,
    options_pb2.RATE_CLASS_COMMAND: "command",
    options_pb2.RATE_CLASS_CANCEL: "cancel",
    options_pb2.RATE_CLASS_READ: "read",
}
WITHOUT_VEHICLE = ("/grpc.health.v1.Health/", "/grpc.reflection.")
"""Native RPCs that are about no vehicle: a client certificate is enough for them."""

EVENTS_PATH = "/api/v1/remotecontrol/events/ws"
"""Where the WebSocket of live updates is opened, which is no RPC."""
TICKET = "ticket"
"""The query parameter of a ticket, there and where an RPC takes one."""

_VARIABLE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Route:
    """One RPC: the action it needs, its message, and what its REST form may carry."""

    rpc: str
    """Its full name: several may need one action."""
    action: str
    service: str
    """The service of ours that serves it, and accepts capabilities for it."""
    step_up: str
    """The line of the step-up table that it needs; empty where any sign-in will do."""
    step_up_decided_by_service: bool
    names_vehicle: bool
    needs_session: bool
    """Whether it is about what its caller has open, and no vehicle."""
    changes: bool
    """Whether it is to change anything."""
    closed_to_agents: bool
    """Whether nobody may ask for it who acts for somebody else."""
    limit_class: str | None
    """The rate it counts against; None for what nobody has to wait for."""
    request: type[Message]
    query: FieldTable
    body: FieldTable | None = None
    """None where REST takes no body."""
    body_message: type[Message] | None = None
    body_field: str = ""
    """The request's field that REST's body is bound to."""
    about_caller: bool = False
    """Whether it is about the person who calls, and no vehicle."""
    open_to_keys: bool = False
    """Whether an API key may ask for it, where it is about who calls."""
    watches_people: bool = False
    """Whether it is about people's accounts, and no vehicle."""
    takes_ticket: bool = False
    """Whether REST takes a ticket for its vehicle in place of a bearer."""


class Routes:
    """Finds the route of a request. Raises ValueError at construction when an RPC has no action."""

    def __init__(self) -> None:
        self._native: dict[str, Route] = {}
        by_path: dict[str, dict[str, Route]] = {}
        for service in _services():
            for method in service.methods:
                route, http_method, template = _route_of(method)
                self._native[f"/{service.full_name}/{method.name}"] = route
                if template is not None:
                    by_path.setdefault(template, {})[http_method] = route
        self._rest = [(_pattern_of(template), methods) for template, methods in by_path.items()]

    @property
    def services(self) -> list[str]:
        """The full names of the public services."""
        return [service.full_name for service in _services()]

    def rest(self, path: str) -> tuple[str, Mapping[str, Route]] | None:
        """Return the VIN in this path as it was written, and the route of each HTTP method; None when unknown.

        The VIN is empty where the path is about no vehicle.
        """
        for pattern, methods in self._rest:
            match = pattern.fullmatch(path)
            if match is not None:
                return match.groupdict().get("vin", ""), methods
        return None

    def native(self, path: str) -> Route | None:
        """Return the route of `/package.Service/Method`."""
        return self._native.get(path)


def _services() -> list[ServiceDescriptor]:
    return [
        service
        for module in (
            door_audit_service_pb2,
            door_command_service_pb2,
            door_status_service_pb2,
            door_config_service_pb2,
            door_diagnostics_service_pb2,
            door_grant_service_pb2,
            door_event_service_pb2,
            door_failure_service_pb2,
            consent_service_pb2,
            person_vehicle_service_pb2,
            personal_data_service_pb2,
            push_device_service_pb2,
            security_case_service_pb2,
            case_service_pb2,
            webhook_service_pb2,
        )
        for service in module.DESCRIPTOR.services_by_name.values()
    ]


def _route_of(method: MethodDescriptor) -> tuple[Route, str, str | None]:
    """Return the route, its HTTP method and its path template; no template for an RPC without a REST form."""
    name = f"{method.containing_service.name}.{method.name}"
    access = method.GetOptions().Extensions[options_pb2.access]
    if access.step_up and access.step_up not in STRICT:
        raise ValueError(f"{name}: there is no line {access.step_up} in the step-up table")
    if not access.action or access.rate_class not in _LIMIT_CLASSES:
        raise ValueError(f"{name} is public and needs an action and a rate class in its access option")
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    http_method = rule.WhichOneof("pattern")
    template = getattr(rule, http_method) if http_method else None
    request = method.input_type
    in_path = set(_VARIABLE.findall(template or ""))
    about_people = access.about_caller or access.watches_people or access.needs_session
    names_vehicle = "vin" in request.fields_by_name
    if access.open_to_keys and not access.about_caller:
        raise ValueError(f"{name}: only what is about its caller says that it is open to API keys")
    if about_people == names_vehicle:
        raise ValueError(f"{name}: it is either about people or names a vehicle")
    if access.takes_ticket and not (names_vehicle and http_method == "get"):
        raise ValueError(f"{name}: a ticket opens what is read of one vehicle, over REST")
    return (
        Route(
            rpc=method.full_name,
            action=access.action,
            service=method.containing_service.GetOptions().Extensions[options_pb2.served_by],
            step_up=access.step_up,
            step_up_decided_by_service=access.step_up_decided_by_service,
            needs_session=access.needs_session,
            changes=access.changes,
            closed_to_agents=access.closed_to_agents or access.about_caller,
            about_caller=access.about_caller,
            open_to_keys=access.open_to_keys,
            watches_people=access.watches_people,
            takes_ticket=access.takes_ticket,
            names_vehicle=names_vehicle,
            limit_class=_LIMIT_CLASSES[access.rate_class],
            request=message_factory.GetMessageClass(request),
            query=table_of(request, leave_out={*in_path, "vin"}) if http_method == "get" else {},
            **_body_of(request, rule.body),
        ),
        (http_method or "").upper(),
        template,
    )


def _body_of(request: Descriptor, name: str) -> dict[str, Any]:
    """Return what a Route holds of the part of `request` that REST's body is bound to; nothing without a body."""
    if not name:
        return {}
    part = request.fields_by_name[name].message_type
    if part is None:
        raise ValueError(
            f"{request.full_name}: the body must be bound to a message, so that a VIN in it is lost"
        )
    return {
        "body": table_of(part),
        "body_message": message_factory.GetMessageClass(part),
        "body_field": name,
    }


def _pattern_of(template: str) -> re.Pattern[str]:
    return re.compile(_VARIABLE.sub(r"(?P<\1>[^/]+)", template.replace(".", "[.]")))

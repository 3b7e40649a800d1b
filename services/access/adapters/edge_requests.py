"""Requests of the public as Envoy saw them, and as the use case asks about them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from protocol.subjects import is_vin
from services.access.adapters import native_request
from services.access.adapters.dpop import ProofOfRequest
from services.access.adapters.limits import network_of
from services.access.adapters.session_gate import UPDATES_READ
from services.access.domain.grants import UNLOCK
from services.platform import errors
from services.platform.capability import EMERGENCY
from services.platform.errors import Refusal, Violation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.access.adapters.native_request import NativeClaims
    from services.access.adapters.rest_request import SoundBodies
    from services.access.adapters.routes import Route


@dataclass(frozen=True, slots=True)
class EdgeRequest:
    """A request as Envoy saw it. `path` is the raw one with its query; header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    team_listener: bool
    address: str = ""
    """Who asks, as Envoy knows it; empty when it does not say."""
    scheme: str = ""
    """`http` or `https`, as the client called it."""
    host: str = ""
    """The host, with its port where it was named, that the client called."""
    country: str = ""
    """From which, as an ISO 3166 code; empty where it is not known."""
    certificate: str = ""
    """The client's, which Envoy has verified (PEM, URL-encoded); empty where none is asked for."""

    @property
    def native(self) -> bool:
        """Whether it speaks gRPC, and so must be answered in gRPC."""
        return self.headers.get("content-type", "").startswith("application/grpc")


class _PublicRequest:
    """What a REST and a native request have in common of usecases.authorization.AccessRequest."""

    certificate = ""

    def __init__(self, asked: EdgeRequest, route: Route, correlation_id: str) -> None:
        self.correlation_id = correlation_id
        self.action = route.action
        self.service = route.service
        self.limit_class = route.limit_class
        self.step_up = route.step_up
        self.changes = route.changes
        self.needs_session = route.needs_session
        self.closed_to_agents = route.closed_to_agents
        self.watches_people = route.watches_people
        self.step_up_decided_by_service = route.step_up_decided_by_service
        self.about_caller = route.about_caller
        self.open_to_keys = route.open_to_keys
        self._asked = asked
        self._route = route

    @property
    def authorization(self) -> str | None:
        return self._asked.headers.get("authorization")

    @property
    def proof(self) -> ProofOfRequest:
        asked = self._asked
        return ProofOfRequest(
            asked.headers.get("dpop"),
            asked.method,
            f"{asked.scheme}://{asked.host}{asked.path.partition('?')[0]}",
        )

    @property
    def network(self) -> str:
        return network_of(self._asked.address)

    @property
    def country(self) -> str:
        return self._asked.country

    def vin(self) -> str:
        """See the port."""
        return _vin(self._named_vehicle()) if self._route.names_vehicle else ""

    def _named_vehicle(self) -> str:
        raise NotImplementedError

    @property
    def named_id(self) -> str | None:
        """The id that the caller gave; None where the edge made one."""
        headers = self._asked.headers
        named = headers.get("x-correlation-id")
        return None if named == headers.get("x-request-id") else named


class RestRequest(_PublicRequest):
    """One in JSON: the vehicle is in its path."""

    def __init__(
        self,
        asked: EdgeRequest,
        route: Route,
        correlation_id: str,
        *,
        written_vin: str,
        query: str,
        bodies: SoundBodies,
    ) -> None:
        super().__init__(asked, route, correlation_id)
        self._written_vin = written_vin
        self._query = query
        self._bodies = bodies

    def _named_vehicle(self) -> str:
        return self._written_vin

    def mode(self, vin: str) -> str:
        """See the port."""
        members = self._bodies.check(
            self._route,
            query=self._query,
            content_type=self._asked.headers.get("content-type"),
            content_encoding=self._asked.headers.get("content-encoding"),
            body=self._asked.body,
            vin=vin,
        )
        return EMERGENCY if self.action == UNLOCK and members.get("unlockMode") == EMERGENCY else ""


class NativeRequest(_PublicRequest):
    """One in gRPC: the vehicle is in its message."""

    def __init__(
        self,
        asked: EdgeRequest,
        route: Route,
        correlation_id: str,
        *,
        certificate: str,
        orders: native_request.SoundOrders,
    ) -> None:
        super().__init__(asked, route, correlation_id)
        self.certificate = certificate
        self._orders = orders

    @cached_property
    def _said(self) -> NativeClaims:
        return native_request.said_in(self._asked.body, self._route.request, self._route.body_field)

    def _named_vehicle(self) -> str:
        return self._said.vin

    def mode(self, vin: str) -> str:  # noqa: ARG002  # the port's signature: what it says of the vehicle is one thing
        """See the port."""
        if self._said.order is not None:
            self._orders.check(self._said.order)
        return EMERGENCY if self._said.emergency else ""


class EventsRequest(_PublicRequest):
    """One that opens the WebSocket of live updates, with a bearer."""

    action = UPDATES_READ

    service = limit_class = step_up = ""
    changes = closed_to_agents = step_up_decided_by_service = about_caller = watches_people = False
    open_to_keys = False

    def __init__(self, asked: EdgeRequest, correlation_id: str) -> None:
        self.correlation_id = correlation_id
        self._asked = asked

    def vin(self) -> str:
        """See the port."""
        return ""

    def mode(self, vin: str) -> str:  # noqa: ARG002  # the port's signature
        """See the port."""
        return ""


def _vin(written: str) -> str:
    vin = written.upper() if written.isascii() else written
    if not is_vin(vin):
        raise Refusal(
            errors.INVALID_REQUEST,
            "The VIN is not one; correct it and send the request again.",
            violations=[Violation("vin", "17 of A-Z 0-9, without I, O and Q")],
        )
    return vin

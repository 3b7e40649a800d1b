"""Envoy's question about a request to the public: read, put to the use case, and answered."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import structlog

from protocol.subjects import is_vin
from services.access.adapters import native_request
from services.access.adapters.denials import refusal_of_denial, refusal_of_sign_in
from services.access.adapters.dpop import ProofOfRequest, challenge_as_asked
from services.access.adapters.edge_requests import EdgeRequest, EventsRequest, NativeRequest, RestRequest
from services.access.adapters.issuer_keys import IssuerUnavailableError
from services.access.adapters.limits import network_of, rate_headers
from services.access.adapters.rest_request import SoundBodies, require_path, ticket_in
from services.access.adapters.routes import EVENTS_PATH, TICKET, WITHOUT_VEHICLE
from services.access.domain.customer_cases import CaseNotOpenError
from services.access.usecases.authorization import (
    AccessDeniedError,
    ApprovalRequiredError,
    StepUpRequiredError,
)
from services.platform import errors
from services.platform.errors import Refusal, Violation
from services.platform.logs import masked_id
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from services.access.adapters.routes import Routes
    from services.access.adapters.session_gate import SessionGate
    from services.access.usecases.authorization import Permit, RequestAuthorizer

_CORRELATION_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_QUOTED = re.compile(r'"[^"]*"')
_READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Allow:
    """Let through. No capability where the request is about no vehicle. `headers` are for its answer."""

    correlation_id: str
    capability: str | None
    headers: Mapping[str, str] = field(default_factory=dict)
    session: str | None = None
    """In place of a capability, where it is about what its caller has open."""
    without_query: tuple[str, ...] = ()
    """The query parameters that were for us alone."""


@dataclass(frozen=True, slots=True)
class Deny:
    """Not let through, with what its answer needs. `native` asks for a gRPC answer instead of a document."""

    correlation_id: str
    refusal: Refusal
    instance: str
    native: bool


class EdgeAuthorizer:
    """Answers Envoy. It never raises what a request can cause.

    `team_certificate` names a verified client certificate if it is a team's that counts; otherwise it says None.
    `country_header` is that in which whoever stands before Envoy says a client's country; empty where nobody does.
    """

    def __init__(
        self,
        authorizer: RequestAuthorizer[ProofOfRequest],
        routes: Routes,
        team_certificate: Callable[[str], str | None],
        sessions: SessionGate,
        *,
        country_header: str = "",
    ) -> None:
        self._sessions = sessions
        self._country_header = country_header
        self._authorizer = authorizer
        self._routes = routes
        self._team_certificate = team_certificate
        self._bodies = SoundBodies()
        self._orders = native_request.SoundOrders()

    async def decide(self, asked: EdgeRequest) -> Allow | Deny:
        """Admit or deny this request."""
        if self._country_header:
            said = asked.headers.get(self._country_header, "")
            asked = replace(asked, country=said if _COUNTRY.fullmatch(said) else "")
        path, _, query = asked.path.partition("?")
        correlation_id, faults = _correlation(asked.headers)
        try:
            return await self._admitted(asked, path, query, correlation_id, faults)
        except Refusal as refusal:
            return _denied(asked, path, correlation_id, refusal)
        except AccessDeniedError as denied:
            return _denied(asked, path, correlation_id, refusal_of_denial(denied))
        except (StepUpRequiredError, ApprovalRequiredError, CaseNotOpenError) as weak:
            return _denied(asked, path, correlation_id, refusal_of_sign_in(weak))
        except StorageUnavailableError as error:
            _log.error("storage_unavailable", reason=str(error))
            away = Refusal(
                errors.STORAGE_UNAVAILABLE,
                "Your access could not be looked up and nothing was accepted; try again shortly.",
                retry_after_seconds=2,
            )
            return _denied(asked, path, correlation_id, away)
        except IssuerUnavailableError as error:
            _log.error("token_issuer_unavailable", reason=str(error))
            away = Refusal(
                errors.DEPENDENCY_UNAVAILABLE,
                "Tokens cannot be checked at the moment and nothing was accepted; try again shortly.",
                retry_after_seconds=2,
            )
            return _denied(asked, path, correlation_id, away)

    async def _admitted(
        self, asked: EdgeRequest, path: str, query: str, correlation_id: str, faults: list[Violation]
    ) -> Allow:
        """Return that it is let through, and with what. Raises what `authorize` raises."""
        if asked.native or asked.team_listener:
            read: RestRequest | NativeRequest | None = self._read_native(asked, path, faults, correlation_id)
        elif path == EVENTS_PATH:
            session = await self._events(asked, query, faults, correlation_id)
            return Allow(correlation_id, None, session=session)
        else:
            ticket, read = self._read_rest(asked, path, query, faults, correlation_id)
            if ticket is not None:
                return await self._stream(asked, read, ticket)
        if read is not None and read.needs_session:
            caller = await self._authorizer.identify(read)
            read.mode("")  # what it says must be sound all the same
            return Allow(
                correlation_id, None, session=self._sessions.open(caller, read.network, read.certificate)
            )
        return _allowed(correlation_id, None if read is None else await self._authorizer.authorize(read))

    async def _events(
        self, asked: EdgeRequest, query: str, faults: list[Violation], correlation_id: str
    ) -> str:
        """Return the session of who opens a WebSocket, with a bearer or a ticket. Raises what `identify` raises."""
        _refuse_headers(faults)
        if asked.method != "GET":
            raise Refusal(errors.METHOD_NOT_ALLOWED, "This path takes GET.", headers={"allow": "GET"})
        name, _, ticket = query.partition("=")
        if query and name != TICKET:
            raise Refusal(
                errors.INVALID_REQUEST,
                "The query has parameters that there are not; correct it and send it again.",
                violations=[Violation(TICKET, "is the only parameter here")],
            )
        if not query:
            read = EventsRequest(asked, correlation_id)
            return self._sessions.open(await self._authorizer.identify(read), read.network)
        try:
            return await self._sessions.redeem(ticket)
        except Refusal:
            self._authorizer.note_failure(network_of(asked.address))
            raise

    async def _stream(self, asked: EdgeRequest, read: RestRequest, ticket: str) -> Allow:
        """Return that a vehicle's stream is opened with a ticket in place of a bearer: what is looked at besides is the
        same, and so is what ends it. Raises what `authorize` raises.
        """
        if asked.headers.get("authorization") is not None:
            raise Refusal(
                errors.INVALID_REQUEST,
                "A ticket stands for a bearer; send one of both.",
                violations=[Violation(TICKET, "is sent beside Authorization")],
            )
        vin = read.vin()
        try:
            session, digest, caller = await self._sessions.redeem_for_stream(ticket, vin)
        except Refusal:
            self._authorizer.note_failure(read.network)
            raise
        read.certificate = session.certificate
        permit = await self._authorizer.authorize_as(digest, caller, read)
        return replace(_allowed(read.correlation_id, permit), without_query=(TICKET,))

    def _read_rest(
        self, asked: EdgeRequest, path: str, query: str, faults: list[Violation], correlation_id: str
    ) -> tuple[str | None, RestRequest]:
        """Return the request, and its ticket where it may be opened with one and names one."""
        found = self._routes.rest(path)
        if found is None:
            raise _path_not_found()
        written_vin, methods = found
        route = methods.get(asked.method)
        if route is None:
            allowed = ", ".join(sorted(methods))
            raise Refusal(
                errors.METHOD_NOT_ALLOWED, f"This path takes {allowed}.", headers={"allow": allowed}
            )
        _refuse_headers(faults)
        require_path(path)
        ticket, query = ticket_in(query) if query and route.takes_ticket else (None, query)
        return ticket, RestRequest(
            asked, route, correlation_id, written_vin=written_vin, query=query, bodies=self._bodies
        )

    def _read_native(
        self, asked: EdgeRequest, path: str, faults: list[Violation], correlation_id: str
    ) -> NativeRequest | None:
        """Return the request; None where it is about no vehicle, and a team's certificate is enough."""
        if not (asked.native and asked.team_listener):
            raise Refusal(
                errors.UNSUPPORTED_MEDIA_TYPE,
                "gRPC is served to internal teams, on the mutual TLS port, and nothing else is served there.",
            )
        certificate = self._team_certificate(asked.certificate)
        if certificate is None:
            raise Refusal(
                errors.CALLER_NOT_ALLOWED,
                "This certificate is not a team's, or it is revoked; ask for another.",
            )
        if path.startswith(WITHOUT_VEHICLE):
            _refuse_headers(faults)
            return None
        route = self._routes.native(path)
        if route is None:
            raise _path_not_found()
        _refuse_headers(faults)
        return NativeRequest(asked, route, correlation_id, certificate=certificate, orders=self._orders)


def _correlation(headers: Mapping[str, str]) -> tuple[str, list[Violation]]:
    """Return the request's id, and what is wrong with the headers that name it.

    An id that cannot be used is answered under the one that Envoy made.
    """
    named = headers.get("x-correlation-id")
    alias = _unquoted(headers.get("idempotency-key"))
    faults = [
        Violation(name, "1-64 of A-Z a-z 0-9 . _ -")
        for name, value in (("X-Correlation-ID", named), ("Idempotency-Key", alias))
        if value is not None and not _CORRELATION_ID.fullmatch(value)
    ]
    if not faults and named is not None and alias is not None and named != alias:
        faults = [Violation("Idempotency-Key", "differs from X-Correlation-ID; send one, or both the same")]
    for value in (alias if named is None else named, headers.get("x-request-id")):
        if value is not None and _CORRELATION_ID.fullmatch(value):
            return value, faults
    return str(uuid.uuid4()), faults


def _unquoted(key: str | None) -> str | None:
    """Return the key in an Idempotency-Key header: a string of RFC 8941, in quotes, as the IETF's draft has it,
    or bare.
    """
    if key is not None and _QUOTED.fullmatch(key):
        return key[1:-1]
    return key


def _refuse_headers(faults: list[Violation]) -> None:
    if faults:
        raise Refusal(
            errors.INVALID_REQUEST,
            "A header of the request is not valid; correct it and send the request again.",
            violations=faults,
        )


def _allowed(correlation_id: str, permit: Permit | None) -> Allow:
    if permit is None:
        return Allow(correlation_id, None)
    return Allow(correlation_id, permit.capability, rate_headers(permit.rate))


def _path_not_found() -> Refusal:
    return Refusal(errors.PATH_NOT_FOUND, "There is nothing at this path; see the API's list of endpoints.")


def _denied(asked: EdgeRequest, path: str, correlation_id: str, refusal: Refusal) -> Deny:
    if asked.method not in _READING_METHODS:
        refusal.may_have_succeeded = False
    challenge_as_asked(refusal, asked.headers.get("authorization"))
    vin = next((word for word in path.split("/") if is_vin(word.upper())), None)
    _log.info(
        "request_denied",
        code=refusal.reason.code,
        correlation_id=correlation_id,
        vin=masked_id(vin) if vin else None,
    )
    return Deny(correlation_id, refusal, path, asked.native)

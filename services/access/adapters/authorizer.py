"""The steps every public request goes through, in order; the first that fails decides the answer."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from protocol.subjects import is_vin
from services.access.adapters import native_request
from services.access.adapters.capability_issuer import Purpose
from services.access.adapters.issuer_keys import IssuerUnavailable
from services.access.adapters.limits import network_of
from services.access.adapters.rest_request import SoundBodies
from services.access.adapters.routes import WITHOUT_VEHICLE
from services.access.domain.grants import UNLOCK
from services.access.domain.scopes import needed_for
from services.platform import errors
from services.platform.capability import EMERGENCY
from services.platform.errors import Refusal, Violation
from services.platform.interceptor import vehicle_not_found
from services.platform.logs import masked_vin
from services.platform.storage import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from services.access.adapters.capability_issuer import CapabilityIssuer
    from services.access.adapters.identity import CallerIdentifier
    from services.access.adapters.limits import CountedRequests, RateLimits
    from services.access.adapters.permission_cache import PermissionCache
    from services.access.adapters.routes import Route, Routes
    from services.access.domain.grants import Caller, EffectivePermissions

_CORRELATION_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUOTED = re.compile(r'"[^"]*"')
_READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_log = structlog.get_logger()


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
    certificate: str = ""
    """The client's, which Envoy has verified (PEM, URL-encoded); empty where none is asked for."""

    @property
    def native(self) -> bool:
        """Whether it speaks gRPC, and so must be answered in gRPC."""
        return self.headers.get("content-type", "").startswith("application/grpc")


@dataclass(frozen=True, slots=True)
class Allow:
    """Let through. No capability where the request is about no vehicle."""

    correlation_id: str
    capability: str | None


@dataclass(frozen=True, slots=True)
class Deny:
    """Refused, with what its answer needs. `native` asks for a gRPC answer instead of a document."""

    correlation_id: str
    refusal: Refusal
    instance: str
    native: bool


class RequestAuthorizer:
    """Decides about requests. It never raises what a request can cause.

    `team_certificate` names a verified client certificate if it is a team's that counts; otherwise it says None.
    """

    def __init__(
        self,
        *,
        routes: Routes,
        identity: CallerIdentifier,
        permission_cache: PermissionCache,
        limits: RateLimits,
        counted: CountedRequests,
        issuer: CapabilityIssuer,
        team_certificate: Callable[[str], str | None],
    ) -> None:
        self._team_certificate = team_certificate
        self._routes = routes
        self._identity = identity
        self._permission_cache = permission_cache
        self._limits = limits
        self._counted = counted
        self._bodies = SoundBodies()
        self._orders = native_request.SoundOrders()
        self._issuer = issuer

    def invalidate(self, *, principal: str = "", credential: str = "") -> None:
        """Drop what is remembered: some right began or ended."""
        self._permission_cache.invalidate()
        if credential or not principal:
            self._identity.invalidate(credential)
        self._issuer.invalidate(principal, credential)

    async def decide(self, asked: EdgeRequest) -> Allow | Deny:
        """Admit or deny this request."""
        path, _, query = asked.path.partition("?")
        correlation_id, faults = _correlation(asked.headers)
        try:
            if asked.native or asked.team_listener:
                capability = await self._authorize_native(asked, path, faults)
            else:
                capability = await self._authorize_rest(asked, path, query, faults)
        except Refusal as refusal:
            return _denied(asked, path, correlation_id, refusal)
        except StorageUnavailable as error:
            _log.error("storage_unavailable", reason=str(error))
            away = Refusal(
                errors.STORAGE_UNAVAILABLE,
                "Your access could not be looked up and nothing was accepted; try again shortly.",
                retry_after_seconds=2,
            )
            return _denied(asked, path, correlation_id, away)
        except IssuerUnavailable as error:
            _log.error("token_issuer_unavailable", reason=str(error))
            away = Refusal(
                errors.DEPENDENCY_UNAVAILABLE,
                "Tokens cannot be checked at the moment and nothing was accepted; try again shortly.",
                retry_after_seconds=2,
            )
            return _denied(asked, path, correlation_id, away)
        return Allow(correlation_id, capability)

    async def _authorize_rest(
        self, asked: EdgeRequest, path: str, query: str, faults: list[Violation]
    ) -> str:
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
        digest, caller = await self._caller_of(asked)
        vin = _vin(written_vin)
        permissions = await self._permissions(asked, caller, vin, route)
        content_type = asked.headers.get("content-type")
        try:
            members = self._bodies.check(
                route,
                query=query,
                content_type=content_type,
                content_encoding=asked.headers.get("content-encoding"),
                body=asked.body,
                vin=vin,
            )
        except Refusal:
            # Counted apart: what is not carried out must not use up what commands need.
            self._limits.take("refused", caller.actor)
            raise
        self._count(route, caller, vin, _named_id(asked.headers))
        emergency = route.action == UNLOCK and members.get("unlockMode") == EMERGENCY
        return self._grant(digest, caller, vin, permissions, route, emergency=emergency)

    async def _authorize_native(self, asked: EdgeRequest, path: str, faults: list[Violation]) -> str | None:
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
        digest, caller = await self._caller_of(asked)
        said = native_request.said_in(asked.body, route.request, route.body_field)
        vin = _vin(said.vin)
        permissions = await self._permissions(asked, caller, vin, route)
        if said.order is not None:
            try:
                self._orders.check(route.action, said.order)
            except Refusal:
                self._limits.take("refused", caller.actor)
                raise
        self._count(route, caller, vin, _named_id(asked.headers))
        return self._grant(
            digest, caller, vin, permissions, route, emergency=said.emergency, certificate=certificate
        )

    async def _caller_of(self, asked: EdgeRequest) -> tuple[bytes, Caller]:
        """Return who asks. Failures are counted by address, and only they: behind the same address others go on."""
        try:
            return await self._identity.caller_of(asked.headers.get("authorization"))
        except Refusal:
            if network := network_of(asked.address):
                self._limits.take("failed", network)
            raise

    async def _permissions(
        self, asked: EdgeRequest, caller: Caller, vin: str, route: Route
    ) -> EffectivePermissions:
        """Return what the caller is to the vehicle, when that and the bearer's scope allow the route."""
        permissions = await self._permission_cache.of(caller.subject, caller.actor, vin)
        if permissions.locked:
            raise Refusal(
                errors.ACCOUNT_LOCKED,
                "This account is locked and commands nothing; contact customer support to unlock it.",
            )
        if not permissions.actions or caller.only_vin not in {None, vin}:
            # The same for a vehicle that there is and for one that there is not, counted all the same.
            if network := network_of(asked.address):
                self._limits.take("unknown", "by address", network)
            self._limits.take("unknown", "by actor", caller.actor)
            raise vehicle_not_found()
        if route.action not in permissions.actions:
            raise Refusal(
                errors.ACTION_NOT_GRANTED,
                f"Your access to this vehicle does not include {route.action}; its owner can extend it.",
                facts={"action": route.action},
            )
        if caller.scope is not None and route.action not in caller.scope:
            raise _out_of_scope(route.action)
        return permissions

    def _count(self, route: Route, caller: Caller, vin: str, named_id: str | None) -> None:
        """Count the request against its rate; what repeats one that was counted is a read."""
        limit_class = route.limit_class
        if limit_class is None:
            return
        if limit_class == "read" or named_id is None:
            self._limits.take(limit_class, caller.subject, caller.actor, vin)
            return
        which = (route.action, caller.subject, caller.actor, vin, named_id)
        if self._counted.has(*which):
            self._limits.take("read", caller.subject, caller.actor, vin)
            return
        self._limits.take(limit_class, caller.subject, caller.actor, vin)
        self._counted.note(*which)

    def _grant(
        self,
        digest: bytes,
        caller: Caller,
        vin: str,
        permissions: EffectivePermissions,
        route: Route,
        *,
        emergency: bool,
        certificate: str = "",
    ) -> str:
        """Return the capability for this request."""
        purpose = Purpose(route.service, route.action, EMERGENCY if emergency else "")
        return self._issuer.capability(digest, caller, vin, permissions, purpose, certificate)


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


def _named_id(headers: Mapping[str, str]) -> str | None:
    """Return the id that the caller gave the request; None where the edge made one."""
    named = headers.get("x-correlation-id")
    return None if named == headers.get("x-request-id") else named


def _refuse_headers(faults: list[Violation]) -> None:
    if faults:
        raise Refusal(
            errors.INVALID_REQUEST,
            "A header of the request is not valid; correct it and send the request again.",
            violations=faults,
        )


def _vin(written: str) -> str:
    vin = written.upper() if written.isascii() else written
    if not is_vin(vin):
        raise Refusal(
            errors.INVALID_REQUEST,
            "The VIN is not one; correct it and send the request again.",
            violations=[Violation("vin", "17 of A-Z 0-9, without I, O and Q")],
        )
    return vin


def _out_of_scope(action: str) -> Refusal:
    scope = needed_for(action)
    return Refusal(
        errors.ACTION_NOT_GRANTED,
        f"The token's scope does not include {action}; sign in for the scope {scope}.",
        facts={"action": action},
        headers={
            "www-authenticate": f'Bearer realm="remote-door-control", error="insufficient_scope", scope="{scope}"'
        },
    )


def _path_not_found() -> Refusal:
    return Refusal(errors.PATH_NOT_FOUND, "There is nothing at this path; see the API's list of endpoints.")


def _denied(asked: EdgeRequest, path: str, correlation_id: str, refusal: Refusal) -> Deny:
    if asked.method not in _READING_METHODS:
        refusal.may_have_succeeded = False
    vin = next((word for word in path.split("/") if is_vin(word.upper())), None)
    _log.info(
        "request_denied",
        code=refusal.reason.code,
        correlation_id=correlation_id,
        vin=masked_vin(vin) if vin else None,
    )
    return Deny(correlation_id, refusal, path, asked.native)

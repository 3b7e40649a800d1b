"""The one interceptor of every server: who calls, whether they may, is the request sound, how did it end.

It is one and not a chain because each link of a chain costs every call; its steps are functions in
the order in which they must happen. What it refuses never reaches a service.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import re
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import grpc
import structlog

from services.platform import errors
from services.platform.audit import unfailing
from services.platform.call import Call, bind
from services.platform.capability import METADATA_KEY
from services.platform.errors import Refusal, Violation
from services.platform.preferences import PREFER
from services.platform.session import SESSION_KEY
from services.platform.step_up import BEARER, CHALLENGE
from services.platform.storage import CommitUncertainError, StorageUnavailableError
from services.platform.validation import violations_of
from services.product import ACTION_NOT_GRANTED_DETAIL, RESOURCE, RESOURCE_NOT_FOUND_DETAIL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from google.protobuf.message import Message

    from services.platform.audit import Audit
    from services.platform.capability import CapabilityVerifier
    from services.platform.policy import Policy, RpcPolicy
    from services.platform.revocation import CertificateId
    from services.platform.workload import Workload, Workloads

CORRELATION_ID = "x-correlation-id"
ORIGINAL_PATH = "x-envoy-original-path"
LONGEST_CALL_SECONDS = 10.0
LONGEST_WAIT_SECONDS = 30.0
"""For so long a caller may ask to be kept waiting (RFC 7240), beyond what the call itself takes."""
REPORT_MARGIN_SECONDS = 0.05
"""Kept back from the caller's deadline, so that the failure still reaches them."""

_CORRELATION_ID_FORM = re.compile(r"[A-Za-z0-9._-]{1,64}")
_log = structlog.get_logger()

Context = grpc.aio.ServicerContext[Any, Any]


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Admits, bounds and reports every call.

    `body_fields` gives, per RPC, the field that REST's body is bound to, so that a violation is named
    as the caller wrote it. `translate_error` turns a service's own exceptions into refusals; `audit` hears of
    every refusal and every change, and cannot fail either.
    """

    def __init__(
        self,
        policy: Policy,
        verifier: CapabilityVerifier,
        body_fields: Mapping[str, str],
        translate_error: Callable[[Exception], Refusal | None],
        audit: Audit,
        workloads: Workloads,
    ) -> None:
        self._workloads = workloads
        self._live: dict[asyncio.Timeout, tuple[Workload | None, str]] = {}
        self._audit = unfailing(audit)
        self._policy = policy
        self._verifier = verifier
        self._body_fields = body_fields
        self._translate_error = translate_error
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    def revoke(self, certificates: frozenset[CertificateId]) -> None:
        """Refuse whoever calls with one of these certificates, from now on, and end the streams they have.

        A team calls through the edge; the capability names its certificate.
        """
        self._workloads.revoke(certificates)
        now = asyncio.get_running_loop().time() if self._live else 0.0
        for stream, (workload, behind) in list(self._live.items()):
            if self._is_revoked(workload, behind):
                stream.reschedule(now)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wrap the RPC's handler, once per RPC."""
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None:  # grpc's own UNIMPLEMENTED
                return handler
            wrapped = self._wrapped[method] = self._wrap(method, handler)
        return wrapped

    def _wrap(self, method: str, handler: Any) -> grpc.RpcMethodHandler[Any, Any]:
        rule = self._policy.get(method)
        if handler.stream_stream is not None:
            # There is no request to look into before the first message: for services alone, which look at each of
            # theirs, and for reflection.
            if rule is None or rule.action is not None:
                return _refused_stream()
            return grpc.stream_stream_rpc_method_handler(
                self._streaming(method, rule, handler.stream_stream, by_messages=True),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                self._streaming(method, rule, handler.unary_stream),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(method, rule, handler.unary_unary),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _unary(self, method: str, rule: RpcPolicy | None, serve: Any) -> Any:
        async def unary(request: Message, context: Context) -> Any:
            workload = self._workloads.calling(context.auth_context())
            call = _call_of(method, context, workload, rule)
            try:
                self._check_trusted(workload)
                call = self._admit(rule, call, request)
                self._check_trusted(None, _behind(call))
                bind(call)
                async with asyncio.timeout(_seconds_left(context, waits=_may_wait(rule, call))):
                    answer = await serve(request, context)
                if rule is not None and rule.mutates:
                    self._audit(call, None)
                return answer
            except grpc.aio.AbortError:  # the servicer has answered
                raise
            except Exception as error:  # noqa: BLE001  # every way of failing becomes one refusal
                refusal = self._refusal(error, rule)
            return await self._refuse(context, call, refusal)

        return unary

    def _streaming(
        self, method: str, rule: RpcPolicy | None, serve: Any, *, by_messages: bool = False
    ) -> Any:
        async def streaming(request: Any, context: Context) -> AsyncIterator[Any]:
            workload = self._workloads.calling(context.auth_context())
            call = _call_of(method, context, workload, rule)
            try:
                self._check_trusted(workload)
                call = self._admit(rule, call, None if by_messages else request)
                self._check_trusted(None, _behind(call))
                bind(call)
                async with self._while_trusted(workload, _behind(call)):
                    answering = serve(request, context)
                    if inspect.isawaitable(
                        answering
                    ):  # a servicer may also write to the context, as health's does
                        await answering
                        return
                    async with contextlib.aclosing(answering) as answers:
                        async for answer in answers:
                            yield answer
                return
            except grpc.aio.AbortError:  # the servicer has answered
                raise
            except Exception as error:  # noqa: BLE001  # every way of failing becomes one refusal
                refusal = self._refusal(error, rule)
            await self._refuse(context, call, refusal)

        return streaming

    def _check_trusted(self, workload: Workload | None, behind: str = "") -> None:
        if self._is_revoked(workload, behind):
            raise _revoked()

    def _is_revoked(self, workload: Workload | None, behind: str) -> bool:
        """Return whether the caller's certificate is, or that of who is behind the caller."""
        if workload is not None and self._workloads.is_revoked(workload):
            return True
        return bool(behind) and self._workloads.is_name_revoked(behind)

    @contextlib.asynccontextmanager
    async def _while_trusted(self, workload: Workload | None, behind: str) -> AsyncIterator[None]:
        """End what is in it, with a Refusal, once the workload's certificate is revoked, or that behind it."""
        stream = asyncio.timeout(None)
        try:
            async with stream:
                self._live[stream] = (workload, behind)
                yield
        except TimeoutError as error:
            if stream.expired():
                raise _revoked() from error
            raise
        finally:
            self._live.pop(stream, None)

    def _admit(self, rule: RpcPolicy | None, call: Call, request: Any) -> Call:
        """Return the call with its capability, or Refusal."""
        if rule is None:
            raise Refusal(errors.CALLER_NOT_ALLOWED, "No rule allows this RPC.")
        if not rule.admits(call.peer):
            raise Refusal(errors.CALLER_NOT_ALLOWED, "This workload may not use this RPC.")
        if not _CORRELATION_ID_FORM.fullmatch(call.correlation_id):
            raise Refusal(
                errors.INVALID_REQUEST,
                "The correlation id is not one.",
                violations=[Violation("X-Correlation-ID", "1-64 of A-Z a-z 0-9 . _ -")],
            )
        if rule.needs_session:
            call = self._with_session(call)
        elif rule.action is not None:
            call = self._with_capability(rule, rule.action, call, request)
        if rule.peers and request is not None:
            violations = violations_of(request, self._body_fields.get(call.method))
            if violations:
                raise Refusal(
                    errors.INVALID_REQUEST,
                    "The request has fields that are not valid; correct them and send it again.",
                    violations=violations,
                )
        return call

    def _with_capability(self, rule: RpcPolicy, action: str, call: Call, request: Any) -> Call:
        token = call.metadata.get(METADATA_KEY)
        if token is None:
            raise Refusal(errors.AUTHENTICATION_REQUIRED, "This RPC is reached through the edge only.")
        capability = self._verifier.verify(token)
        resource = "" if rule.without_resource else getattr(request, RESOURCE)
        if resource and resource.isascii():
            resource = resource.upper()
            setattr(request, RESOURCE, resource)
        # The request's resource can be forged past the path that was authorised; the capability's cannot.
        if capability.resource != resource:
            raise resource_not_found()
        if action not in capability.actions:
            raise Refusal(
                errors.ACTION_NOT_GRANTED,
                ACTION_NOT_GRANTED_DETAIL.format(action=action),
            )
        return replace(call, capability=capability)

    def _with_session(self, call: Call) -> Call:
        token = call.metadata.get(SESSION_KEY)
        if token is None:
            raise Refusal(errors.AUTHENTICATION_REQUIRED, "This RPC is reached through the edge only.")
        return replace(call, session=self._verifier.session(token))

    def _refusal(self, error: Exception, rule: RpcPolicy | None) -> Refusal:
        if isinstance(error, Refusal):
            return error
        translated = self._translate_error(error)
        if translated is not None:
            return translated
        mutates = rule is not None and rule.mutates
        if isinstance(error, TimeoutError):
            return Refusal(
                errors.DEADLINE_EXCEEDED,
                "No time was left to finish; look up what became of the request before repeating it.",
                may_have_succeeded=mutates or None,
            )
        if isinstance(error, CommitUncertainError):
            _log.error("commit_uncertain", reason=str(error))
            return Refusal(
                errors.STORAGE_UNAVAILABLE,
                "The store went away while it kept the request; look up what became of it before repeating it.",
                may_have_succeeded=mutates or None,
                retry_after_seconds=2,
            )
        if isinstance(error, StorageUnavailableError):
            _log.error("storage_unavailable", reason=str(error))
            return Refusal(
                errors.STORAGE_UNAVAILABLE,
                "The request could not be stored durably and was not accepted; try again shortly.",
                may_have_succeeded=False if mutates else None,
                retry_after_seconds=2,
            )
        _log.error("call_failed", exc_info=error)
        return Refusal(
            errors.INTERNAL_ERROR,
            "A defect of the service stopped this request; report it with the correlation id.",
            may_have_succeeded=mutates or None,
        )

    async def _refuse(self, context: Context, call: Call, refusal: Refusal) -> None:
        self._audit(call, refusal)
        _challenge(refusal, call)
        status = errors.rpc_status(refusal, correlation_id=call.correlation_id)
        trailers: list[tuple[str, str | bytes]] = [("grpc-status-details-bin", status.SerializeToString())]
        path = call.metadata.get(ORIGINAL_PATH)
        if path is not None:
            instance = path.partition("?")[0]
            trailers.append(
                ("x-problem", errors.problem(refusal, instance=instance, correlation_id=call.correlation_id))
            )
            trailers += errors.rest_headers(refusal).items()
        await context.abort(refusal.reason.grpc_code, refusal.detail, tuple(trailers))


def _challenge(refusal: Refusal, call: Call) -> None:
    """Give a refusal of who asks its challenge (RFC 9110, 11.6.1), in the scheme in which their token came."""
    if refusal.reason.http_status != errors.TOKEN_INVALID.http_status or CHALLENGE in refusal.headers:
        return
    scheme, parameters = BEARER, ""
    if call.capability is not None:
        scheme, parameters = call.capability.scheme, call.capability.scheme_parameters
    said = () if refusal.reason is errors.AUTHENTICATION_REQUIRED else ('error="invalid_token"',)
    words = ", ".join((*said, *((parameters,) if parameters else ())))
    refusal.headers = {**refusal.headers, CHALLENGE: f"{scheme} {words}".strip()}


def resource_not_found() -> Refusal:
    """Return the same for a resource that does not exist and for one that is not the caller's."""
    return Refusal(errors.RESOURCE_NOT_FOUND, RESOURCE_NOT_FOUND_DETAIL)


def _revoked() -> Refusal:
    return Refusal(errors.CALLER_NOT_ALLOWED, "This workload's certificate is revoked.")


def _behind(call: Call) -> str:
    """Return the certificate of who asked the edge, where it was asked under one."""
    if call.capability is not None:
        return call.capability.certificate
    return call.session.certificate if call.session is not None else ""


def _call_of(method: str, context: Context, workload: Workload | None, rule: RpcPolicy | None) -> Call:
    metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    correlation_id = metadata.get(CORRELATION_ID) or str(uuid.uuid4())
    changes = rule is not None and rule.mutates
    return Call(method, correlation_id, workload.uri if workload else "", None, metadata, changes)


def _may_wait(rule: RpcPolicy | None, call: Call) -> bool:
    return rule is not None and rule.may_wait and PREFER in call.metadata


def _seconds_left(context: Context, *, waits: bool) -> float:
    longest = LONGEST_CALL_SECONDS + LONGEST_WAIT_SECONDS * waits
    remaining = context.time_remaining()
    return longest if remaining is None else min(longest, max(0.0, remaining - REPORT_MARGIN_SECONDS))


def _refused_stream() -> grpc.RpcMethodHandler[Any, Any]:
    async def refuse(_requests: Any, context: Context) -> None:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "No rule allows this RPC.")

    return grpc.stream_stream_rpc_method_handler(refuse)

"""WebhookOperatorService: RPC in, RPC out."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import grpc
from ecarus.remotecontrol.access.v1 import webhook_operator_service_pb2 as contract
from ecarus.remotecontrol.access.v1 import webhook_operator_service_pb2_grpc as stubs
from ecarus.remotecontrol.door.v1 import webhook_pb2
from typing_extensions import override

from services.notification.adapters.store.webhook_rows import url_digest, webhook_host
from services.notification.adapters.webhook_translate import WebhookFieldError
from services.notification.domain.devices import FieldFault
from services.notification.domain.webhooks import WebhookUnknownError
from services.notification.usecases.webhook_ports import WebhookPlace
from services.platform.errors import REASONS, Refusal
from services.platform.free_text import readable
from services.platform.policy import policy_of
from services.platform.times import shown_time, shown_time_or_none

if TYPE_CHECKING:
    from services.notification.domain.webhooks import Backlog, Webhook
    from services.notification.usecases.webhook_operation import WebhookOperation

SERVICE = "ecarus.remotecontrol.access.v1.WebhookOperatorService"
POLICY = policy_of(SERVICE)
DEFAULT_PAGE = 50
_MOST_REASON = 200
_STATES = webhook_pb2.WebhookState.Value
_REASONS = webhook_pb2.WebhookDisabledReason.Value

Context = grpc.aio.ServicerContext[Any, Any]


class WebhookOperatorServicer(stubs.WebhookOperatorServiceServicer):
    """Serves WebhookOperatorService."""

    def __init__(self, operation: WebhookOperation) -> None:
        self._operation = operation

    def register(self, server: grpc.aio.Server) -> None:
        """Add this servicer to `server`."""
        stubs.add_WebhookOperatorServiceServicer_to_server(self, server)

    @override
    async def ListAllWebhooks(
        self, request: contract.ListAllWebhooksRequest, context: Context
    ) -> contract.ListAllWebhooksResponse:
        after = _place_in(request.page_token) if request.page_token else None
        found, more = await self._operation.page(request.principal, request.page_size or DEFAULT_PAGE, after)
        return contract.ListAllWebhooksResponse(
            webhooks=[_message(*each) for each in found],
            next_page_token="" if more is None else _token_of(more),
        )

    @override
    async def StopWebhook(
        self, request: contract.StopWebhookRequest, context: Context
    ) -> contract.OperatedWebhook:
        if readable(request.reason, _MOST_REASON) != request.reason:
            raise WebhookFieldError(FieldFault("reason", "has characters that cannot be shown"))
        try:
            return _message(*await self._operation.stop(_place_of(request), request.reason))
        except WebhookUnknownError as error:
            raise _unknown() from error

    @override
    async def EnableStoppedWebhook(
        self, request: contract.EnableStoppedWebhookRequest, context: Context
    ) -> contract.OperatedWebhook:
        try:
            return _message(*await self._operation.enable(_place_of(request)))
        except WebhookUnknownError as error:
            raise _unknown() from error


def _unknown() -> Refusal:
    return Refusal(
        REASONS["WEBHOOK_NOT_FOUND"], "This registrant has no such webhook: list them, with their API keys."
    )


def _place_of(request: contract.StopWebhookRequest | contract.EnableStoppedWebhookRequest) -> WebhookPlace:
    return WebhookPlace(request.principal, request.api_key_id, request.webhook_id)


def _token_of(place: WebhookPlace) -> str:
    text = json.dumps(place, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _place_in(token: str) -> WebhookPlace:
    """Return the place that a token names. Raises WebhookFieldError."""
    try:
        found = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, RecursionError) as error:
        raise _wrong_token() from error
    texts = isinstance(found, list) and all(isinstance(each, str) and "\0" not in each for each in found)
    if not texts or len(found) != len(WebhookPlace._fields):
        raise _wrong_token()
    return WebhookPlace(*found)


def _wrong_token() -> WebhookFieldError:
    return WebhookFieldError(FieldFault("pageToken", "is none that a page before gave"))


def _message(webhook: Webhook, backlog: Backlog) -> contract.OperatedWebhook:
    """Return what operators see: neither the URL nor a secret."""
    reason = webhook.disabled_reason
    return contract.OperatedWebhook(
        principal=webhook.registrant.principal,
        api_key_id=webhook.registrant.key_id,
        webhook_id=webhook.name,
        host=webhook_host(webhook.wish.url),
        url_sha256=url_digest(webhook.wish.url),
        event_types=webhook.wish.event_types,
        vehicle_count=len(webhook.wish.vins),
        state=_STATES.Value(webhook.state.value),
        disabled_reason=None if reason is None else _REASONS.Value(reason.value),
        disabled_at=shown_time_or_none(webhook.disabled_at),
        last_failure=webhook.last_failure,
        failures=webhook.failures,
        registered_at=shown_time(webhook.registered_at),
        last_delivered_at=shown_time_or_none(webhook.last_delivered_at),
        waiting=backlog.waiting,
        oldest_waiting_at=shown_time_or_none(backlog.oldest_at),
    )

"""WebhookService: RPC in, RPC out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from ecarus.remotecontrol.door.v1 import webhook_service_pb2_grpc
from typing_extensions import override

from services.notification.adapters import webhook_translate as translate
from services.notification.domain.webhooks import Registrant
from services.platform.call import current_call
from services.platform.policy import policy_of

if TYPE_CHECKING:
    from ecarus.remotecontrol.door.v1 import webhook_pb2
    from ecarus.remotecontrol.door.v1 import webhook_service_pb2 as rpc

    from services.notification.usecases.webhooks import Webhooks

SERVICE = "ecarus.remotecontrol.door.v1.WebhookService"
POLICY = policy_of(SERVICE)
_KEY_PREFIX = "key_"
"""How the access service names API keys; what else a caller comes with names the issuer's key, and is not theirs."""

Context = grpc.aio.ServicerContext[Any, Any]


class WebhookServicer(webhook_service_pb2_grpc.WebhookServiceServicer):
    """Serves WebhookService: whose webhooks they are says the capability, never the request."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    def register(self, server: grpc.aio.Server) -> None:
        """Add this servicer to `server`."""
        webhook_service_pb2_grpc.add_WebhookServiceServicer_to_server(self, server)

    @override
    async def ListWebhooks(
        self, request: rpc.ListWebhooksRequest, context: Context
    ) -> webhook_pb2.WebhookList:
        return translate.webhook_list(await self._webhooks.listed(_registrant()))

    @override
    async def RegisterWebhook(
        self, request: rpc.RegisterWebhookRequest, context: Context
    ) -> webhook_pb2.Webhook:
        wish = translate.wish_of(request.webhook)
        return translate.webhook_message(
            *await self._webhooks.register(_registrant(), request.webhook_id, wish, _correlation_id())
        )

    @override
    async def GetWebhook(self, request: rpc.GetWebhookRequest, context: Context) -> webhook_pb2.Webhook:
        return translate.webhook_message(*await self._webhooks.found(_registrant(), request.webhook_id))

    @override
    async def DeleteWebhook(
        self, request: rpc.DeleteWebhookRequest, context: Context
    ) -> webhook_pb2.WebhookList:
        return translate.webhook_list(await self._webhooks.delete(_registrant(), request.webhook_id))

    @override
    async def RotateWebhookSecret(
        self, request: rpc.RotateWebhookSecretRequest, context: Context
    ) -> webhook_pb2.Webhook:
        return translate.webhook_message(
            *await self._webhooks.rotate(_registrant(), request.webhook_id, _correlation_id())
        )

    @override
    async def EnableWebhook(self, request: rpc.EnableWebhookRequest, context: Context) -> webhook_pb2.Webhook:
        return translate.webhook_message(*await self._webhooks.enable(_registrant(), request.webhook_id))

    @override
    async def TestWebhook(
        self, request: rpc.TestWebhookRequest, context: Context
    ) -> webhook_pb2.WebhookDelivery:
        made = await self._webhooks.test(_registrant(), request.webhook_id, _correlation_id())
        return translate.delivery_message(made)

    @override
    async def ListWebhookDeliveries(
        self, request: rpc.ListWebhookDeliveriesRequest, context: Context
    ) -> webhook_pb2.WebhookDeliveryList:
        status = translate.status_asked(request.status) if request.HasField("status") else None
        limit = request.limit if request.HasField("limit") else translate.DEFAULT_LIMIT
        return translate.delivery_list(
            *await self._webhooks.deliveries(_registrant(), request.webhook_id, status, limit, request.offset)
        )

    @override
    async def ReplayWebhook(
        self, request: rpc.ReplayWebhookRequest, context: Context
    ) -> webhook_pb2.WebhookReplayResult:
        replayed = await self._webhooks.replay(
            _registrant(),
            request.webhook_id,
            _correlation_id(),
            after=request.replay.after,
            since=translate.since_asked(request.replay),
        )
        return translate.replay_message(replayed)


def _registrant() -> Registrant:
    granted = current_call().granted()
    by_key = granted.credential.startswith(_KEY_PREFIX)
    return Registrant(granted.subject, granted.credential if by_key else "")


def _correlation_id() -> str:
    return current_call().correlation_id

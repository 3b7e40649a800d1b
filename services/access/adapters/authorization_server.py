"""Envoy's external authorization, whose contract is Envoy's and not ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from envoy_ext_authz import external_auth_pb2_grpc

from services.access.adapters import translate
from services.platform.policy import EDGE, RpcPolicy

if TYPE_CHECKING:
    from envoy_ext_authz import external_auth_pb2

    from services.access.adapters.authorizer import EdgeAuthorizer
    from services.platform.policy import Policy

Context = grpc.aio.ServicerContext[Any, Any]
SERVICE = "envoy.service.auth.v3.Authorization"
POLICY: Policy = {f"/{SERVICE}/Check": RpcPolicy(peers=frozenset({EDGE}))}


class AuthorizationServicer(external_auth_pb2_grpc.AuthorizationServicer):
    """Envoy's external authorization: asked about every request to the public."""

    def __init__(self, authorizer: EdgeAuthorizer) -> None:
        self._authorizer = authorizer

    async def Check(  # noqa: N802  # the RPC's name
        self,
        request: external_auth_pb2.CheckRequest,
        context: Context,  # noqa: ARG002  # grpc's signature
    ) -> external_auth_pb2.CheckResponse:
        """Admit with a capability, or deny with a finished answer."""
        return translate.decision(await self._authorizer.decide(translate.edge_request(request)))

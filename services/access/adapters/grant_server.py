"""The public RPCs about the rights on a vehicle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from ecarus.remotecontrol.door.v1 import door_grant_service_pb2_grpc
from typing_extensions import override

from services.access.adapters import grant_translate as translate
from services.platform.call import current_call
from services.platform.policy import policy_of

if TYPE_CHECKING:
    from ecarus.remotecontrol.door.v1 import door_grant_pb2, door_grant_service_pb2

    from services.access.domain.sharing import Giver
    from services.access.usecases.abnormal import AbnormalAccess
    from services.access.usecases.agents import AgentSupervision
    from services.access.usecases.severance import SeveredAccess
    from services.access.usecases.sharing import SharedAccess

SERVICE = "ecarus.remotecontrol.door.v1.DoorGrantService"
POLICY = policy_of(SERVICE)

Context = grpc.aio.ServicerContext[Any, Any]


class DoorGrantServicer(door_grant_service_pb2_grpc.DoorGrantServiceServicer):
    """Serves DoorGrantService."""

    def __init__(
        self,
        sharing: SharedAccess,
        severed: SeveredAccess,
        abnormal: AbnormalAccess,
        agents: AgentSupervision,
    ) -> None:
        self._agents = agents
        self._sharing = sharing
        self._severed = severed
        self._abnormal = abnormal

    def register(self, server: grpc.aio.Server) -> None:
        """Add this servicer to `server`."""
        door_grant_service_pb2_grpc.add_DoorGrantServiceServicer_to_server(self, server)

    @override
    async def ListGrants(
        self, request: door_grant_service_pb2.ListGrantsRequest, context: Context
    ) -> door_grant_pb2.DoorGrantList:
        owns = translate.is_owner(current_call().granted())
        views = await self._sharing.listed(request.vin, _giver(), is_owner=owns)
        return translate.grant_list(request.vin, views)

    @override
    async def GetGrant(
        self, request: door_grant_service_pb2.GetGrantRequest, context: Context
    ) -> door_grant_pb2.DoorGrant:
        owns = translate.is_owner(current_call().granted())
        view = await self._sharing.found(request.vin, request.grant_id, _giver(), is_owner=owns)
        return translate.grant_message(view)

    @override
    async def GiveGrant(
        self, request: door_grant_service_pb2.GiveGrantRequest, context: Context
    ) -> door_grant_pb2.DoorGrant:
        offer = translate.offer(request, current_call())
        return translate.grant_message(await self._sharing.give(offer, _giver()))

    @override
    async def AcceptGrant(
        self, request: door_grant_service_pb2.AcceptGrantRequest, context: Context
    ) -> door_grant_pb2.DoorGrant:
        view = await self._sharing.accept(request.vin, request.grant_id, _giver())
        return translate.grant_message(view)

    @override
    async def NarrowGrant(
        self, request: door_grant_service_pb2.NarrowGrantRequest, context: Context
    ) -> door_grant_pb2.DoorGrant:
        narrowing = translate.narrowing(request.narrowing)
        view = await self._sharing.narrow(request.vin, request.grant_id, narrowing, _giver())
        return translate.grant_message(view)

    @override
    async def SuspendGrant(
        self, request: door_grant_service_pb2.SuspendGrantRequest, context: Context
    ) -> door_grant_pb2.DoorGrant:
        view = await self._sharing.suspend(request.vin, request.grant_id, _giver())
        return translate.grant_message(view)

    @override
    async def ResumeGrant(
        self, request: door_grant_service_pb2.ResumeGrantRequest, context: Context
    ) -> door_grant_pb2.DoorGrant:
        view = await self._sharing.resume(request.vin, request.grant_id, _giver())
        return translate.grant_message(view)

    @override
    async def EndGrant(
        self, request: door_grant_service_pb2.EndGrantRequest, context: Context
    ) -> door_grant_pb2.DoorGrant:
        view = await self._sharing.end(request.vin, request.grant_id, _giver())
        return translate.grant_message(view)

    @override
    async def TransferOwnership(
        self, request: door_grant_service_pb2.TransferOwnershipRequest, context: Context
    ) -> door_grant_pb2.OwnershipTransferred:
        grant_id = translate.made_id(current_call(), request.vin)
        done = await self._sharing.transfer(request.vin, request.transfer.new_owner, grant_id, _giver())
        return translate.transferred(done)

    @override
    async def SeverAccess(
        self, request: door_grant_service_pb2.SeverAccessRequest, context: Context
    ) -> door_grant_pb2.Severance:
        new = translate.new_severance(request, current_call())
        return translate.severance_message(await self._severed.sever(new, _giver()))

    @override
    async def ApproveEmergency(
        self, request: door_grant_service_pb2.ApproveEmergencyRequest, context: Context
    ) -> door_grant_pb2.EmergencyApproved:
        granted = current_call().granted()
        approval = await self._agents.approve_emergency(
            request.vin,
            granted.subject,
            granted.case,
            approver=granted.actor,
            agent=request.approval.agent,
        )
        return translate.approved_message(approval)

    @override
    async def GetSeverance(
        self, request: door_grant_service_pb2.GetSeveranceRequest, context: Context
    ) -> door_grant_pb2.Severance:
        found = await self._severed.found(request.vin, request.severance_id, _giver())
        return translate.severance_message(found)

    @override
    async def RestoreAccount(
        self, request: door_grant_service_pb2.RestoreAccountRequest, context: Context
    ) -> door_grant_pb2.AccountOfPrincipal:
        return translate.account_message(await self._abnormal.restore_own(_giver()))


def _giver() -> Giver:
    return translate.giver_of(current_call().granted())
